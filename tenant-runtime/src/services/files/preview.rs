//! How a file is shown on a page: pictures, films and sound by the browser, PDF in a frame, text escaped.

use std::io::Read;

use axum::response::Response;

use super::{node::Node, pages::Shown, types};
use crate::{runtime::Runtime, web};

/// So much of a text is shown.
const TEXT: u64 = 256 << 10;

/// A file as a page shows it; [`fill`] adds the text.
#[must_use]
pub(super) fn of(node: &Node, raw: String) -> Shown {
    let (icon, kind) = types::look(&node.mime);
    Shown {
        name: node.name.clone(),
        preview: types::preview(&node.mime),
        download: format!("{raw}?download"),
        raw,
        text: None,
        cut: false,
        icon,
        kind,
        mime: node.mime.clone(),
        size: node.size(),
        modified_at: node.modified_at,
        created_at: node.created_at,
    }
}

/// Reads the beginning of a text.
///
/// # Errors
/// When the content cannot be read.
pub(super) async fn fill(rt: &Runtime, node: &Node, shown: &mut Shown) -> web::Result<()> {
    let Some(blob) = node.blob.filter(|_| shown.preview == types::Preview::Text) else { return Ok(()) };
    let path = rt.blobs().path(&blob.sha256);
    let read = move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(TEXT).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    shown.text = Some(decoded(&tokio::task::spawn_blocking(read).await??));
    shown.cut = blob.size > TEXT;
    Ok(())
}

/// UTF-8, or UTF-16 where a mark says so; what is neither shows as such.
fn decoded(bytes: &[u8]) -> String {
    let pairs = |read: fn([u8; 2]) -> u16| -> String {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match bytes {
        [0xff, 0xfe, ..] => pairs(u16::from_le_bytes),
        [0xfe, 0xff, ..] => pairs(u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    // The end may be half a character.
    text.trim_end_matches('\u{fffd}').replace('\0', "\u{fffd}")
}

/// Lets the page show a PDF in a frame.
pub(super) fn allow(response: &mut Response, shown: &Shown) {
    if shown.preview == types::Preview::Pdf {
        response.extensions_mut().insert(ui::http::Csp { embeds: true, ..Default::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn text_is_read_as_it_was_written() {
        assert_eq!(decoded("é\n".as_bytes()), "é\n");
        assert_eq!(decoded(b"\xef\xbb\xbfa"), "a");
        assert_eq!(decoded(b"\xff\xfea\0\xe9\0"), "aé");
        assert_eq!(decoded(b"caf\xe9s"), "caf\u{fffd}s");
        assert_eq!(decoded("ab€".as_bytes().get(..4).unwrap()), "ab");
    }
}
