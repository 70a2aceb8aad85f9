//! At home with a certificate of a public authority: the options of `serve --acme`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use bundle::Domain;
use clap::Args;
use tls::acme::{Directory, Eab, LETS_ENCRYPT};

use crate::serve::home::acme::Options;

/// Where a public certificate comes from.
#[derive(Debug, Args)]
pub(super) struct Acme {
    /// Get a certificate that every browser trusts, and renew it; the authority writes to this address if need be. This says
    /// yes to the authority's terms of service
    #[arg(long, value_name = "EMAIL", conflicts_with = "activated")]
    acme: Option<String>,
    /// The authority's ACME directory; Let's Encrypt, unless said otherwise
    #[arg(long, value_name = "URL", default_value = LETS_ENCRYPT, requires = "acme")]
    acme_directory: String,
    /// A file with the root that the authority's own HTTPS is checked against, for one of a closed network
    #[arg(long, value_name = "FILE", requires = "acme")]
    acme_root: Option<PathBuf>,
    /// Which of the authority's profiles to ask for, e.g. shortlived
    #[arg(long, value_name = "NAME", requires = "acme")]
    acme_profile: Option<String>,
    /// How the authority knows its customer already (external account binding)
    #[arg(long, value_name = "ID", requires = "acme_eab_key_file")]
    acme_eab_kid: Option<String>,
    /// The file with the key that belongs to it
    #[arg(long, value_name = "FILE", requires = "acme_eab_kid")]
    acme_eab_key_file: Option<PathBuf>,
    /// The port for the authority's questions and for redirecting to https; the world must reach it as port 80
    #[arg(long, value_name = "PORT", default_value_t = 80, requires = "acme")]
    http_port: u16,
    /// A DNS resolver, as IP or IP:PORT, to ask whether the domain lets the authority issue (CAA); the machine's own unless given
    #[arg(long = "dns-server", value_name = "IP[:PORT]", value_delimiter = ',', value_parser = tls::dns::server, requires = "acme")]
    dns_servers: Vec<SocketAddr>,
}

impl Acme {
    /// Whether a public certificate is wanted at all.
    pub(super) fn wanted(&self) -> bool {
        self.acme.is_some()
    }

    pub(super) fn options(self, domain: &Domain) -> anyhow::Result<Option<Options>> {
        let Some(email) = self.acme else { return Ok(None) };
        ensure!(email.contains('@'), "--acme wants an e-mail address, not {email:?}");
        let name = domain.as_str();
        ensure!(
            !name.ends_with(".localhost") && name != "localhost",
            "no authority gives a certificate for {name}: it means another machine everywhere; leave --acme out"
        );
        let root_pem = self
            .acme_root
            .map(|path| std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display())));
        let eab = match (self.acme_eab_kid, self.acme_eab_key_file) {
            (Some(kid), Some(file)) => {
                let key = String::from_utf8(tls::files::read_secret(&file)?)?;
                Some(Eab { kid, hmac_base64url: key.trim().to_owned() })
            }
            _ => None,
        };
        let directory =
            Directory { url: self.acme_directory, profile: self.acme_profile, eab, root_pem: root_pem.transpose()? };
        Ok(Some(Options { email, directory, http_port: self.http_port, dns_servers: self.dns_servers }))
    }
}
