//! Why a bundle is refused, in words that a person understands.
//!
//! A bundle comes from anybody. What does not follow the format is refused whole, never repaired: two programs that
//! repair differently see different contents, and that is how archives smuggle.

use std::{fmt, io};

/// What went wrong while a bundle was read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle is not as it should be; nothing was taken in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk failed, not the bundle.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

/// One reason, and the entry it is about where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The reason.
    pub why: Why,
    /// The entry (or the line, or the section), as the bundle names it, made safe to show.
    pub at: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            None => write!(f, "{}", self.why),
            Some(at) => write!(f, "{} ({at})", self.why),
        }
    }
}

impl Why {
    /// This reason, about one entry. The name is cut and freed from what could disturb a terminal or a page.
    pub fn at(self, path: impl AsRef<str>) -> Refusal {
        let shown: String = path
            .as_ref()
            .chars()
            .take(200)
            .map(|c| if crate::paths::is_invisible(c) { '\u{fffd}' } else { c })
            .collect();
        Refusal { why: self, at: Some(shown) }
    }

    /// This reason, as an error about the whole.
    #[must_use]
    pub fn alone(self) -> Refusal {
        Refusal { why: self, at: None }
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        why.alone()
    }
}

impl From<Why> for Error {
    fn from(why: Why) -> Self {
        Self::Refused(why.alone())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $key:literal $words:literal),+ $(,)?) => {
        /// Every reason to refuse a bundle.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Why {
            $($(#[$doc])* #[doc = $words] $name,)+
        }

        impl Why {
            /// All of them, for tests and for message files.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The key of the message that says it in the reader's language.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }
        }

        impl fmt::Display for Why {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)+ })
            }
        }
    };
}

reasons! {
    NotZip "not-zip" "This is not a ZIP file.",
    Truncated "truncated" "The file ends too early: it was probably not downloaded to its end.",
    Trailing "trailing" "There is something after the end of the ZIP file.",
    Prepended "prepended" "There is something before the beginning of the ZIP file.",
    Comment "comment" "The ZIP file carries a comment, in which another ZIP file could hide.",
    Zip64 "zip64" "The ZIP file's large-file records contradict each other.",
    Disks "disks" "The ZIP file says that it is spread over several disks.",
    Count "count" "The ZIP file does not hold as many entries as it says.",
    Overlap "overlap" "Two entries of the ZIP file share the same bytes.",
    Gap "gap" "There are bytes in the ZIP file that belong to no entry.",
    Headers "headers" "The ZIP file describes this entry twice, in two different ways.",
    Encrypted "encrypted" "This entry is encrypted the ZIP way, which we do not use.",
    Method "method" "This entry is compressed in a way that a percloud does not use.",
    Descriptor "descriptor" "This entry does not say its size before its content.",
    Flags "flags" "This entry uses ZIP features that a percloud does not use.",
    Extra "extra" "This entry carries extra fields that could change what it means.",
    NotUtf8 "not-utf8" "This name is not UTF-8 text, or does not say that it is.",
    BadPath "bad-path" "This name is not allowed in a bundle: it could lead outside, or not be stored on every computer.",
    NotNfc "not-nfc" "This name is not in Unicode's composed form (NFC).",
    LongPath "long-path" "This name is too long or too deep.",
    Duplicate "duplicate" "Two names are the same, or differ only in upper and lower case.",
    FileAndFolder "file-and-folder" "One name is a file and a folder at once.",
    Link "link" "This entry is a link or a device, not a file.",
    Base "base" "The ZIP file does not hold exactly one folder.",
    TooMany "too-many" "There are more entries than a bundle may have.",
    Ratio "ratio" "This entry would unpack to more than 200 times its size: a bomb.",
    TooBig "too-big" "What the file says it holds is larger than there is room for.",
    Size "size" "This entry is not as long as it says.",
    Crc "crc" "This entry is damaged: its checksum (CRC-32) is another.",
    Damaged "damaged" "This entry is damaged: it cannot be unpacked.",
    NotBag "not-bag" "This is a ZIP file, but not a percloud bundle: it has no bagit.txt of version 1.0.",
    Fetch "fetch" "The bundle asks to fetch files from the network, which is never done.",
    NoTag "no-tag" "A file that every bundle has is missing.",
    Algorithm "algorithm" "The bundle has checksum lists other than SHA-256.",
    List "list" "A checksum list is not written as it must be.",
    Missing "missing" "A file is listed, but it is not there.",
    Unlisted "unlisted" "A file is there, but not listed.",
    Hash "hash" "This file was changed or damaged: its checksum (SHA-256) is another.",
    Oxum "oxum" "The number or the size of the files is not what the bundle says (Payload-Oxum).",
    Info "info" "bag-info.txt is not written as it must be, or speaks of another bundle.",
    Part "part" "This is one part of several; a percloud of this version reads whole bundles only.",
    NotPercloud "not-percloud" "This is a BagIt bag, but not a percloud bundle: percloud.json is missing or not one.",
    Version "version" "This bundle was written in a newer format; a newer percloud is needed to read it.",
    Delta "delta" "This bundle holds changes only; the whole bundle has to be imported first.",
    Section "section" "The bundle needs a section that this percloud does not know.",
    SectionSum "section-sum" "A section does not hold what the bundle says it holds.",
    Stray "stray" "This file belongs to no section.",
    Signature "signature" "The signature does not fit: the bundle was changed after it was written, or signed for another.",
    Json "json" "This file is not valid JSON.",
    JsonBig "json-big" "This JSON file or list is larger than it may be.",
    JsonDeep "json-deep" "This JSON file is nested more than 64 levels deep.",
    Doctype "doctype" "This XML file has a document type declaration, which is not allowed.",
    Age "age" "This secret is not an age file.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_key_and_words() {
        let keys: std::collections::HashSet<_> = Why::ALL.iter().map(|w| w.key()).collect();
        let words: std::collections::HashSet<_> = Why::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((keys.len(), words.len()), (Why::ALL.len(), Why::ALL.len()));
    }

    #[test]
    fn a_shown_name_cannot_turn_the_text_around() {
        let refusal = Why::BadPath.at("data/\u{202e}gpj.exe\u{1b}[31m");
        assert_eq!(refusal.at.as_deref(), Some("data/\u{fffd}gpj.exe\u{fffd}[31m"));
    }
}
