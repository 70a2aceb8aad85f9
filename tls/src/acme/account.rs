//! An account at an authority.

use std::time::Duration;

use anyhow::anyhow;

use super::{Directory, Error, RenewalInfo, Solver};
use crate::Issued;

/// An account at an authority, open for orders.
pub struct Account {}

impl Account {
    /// Opens with kept credentials (JSON, secret: callers seal it), or registers; gives what to keep.
    ///
    /// # Errors
    /// When the authority is away or refuses.
    pub async fn open(
        _directory: &Directory,
        _credentials: Option<&[u8]>,
        _contact: Option<&str>,
    ) -> Result<(Self, Vec<u8>), Error> {
        Err(Error::Refused(anyhow!("not written yet")))
    }

    /// One order to its end: authorise (challenges through `solver`, withdrawn in any case), finalise with a fresh P-256
    /// key, download.
    ///
    /// Bad nonces are retried, slow validations are polled obeying `Retry-After` until `patience` is over. `replaces`: the
    /// PEM chain of the certificate that this renews (RFC 9773 §5; left out when the authority has no ARI).
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn issue(
        &self,
        _names: &[String],
        _replaces: Option<&str>,
        _solver: &dyn Solver,
        _patience: Duration,
    ) -> Result<Issued, Error> {
        Err(Error::Refused(anyhow!("not written yet")))
    }

    /// When the authority suggests to renew (RFC 9773); none when it has no opinion.
    ///
    /// # Errors
    /// When the authority is away.
    pub async fn renewal_info(&self, _chain_pem: &str) -> Result<Option<RenewalInfo>, Error> {
        Err(Error::Refused(anyhow!("not written yet")))
    }
}
