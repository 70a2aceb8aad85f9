//! Whether a domain lets a CA issue for it (CAA, RFC 8659), asked before the CA is: a refusal there would cost an order of the budget.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::dns::{self, Caa, CaaAsker, Dns};

/// Asks the DNS: for a name (without `*.`), whether it is for a wildcard, and by which domains the CA is known. The answer is what
/// stands against it, in words; `None` when nothing does.
pub type Check = Arc<
    dyn Fn(String, bool, &'static [&'static str]) -> BoxFuture<'static, anyhow::Result<Option<String>>> + Send + Sync,
>;

/// Asks this DNS.
#[must_use]
pub fn by(dns: Arc<Dns>) -> Check {
    Arc::new(move |name, wildcard, issuers| {
        let dns = dns.clone();
        Box::pin(async move {
            let asker = CaaAsker { issuers, ..CaaAsker::default() };
            Ok(match dns::caa_allows(&dns, &name, wildcard, &asker).await? {
                Caa::Allowed => None,
                Caa::Refused { at, issuers } if issuers.is_empty() => {
                    Some(format!("the CAA records at {at} let no authority issue for {name}"))
                }
                Caa::Refused { at, issuers } => {
                    Some(format!("the CAA records at {at} let only {} issue for {name}", issuers.join(", ")))
                }
            })
        })
    })
}

/// By which domains a CA is known in CAA records; none for a CA that we do not know: then it is not asked beforehand.
#[must_use]
pub fn known_as(directory: &str) -> &'static [&'static str] {
    let host =
        url::Url::parse(directory).ok().and_then(|url| url.host_str().map(str::to_lowercase)).unwrap_or_default();
    let below = |domain: &str| dns::is_below(&host, domain);
    match () {
        () if below("letsencrypt.org") => &["letsencrypt.org"],
        () if below("zerossl.com") || below("sectigo.com") => &["sectigo.com", "comodoca.com"],
        () if below("pki.goog") => &["pki.goog"],
        () if below("ssl.com") => &["ssl.com"],
        () if below("actalis.com") => &["actalis.it"],
        () => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::known_as;

    #[test]
    fn cas_are_known_by_the_host_of_their_directory() {
        for (directory, domains) in [
            ("https://acme-v02.api.letsencrypt.org/directory", &["letsencrypt.org"][..]),
            ("https://dv.acme-v02.api.pki.goog/directory", &["pki.goog"]),
            ("https://acme.zerossl.com/v2/DV90", &["sectigo.com", "comodoca.com"]),
            ("https://notletsencrypt.org/directory", &[]),
            ("https://127.0.0.1:14000/dir", &[]),
            ("nothing", &[]),
        ] {
            assert_eq!(known_as(directory), domains, "{directory}");
        }
    }
}
