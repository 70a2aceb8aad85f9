//! Pictures that are shown to everybody: which kinds, and without what a camera wrote into them about places.

/// The media type of a picture that every browser shows; none for anything else (SVG among it: it can hold scripts).
#[must_use]
pub fn kind(bytes: &[u8]) -> Option<&'static str> {
    match infer::get(bytes)?.mime_type() {
        "image/jpeg" => Some("image/jpeg"),
        "image/png" => Some("image/png"),
        "image/webp" => Some("image/webp"),
        "image/gif" => Some("image/gif"),
        _ => None,
    }
}

/// The same picture without what a phone adds about place, time and device. JPEG only, where phones put it; which way is
/// up is kept. A picture that cannot be understood is left as it is.
#[must_use]
pub fn without_places(bytes: Vec<u8>) -> Vec<u8> {
    jpeg(&bytes).unwrap_or(bytes)
}

/// Walks the segments before the image data and leaves out APP1 (Exif, XMP) and APP13 (IPTC).
fn jpeg(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    let mut out = b"\xff\xd8".to_vec();
    let mut turned = None;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        if marker == 0xda {
            break;
        }
        let length = usize::from(u16::from_be_bytes([high, low])) + 2;
        let segment = rest.get(..length)?;
        match marker {
            0xe1 => turned = turned.or_else(|| orientation(segment.get(4..)?)),
            0xed => {}
            _ => out.extend_from_slice(segment),
        }
        rest = &rest[length..];
    }
    if let Some(turned) = turned {
        // Right behind the first marker: an Exif segment with the orientation and nothing else.
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
        exif.extend([0, turned, 0, 0, 0, 0, 0, 0]);
        out.splice(2..2, exif);
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The orientation (2 to 8) that an Exif segment gives.
fn orientation(exif: &[u8]) -> Option<u8> {
    let tiff = exif.strip_prefix(b"Exif\0\0")?;
    let big = match tiff.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let two = [*tiff.get(at)?, *tiff.get(at + 1)?];
        Some(if big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let u32_at = |at: usize| {
        let (first, second) = (u32::from(u16_at(at)?), u32::from(u16_at(at + 2)?));
        Some(if big { first << 16 | second } else { second << 16 | first })
    };
    let start = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(start)?);
    let entry = (0..entries.min(64)).map(|n| start + 2 + n * 12).find(|at| u16_at(*at) == Some(0x0112))?;
    u8::try_from(u16_at(entry + 8)?).ok().filter(|turned| (2..=8).contains(turned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(orientation: u8) -> Vec<u8> {
        let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
        tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
        tiff.extend([0x25, 0x88, 4, 0, 1, 0, 0, 0, 38, 0, 0, 0]);
        tiff.extend(b"\0\0\0\0GPS 45.4642 9.19");
        let mut segment = b"Exif\0\0".to_vec();
        segment.extend(tiff);
        let length = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
        [&[0xff, 0xe1], &length[..], &segment].concat()
    }

    #[test]
    fn a_picture_forgets_where_it_was_taken_and_keeps_which_way_is_up() {
        let body = b"\xff\xdb\x00\x04ab\xff\xda\x00\x02data\xff\xd9".as_slice();
        let taken = [b"\xff\xd8".as_slice(), &exif(6), b"\xff\xed\x00\x06city", body].concat();
        let shown = without_places(taken);
        let text = String::from_utf8_lossy(&shown).into_owned();
        assert!(!text.contains("GPS") && !text.contains("city"), "{text}");
        assert!(shown.ends_with(body));
        let segment = &shown[2..];
        assert_eq!(usize::from(u16::from_be_bytes([segment[2], segment[3]])) + 2, segment.len() - body.len());
        assert_eq!(orientation(&segment[4..]), Some(6));
    }

    #[test]
    fn what_is_no_jpeg_or_is_cut_off_is_left_alone() {
        for odd in
            [b"".as_slice(), b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xffx", b"GIF89a", b"\xff\xd8\xff\xe1\x00\x02\xff"]
        {
            assert_eq!(without_places(odd.to_vec()), odd);
        }
        assert_eq!(kind(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), None);
        assert_eq!(kind(b"GIF89a\x01\x00\x01\x00"), Some("image/gif"));
    }
}
