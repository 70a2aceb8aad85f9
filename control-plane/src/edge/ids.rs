//! How a request is called: in its answer, in the log, at the percloud.

use http::HeaderValue;

/// A request's id: 128 random bits in hexadecimal. It is the trace's id too, where no collector gives one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId([u8; 32]);

impl RequestId {
    pub(super) fn fresh() -> Self {
        let mut text = [0; 32];
        // As one number: bytes are drawn one by one, each at the price of four.
        hex(&rand::random::<u128>().to_ne_bytes(), &mut text);
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// A W3C `traceparent` that says nothing but this id.
    pub(super) fn trace_parent(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&self.0);
        hex(&rand::random::<u64>().to_ne_bytes(), &mut text[36..52]);
        text
    }
}

/// Each byte as two digits.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut pairs, mut byte) = ([[0; 2]; 256], 0);
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

fn hex(bytes: &[u8], text: &mut [u8]) {
    let (pairs, _) = text.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_in_text_header_and_trace() {
        let id = RequestId::fresh();
        assert_eq!(id.as_str().len(), 32);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(id.to_header(), id.as_str());
        let trace = id.trace_parent();
        let parts: Vec<&str> = std::str::from_utf8(&trace).unwrap().split('-').collect();
        assert_eq!((parts[0], parts[1], parts[2].len(), parts[3]), ("00", id.as_str(), 16, "00"));
        assert_ne!(RequestId::fresh().as_str(), id.as_str());
    }
}
