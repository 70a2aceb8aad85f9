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

/// Breaks a text between words into lines of at most so many characters, as far as its words are short enough.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in plain(text).split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
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

/// A number with its thousands set apart.
#[must_use]
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds as people say them: the two largest units.
#[must_use]
pub fn span(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        ..1 => format!("{} ms", micros / 1000),
        1..60 => format!("{}.{} s", seconds, micros / 100_000 % 10),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A record of a CSV file (RFC 4180), its end included. Fields that a spreadsheet would take for a formula begin with an apostrophe.
#[must_use]
pub fn csv<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> String {
    let field = |field: S| {
        let text = field.as_ref();
        let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        match text.contains(['"', ',', '\r', '\n']) {
            true => format!("\"{guard}{}\"", text.replace('"', "\"\"")),
            false => format!("{guard}{text}"),
        }
    };
    fields.into_iter().map(field).collect::<Vec<_>>().join(",") + "\r\n"
}

/// Millionths as a decimal number with so many places, rounded.
#[must_use]
pub fn decimal(micros: i64, places: u32) -> String {
    let unit = 10_i64.pow(6_u32.saturating_sub(places));
    let rounded = (micros.saturating_add(unit / 2)).div_euclid(unit);
    let whole = 10_i64.pow(places.min(6));
    let width = usize::try_from(places.min(6)).unwrap_or(6);
    match width {
        0 => rounded.to_string(),
        _ => format!("{}.{:0width$}", rounded / whole, rounded % whole),
    }
}

/// Reads a decimal number such as `49.00` as millionths.
///
/// # Errors
/// When it is none, is less than nought, or has more than six places.
pub fn parse_decimal(text: &str) -> Result<i64, String> {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fine = digits(whole) && digits(rest) && !whole.is_empty() && rest.len() <= 6;
    let amount = fine.then(|| format!("{whole}{rest:0<6}").parse::<i64>().ok()).flatten();
    amount.ok_or_else(|| "a price is a number such as 49.00, with six places at most".to_owned())
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
    fn numbers_and_spans_are_said() {
        for (number, said) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(count(number), said);
        }
        for (micros, said) in [
            (0, "0 ms"),
            (999_999, "999 ms"),
            (12_340_000, "12.3 s"),
            (61_000_000, "1 min 1 s"),
            (12_000_000_000, "3 h 20 min"),
            (200_000_000_000, "2 d 7 h"),
        ] {
            assert_eq!(span(micros), said);
        }
    }

    #[test]
    fn money_is_read_and_written_to_the_millionth() {
        for (text, micros) in
            [("49.00", Some(49_000_000)), ("0.3", Some(300_000)), ("7", Some(7_000_000)), ("0.000001", Some(1))]
        {
            assert_eq!(parse_decimal(text).ok(), micros);
        }
        for wrong in ["", ".5", "1.0000001", "-1", "1,5", "1.2.3", "99999999999999", "+1", "1e3"] {
            assert!(parse_decimal(wrong).is_err(), "{wrong}");
        }
        for (micros, places, said) in [
            (49_000_000, 2, "49.00"),
            (1, 6, "0.000001"),
            (1_999_999, 2, "2.00"),
            (4_321, 4, "0.0043"),
            (1_500_000, 0, "2"),
        ] {
            assert_eq!(decimal(micros, places), said);
        }
    }

    #[test]
    fn a_csv_record_is_quoted_and_holds_no_formula() {
        assert_eq!(csv(["ada", "1.5", ""]), "ada,1.5,\r\n");
        assert_eq!(csv(["a,b", "say \"x\"", "two\nlines"]), "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n");
        assert_eq!(csv(["=1+1", "+2", "-3", "@x", "=a,b"]), "'=1+1,'+2,'-3,'@x,\"'=a,b\"\r\n");
    }

    #[test]
    fn a_text_is_broken_between_words_and_a_long_word_is_left_whole() {
        assert_eq!(wrap("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("a incomprehensibilities b", 5), ["a", "incomprehensibilities", "b"]);
        assert_eq!(wrap("", 5), [""]);
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
