//! What a picture is: decided by its content, never by its name. What it tells about the place where it was taken is removed.

use std::str::FromStr;

use bytes::{Buf, BufMut};

/// Largest picture accepted.
pub const MOST_BYTES: usize = 30 << 20;

/// The kinds of picture that every browser shows and that carry no script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
    /// AVIF.
    Avif,
}

impl Kind {
    /// What the first bytes say.
    #[must_use]
    pub fn of(content: &[u8]) -> Option<Self> {
        match infer::get(content)?.mime_type() {
            "image/png" => Some(Self::Png),
            "image/jpeg" => Some(Self::Jpeg),
            "image/webp" => Some(Self::Webp),
            "image/gif" => Some(Self::Gif),
            "image/avif" => Some(Self::Avif),
            _ => None,
        }
    }

    /// The end of its file name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Avif => "avif",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Avif => "image/avif",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;
    fn from_str(extension: &str) -> anyhow::Result<Self> {
        let all = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif, Self::Avif];
        all.into_iter()
            .find(|kind| kind.extension() == extension)
            .ok_or_else(|| anyhow::anyhow!("not a picture's extension"))
    }
}

/// The picture without place, camera, comments and editing history; nothing when it is cut off or malformed.
/// JPEG keeps how it is turned. GIF and AVIF are kept as they are.
#[must_use]
pub fn without_metadata(kind: Kind, content: &[u8]) -> Option<Vec<u8>> {
    match kind {
        Kind::Jpeg => jpeg(content),
        Kind::Png => png(content),
        Kind::Webp => webp(content),
        Kind::Gif | Kind::Avif => Some(content.to_vec()),
    }
}

/// Copies a JPEG's segments but APP1 (Exif, XMP), APP13 (IPTC) and comments, up to the start of scan; then the rest.
fn jpeg(mut content: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len());
    out.put_slice(content.get(..2)?);
    content.advance(2);
    loop {
        // Any number of 0xff may stand before a marker (ITU T.81 §B.1.1.2).
        while content.first() == Some(&0xff) && content.get(1) == Some(&0xff) {
            content.advance(1);
        }
        let &[0xff, marker, high, low] = content.get(..4)? else { return None };
        if marker == 0xda {
            out.put_slice(before_end(content));
            return Some(out);
        }
        let length = usize::from(u16::from_be_bytes([high, low])) + 2;
        let segment = content.get(..length)?;
        match marker {
            0xe1 => out.put_slice(&turned(segment).map(exif_with_orientation).unwrap_or_default()),
            0xed | 0xfe => {}
            _ => out.put_slice(segment),
        }
        content.advance(length);
    }
}

/// The scans up to the end marker: phones append a film or a second picture (with its own place) after it.
fn before_end(scans: &[u8]) -> &[u8] {
    match scans.windows(2).position(|pair| pair == [0xff, 0xd9]) {
        Some(end) => &scans[..end + 2],
        None => scans,
    }
}

/// The orientation (1 to 8) in an Exif segment.
fn turned(segment: &[u8]) -> Option<u16> {
    let tiff = segment.get(4..)?.strip_prefix(b"Exif\0\0")?;
    let big = tiff.starts_with(b"MM");
    let u16_at = |at: usize| -> Option<u16> {
        let pair = [*tiff.get(at)?, *tiff.get(at + 1)?];
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let (high, low) = if big { (u16_at(4)?, u16_at(6)?) } else { (u16_at(6)?, u16_at(4)?) };
    let directory = usize::from(high) << 16 | usize::from(low);
    let entries = usize::from(u16_at(directory)?);
    let entry = (0..entries).map(|n| directory + 2 + n * 12).find(|at| u16_at(*at) == Some(0x0112))?;
    u16_at(entry + 8).filter(|value| (2..=8).contains(value))
}

/// A whole APP1 segment that says how the picture is turned and nothing else.
fn exif_with_orientation(value: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    out.put_slice(&[0xff, 0xe1, 0, 34]);
    out.put_slice(b"Exif\0\0MM\0\x2a\0\0\0\x08");
    out.put_u16(1); // entries
    out.put_u16(0x0112); // orientation
    out.put_u16(3); // a short
    out.put_u32(1); // one of them
    out.put_u16(value);
    out.put_u16(0);
    out.put_u32(0); // no next directory
    out
}

/// Copies a PNG's chunks but texts, times and Exif; what follows IEND is dropped.
fn png(mut content: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len());
    out.put_slice(content.get(..8)?);
    content.advance(8);
    loop {
        let length = usize::try_from(u32::from_be_bytes(content.get(..4)?.try_into().ok()?)).ok()?;
        let chunk = content.get(..length.checked_add(12)?)?;
        let name = &chunk[4..8];
        if !matches!(name, b"tEXt" | b"zTXt" | b"iTXt" | b"tIME" | b"eXIf") {
            out.put_slice(chunk);
        }
        if name == b"IEND" {
            return Some(out);
        }
        content.advance(chunk.len());
    }
}

/// Copies a WebP's chunks but Exif and XMP, and takes back the two flags that announce them.
fn webp(content: &[u8]) -> Option<Vec<u8>> {
    let mut out = content.get(..12)?.to_vec();
    let size = usize::try_from(u32::from_le_bytes(content[4..8].try_into().ok()?)).ok()?;
    let mut rest = content.get(12..size.checked_add(8)?)?;
    while rest.has_remaining() {
        let length = usize::try_from(u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?)).ok()?;
        let padded = length.checked_add(8 + length % 2)?;
        let chunk = rest.get(..padded)?;
        match &chunk[..4] {
            b"EXIF" | b"XMP " => {}
            b"VP8X" if length >= 10 => {
                let flags = out.len() + 8;
                out.put_slice(chunk);
                out[flags] &= !0b0000_1100;
            }
            _ => out.put_slice(chunk),
        }
        rest.advance(padded);
    }
    let size = u32::try_from(out.len() - 8).ok()?;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    Some(out)
}

/// Width and height, so that a page keeps the place free while the picture loads; nothing where it is not simple to know.
#[must_use]
pub fn size(kind: Kind, content: &[u8]) -> Option<(u32, u32)> {
    let le16 = |at: usize| Some(u32::from(u16::from_le_bytes(content.get(at..at + 2)?.try_into().ok()?)));
    match kind {
        Kind::Png => {
            let at = |at: usize| Some(u32::from_be_bytes(content.get(at..at + 4)?.try_into().ok()?));
            Some((at(16)?, at(20)?))
        }
        Kind::Gif => Some((le16(6)?, le16(8)?)),
        Kind::Jpeg => jpeg_size(content),
        Kind::Webp => match content.get(12..16)? {
            b"VP8 " => Some((le16(26)? & 0x3fff, le16(28)? & 0x3fff)),
            b"VP8L" => {
                let bits = u32::from_le_bytes(content.get(21..25)?.try_into().ok()?);
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"VP8X" => {
                let le24 = |at: usize| Some(le16(at)? | u32::from(*content.get(at + 2)?) << 16);
                Some((le24(24)? + 1, le24(27)? + 1))
            }
            _ => None,
        },
        Kind::Avif => None,
    }
}

/// From the first frame header; width and height change places when the picture lies on its side.
fn jpeg_size(mut content: &[u8]) -> Option<(u32, u32)> {
    let mut sideways = false;
    content = content.get(2..)?;
    loop {
        let &[0xff, marker, high, low] = content.get(..4)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low])) + 2;
        let segment = content.get(..length)?;
        match marker {
            0xe1 => sideways |= turned(segment).is_some_and(|value| value >= 5),
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let at = |at: usize| Some(u32::from(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?)));
                let (height, width) = (at(5)?, at(7)?);
                return Some(if sideways { (height, width) } else { (width, height) });
            }
            0xda => return None,
            _ => {}
        }
        content.advance(length);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small picture of each kind, written by hand: enough for a reader of headers.
    pub(crate) fn tiny_png() -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut chunk = |name: &[u8], data: &[u8]| {
            out.put_u32(u32::try_from(data.len()).unwrap());
            let crc = crc32fast::hash(&[name, data].concat());
            out.put_slice(name);
            out.put_slice(data);
            out.put_u32(crc);
        };
        chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
        chunk(b"tEXt", b"Comment\0at home");
        chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1]);
        chunk(b"IEND", &[]);
        out
    }

    pub(crate) fn tiny_jpeg(orientation: u16) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 16];
        out.put_slice(b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let mut tiff = b"Exif\0\0II\x2a\0\x08\0\0\0".to_vec();
        tiff.put_u16_le(2);
        tiff.put_slice(&[0x12, 1, 3, 0, 1, 0, 0, 0]);
        tiff.put_u16_le(orientation);
        tiff.put_slice(&[0, 0]);
        tiff.put_slice(b"\x25\x88\x04\0\x01\0\0\0\x26\0\0\0");
        tiff.put_slice(b"\0\0\0\0GPS 45.4642 N 9.1900 E");
        out.put_slice(&[0xff, 0xe1]);
        out.put_u16(u16::try_from(tiff.len() + 2).unwrap());
        out.put_slice(&tiff);
        out.put_slice(b"\xff\xfe\0\x09comment");
        out.put_slice(&[0xff, 0xc0, 0, 11, 8, 0, 2, 0, 3, 1, 1, 0x11, 0]);
        out.put_slice(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0data\xff\0more\xff\xd9");
        out.put_slice(b"a film appended GPS");
        out
    }

    fn tiny_webp() -> Vec<u8> {
        let mut body = b"WEBPVP8X\x0a\0\0\0\x0c\0\0\0\x01\0\0\x02\0\0".to_vec();
        body.put_slice(b"EXIF\x05\0\0\0GPS45\0VP8L\x06\0\0\0\x2f\0\0\0\0\0");
        let mut out = b"RIFF".to_vec();
        out.put_u32_le(u32::try_from(body.len()).unwrap());
        out.put_slice(&body);
        out
    }

    fn holds(content: &[u8], word: &[u8]) -> bool {
        content.windows(word.len()).any(|part| part == word)
    }

    #[test]
    fn a_jpeg_loses_place_comment_and_appendix_but_stays_turned() {
        let clean = without_metadata(Kind::Jpeg, &tiny_jpeg(6)).unwrap();
        assert!(!holds(&clean, b"GPS") && !holds(&clean, b"comment"));
        assert!(holds(&clean, b"data\xff\0more\xff\xd9"));
        assert_eq!(Kind::of(&clean), Some(Kind::Jpeg));
        assert_eq!(size(Kind::Jpeg, &clean), Some((2, 3)), "3 wide and 2 high, on its side");
        assert_eq!(without_metadata(Kind::Jpeg, &clean).unwrap(), clean);
        let upright = without_metadata(Kind::Jpeg, &tiny_jpeg(1)).unwrap();
        assert!(!holds(&upright, b"Exif"));
        assert_eq!(size(Kind::Jpeg, &upright), Some((3, 2)));
    }

    #[test]
    fn a_png_loses_its_texts_and_a_webp_its_exif() {
        let clean = without_metadata(Kind::Png, &[tiny_png(), b"appendix".to_vec()].concat()).unwrap();
        assert!(!holds(&clean, b"at home") && !holds(&clean, b"appendix"));
        assert_eq!((Kind::of(&clean), size(Kind::Png, &clean)), (Some(Kind::Png), Some((1, 1))));

        let clean = without_metadata(Kind::Webp, &tiny_webp()).unwrap();
        assert!(!holds(&clean, b"GPS"));
        assert_eq!(clean[20], 0, "no flag announces what is gone");
        assert_eq!(usize::try_from(u32::from_le_bytes(clean[4..8].try_into().unwrap())).unwrap(), clean.len() - 8);
        assert_eq!(size(Kind::Webp, &clean), Some((2, 3)));
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_no_picture() {
        for whole in [tiny_jpeg(6), tiny_png(), tiny_webp()] {
            let kind = Kind::of(&whole).unwrap();
            for end in 0..whole.len().min(60) {
                let _ = (without_metadata(kind, &whole[..end]), size(kind, &whole[..end]));
            }
        }
        assert_eq!(without_metadata(Kind::Png, &tiny_png()[..30]), None);
        for other in [&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], b"<html>", b"", b"%PDF-1.7", b"BM000000"] {
            assert_eq!(Kind::of(other), None);
        }
    }
}
