//! Which public CAs are asked, and how names are proved to them: what an operator says on the command line or in the environment.
//!
//! Secrets come from files or from the environment, never from the command line, which is public. `percloud up` reads the files (it may be
//! root, roles are not) and hands what is in them to the reconcile role alone.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tls::acme::{Directory, Eab, Kind, dns};

use super::acme::{Ways, budgets::Budgets};

/// Certificates of public CAs. Without a directory all certificates come from the local CA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
#[group(id = "certificates")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// The ACME directory of the public CA to ask first, e.g. `https://acme-v02.api.letsencrypt.org/directory`; `none` for the local CA alone.
    #[arg(long, env = "PERCLOUD_ACME_DIRECTORY", value_name = "URL")]
    pub acme_directory: Option<String>,
    /// Where the CA may write to when something is wrong with the account.
    #[arg(long, env = "PERCLOUD_ACME_EMAIL", value_name = "ADDRESS")]
    pub acme_email: Option<String>,
    /// Which of the CA's profiles to ask for, e.g. tlsserver.
    #[arg(long, env = "PERCLOUD_ACME_PROFILE", value_name = "NAME")]
    pub acme_profile: Option<String>,
    /// The key id with which the CA knows its customer (external account binding).
    #[arg(long, env = "PERCLOUD_ACME_EAB_KID", value_name = "ID")]
    pub acme_eab_kid: Option<String>,
    /// A file with the key for it, base64url as the CA hands it out (or the key itself in PERCLOUD_ACME_EAB_KEY).
    #[arg(long, env = "PERCLOUD_ACME_EAB_KEY_FILE", value_name = "FILE")]
    pub acme_eab_key: Option<PathBuf>,
    /// The ACME directory of a second CA, asked when the first is away or refuses.
    #[arg(long, env = "PERCLOUD_ACME_FALLBACK_DIRECTORY", value_name = "URL")]
    pub acme_fallback_directory: Option<String>,
    /// Which of the second CA's profiles to ask for.
    #[arg(long, env = "PERCLOUD_ACME_FALLBACK_PROFILE", value_name = "NAME")]
    pub acme_fallback_profile: Option<String>,
    /// The key id with which the second CA knows its customer.
    #[arg(long, env = "PERCLOUD_ACME_FALLBACK_EAB_KID", value_name = "ID")]
    pub acme_fallback_eab_kid: Option<String>,
    /// A file with the key for it (or the key itself in PERCLOUD_ACME_FALLBACK_EAB_KEY).
    #[arg(long, env = "PERCLOUD_ACME_FALLBACK_EAB_KEY_FILE", value_name = "FILE")]
    pub acme_fallback_eab_key: Option<PathBuf>,
    /// A PEM file with the root that the CAs' own HTTPS (and the DNS hook's) has, in a closed network.
    #[arg(long, env = "PERCLOUD_ACME_ROOT", value_name = "FILE")]
    pub acme_root: Option<PathBuf>,
    /// How names are proved through the edge, the best first: http-01 (plain HTTP at port 80; with `up` only beside `--http-port`, unless it
    /// is named here) and tls-alpn-01 (port 443).
    #[arg(long, env = "PERCLOUD_ACME_CHALLENGES", value_delimiter = ',', value_name = "KIND")]
    pub acme_challenges: Vec<String>,
    /// Orders that an account may make within three hours (300 unless given; a CA may have agreed to more).
    #[arg(long, env = "PERCLOUD_ACME_ORDERS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub acme_orders: Option<u32>,
    /// Orders that all accounts together may make within three hours (1000 unless given, or what two accounts may, where that is more).
    #[arg(long, env = "PERCLOUD_ACME_ORDERS_IN_ALL", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub acme_orders_in_all: Option<u32>,
    /// The DNS server that takes updates (RFC 2136) for the base domain's zone, as host or host:port: for the wildcard.
    #[arg(long, env = "PERCLOUD_DNS_UPDATE", value_name = "SERVER", conflicts_with = "dns_hook")]
    pub dns_update: Option<String>,
    /// A file with the key that signs updates: `hmac-sha256:NAME:BASE64` (or that in PERCLOUD_DNS_UPDATE_KEY).
    #[arg(long, env = "PERCLOUD_DNS_UPDATE_KEY_FILE", value_name = "FILE")]
    pub dns_update_key: Option<PathBuf>,
    /// A URL that publishes and removes TXT records for us, where the DNS takes no updates: for the wildcard.
    #[arg(long, env = "PERCLOUD_DNS_HOOK", value_name = "URL")]
    pub dns_hook: Option<String>,
    /// A file with the bearer token for it (or the token itself in PERCLOUD_DNS_HOOK_TOKEN).
    #[arg(long, env = "PERCLOUD_DNS_HOOK_TOKEN_FILE", value_name = "FILE")]
    pub dns_hook_token: Option<PathBuf>,
}

/// The environment's names of what is secret or a file: contents are handed to a role that may not read the file.
const EAB_KEY: &str = "PERCLOUD_ACME_EAB_KEY";
const FALLBACK_EAB_KEY: &str = "PERCLOUD_ACME_FALLBACK_EAB_KEY";
const ROOT_PEM: &str = "PERCLOUD_ACME_ROOT_PEM";
const DNS_UPDATE_KEY: &str = "PERCLOUD_DNS_UPDATE_KEY";
const DNS_HOOK_TOKEN: &str = "PERCLOUD_DNS_HOOK_TOKEN";

/// What [`Options`] say, read and checked.
#[derive(Clone)]
pub struct Settings {
    /// The CAs, in the order in which they are asked.
    pub directories: Vec<Directory>,
    /// For the CAs.
    pub email: Option<String>,
    /// How names are proved.
    pub ways: Ways,
    /// What may be ordered.
    pub budgets: Budgets,
}

impl Settings {
    /// How names are proved through the edge, for people; none without a public CA.
    #[must_use]
    pub fn said_ways(&self) -> Option<String> {
        let ways: Vec<&str> = self.ways.edge.iter().map(|kind| kind.as_str()).collect();
        (!self.directories.is_empty()).then(|| ways.join(", then "))
    }
}

impl Options {
    /// Whether there is a public CA.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.acme_directory.as_deref().is_some_and(|url| !url.is_empty() && url != "none")
    }

    /// The same for an edge that does or does not listen for plain HTTP: where no ways of proving names were given, only those that it can
    /// answer.
    #[must_use]
    pub fn answered(&self, plain_http: bool) -> Self {
        let only = !plain_http && self.acme_challenges.is_empty() && self.is_public();
        let only = only.then(|| vec![Kind::TlsAlpn01.as_str().to_owned()]);
        Self { acme_challenges: only.unwrap_or_else(|| self.acme_challenges.clone()), ..self.clone() }
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the reconcile role is handed: its environment, with the contents of files in place of the files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let plain = [
            ("PERCLOUD_ACME_DIRECTORY", self.acme_directory.clone()),
            ("PERCLOUD_ACME_EMAIL", self.acme_email.clone()),
            ("PERCLOUD_ACME_PROFILE", self.acme_profile.clone()),
            ("PERCLOUD_ACME_EAB_KID", self.acme_eab_kid.clone()),
            (EAB_KEY, secret(EAB_KEY, self.acme_eab_key.as_ref())?),
            ("PERCLOUD_ACME_FALLBACK_DIRECTORY", self.acme_fallback_directory.clone()),
            ("PERCLOUD_ACME_FALLBACK_PROFILE", self.acme_fallback_profile.clone()),
            ("PERCLOUD_ACME_FALLBACK_EAB_KID", self.acme_fallback_eab_kid.clone()),
            (FALLBACK_EAB_KEY, secret(FALLBACK_EAB_KEY, self.acme_fallback_eab_key.as_ref())?),
            (ROOT_PEM, secret(ROOT_PEM, self.acme_root.as_ref())?),
            ("PERCLOUD_ACME_CHALLENGES", (!self.acme_challenges.is_empty()).then(|| self.acme_challenges.join(","))),
            ("PERCLOUD_ACME_ORDERS", self.acme_orders.map(|orders| orders.to_string())),
            ("PERCLOUD_ACME_ORDERS_IN_ALL", self.acme_orders_in_all.map(|orders| orders.to_string())),
            ("PERCLOUD_DNS_UPDATE", self.dns_update.clone()),
            (DNS_UPDATE_KEY, secret(DNS_UPDATE_KEY, self.dns_update_key.as_ref())?),
            ("PERCLOUD_DNS_HOOK", self.dns_hook.clone()),
            (DNS_HOOK_TOKEN, secret(DNS_HOOK_TOKEN, self.dns_hook_token.as_ref())?),
        ];
        Ok(plain.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// The root that the CAs' own HTTPS has, where it is a private one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn root_pem(&self) -> anyhow::Result<Option<String>> {
        secret(ROOT_PEM, self.acme_root.as_ref())
    }

    /// Makes paths absolute: roles run in `/`.
    ///
    /// # Errors
    /// When there is no current folder.
    pub fn absolute(mut self) -> anyhow::Result<Self> {
        for path in [
            &mut self.acme_eab_key,
            &mut self.acme_fallback_eab_key,
            &mut self.acme_root,
            &mut self.dns_update_key,
            &mut self.dns_hook_token,
        ] {
            *path = path.take().map(std::path::absolute).transpose()?;
        }
        Ok(self)
    }

    /// Reads what is meant.
    ///
    /// # Errors
    /// When a file cannot be read or something makes no sense; the words name the option.
    pub fn read(&self, base_domain: &str) -> anyhow::Result<Settings> {
        Ok(Settings {
            directories: self.directories()?,
            email: self.acme_email.clone(),
            ways: Ways { edge: self.kinds()?, dns: self.dns()?, base_domain: base_domain.to_owned() },
            budgets: self.budgets(),
        })
    }

    /// What may be ordered.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        Budgets::of(self.acme_orders, self.acme_orders_in_all)
    }

    fn directories(&self) -> anyhow::Result<Vec<Directory>> {
        if !self.is_public() {
            ensure!(self.acme_fallback_directory.is_none(), "--acme-fallback-directory needs --acme-directory");
            return Ok(Vec::new());
        }
        let root_pem = self.root_pem()?;
        let one = |option: &str, url: &Option<String>, profile: &Option<String>, eab: Option<Eab>| {
            let Some(url) = url.clone() else { return Ok(None) };
            let parsed = url::Url::parse(&url).with_context(|| format!("{option} is not a URL"))?;
            ensure!(parsed.scheme() == "https", "{option}: an ACME directory is an https:// URL");
            Ok(Some(Directory { url, profile: profile.clone(), eab, root_pem: root_pem.clone() }))
        };
        let eab = eab("--acme-eab", &self.acme_eab_kid, secret(EAB_KEY, self.acme_eab_key.as_ref())?)?;
        let first = one("--acme-directory", &self.acme_directory, &self.acme_profile, eab)?;
        let key = secret(FALLBACK_EAB_KEY, self.acme_fallback_eab_key.as_ref())?;
        let eab = self::eab("--acme-fallback-eab", &self.acme_fallback_eab_kid, key)?;
        let second = one("--acme-fallback-directory", &self.acme_fallback_directory, &self.acme_fallback_profile, eab)?;
        Ok(first.into_iter().chain(second).collect())
    }

    fn kinds(&self) -> anyhow::Result<Vec<Kind>> {
        if self.acme_challenges.is_empty() {
            return Ok(vec![Kind::Http01, Kind::TlsAlpn01]);
        }
        let kind = |text: &String| match text.trim() {
            "http-01" => Ok(Kind::Http01),
            "tls-alpn-01" => Ok(Kind::TlsAlpn01),
            other => anyhow::bail!("--acme-challenges: http-01 or tls-alpn-01, not {other}"),
        };
        self.acme_challenges.iter().map(kind).collect()
    }

    fn dns(&self) -> anyhow::Result<Option<Arc<dyn dns::Txt>>> {
        if let Some(server) = &self.dns_update {
            let key =
                secret(DNS_UPDATE_KEY, self.dns_update_key.as_ref())?.context("--dns-update needs --dns-update-key")?;
            return Ok(Some(Arc::new(dns::Update::new(server, &key).context("--dns-update")?)));
        }
        let Some(url) = &self.dns_hook else { return Ok(None) };
        let token =
            secret(DNS_HOOK_TOKEN, self.dns_hook_token.as_ref())?.context("--dns-hook needs --dns-hook-token")?;
        let root_pem = self.root_pem()?;
        Ok(Some(Arc::new(dns::Hook::new(url, &token, root_pem.as_deref()).context("--dns-hook")?)))
    }
}

fn eab(option: &str, kid: &Option<String>, key: Option<String>) -> anyhow::Result<Option<Eab>> {
    match (kid, key) {
        (None, None) => Ok(None),
        (Some(kid), Some(hmac_base64url)) => Ok(Some(Eab { kid: kid.clone(), hmac_base64url })),
        _ => anyhow::bail!("{option}-kid and {option}-key belong together"),
    }
}

/// A file's content without white space around it; from the environment where there is no file.
fn secret(variable: &str, file: Option<&PathBuf>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(std::env::var(variable).ok().filter(|value| !value.is_empty())) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut Options)) -> anyhow::Result<Settings> {
        let mut options = Options { acme_directory: Some("https://ca.example/dir".into()), ..Options::default() };
        change(&mut options);
        options.read("percloud.example")
    }

    #[test]
    fn the_first_ca_the_second_and_none() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "c2VjcmV0\n").unwrap();
        let both = read(|options| {
            options.acme_fallback_directory = Some("https://other.example/dir".into());
            options.acme_fallback_eab_kid = Some("k1".into());
            options.acme_fallback_eab_key = Some(key.clone());
            options.acme_challenges = vec!["tls-alpn-01".into()];
        });
        let both = both.unwrap();
        assert_eq!(both.directories.len(), 2);
        assert_eq!(both.directories[1].eab.as_ref().unwrap().hmac_base64url, "c2VjcmV0", "without the line's end");
        assert_eq!(both.ways.edge, [Kind::TlsAlpn01]);
        assert!(read(|options| options.acme_directory = Some("none".into())).unwrap().directories.is_empty());
    }

    #[test]
    fn only_ways_that_the_edge_can_answer_are_tried_unless_they_are_named() {
        use Kind::{Http01, TlsAlpn01};
        for (named, plain_http, ways) in [
            (&[][..], true, &[Http01, TlsAlpn01][..]),
            (&[], false, &[TlsAlpn01]),
            (&["http-01"], false, &[Http01]),
            (&["tls-alpn-01", "http-01"], true, &[TlsAlpn01, Http01]),
        ] {
            let settings = read(|options| {
                options.acme_challenges = named.iter().map(|kind| (*kind).to_owned()).collect();
                *options = options.answered(plain_http);
            });
            assert_eq!(settings.unwrap().ways.edge, ways, "{named:?} {plain_http}");
        }
        let handed_on = Options { acme_directory: Some("https://ca.example/dir".into()), ..Options::default() };
        let handed_on = handed_on.answered(false).environment().unwrap();
        assert!(handed_on.contains(&("PERCLOUD_ACME_CHALLENGES".into(), "tls-alpn-01".into())), "{handed_on:?}");
        assert!(Options::default().answered(false).is_empty(), "without a public CA nothing is proved");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (change, word) in [
            ((|o| o.acme_directory = Some("http://ca.example".into())) as fn(&mut Options), "--acme-directory"),
            (|o| o.acme_fallback_directory = Some("ca".into()), "--acme-fallback-directory"),
            (|o| o.acme_eab_kid = Some("k".into()), "--acme-eab-key"),
            (|o| o.acme_challenges = vec!["dns-01".into()], "--acme-challenges"),
            (|o| o.dns_update = Some("127.0.0.1".into()), "--dns-update-key"),
            (|o| o.dns_hook = Some("https://hook.example".into()), "--dns-hook-token"),
            (|o| o.acme_root = Some("/nowhere".into()), "/nowhere"),
        ] {
            let Err(error) = read(change) else { panic!("{word} is taken") };
            assert!(format!("{error:#}").contains(word), "{word}: {error:#}");
        }
    }

    #[test]
    fn a_role_is_handed_contents_and_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "s3cret").unwrap();
        let options = Options {
            dns_hook: Some("https://hook.example".into()),
            dns_hook_token: Some(token),
            acme_orders: Some(1000),
            acme_orders_in_all: Some(1500),
            ..Options::default()
        };
        let environment = options.environment().unwrap();
        let pairs: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("PERCLOUD_ACME_ORDERS", "1000"),
                ("PERCLOUD_ACME_ORDERS_IN_ALL", "1500"),
                ("PERCLOUD_DNS_HOOK", "https://hook.example"),
                ("PERCLOUD_DNS_HOOK_TOKEN", "s3cret")
            ]
        );
    }
}
