//! Numbers, sizes and dates as people say them, in their language.
//!
//! The server does not know the reader's time zone, so it speaks UTC; `js/ui.js` says the same again in local time.

use chrono::{DateTime, Datelike, Utc};

use crate::Lang;

const EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const IT: [&str; 12] = [
    "gennaio",
    "febbraio",
    "marzo",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "agosto",
    "settembre",
    "ottobre",
    "novembre",
    "dicembre",
];

/// A whole number with its thousands apart: `12,345`, `12.345`.
#[must_use]
pub fn number(lang: Lang, n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let apart = if lang == Lang::It { '.' } else { ',' };
    let mut out = String::from(if n < 0 { "−" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        // Italian leaves four digits together, so that a year looks like a year; we do so in both.
        if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
            out.push(apart);
        }
        out.push(digit);
    }
    out
}

/// A size: `0 bytes`, `999 bytes`, `1.5 MB`. Thousands, not 1024s, as phones and shops count.
#[must_use]
pub fn bytes(lang: Lang, n: u64) -> String {
    if n < 1000 {
        return format!("{n} {}", if n == 1 { "byte" } else { lang_bytes(lang) });
    }
    // Whole numbers throughout, so that 999,500 bytes are 1 MB and never "1000 kB".
    let (n, mut scale, mut unit) = (u128::from(n), 1000, 0);
    while n + scale / 2 >= 1000 * scale {
        scale *= 1000;
        unit += 1;
    }
    let name = ["kB", "MB", "GB", "TB", "PB", "EB"][unit];
    let tenths = (n * 10 + scale / 2) / scale;
    if tenths >= 1000 || tenths.is_multiple_of(10) {
        return format!("{} {name}", (n + scale / 2) / scale);
    }
    let point = if lang == Lang::It { ',' } else { '.' };
    format!("{}{point}{} {name}", tenths / 10, tenths % 10)
}

const fn lang_bytes(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "bytes",
        Lang::It => "byte",
    }
}

/// A day: `22 November 2026`.
#[must_use]
pub fn day(lang: Lang, at: DateTime<Utc>) -> String {
    format!("{} {}", day_and_month(lang, at), at.year())
}

/// A moment in full: `22 November 2026, 09:32 UTC`.
#[must_use]
pub fn moment(lang: Lang, at: DateTime<Utc>) -> String {
    format!("{}, {} UTC", day(lang, at), at.format("%H:%M"))
}

/// A moment as people say it when they know what time it is: `today, 09:32`, `yesterday, 18:00`, `4 May`, `4 May 2024`.
#[must_use]
pub fn when(lang: Lang, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let days = (now.date_naive() - at.date_naive()).num_days();
    let named = match (days, lang) {
        (0, Lang::En) => Some("today"),
        (0, Lang::It) => Some("oggi"),
        (1, Lang::En) => Some("yesterday"),
        (1, Lang::It) => Some("ieri"),
        (-1, Lang::En) => Some("tomorrow"),
        (-1, Lang::It) => Some("domani"),
        _ => None,
    };
    match named {
        Some(day) => format!("{day}, {}", at.format("%H:%M")),
        None if at.year() == now.year() => day_and_month(lang, at),
        None => day(lang, at),
    }
}

fn day_and_month(lang: Lang, at: DateTime<Utc>) -> String {
    let names = if lang == Lang::It { IT } else { EN };
    // Italians call the first day of a month by its ordinal.
    let day = if lang == Lang::It && at.day() == 1 { "1º".to_owned() } else { at.day().to_string() };
    format!("{day} {}", names[at.month0() as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_read_well_in_both_languages() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (1500, "1.5 kB"),
            (999_499, "999 kB"),
            (999_500, "1 MB"),
            (123_456, "123 kB"),
            (5_000_000_000, "5 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (n, said) in cases {
            assert_eq!(bytes(Lang::En, n), said);
        }
        assert_eq!(bytes(Lang::It, 1_500_000), "1,5 MB");
        assert_eq!(bytes(Lang::It, 3), "3 byte");
        assert_eq!(number(Lang::En, 1_234_567), "1,234,567");
        assert_eq!(number(Lang::It, -12_345), "−12.345");
        assert_eq!(number(Lang::It, 2026), "2026");
    }

    #[test]
    fn dates_are_said_as_people_say_them() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-03-01T10:00:00Z");
        assert_eq!(when(Lang::En, at("2026-03-01T09:05:00Z"), now), "today, 09:05");
        assert_eq!(when(Lang::It, at("2026-02-28T23:59:00Z"), now), "ieri, 23:59");
        assert_eq!(when(Lang::En, at("2026-03-02T00:00:00Z"), now), "tomorrow, 00:00");
        assert_eq!(when(Lang::En, at("2026-01-04T00:00:00Z"), now), "4 January");
        assert_eq!(when(Lang::It, at("2025-05-01T00:00:00Z"), now), "1º maggio 2025");
        assert_eq!(moment(Lang::En, now), "1 March 2026, 10:00 UTC");
    }
}
