//! Whether a domain lets a CA issue for it (CAA, RFC 8659), asked before the CA is: a refusal there would cost an order of the budget.

use std::fmt;

use super::Directory;
use super::http::Http;
use crate::dns::{self, Caa, CaaAsker, Resolvers};

/// What the DNS is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name, without `*.`.
    pub name: &'a str,
    /// Whether the wildcard below it is meant.
    pub wildcard: bool,
    /// By which domains the CA is known.
    pub issuers: &'a [&'a str],
    /// Our account there (RFC 8657).
    pub account_uri: &'a str,
    /// The way in which the name would be proved now; none: any.
    pub method: Option<&'a str>,
}

/// What stands against it, in words and in parts. Found again in the chain of an error ([`forbids`]): it is the domain's owner who can mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbids {
    words: String,
    /// At which name the records stand; none when the CA alone has seen them.
    pub at: Option<String>,
    /// Whom they let issue, as far as that was seen.
    pub issuers: Vec<String>,
    /// The domain by which our CA is to be let in.
    pub ours: String,
    /// Our CA is among those, but for somebody else or in another way (RFC 8657).
    pub otherwise: bool,
}

impl Forbids {
    /// The CA says so, and we have not seen it.
    #[must_use]
    pub fn unseen(ours: &str) -> Self {
        let words = format!("the CAA records do not let {ours} issue");
        Self { words, at: None, issuers: Vec::new(), ours: ours.to_owned(), otherwise: false }
    }
}

impl fmt::Display for Forbids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Whether this is why a CA refuses: we saw so beforehand, or it did.
#[must_use]
pub fn forbids(source: &anyhow::Error) -> bool {
    source.is::<Forbids>() || source.chain().any(|error| error.to_string().contains("urn:ietf:params:acme:error:caa"))
}

/// What stands against it; `None` when nothing does.
///
/// # Errors
/// When the DNS does not say.
pub async fn against(dns: &Resolvers, asked: &Asked<'_>) -> Result<Option<Forbids>, dns::Silence> {
    let Asked { name, wildcard, issuers: ours, account_uri, method } = *asked;
    let methods: Vec<&str> = method.into_iter().collect();
    let known = |one: &String| ours.iter().any(|our| our.eq_ignore_ascii_case(one));
    let asker = CaaAsker { issuers: ours, accounts: &[account_uri], methods: &methods };
    let Caa::Refused { at, issuers } = dns::caa_allows(dns, name, wildcard, &asker).await? else { return Ok(None) };
    let otherwise = issuers.iter().any(known);
    let words = match (issuers.is_empty(), otherwise) {
        (true, _) => format!("the CAA records at {at} let no authority issue for {name}"),
        (_, true) => {
            let by = method.map(|method| format!(" by {method}")).unwrap_or_default();
            format!("the CAA records at {at} do not let our account {account_uri} issue for {name}{by}")
        }
        (_, false) => format!("the CAA records at {at} let only {} issue for {name}", issuers.join(", ")),
    };
    let ours = ours.first().map(|ours| (*ours).to_owned()).unwrap_or_default();
    Ok(Some(Forbids { words, at: Some(at), issuers, ours, otherwise }))
}

/// By which domains the authority at a directory knows itself in CAA records (RFC 8555, section 9.7.6); none when it does not say.
///
/// # Errors
/// When it does not answer.
pub async fn said_by(directory: &Directory) -> anyhow::Result<Vec<String>> {
    Http::new(directory)?.caa_identities(&directory.url).await
}

/// By which domains a CA is known in CAA records, where its directory does not say so itself; none for a CA that we do not know: then
/// nothing is asked beforehand.
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
