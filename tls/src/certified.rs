//! A certificate with its key, ready to serve.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::extensions::GeneralName;

/// A certificate chain with its key: names and end are read from the certificate itself, not from what somebody says of it.
#[derive(Clone, Debug)]
pub struct Certified {
    names: Vec<String>,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    key: Arc<CertifiedKey>,
}

impl Certified {
    /// Takes a chain in PEM (leaf first) and the leaf's key.
    ///
    /// # Errors
    /// When the chain cannot be read or the key is not the leaf's.
    pub fn new(chain_pem: &str, key: PrivateKeyDer<'static>) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("the certificate chain is not PEM")?;
        let leaf = chain.first().context("the certificate chain is empty")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).context("the certificate cannot be read")?;
        let names = dns_names(&parsed)?;
        let moment = |at: x509_parser::time::ASN1Time| DateTime::from_timestamp(at.timestamp(), 0);
        let not_before = moment(parsed.validity().not_before).context("a date out of range")?;
        let not_after = moment(parsed.validity().not_after).context("a date out of range")?;
        drop(parsed);
        let chain = chain.into_iter().enumerate().map(|(at, one)| if at == 0 { one } else { shared(one) }).collect();
        let key = CertifiedKey::from_der(chain, key, &crate::provider()).context("the key is not the certificate's")?;
        Ok(Self { names, not_before, not_after, key: Arc::new(key) })
    }

    /// The names that it stands for, lower case; `*.` in front of one stands for all directly below it.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it begins.
    #[must_use]
    pub fn not_before(&self) -> DateTime<Utc> {
        self.not_before
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// For rustls.
    #[must_use]
    pub fn key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

/// An issuer's certificate, kept once for all the certificates that it stands above. CAs have a handful, so what is kept is kept for
/// ever; more than `MOST` are no CA's doing and are kept by each certificate for itself.
pub(crate) fn shared(one: CertificateDer<'static>) -> CertificateDer<'static> {
    const MOST: usize = 64;
    static KNOWN: Mutex<Vec<&'static [u8]>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = known.iter().find(|k| **k == one.as_ref()) {
        return CertificateDer::from(*same);
    }
    if known.len() >= MOST {
        return one;
    }
    let kept: &'static [u8] = Box::leak(one.as_ref().into());
    known.push(kept);
    CertificateDer::from(kept)
}

fn dns_names(leaf: &x509_parser::certificate::X509Certificate<'_>) -> Result<Vec<String>> {
    let sans = leaf.subject_alternative_name().context("the certificate's names cannot be read")?;
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    Ok(sans.map(|s| s.value.general_names.iter().filter_map(dns).collect()).unwrap_or_default())
}
