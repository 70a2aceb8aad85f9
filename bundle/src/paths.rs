//! Names in a bundle: what every computer can store, and nothing that leads outside.

use std::collections::{HashMap, HashSet};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::refusal::{Refusal, Why};

/// Bytes of a path, without the bundle's base folder.
pub const MAX_PATH: usize = 200;
/// Bytes of one name in it.
pub const MAX_SEGMENT: usize = 120;
/// Names in a path.
pub const MAX_DEPTH: usize = 24;

/// Whether a path may stand in a bundle.
///
/// # Errors
/// The reason why not.
pub fn check(path: &str) -> Result<(), Refusal> {
    if path.len() > MAX_PATH || path.split('/').count() > MAX_DEPTH {
        return Err(Why::LongPath.at(path));
    }
    check_names(path)
}

/// Whether every name in a path may stand in a bundle, however long the path is.
///
/// # Errors
/// The reason why not.
pub fn check_names(path: &str) -> Result<(), Refusal> {
    for name in path.split('/') {
        if name.len() > MAX_SEGMENT {
            return Err(Why::LongPath.at(path));
        }
        if !is_good(name) {
            return Err(Why::BadPath.at(path));
        }
    }
    if is_nfc(path) { Ok(()) } else { Err(Why::NotNfc.at(path)) }
}

/// Whether one name (a segment of a path) may stand in a bundle, its length and normal form aside.
fn is_good(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.starts_with('~')
        && !name.ends_with(['.', ' '])
        && !name.chars().any(is_forbidden)
        && !is_device(name)
}

/// Characters that some system reads as something else, and `%`, which BagIt tools decode differently.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '%' | '/') || is_invisible(c)
}

/// Control, bidirectional, zero-width and other characters that show as nothing or move what is around them.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Names that Windows gives to devices, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let Some(number) = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) else { return false };
    matches!(number, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
}

/// What two names have in common when a computer that does not tell upper from lower case takes them for one.
#[must_use]
pub fn fold(path: &str) -> String {
    // Upper case first: "ß" and "SS", "ς" and "σ" meet only that way.
    path.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Finds names that clash: duplicates after folding, and a file where another entry needs a folder.
#[derive(Default)]
pub struct Clashes {
    files: HashSet<String>,
    folders: HashMap<String, String>,
}

impl Clashes {
    /// Takes a file's path.
    ///
    /// # Errors
    /// When it clashes with one taken before.
    pub fn file(&mut self, path: &str) -> Result<(), Refusal> {
        self.folders_of(path)?;
        let folded = fold(path);
        if self.folders.contains_key(&folded) {
            return Err(Why::FileAndFolder.at(path));
        }
        if self.files.insert(folded) { Ok(()) } else { Err(Why::Duplicate.at(path)) }
    }

    /// Takes every folder above `path`. A folder spelt in two ways would be two folders here and one there.
    fn folders_of(&mut self, path: &str) -> Result<(), Refusal> {
        for (end, _) in path.match_indices('/').collect::<Vec<_>>().into_iter().rev() {
            let folder = &path[..end];
            let folded = fold(folder);
            match self.folders.get(&folded) {
                Some(spelt) if spelt == folder => return Ok(()), // and so are all above it
                Some(_) => return Err(Why::Duplicate.at(folder)),
                None => {}
            }
            if self.files.contains(&folded) {
                return Err(Why::FileAndFolder.at(folder));
            }
            self.folders.insert(folded, folder.to_owned());
        }
        Ok(())
    }
}

/// The nearest name that may stand in a bundle: for exporters whose people name things as they like.
/// The original name belongs in the section's JSON. Two originals may give one name; [`Names`] tells them apart.
#[must_use]
pub fn safe_name(original: &str) -> String {
    let mut name: String = original.nfc().map(|c| if is_forbidden(c) { '_' } else { c }).collect();
    let (stem, ext) = split_extension(&name);
    if name.len() > MAX_SEGMENT {
        name = format!("{}{ext}", cut(stem, MAX_SEGMENT - ext.len()));
    }
    let kept = name.trim_end_matches(['.', ' ']).len();
    if kept < name.len() {
        let room = MAX_SEGMENT - 1;
        name = format!("{}_", cut(&name[..kept], room));
    }
    if name.is_empty() || name.starts_with('~') || is_device(&name) {
        name = format!("_{}", cut(&name, MAX_SEGMENT - 1));
    }
    name.nfc().collect()
}

/// Stem and extension (with its dot, 16 bytes at most).
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// The longest beginning of at most `bytes` bytes that ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Gives out names within one folder so that no two clash, the same for the same sequence of originals.
#[derive(Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// A safe name for `original` that was not given out before.
    pub fn give(&mut self, original: &str) -> String {
        let name = safe_name(original);
        if self.0.insert(fold(&name)) {
            return name;
        }
        let (stem, ext) = split_extension(&name);
        for number in 2_u64.. {
            let tail = format!(" ({number}){ext}");
            let next = format!("{}{tail}", cut(stem, MAX_SEGMENT - tail.len()));
            if self.0.insert(fold(&next)) {
                return next;
            }
        }
        unreachable!("numbers do not end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_lead_outside_or_not_be_stored_is_refused() {
        let long = "a/".repeat(24) + "a";
        let wide = "a".repeat(121);
        let both = format!("{}/{}", "a".repeat(120), "b".repeat(80));
        #[rustfmt::skip]
        let bad = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "C:/a", "a\\b", "a:b", "a*", "a?", "a\"", "<a", "a>", "a|b",
            "a\0", "a\nb", "a\u{7f}", "100%", "a\u{202e}b", "a\u{200d}b", "\u{feff}a", "a.", "a ", "a /b", "CON", "con.txt", "nul .x", "Lpt1.a.b",
            "COM¹", "~", "~a", "a/~b", "A\u{30a}", long.as_str(), wide.as_str(), both.as_str()];
        for path in bad {
            assert!(check(path).is_err(), "{path:?}");
        }
        for path in [
            "a",
            "data/files/tree/Ågrén – Übung (2).txt",
            ".hidden",
            "a b/c",
            "content.txt",
            "comma",
            "日本語/写真.jpg",
        ] {
            assert_eq!(check(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn names_that_differ_in_case_only_clash() {
        for (one, two) in [("a/B", "a/b"), ("straße", "STRASSE"), ("σς", "ΣΣ"), ("é", "É")] {
            let mut clashes = Clashes::default();
            clashes.file(one).unwrap();
            assert_eq!(clashes.file(two).unwrap_err().why, Why::Duplicate, "{one} {two}");
        }
        let mut clashes = Clashes::default();
        clashes.file("a/b").unwrap();
        assert_eq!(clashes.file("a").unwrap_err().why, Why::FileAndFolder);
        assert_eq!(clashes.file("a/b/c").unwrap_err().why, Why::FileAndFolder);
        assert_eq!(clashes.file("A/c").unwrap_err().why, Why::Duplicate);
        clashes.file("a/c").unwrap();
    }

    #[test]
    fn any_name_becomes_one_that_may_stand_and_no_two_are_alike() {
        let mut names = Names::default();
        let long = "ä".repeat(200) + ".jpeg";
        let originals = [
            "a:b",
            "a?b",
            "A_B",
            "..",
            "",
            "CON",
            "~x",
            "trailing.",
            "x\u{202e}y",
            long.as_str(),
            long.as_str(),
            "A\u{30a}.txt",
            " ",
            "%",
        ];
        let given: Vec<_> = originals.iter().map(|o| names.give(o)).collect();
        for name in &given {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
        let folded: HashSet<_> = given.iter().map(|n| fold(n)).collect();
        assert_eq!(folded.len(), originals.len());
        assert_eq!(&given[..3], ["a_b", "a_b (2)", "A_B (3)"]);
        assert!(given[9].ends_with(".jpeg"));
    }
}
