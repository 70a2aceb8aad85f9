//! What a client says and wants to hear when it opens a WebSocket (RFC 6455 §4): over HTTP/2 (RFC 8441) nobody says it, so the edge does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::request::{Asked, Upgrade};

/// Proves, behind a key, that a server has understood (RFC 6455 §1.3).
const UNDERSTOOD: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of our own, and what a percloud that understands answers to it.
pub(super) struct Key {
    key: String,
    pub(super) accept: String,
}

impl Key {
    pub(super) fn fresh() -> Self {
        Self::of(STANDARD.encode(rand::random::<[u8; 16]>()))
    }

    pub(super) fn of(key: String) -> Self {
        use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
        let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), UNDERSTOOD].concat()));
        Self { key, accept }
    }

    /// Says it in a request's head.
    pub(super) fn insert(&self, headers: &mut HeaderMap) {
        if let Ok(key) = HeaderValue::from_str(&self.key) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
    }

    /// Whether an answer's head agrees.
    pub(super) fn is_accepted(&self, headers: &HeaderMap) -> bool {
        headers.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept.as_bytes() == self.accept.as_bytes())
    }
}

/// Says to the client, in its own HTTP, that the connection is a WebSocket from now on.
pub(super) fn restore<B>(response: &mut Response<B>, asked: &Asked) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if asked.upgrade == Upgrade::Connect {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        return;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_one_of_the_standard() {
        let key = Key::of("dGhlIHNhbXBsZSBub25jZQ==".to_owned());
        assert_eq!(key.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
