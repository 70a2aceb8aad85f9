//! Media types: what a file is by its name, and what a browser may do with it.
//!
//! Files come from anywhere, yet share the address of the owner's pages: whatever a browser could run is never handed out in
//! a form in which it would run.

/// What a browser may do with a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preview {
    /// Shown as a picture.
    Image,
    /// Played.
    Audio,
    /// Played.
    Video,
    /// Shown by the browser's own reader.
    Pdf,
    /// Shown as escaped text.
    Text,
    /// Not shown: downloaded.
    None,
}

/// The media type that a name's extension stands for.
#[must_use]
pub fn of_name(name: &str) -> String {
    mime_guess::from_path(name)
        .first()
        .map_or_else(|| "application/octet-stream".to_owned(), |m| m.essence_str().to_owned())
}

/// Text that programmers and others write under many types.
const TEXT: &[&str] = &[
    "application/json",
    "application/xml",
    "application/javascript",
    "application/x-javascript",
    "application/toml",
    "application/x-yaml",
    "application/yaml",
    "application/x-sh",
    "application/sql",
    "application/x-tex",
    "application/xhtml+xml",
    "application/rtf+text",
    "application/x-subrip",
    "application/ld+json",
    "application/geo+json",
    "application/x-perl",
];

/// How a file of this type can be looked at.
#[must_use]
pub fn preview(mime: &str) -> Preview {
    match mime {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "image/avif" | "image/bmp" | "image/svg+xml"
        | "image/x-icon" => Preview::Image,
        "application/pdf" => Preview::Pdf,
        "audio/midi" | "audio/x-midi" => Preview::None,
        _ if mime.starts_with("audio/") => Preview::Audio,
        "video/mp4" | "video/webm" | "video/ogg" | "video/quicktime" | "video/x-m4v" | "video/x-matroska" => {
            Preview::Video
        }
        _ if mime.starts_with("text/") || TEXT.contains(&mime) => Preview::Text,
        _ => Preview::None,
    }
}

/// The type under which a file is sent. Scripts and styles go as plain text: with `nosniff` no page of ours can be made to run them.
#[must_use]
pub fn sent_as(mime: &str) -> &str {
    match preview(mime) {
        Preview::Text => "text/plain; charset=utf-8",
        Preview::None if runs(mime) => "application/octet-stream",
        _ => mime,
    }
}

/// True when a browser may show the file itself instead of saving it.
#[must_use]
pub fn inline(mime: &str) -> bool {
    mime != "image/svg+xml" && preview(mime) != Preview::None
}

fn runs(mime: &str) -> bool {
    let ends = ["html", "+xml", "/xml", "javascript", "ecmascript", "/css", "/wasm", "shockwave-flash", "java-archive"];
    mime.is_empty()
        || ends.iter().any(|end| mime.ends_with(end))
        || ["multipart/", "message/"].iter().any(|p| mime.starts_with(p))
}

/// The icon (Lucide) and the message key that say what a file is.
#[must_use]
pub fn look(mime: &str) -> (&'static str, &'static str) {
    const ARCHIVES: &[&str] = &[
        "application/zip",
        "application/gzip",
        "application/x-tar",
        "application/x-7z-compressed",
        "application/vnd.rar",
    ];
    match preview(mime) {
        Preview::Image => ("image", "files.type.image"),
        Preview::Audio => ("music", "files.type.audio"),
        Preview::Video => ("video", "files.type.video"),
        Preview::Pdf => ("file-text", "files.type.pdf"),
        Preview::Text => ("file-text", "files.type.text"),
        Preview::None if mime.starts_with("image/") => ("image", "files.type.image"),
        Preview::None if mime.starts_with("video/") => ("video", "files.type.video"),
        Preview::None if ARCHIVES.contains(&mime) => ("file-archive", "files.type.archive"),
        Preview::None if mime.contains("spreadsheet") || mime.contains("excel") => {
            ("file-spreadsheet", "files.type.sheet")
        }
        Preview::None if mime.contains("document") || mime.contains("msword") => ("file-text", "files.type.document"),
        Preview::None => ("file", "files.type.other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_run_is_sent_in_a_form_in_which_it_would() {
        for name in [
            "a.html", "a.xhtml", "a.js", "a.mjs", "a.css", "a.xml", "a.xsl", "a.wasm", "a.swf", "a.mht", "a.rss",
            "a.mathml",
        ] {
            let mime = of_name(name);
            let sent = sent_as(&mime);
            assert!(sent.starts_with("text/plain") || sent == "application/octet-stream", "{name}: {mime} -> {sent}");
        }
        assert!(!inline("image/svg+xml"));
        assert!(!inline("application/octet-stream"));
        assert!(inline("image/png") && inline("application/pdf") && inline("video/mp4"));
    }

    #[test]
    fn what_is_known_keeps_its_type() {
        assert_eq!(sent_as(&of_name("a.JPG")), "image/jpeg");
        assert_eq!(sent_as(&of_name("a.zip")), "application/zip");
        assert_eq!(
            sent_as(&of_name("a.docx")),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        );
        assert_eq!(of_name("no-extension"), "application/octet-stream");
    }
}
