//! What the edge itself says: a page in the visitor's language, or a problem (RFC 9457) for programs. Never stored by anybody.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use super::body::ResponseBody;
use super::headers::X_REQUEST_ID;
use super::pages::{Pages, Shown};

/// Why the edge answers instead of a percloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The request contradicts itself.
    Malformed,
    /// A method that is not passed on.
    Method,
    /// The name is not one that this connection's certificate stands for.
    Misdirected,
    /// Nobody has this name.
    NoSuchPercloud,
    /// It is being made.
    Preparing,
    /// The provider suspended it.
    Suspended,
    /// It does not start, or hung up.
    CannotStart,
    /// It has more requests than it may, at once or in a while.
    Crowded,
    /// The body is larger than the whole percloud may be.
    TooLarge,
    /// It did not answer in time.
    Slow,
    /// The portal is away, for a moment as a rule.
    PortalAway,
    /// The edge does not know yet who has this name.
    Unready,
    /// Somebody speaks plain HTTP where TLS is spoken; where to go instead, when that is known.
    PlainHttp(Option<String>),
    /// Elsewhere, for good.
    Moved(String),
}

impl Own {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed | Self::PlainHttp(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoSuchPercloud => StatusCode::NOT_FOUND,
            Self::Preparing
            | Self::Suspended
            | Self::CannotStart
            | Self::Crowded
            | Self::PortalAway
            | Self::Unready => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::GATEWAY_TIMEOUT,
            Self::Moved(_) => StatusCode::PERMANENT_REDIRECT,
        }
    }

    /// The word for it in a problem's `type`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::Method => "method-not-allowed",
            Self::Misdirected => "misdirected-request",
            Self::NoSuchPercloud => "no-such-percloud",
            Self::Preparing => "preparing",
            Self::Suspended => "suspended",
            Self::CannotStart => "cannot-start",
            Self::Crowded => "too-busy",
            Self::TooLarge => "too-large",
            Self::Slow => "no-answer-in-time",
            Self::PortalAway => "portal-away",
            Self::Unready => "unready",
            Self::PlainHttp(_) => "plain-http",
            Self::Moved(_) => "moved",
        }
    }

    fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::Preparing | Self::Crowded | Self::PortalAway => Some("1"),
            Self::CannotStart | Self::Unready => Some("10"),
            Self::Suspended => Some("3600"),
            _ => None,
        }
    }

    /// Whether the connection must end: after a request that contradicts itself nobody knows where the next one begins, and nobody
    /// wants to read what is left of a body that is too large.
    fn ends(&self) -> bool {
        matches!(self, Self::Malformed | Self::PlainHttp(_) | Self::TooLarge)
    }
}

/// Who gets the answer: kept from the request's head, since that is given away with the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Asker {
    headers: [Option<HeaderValue>; 3],
    head: bool,
}

const KEPT: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::COOKIE];

impl Asker {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        // One walk over what there is costs less than to look for what is mostly not there.
        let mut kept = [None, None, None];
        for (name, value) in headers {
            let at = match *name {
                header::ACCEPT => 0,
                header::ACCEPT_LANGUAGE => 1,
                header::COOKIE => 2,
                _ => continue,
            };
            kept[at].get_or_insert_with(|| value.clone());
        }
        Self { headers: kept, head: method == Method::HEAD }
    }

    /// A program, not a person: it asks for JSON and not for HTML.
    fn wants_json(&self) -> bool {
        let accept = self.headers[0].as_ref().and_then(|v| v.to_str().ok()).unwrap_or_default();
        accept.contains("json") && !accept.contains("text/html")
    }

    fn headers(&self) -> HeaderMap {
        KEPT.into_iter().zip(&self.headers).filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// Makes the answer.
pub(super) fn answer(pages: &Pages, own: &Own, asker: &Asker, host: &str, request_id: &str) -> Response<ResponseBody> {
    let shown = pages.show(own, &asker.headers(), host, request_id);
    let (kind, text) = if asker.wants_json() {
        ("application/problem+json", problem(own, &shown, request_id))
    } else {
        ("text/html; charset=utf-8", shown.html)
    };
    let mut response = Response::new(ResponseBody::own(if asker.head { Bytes::new() } else { Bytes::from(text) }));
    *response.status_mut() = own.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-language, cookie"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(super::pages::POLICY));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    if let Some(seconds) = own.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if own.ends() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Own::Moved(to) = own
        && let Ok(to) = HeaderValue::from_str(to)
    {
        headers.insert(header::LOCATION, to);
    }
    response
}

fn problem(own: &Own, shown: &Shown, request_id: &str) -> String {
    serde_json::json!({
        "type": format!("urn:percloud:{}", own.name()),
        "title": shown.title,
        "status": own.status().as_u16(),
        "instance": format!("urn:percloud:request:{request_id}"),
    })
    .to_string()
}
