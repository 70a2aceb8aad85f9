//! What can go wrong, by who has to do something about it.

use std::time::Duration;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority is away, overloaded or limits us: another one may do it, or this one later.
    #[error("the certificate authority is away or limits us")]
    Away {
        /// How long it wants to be left alone, if it said so.
        after: Option<Duration>,
        /// What happened.
        source: anyhow::Error,
    },
    /// The authority could not validate the name: this name's own failure, and no other's.
    #[error("the certificate authority could not validate {name}")]
    NotValidated {
        /// The name, without `*.`.
        name: String,
        /// In the authority's words.
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
}
