//! Why a percloud does not get through, in words for the runtime and its owner, and as RFC 9209 has it.

use http::StatusCode;

/// A connection that is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    Malformed,
    HeadTooLong,
    HeadTooSlow,
    NotConnect,
    NoToken,
    Stranger,
    Literal,
    LocalName,
    NoName,
    Port,
    DeniedHost,
    NotPublic,
    Neighbour,
    DeniedAddress,
    OurOwn,
    NoAddress,
    DnsSilent,
    RefusedThere,
    Unreachable,
    TooSlow,
    AtOnce,
    TooFast,
    DayUsed,
    Crowded,
}

use Refusal::*;

impl Refusal {
    #[cfg(test)]
    pub(super) const ALL: [Self; 24] = [
        Malformed,
        HeadTooLong,
        HeadTooSlow,
        NotConnect,
        NoToken,
        Stranger,
        Literal,
        LocalName,
        NoName,
        Port,
        DeniedHost,
        NotPublic,
        Neighbour,
        DeniedAddress,
        OurOwn,
        NoAddress,
        DnsSilent,
        RefusedThere,
        Unreachable,
        TooSlow,
        AtOnce,
        TooFast,
        DayUsed,
        Crowded,
    ];

    /// Status, a word for logs and metrics, the error type of RFC 9209, and a sentence (printable ASCII without quotes).
    const fn parts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        use StatusCode as S;
        const DENIED: &str = "http_request_denied";
        const LIMIT: &str = "connection_limit_reached";
        const PROHIBITED: &str = "destination_ip_prohibited";
        match self {
            Malformed => (S::BAD_REQUEST, "malformed", "http_request_error", "this is no CONNECT request of HTTP/1.1"),
            HeadTooLong => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-long", "http_request_error", "the request is too long")
            }
            HeadTooSlow => {
                (S::REQUEST_TIMEOUT, "head-too-slow", "http_request_error", "the request did not come in time")
            }
            NotConnect => (S::METHOD_NOT_ALLOWED, "not-connect", DENIED, "only CONNECT is understood here"),
            NoToken => {
                (S::PROXY_AUTHENTICATION_REQUIRED, "no-token", DENIED, "the token is missing or is not this percloud's")
            }
            Stranger => (S::FORBIDDEN, "stranger", DENIED, "this way out is for perclouds only"),
            Literal => (S::FORBIDDEN, "literal", DENIED, "an address was given; only names may be connected to"),
            LocalName => (S::FORBIDDEN, "local-name", DENIED, "this name is of a local network, not of the Internet"),
            NoName => (S::BAD_REQUEST, "no-name", "http_request_error", "this is not the name of a host"),
            Port => (S::FORBIDDEN, "port", DENIED, "the provider does not let perclouds connect to this port"),
            DeniedHost => {
                (S::FORBIDDEN, "denied-host", DENIED, "the provider does not let perclouds connect to this host")
            }
            NotPublic => (S::FORBIDDEN, "not-public", PROHIBITED, "the name leads to an address that is not public"),
            Neighbour => (S::FORBIDDEN, "neighbour", PROHIBITED, "the name leads into the provider's own network"),
            DeniedAddress => (
                S::FORBIDDEN,
                "denied-address",
                PROHIBITED,
                "the provider does not let perclouds connect to this address",
            ),
            OurOwn => (S::FORBIDDEN, "our-own", PROHIBITED, "the name leads to the provider's own machine"),
            NoAddress => (S::BAD_GATEWAY, "no-address", "dns_error", "the name does not exist, or has no address"),
            DnsSilent => (
                S::GATEWAY_TIMEOUT,
                "dns-silent",
                "dns_timeout",
                "no name server answers for this name; try again later",
            ),
            RefusedThere => (
                S::BAD_GATEWAY,
                "refused-there",
                "connection_refused",
                "the host does not take connections at this port",
            ),
            Unreachable => (S::BAD_GATEWAY, "unreachable", "destination_ip_unroutable", "the host cannot be reached"),
            TooSlow => (S::GATEWAY_TIMEOUT, "too-slow", "connection_timeout", "the host did not answer in time"),
            AtOnce => (S::TOO_MANY_REQUESTS, "at-once", LIMIT, "this percloud has as many connections open as it may"),
            TooFast => (S::TOO_MANY_REQUESTS, "too-fast", LIMIT, "this percloud connects too often; wait a moment"),
            DayUsed => {
                (S::TOO_MANY_REQUESTS, "day-used", LIMIT, "this percloud has moved as many bytes today as it may")
            }
            Crowded => {
                (S::SERVICE_UNAVAILABLE, "crowded", LIMIT, "too many connections for now; try again in a moment")
            }
        }
    }

    /// The word for it in logs and metrics.
    pub(super) const fn word(self) -> &'static str {
        self.parts().1
    }

    /// Whether somebody can bring it about as often as they like: not every one of these is worth a line.
    pub(super) const fn is_cheap(self) -> bool {
        matches!(
            self,
            Malformed | HeadTooLong | HeadTooSlow | NotConnect | NoToken | Stranger | AtOnce | TooFast | Crowded
        )
    }

    /// Whether a limit of ours says no: there were too many, or what was said was too long, too slow or made no sense.
    pub(super) const fn is_limit(self) -> bool {
        matches!(
            self,
            AtOnce | TooFast | DayUsed | Crowded | Malformed | HeadTooLong | HeadTooSlow | NotConnect | NoToken
        )
    }

    /// Whether a rule of ours says no, however seldom it is asked. What is neither makes no sense, or the host does not answer.
    pub(super) const fn is_rule(self) -> bool {
        matches!(self, Literal | LocalName | Port | DeniedHost | NotPublic | Neighbour | DeniedAddress | OurOwn)
    }

    /// Seconds after which it makes sense to ask again, where that is known.
    const fn retry_after(self) -> Option<u32> {
        match self {
            AtOnce | TooFast | Crowded => Some(5),
            DayUsed => Some(3600),
            _ => None,
        }
    }

    /// The whole answer.
    pub(super) fn answer(self) -> String {
        let (status, word, error, text) = self.parts();
        let more = match (self, self.retry_after()) {
            (NoToken, _) => "Proxy-Authenticate: Bearer\r\n".to_owned(),
            (NotConnect, _) => "Allow: CONNECT\r\n".to_owned(),
            (_, Some(seconds)) => format!("Retry-After: {seconds}\r\n"),
            _ => String::new(),
        };
        format!(
            "HTTP/1.1 {status}\r\nProxy-Status: percloud-egress; error={error}; details=\"{word}: {text}\"\r\n{more}\
             Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
            text.len() + 1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_in_a_header_and_in_a_body_why() {
        let mut words: Vec<_> = Refusal::ALL.map(Refusal::word).to_vec();
        for refusal in Refusal::ALL {
            let answer = refusal.answer();
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(end) = response.parse(answer.as_bytes()).unwrap() else {
                panic!("{answer}")
            };
            assert!(response.code.is_some_and(|code| code >= 400), "{answer}");
            let body = &answer[end..];
            let header = |name: &str| response.headers.iter().find(|header| header.name == name).unwrap().value;
            assert_eq!(header("Content-Length"), body.len().to_string().as_bytes());
            let details = std::str::from_utf8(header("Proxy-Status")).unwrap();
            assert!(details.contains(body.trim_end()) && details.matches('"').count() == 2 && details.is_ascii());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Refusal::ALL.len(), "each has a word of its own");
    }
}
