//! Names of files and folders: kept as people write them, refused when no other computer could keep them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::web;

/// The longest name, in bytes of UTF-8: what common file systems take.
pub const LONGEST: usize = 255;

/// A good name: NFC, 1 to 255 bytes, not `.` or `..`, without `/`, NUL and control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Checks what somebody typed; spaces around it do not count.
    ///
    /// # Errors
    /// [`web::Error::Invalid`] with the reason.
    pub fn parse(text: &str) -> web::Result<Self> {
        let name: String = text.nfc().collect();
        let name = name.trim();
        let refusal = match name {
            "" => Some("files.name.empty"),
            "." | ".." => Some("files.name.dots"),
            _ if name.contains('/') => Some("files.name.slash"),
            _ if name.chars().any(char::is_control) => Some("files.name.control"),
            _ if name.len() > LONGEST => Some("files.name.long"),
            _ => None,
        };
        match refusal {
            Some(key) => Err(web::Error::Invalid(key)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `name (2).ext` for number 2; the stem is cut when it would be too long.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let (stem, extension) = split(&self.0);
        let tail = format!(" ({number}){extension}");
        let mut end = stem.len().min(LONGEST.saturating_sub(tail.len()));
        while !stem.is_char_boundary(end) {
            end -= 1;
        }
        Self(format!("{}{tail}", &stem[..end]))
    }
}

/// Stem and extension with its dot; a leading dot starts no extension, and `tar.gz` stays together.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    let cut = match name.rfind('.') {
        None | Some(0) => name.len(),
        Some(dot) if name.len() - dot > 16 => name.len(),
        Some(dot) => match name[..dot].strip_suffix(".tar") {
            Some(stem) if !stem.is_empty() => stem.len(),
            _ => dot,
        },
    };
    name.split_at(cut)
}

/// The name without case: two of these may not stand in one folder. Upper case first, so that ß and SS meet.
#[must_use]
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Text without case and accents, for searching.
#[must_use]
pub fn plain(text: &str) -> String {
    let bare = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    bare.fold(String::new(), |mut out, c| {
        match c {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' => out.push('d'),
            'ı' => out.push('i'),
            _ => out.push(c),
        }
        out
    })
}

/// What names are sorted by: plain text in which numbers count as numbers (`IMG 2` before `IMG 10`).
#[must_use]
pub fn sort_key(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for c in plain(name).chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            let bare = digits.trim_start_matches('0');
            // The length first, as one character before the letters: longer numbers are larger.
            key.push(char::from(b'0' + u8::try_from(bare.len().min(40)).unwrap_or(40)));
            key.push_str(bare);
            digits.clear();
        }
        if c != '\0' {
            key.push(c);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<&'static str> {
        match Name::parse(text) {
            Err(web::Error::Invalid(key)) => Some(key),
            _ => None,
        }
    }

    #[test]
    fn odd_names_are_kept_and_impossible_ones_refused_with_the_reason() {
        for good in ["a", "Übung 1.txt", "🌍.png", "CON", "a:b*c?", "..a", "\u{202e}gpj.exe", "naïve\u{301}"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Name::parse("e\u{301}").unwrap().as_str(), "é");
        assert_eq!(refused("   "), Some("files.name.empty"));
        assert_eq!(refused(".."), Some("files.name.dots"));
        assert_eq!(refused("../etc"), Some("files.name.slash"));
        assert_eq!(refused("a\0b"), Some("files.name.control"));
        assert_eq!(refused("a\nb"), Some("files.name.control"));
        assert_eq!(refused(&"x".repeat(256)), Some("files.name.long"));
        assert_eq!(refused(&"ü".repeat(127)), None);
        assert_eq!(refused(&"ü".repeat(128)), Some("files.name.long"));
    }

    #[test]
    fn a_second_one_gets_a_number_before_its_extension() {
        let numbered = |name: &str| Name::parse(name).unwrap().numbered(2).0;
        assert_eq!(numbered("photo.jpg"), "photo (2).jpg");
        assert_eq!(numbered("backup.tar.gz"), "backup (2).tar.gz");
        assert_eq!(numbered(".profile"), ".profile (2)");
        assert_eq!(numbered("folder"), "folder (2)");
        let long = numbered(&format!("{}.txt", "ü".repeat(125)));
        assert!(long.len() <= LONGEST && long.ends_with(" (2).txt"), "{long}");
    }

    #[test]
    fn case_and_accents_do_not_hide_a_name() {
        assert_eq!(folded("Straße"), folded("STRASSE"));
        assert_ne!(folded("é"), folded("e"));
        assert_eq!(plain("Café Ångström ŁØß"), "cafe angstrom loss");
    }

    #[test]
    fn numbers_in_names_sort_as_numbers() {
        let mut names = ["img 10", "IMG 2", "img 1", "a", "img 002b"];
        names.sort_by_key(|name| sort_key(name));
        assert_eq!(names, ["a", "img 1", "IMG 2", "img 002b", "img 10"]);
    }
}
