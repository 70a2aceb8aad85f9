//! Header compression for HTTP/2 (RFC 7541): what both sides have said before is said by number.

mod decode;
mod encode;
mod huffman;
mod table;

pub(super) use decode::{Decoder, Fields};
pub(super) use encode::Encoder;

/// A header block that cannot be read. What the other side thinks that it has said is unknown from then on, so the connection ends
/// (`COMPRESSION_ERROR`, RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    pub(super) fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Unreadable> {
        let mut fields = Fields::default();
        decoder.decode(block, &mut fields)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(fields.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    #[test]
    fn what_is_said_is_heard_however_often_and_however_small_the_table_is() {
        let long = "x".repeat(3000);
        let heads: [&[(&str, &str)]; 4] = [
            &[("content-type", "text/html"), ("x-request-id", "1"), ("server", "a"), ("set-cookie", "a=b")],
            &[("content-type", "text/html"), ("x-request-id", "2"), ("server", "b"), ("vary", &long)],
            &[("content-security-policy", &long[..1500]), ("x-odd", ""), ("cache-control", "no-store")],
            &[("content-security-policy", &long[..1500]), ("cache-control", "no-store"), ("location", "/a")],
        ];
        for sizes in [&[4096][..], &[0, 4096], &[100, 0, 200], &[1_000_000]] {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
            for round in 0..50 {
                if let Some(size) = sizes.get(round % 7) {
                    encoder.resize(*size);
                }
                let (status, head) = (http::StatusCode::from_u16(200 + round as u16).unwrap(), heads[round % 4]);
                let mut block = Vec::new();
                encoder.status(status, &mut block);
                head.iter().for_each(|(name, value)| encoder.put(name.as_bytes(), value.as_bytes(), &mut block));
                let mut said = vec![(":status".to_owned(), status.as_str().to_owned())];
                said.extend(head.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
                assert_eq!(read(&mut decoder, &block), Ok(said), "round {round} with {sizes:?}");
            }
        }
    }

    #[test]
    fn what_is_always_the_same_is_said_once() {
        let mut encoder = Encoder::new();
        let mut head = || {
            let mut block = Vec::new();
            encoder.status(http::StatusCode::OK, &mut block);
            encoder.put(b"content-type", b"text/html; charset=utf-8", &mut block);
            encoder.put(b"x-frame-options", b"DENY", &mut block);
            block.len()
        };
        assert!(head() > 40);
        assert_eq!(head(), 3);
    }
}
