//! What a file's kind asks for: JSON of bearable size and depth, XML without a document type, secrets that are age files.

use crate::{
    manifest::{self, Percloud},
    refusal::{Refusal, Why},
    secrets,
};

use super::MAX_JSON;

/// Levels of JSON.
const MAX_DEPTH: u32 = 64;
/// Bytes of one line of JSONL.
const MAX_LINE: usize = 16 << 20;
/// Where an XML file's document type would stand.
const PROLOG: usize = 64 * 1024;

/// Looks at one file while it is read.
pub(super) struct Look {
    path: String,
    kind: Kind,
    kept: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Opaque,
    Json,
    Lines,
    Xml,
    Age,
}

impl Look {
    pub(super) fn for_path(path: &str, size: u64, percloud: &Percloud) -> Result<Self, Refusal> {
        let kind = kind(path, percloud);
        if kind == Kind::Json && size > MAX_JSON {
            return Err(Why::JsonBig.at(path));
        }
        Ok(Self { path: path.to_owned(), kind, kept: Vec::new() })
    }

    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let keep = match self.kind {
            Kind::Opaque => 0,
            Kind::Json => piece.len(),
            Kind::Xml => PROLOG.saturating_sub(self.kept.len()),
            Kind::Age => secrets::MAGIC.len().saturating_sub(self.kept.len()),
            Kind::Lines => return self.lines(piece),
        };
        self.kept.extend_from_slice(&piece[..keep.min(piece.len())]);
        Ok(())
    }

    fn lines(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.kept.extend_from_slice(&rest[..end]);
            self.line()?;
            rest = &rest[end + 1..];
        }
        self.kept.extend_from_slice(rest);
        if self.kept.len() > MAX_LINE { Err(Why::JsonBig.at(&self.path)) } else { Ok(()) }
    }

    fn line(&mut self) -> Result<(), Refusal> {
        let line = std::mem::take(&mut self.kept);
        if line.is_empty() { Err(Why::Json.at(&self.path)) } else { json(&line, &self.path) }
    }

    pub(super) fn end(mut self) -> Result<(), Refusal> {
        match self.kind {
            Kind::Opaque => Ok(()),
            Kind::Json => json(&self.kept, &self.path),
            Kind::Lines if self.kept.is_empty() => Ok(()),
            Kind::Lines => self.line(),
            Kind::Xml if has_doctype(&self.kept) => Err(Why::Doctype.at(&self.path)),
            Kind::Xml => Ok(()),
            Kind::Age if self.kept == secrets::MAGIC => Ok(()),
            Kind::Age => Err(Why::Age.at(&self.path)),
        }
    }
}

/// The owner's own files and sections that we do not know are never looked into.
fn kind(path: &str, percloud: &Percloud) -> Kind {
    const OPAQUE: &[&str] = &[
        "data/files/tree/",
        "data/files/versions/",
        "data/files/trash/",
        "data/blog/uploads/",
        "data/bookmarks/snapshots/",
        "data/settings/files/",
    ];
    let known = percloud.sections.iter().any(|s| manifest::is_known(&s.id) && s.holds(path));
    if !known || OPAQUE.iter().any(|folder| path.starts_with(folder)) {
        return Kind::Opaque;
    }
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        _ if path.starts_with("data/secrets/") => Kind::Age,
        Some("json") => Kind::Json,
        Some("jsonl") => Kind::Lines,
        Some("xml" | "atom" | "opml") => Kind::Xml,
        _ => Kind::Opaque,
    }
}

/// Whether bytes are one JSON value that is not too deep.
pub(super) fn json(bytes: &[u8], path: &str) -> Result<(), Refusal> {
    let (mut depth, mut text, mut escaped) = (0_u32, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => depth += 1,
            b']' | b'}' if !text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Why::JsonDeep.at(path));
        }
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Why::Json.at(path)),
    }
}

/// Whether `<!DOCTYPE` stands before the first element. What is not UTF-8 could hide one, and is refused by its reader.
fn has_doctype(prolog: &[u8]) -> bool {
    let mut rest = prolog;
    while let Some(at) = rest.iter().position(|b| *b == b'<') {
        rest = &rest[at..];
        if rest.starts_with(b"<!--") || rest.starts_with(b"<?") {
            let end: &[u8] = if rest.starts_with(b"<?") { b"?>" } else { b"-->" };
            match rest.windows(end.len()).position(|w| w == end) {
                Some(end) => rest = &rest[end..],
                None => return true, // a prolog that does not end within 64 KiB
            }
            continue;
        }
        return rest.starts_with(b"<!");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_be_64_levels_deep() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(json(nested(64).as_bytes(), "p"), Ok(()));
        assert_eq!(json(nested(65).as_bytes(), "p").unwrap_err().why, Why::JsonDeep);
        assert_eq!(json(br#"{"a":"[[[[\"[[["}"#, "p"), Ok(()));
        assert_eq!(json(b"{} {}", "p").unwrap_err().why, Why::Json);
    }

    #[test]
    fn a_document_type_is_found_behind_comments() {
        for bad in
            ["<!DOCTYPE x>", "<?xml version='1.0'?>\n<!-- a --><!doctype x [<!ENTITY a 'b'>]><x/>", "<!-- without end"]
        {
            assert!(has_doctype(bad.as_bytes()), "{bad}");
        }
        for good in ["<rss><!-- <!DOCTYPE --></rss>", "<?xml version='1.0'?><feed>&lt;!DOCTYPE</feed>", ""] {
            assert!(!has_doctype(good.as_bytes()), "{good}");
        }
    }
}
