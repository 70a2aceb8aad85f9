//! What operators read in a terminal: tables and amounts, with nothing in them that could move the cursor.

use std::io::{self, Write};

/// A text without control characters: what tenants or mail servers said must not write over the operator's screen.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Lines up columns; the first row is the head. Only the last column may be long.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| plain(cell).chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&plain(cell));
            let missing = width.saturating_sub(plain(cell).chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', missing));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Bytes as people say them.
#[must_use]
pub fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut amount = count as f64;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    if unit == 0 || amount >= 99.5 {
        format!("{amount:.0} {}", UNITS[unit])
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// Reads an amount such as `500M` or `10G` (powers of ten) or plain bytes.
///
/// # Errors
/// When it is none, or not positive.
pub fn parse_bytes(text: &str) -> Result<i64, String> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
        Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
        Some((at, 't' | 'T')) => (&text[..at], 1_000_000_000_000),
        _ => (text, 1_i64),
    };
    let amount = number.trim().parse::<i64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n > 0);
    amount.ok_or_else(|| "an amount is a number with or without k, M, G or T".to_owned())
}

/// Writes to the standard output; a reader that went away (`| head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a value as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_said_and_read() {
        for (count, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (10_000_000_000, "10.0 GB"),
            (999_999, "1.0 MB"),
        ] {
            assert_eq!(bytes(count), said);
        }
        for (text, count) in [
            ("500M", Some(500_000_000)),
            ("10 GB", Some(10_000_000_000)),
            ("7", Some(7)),
            ("0", None),
            ("-1G", None),
            ("many", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse_bytes(text).ok(), count, "{text}");
        }
    }

    #[test]
    fn columns_line_up_and_nothing_moves_the_cursor() {
        let rows = [
            vec!["NAME".into(), "WHY".into()],
            vec!["ada".into(), "\u{1b}[2Jgone\n".into()],
            vec!["été".into(), "x".into()],
        ];
        assert_eq!(table(&rows), "NAME  WHY\nada    [2Jgone\nété   x\n");
    }
}
