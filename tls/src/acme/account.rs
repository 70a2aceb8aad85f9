//! An account at an authority.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use chrono::DateTime;
use data_encoding::BASE64URL_NOPAD;
use instant_acme::{AccountCredentials, CertificateIdentifier, Error as AcmeError, ExternalAccountKey, NewAccount};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::error::{kind, refused, with_nonces};
use super::http::{Heard, Http};
use super::{Directory, Eab, Error, RenewalInfo, Solver, order};
use crate::Issued;

/// An address longer than this is not kept.
const LONGEST_PAGE: usize = 500;

/// An account at an authority, open for orders.
#[derive(Clone)]
pub struct Account {
    pub(super) inner: instant_acme::Account,
    pub(super) profile: Option<String>,
    caa_identities: Vec<String>,
}

impl Account {
    /// Opens with kept credentials (JSON, secret: callers seal it), or registers; gives what to keep. Registering says yes to
    /// the authority's terms of service.
    ///
    /// # Errors
    /// When the authority is away or refuses; [`Error::account_is_gone`] comes from orders, not from here.
    pub async fn open(
        directory: &Directory,
        credentials: Option<&[u8]>,
        contact: Option<&str>,
    ) -> Result<(Self, Vec<u8>), Error> {
        let opening = async {
            let http = refused(Http::new(directory), "speaking HTTPS to the authority")?;
            let builder = instant_acme::Account::builder_with_http(Box::new(http.clone()));
            let (inner, kept) = match credentials {
                Some(kept) => {
                    let read = refused(read(directory, kept), "reading the account that was kept")?;
                    let opened = builder.from_credentials(read).await;
                    (opened.map_err(|e| Error::sort(e, "asking for the authority's directory"))?, kept.to_vec())
                }
                None => {
                    let (inner, fresh) = register(directory, http.clone(), contact).await?;
                    let fresh = serde_json::to_vec(&fresh).context("cannot write the account down");
                    (inner, refused(fresh, "registering an account")?)
                }
            };
            // It has just been read for all the rest; should it not answer now, nothing is known.
            let caa_identities = http.caa_identities(&directory.url).await.unwrap_or_else(|error| {
                let error = format!("{error:#}");
                tracing::debug!(error, "a directory does not say how its authority is known in CAA records");
                Vec::new()
            });
            Ok((Self { inner, profile: directory.profile.clone(), caa_identities }, kept))
        };
        Heard::remembering(opening).await
    }

    /// The account's URL at the authority: what CAA's `accounturi` names.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.inner.id()
    }

    /// By which domains the authority knows itself in CAA records (RFC 8555, section 9.7.6); none when it does not say.
    #[must_use]
    pub fn caa_identities(&self) -> &[String] {
        &self.caa_identities
    }

    /// One order to its end: authorise (challenges through `solver`), finalise with a fresh P-256 key, download. What was
    /// presented is withdrawn before this ends, but for what takes longer than half a minute to go; and a caller that drops this future keeps
    /// it from withdrawing.
    ///
    /// Each name is proved in one way, the first of `solver`'s kinds that is offered: authorities count failures, and whoever wants another
    /// way says so at the next order. Bad nonces are retried. Validations, and then the signing, may take `patience` each, polled obeying
    /// `Retry-After`; what it takes until the answers are visible is not counted in, and ends after five minutes. `replaces`: the PEM chain
    /// of the certificate that this renews (RFC 9773 §5; left out when the authority has no ARI, or does not want it).
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn issue(
        &self,
        names: &[String],
        replaces: Option<&str>,
        solver: &dyn Solver,
        patience: Duration,
    ) -> Result<Issued, Error> {
        let replaces = replaces.and_then(identifier);
        Heard::remembering(order::issue(self, names, replaces, solver, patience)).await
    }

    /// When the authority suggests to renew (RFC 9773); none when it has no ARI, or does not know this certificate.
    ///
    /// # Errors
    /// When the authority is away.
    pub async fn renewal_info(&self, chain_pem: &str) -> Result<Option<RenewalInfo>, Error> {
        let Some(identifier) = identifier(chain_pem) else { return Ok(None) };
        let (info, retry_after) = match Heard::remembering(self.inner.renewal_info(&identifier)).await {
            Ok(answer) => answer,
            Err(AcmeError::Unsupported(_)) => return Ok(None),
            Err(AcmeError::Api(problem))
                if problem.status.is_none_or(|s| s < 429) && kind(&problem) != "rateLimited" =>
            {
                return Ok(None);
            }
            Err(other) => return Err(Error::sort(other, "asking when to renew")),
        };
        let moment = |at: time::OffsetDateTime| DateTime::from_timestamp(at.unix_timestamp(), 0);
        let window = info.suggested_window;
        let (Some(start), Some(end)) = (moment(window.start), moment(window.end)) else { return Ok(None) };
        let explanation = info.explanation_url.as_deref().and_then(page);
        // An authority that says nonsense is not followed (RFC 9773, section 4.2: end is after start).
        Ok((start <= end).then_some(RenewalInfo { start, end, retry_after, explanation }))
    }
}

/// A page that people may be sent to; as it is written in addresses, so that it holds nothing that a terminal would take for more than text.
fn page(given: &str) -> Option<String> {
    let url = url::Url::parse(given).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    Some(url.to_string()).filter(|url| url.len() <= LONGEST_PAGE && url.is_ascii())
}

/// As ARI names a certificate; none for one that names no issuer's key.
fn identifier(chain_pem: &str) -> Option<CertificateIdentifier<'static>> {
    let leaf = CertificateDer::from_pem_slice(chain_pem.as_bytes()).ok()?;
    CertificateIdentifier::try_from(&leaf).ok().map(CertificateIdentifier::into_owned)
}

async fn register(
    directory: &Directory,
    http: Http,
    contact: Option<&str>,
) -> Result<(instant_acme::Account, AccountCredentials), Error> {
    let mailto = contact.map(|c| format!("mailto:{}", c.trim_start_matches("mailto:")));
    let contact: Vec<&str> = mailto.as_deref().into_iter().collect();
    let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let bound = refused(directory.eab.as_ref().map(binding).transpose(), "reading the external account's key")?;
    let builder = || instant_acme::Account::builder_with_http(Box::new(http.clone()));
    with_nonces!("registering an account", builder().create(&account, directory.url.clone(), bound.as_ref()))
}

fn binding(eab: &Eab) -> anyhow::Result<ExternalAccountKey> {
    let text = eab.hmac_base64url.trim().trim_end_matches('=');
    let key = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| anyhow!("it is not base64url"))?;
    ensure!(!key.is_empty(), "it is empty");
    Ok(ExternalAccountKey::new(eab.kid.clone(), &key))
}

fn read(directory: &Directory, kept: &[u8]) -> anyhow::Result<AccountCredentials> {
    #[derive(Deserialize)]
    struct Whose {
        directory: Option<String>,
    }
    // Neither error names what it read: it holds a key.
    let whose: Whose = serde_json::from_slice(kept).map_err(|_| anyhow!("it cannot be read"))?;
    let theirs = whose.directory.as_deref().unwrap_or("another authority");
    ensure!(theirs == directory.url, "it is an account at {theirs}, not at {}", directory.url);
    serde_json::from_slice(kept).map_err(|_| anyhow!("it cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages_are_passed_on() {
        for (given, page) in [
            ("https://ca.example/why?ari=1", Some("https://ca.example/why?ari=1")),
            ("https://ca.example/\u{1b}[2Jx", Some("https://ca.example/%1B[2Jx")),
            ("javascript:alert(1)", None),
            ("see the terms", None),
        ] {
            assert_eq!(super::page(given).as_deref(), page, "{given}");
        }
    }

    /// Callers spawn these.
    #[expect(dead_code, reason = "it is enough that it compiles")]
    fn all_futures_can_move_between_threads(account: &Account, directory: &Directory, solver: &dyn Solver) {
        fn send(_: impl Send) {}
        send(Account::open(directory, None, None));
        send(account.issue(&[], None, solver, Duration::ZERO));
        send(account.renewal_info(""));
    }
}
