//! What can go wrong, by who has to do something about it.

use std::time::Duration;

use anyhow::Context as _;
use instant_acme::{Error as AcmeError, Problem};

use super::Kind;
use super::http::Heard;
use super::limits::is_about;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority is away, overloaded or limits our account: another one may do it, or this one later. No name's failure.
    #[error("the certificate authority is away or limits us")]
    Away {
        /// How long it wants to be left alone, if it said so.
        after: Option<Duration>,
        /// What happened.
        source: anyhow::Error,
    },
    /// The authority gives these names no certificate for a while, since they have had many, or failed often: another one may do it, or this
    /// one later. It serves everybody else.
    #[error("the certificate authority limits these names")]
    Limited {
        /// How long to wait, if it said so.
        after: Option<Duration>,
        /// In its words.
        source: anyhow::Error,
    },
    /// The authority could not validate the name: this name's own failure, and no other's.
    #[error("{name} could not be validated")]
    NotValidated {
        /// The name, without `*.`.
        name: String,
        /// In the authority's words, or in ours when its question could not be answered.
        source: anyhow::Error,
    },
    /// Refused for good until a person acts: a name that it does not serve, CAA, an account that is closed or not bound.
    #[error("the certificate authority refuses")]
    Refused(#[source] anyhow::Error),
}

impl Error {
    /// The whole chain in one line, for a log or an operator.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(inner) = source {
            words = format!("{words}: {inner}");
            source = inner.source();
        }
        words
    }

    /// Whether the authority does not know our account (any more): whoever keeps credentials should register again.
    #[must_use]
    pub fn account_is_gone(&self) -> bool {
        matches!(self, Self::Refused(source) if source.downcast_ref::<Gone>().is_some())
    }

    /// Sorts what an authority's answer, or its silence, means while `doing` something.
    pub(super) fn sort(error: AcmeError, doing: &'static str) -> Self {
        let heard = Heard::last();
        match error {
            AcmeError::Api(problem) => Self::of_problem(&problem, heard).doing(doing),
            AcmeError::Unsupported(_)
            | AcmeError::Crypto
            | AcmeError::KeyRejected
            | AcmeError::InvalidUri(_)
            | AcmeError::Http(_) => Self::Refused(anyhow::Error::new(error)).doing(doing),
            AcmeError::Json(_) if heard.status.is_some_and(|s| !s.is_success()) => {
                let status = heard.status.map_or(0, |s| s.as_u16());
                Self::Away { after: heard.retry_after, source: anyhow::anyhow!("it answers HTTP {status}") }
                    .doing(doing)
            }
            other => Self::Away { after: heard.retry_after, source: anyhow::Error::new(other) }.doing(doing),
        }
    }

    fn of_problem(problem: &Problem, heard: Heard) -> Self {
        let status = problem.status.or(heard.status.map(|s| s.as_u16())).unwrap_or(0);
        // As it is, so that whoever knows the order's names can look whether it is about them.
        let words = anyhow::Error::new(Problem { status: Some(status), ..problem.clone() });
        match kind(problem) {
            "rateLimited" | "serverInternal" | "badNonce" => Self::Away { after: heard.retry_after, source: words },
            "accountDoesNotExist" => Self::Refused(words.context(Gone)),
            _ if status == 429 || status >= 500 => Self::Away { after: heard.retry_after, source: words },
            _ => Self::Refused(words),
        }
    }

    /// A limit that is about the names of an order is no sign that the authority is away.
    pub(super) fn about(self, names: &[String]) -> Self {
        let theirs = |source: &anyhow::Error| source.downcast_ref().is_some_and(|problem| is_about(problem, names));
        match self {
            Self::Away { after, source } if theirs(&source) => Self::Limited { after, source },
            other => other,
        }
    }

    /// What a challenge's own problem says of its name. Most are about what the authority found there; a few are not. None says that the
    /// authority is away: it looked, and broke off at this name alone.
    pub(super) fn of_challenge(name: &str, problem: &Problem, way: Kind) -> Self {
        match kind(problem) {
            "rateLimited" => Self::Limited { after: None, source: anyhow::Error::new(problem.clone()).context(way) },
            "caa" | "rejectedIdentifier" | "unsupportedIdentifier" | "userActionRequired" => {
                Self::Refused(anyhow::Error::msg(problem.to_string()))
            }
            _ => Self::NotValidated {
                name: name.to_owned(),
                source: anyhow::Error::msg(problem.to_string()).context(way),
            },
        }
    }

    fn doing(self, doing: &'static str) -> Self {
        match self {
            Self::Away { after, source } => Self::Away { after, source: source.context(doing) },
            Self::Limited { after, source } => Self::Limited { after, source: source.context(doing) },
            Self::NotValidated { name, source } => Self::NotValidated { name, source: source.context(doing) },
            Self::Refused(source) => Self::Refused(source.context(doing)),
        }
    }
}

/// A mark in the chain of an error: the authority does not know the account.
#[derive(Debug, thiserror::Error)]
#[error("it does not know our account")]
struct Gone;

/// A problem's kind, without the namespace that all share.
pub(super) fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind)
}

/// How often a question is asked again because of its nonce, by instant-acme's own three times each.
pub(super) const NONCES: usize = 8;

/// Asks again with a fresh nonce for as long as only the nonce is refused: some authorities throw away many. (A macro: a
/// function that takes an async closure gives a future of which the compiler cannot tell that it is `Send`.)
macro_rules! with_nonces {
    ($doing:expr, $ask:expr) => {{
        let mut left = $crate::acme::error::NONCES;
        loop {
            match $ask.await {
                Err(instant_acme::Error::Api(problem))
                    if $crate::acme::error::kind(&problem) == "badNonce" && left > 0 =>
                {
                    left -= 1;
                }
                answer => break answer.map_err(|e| $crate::acme::Error::sort(e, $doing)),
            }
        }
    }};
}
pub(super) use with_nonces;

/// An error of our own making that only the operator can mend.
pub(super) fn refused<T>(result: anyhow::Result<T>, doing: &'static str) -> Result<T, Error> {
    result.context(doing).map_err(Error::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_at_one_challenge_is_never_the_authoritys_absence() {
        let of = |kind: &str| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let problem = serde_json::json!({ "type": kind, "status": 500, "detail": "so it is" });
            Error::of_challenge("ada.example", &serde_json::from_value(problem).unwrap(), Kind::Http01)
        };
        for kind in ["connection", "dns", "unauthorized", "serverInternal", "something new"] {
            assert!(matches!(of(kind), Error::NotValidated { name, .. } if name == "ada.example"), "{kind}");
        }
        assert!(matches!(of("rateLimited"), Error::Limited { after: None, .. }));
        assert!(matches!(of("caa"), Error::Refused(_)));
        assert!(of("serverInternal").words().contains("so it is"));
    }
}
