//! What services share about words: folding for comparison, address parts, tags, new ids.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Longest address part, in bytes; a bundle's path has room for 120 with the date before it.
const SLUG_BYTES: usize = 80;
/// Longest tag, in characters, and most tags of one thing.
const TAG_CHARS: usize = 50;
const TAGS: usize = 40;

/// A new id: a random UUID (version 4), so that ids of two perclouds never meet.
#[must_use]
pub fn new_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// True for what [`new_id`] makes; ids from elsewhere must have the same form before they are stored.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match hyphens.contains(&at) {
            true => byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Folds case, so that two spellings of one word compare equal ("Straße", "STRASSE").
#[must_use]
pub fn fold(text: &str) -> String {
    let compatible: String = text.nfkc().collect();
    // Upper case first: it takes ß, ſ, ς and ligatures apart, which lower case alone leaves.
    compatible.to_uppercase().to_lowercase().nfkc().collect()
}

/// Folds case and accents away, for searching ("perche" finds "perché").
#[must_use]
pub fn search_form(text: &str) -> String {
    fold(text).nfd().filter(|c| !is_combining_mark(*c)).nfc().collect()
}

/// One line of text as a person meant it: NFC, no control or invisible direction characters, single spaces.
#[must_use]
pub fn line(text: &str, most_chars: usize) -> String {
    let visible = text.nfc().filter(|c| !is_invisible(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let joined = visible.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    joined.chars().take(most_chars).collect::<String>().trim_end().to_owned()
}

/// Several lines of text: LF line ends, no blank lines around, no control characters but tab.
#[must_use]
pub fn lines(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = unix.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    kept.trim_start_matches('\n').trim_end().to_owned()
}

/// Marks that turn the direction of text around them, and the byte-order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// An address part made from words: lower case, letters and digits of any script, hyphens between; never empty.
#[must_use]
pub fn slug(text: &str) -> String {
    let folded: Vec<char> = fold(text).chars().collect();
    let mut out = String::new();
    for (at, &c) in folded.iter().enumerate() {
        if c.is_alphanumeric() || is_combining_mark(c) && !out.is_empty() && !out.ends_with('-') {
            out.push(c);
        } else if !is_contraction(&folded, at) && !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    cut(&mut out);
    let out: String = out.trim_matches('-').nfc().collect();
    if out.is_empty() { "untitled".to_owned() } else { out }
}

/// An apostrophe before one or two last letters joins ("don't" → "dont"); any other parts ("l'isola" → "l-isola").
fn is_contraction(text: &[char], at: usize) -> bool {
    if !matches!(text[at], '\'' | '’') {
        return false;
    }
    let tail = text[at + 1..].iter().take_while(|c| c.is_alphabetic()).count();
    (1..=2).contains(&tail)
}

/// Shortens to [`SLUG_BYTES`], between words where that does not lose half of it.
fn cut(slug: &mut String) {
    if slug.len() <= SLUG_BYTES {
        return;
    }
    let mut end = SLUG_BYTES;
    while !slug.is_char_boundary(end) {
        end -= 1;
    }
    slug.truncate(end);
    if let Some(hyphen) = slug.rfind('-').filter(|at| *at > SLUG_BYTES / 2) {
        slug.truncate(hyphen);
    }
}

/// The tags in what a person typed: between commas, a leading # dropped, each once (by [`slug`]), in the order typed.
#[must_use]
pub fn tags(typed: &str) -> Vec<String> {
    unique_tags(typed.split([',', ';', '\n', '،', '、']))
}

/// Cleans tags and keeps the first of those that share an address.
#[must_use]
pub fn unique_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let clean = tags.into_iter().map(|tag| line(&tag.replace(',', " "), TAG_CHARS));
    let clean = clean.map(|tag| tag.trim_start_matches('#').trim().to_owned());
    clean.filter(|tag| tag.chars().any(char::is_alphanumeric)).filter(|tag| seen.insert(slug(tag))).take(TAGS).collect()
}

/// A path segment or query value, percent-encoded.
#[must_use]
pub fn escape(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_part_is_words_of_any_script() {
        for (title, slug_) in [
            ("Hello, World!", "hello-world"),
            ("Perché l'isola è verde", "perché-l-isola-è-verde"),
            ("I don't know — it's fine", "i-dont-know-its-fine"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("日本語 の 本", "日本語-の-本"),
            ("हिन्दी", "हिन्दी"),
            ("../../etc/passwd%00", "etc-passwd-00"),
            ("un po' di più", "un-po-di-più"),
            ("🎉🎉", "untitled"),
            ("", "untitled"),
            ("e\u{301}te", "éte"),
        ] {
            assert_eq!(slug(title), slug_, "{title}");
        }
        let long = slug(&"wörd ".repeat(60));
        assert!(long.len() <= 80 && long.ends_with("wörd"), "{long}");
        assert!(slug(&"字".repeat(200)).len() <= 80);
    }

    #[test]
    fn an_address_part_of_an_address_part_is_itself() {
        for title in ["Perché l'isola", "हिन्दी में", "ΣΊΣΥΦΟΣ", "İstanbul", "ǅ ŉ ﬃ", "don't"]
        {
            let once = slug(title);
            assert_eq!(slug(&once), once, "{title}");
        }
    }

    #[test]
    fn tags_are_cleaned_and_kept_once() {
        assert_eq!(tags("#Rust, rust ,  open   web;Pane,, !!! ,perché"), ["Rust", "open web", "Pane", "perché"]);
        assert_eq!(tags("a\u{202e}b"), ["ab"]);
    }

    #[test]
    fn ids_have_one_form() {
        let id = new_id();
        assert!(is_id(&id), "{id}");
        for bad in ["", "../..", &id.to_uppercase(), &id[1..]] {
            assert!(!is_id(bad) || bad == id, "{bad}");
        }
    }

    #[test]
    fn searching_forgives_case_and_accents() {
        assert_eq!(search_form("Perché È ﬁne"), search_form("perche e FINE"));
    }

    #[test]
    fn lines_lose_windows_ends_and_blank_edges() {
        assert_eq!(lines("\r\n\n a\r\nb\u{0} \n\n"), " a\nb");
    }
}
