//! The accent colours that an owner can choose from.
//!
//! A free choice would break contrast on somebody's screen, and a style attribute would break the content security
//! policy; so there are eight, each with a light and a dark form in `static/css/tokens.css` under the same name.

use serde::Serialize;

/// An accent colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Accent {
    /// Its name, in `data-accent` and in the message `ui.accent.<name>`.
    pub name: &'static str,
    /// The colour as chosen, `#rrggbb`.
    pub hex: &'static str,
}

/// Every accent colour; the first is the one that nobody chose.
pub const ACCENTS: [Accent; 8] = [
    Accent { name: "terracotta", hex: "#a1461d" },
    Accent { name: "amber", hex: "#8a5a00" },
    Accent { name: "olive", hex: "#5b6b16" },
    Accent { name: "pine", hex: "#1d6b4f" },
    Accent { name: "lagoon", hex: "#0b6a78" },
    Accent { name: "sea", hex: "#2459b5" },
    Accent { name: "violet", hex: "#6b46b0" },
    Accent { name: "rose", hex: "#a8325f" },
];

/// The accent of that name, or the one nearest to that colour.
pub(crate) fn find(wanted: &str) -> Accent {
    if let Some(named) = ACCENTS.into_iter().find(|a| a.name == wanted) {
        return named;
    }
    let Some(wanted) = rgb(wanted) else { return ACCENTS[0] };
    let far = |a: &Accent| rgb(a.hex).map_or(i32::MAX, |have| (0..3).map(|i| (have[i] - wanted[i]).pow(2)).sum());
    ACCENTS.into_iter().min_by_key(far).unwrap_or(ACCENTS[0])
}

fn rgb(hex: &str) -> Option<[i32; 3]> {
    let digits = hex.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let part = |i: usize| i32::from_str_radix(&digits[i..i + 2], 16).ok();
    Some([part(0)?, part(2)?, part(4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_colour_becomes_one_that_is_readable() {
        assert_eq!(find("violet").name, "violet");
        assert_eq!(find("#2459b5").name, "sea");
        assert_eq!(find("#2050c0").name, "sea");
        for odd in ["", "#", "#12", "#ääää", "red", "url(x)"] {
            assert_eq!(find(odd).name, "terracotta", "{odd}");
        }
    }
}
