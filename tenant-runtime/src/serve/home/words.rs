//! What a person at home is told about the certificate, on the terminal.

use std::{fmt::Write, path::Path, time::Duration};

use bundle::Domain;
use chrono::{DateTime, Utc};
use tls::acme::{Error, caa};

/// The authority's name for people: its host.
pub(super) fn authority(directory: &str) -> String {
    let url = url::Url::parse(directory).ok();
    let host = url.as_ref().and_then(|u| u.host_str()).unwrap_or(directory);
    if host.ends_with(".letsencrypt.org") { "Let's Encrypt".to_owned() } else { host.to_owned() }
}

pub(super) fn day(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// How to trust the local authority.
pub(super) fn own_root(root: &Path, domain: &Domain) -> String {
    let root = root.display();
    format!(
        "Its certificate is signed by a root of its own: {root}\n\
         Trust that file once, and browsers show no warning:\n  \
         Debian, Ubuntu   sudo cp {root} /usr/local/share/ca-certificates/percloud.crt && sudo update-ca-certificates\n  \
         Firefox          Settings > Privacy & Security > View Certificates > Authorities > Import\n  \
         macOS, Windows   open the file and choose to trust it\n  \
         Android, iPhone  send the file to the phone, open it, then allow it in the security settings\n\
         (It can vouch for {domain} only, and its key never leaves this folder.)\n"
    )
}

pub(super) fn waiting(domain: &Domain, authority: &str) -> String {
    format!(
        "It has no certificate that browsers trust yet; {authority} is being asked for one.\n\
         That takes a minute when {domain} leads to this machine. Until then it shows one that it signed itself,\n\
         and browsers warn."
    )
}

pub(super) fn no_plain_port(port: u16, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "this program may not take it (start it by systemd with AmbientCapabilities=CAP_NET_BIND_SERVICE, or as root)"
                .to_owned()
        }
        std::io::ErrorKind::AddrInUse => "another program has it".to_owned(),
        _ => error.to_string(),
    };
    format!(
        "Port {port} is not listened on: {why}. The certificate can still be got over the https port, if that is 443 outside."
    )
}

pub(super) fn got(domain: &Domain, authority: &str, until: DateTime<Utc>) -> String {
    format!("{domain} has a certificate of {authority}, good until {}. It will be renewed in time.", day(until))
}

pub(super) fn not_kept(domain: &Domain, at: &Path, error: &anyhow::Error) -> String {
    format!(
        "The certificate of {domain} is in use, but cannot be written to {}: {error:#}.\n\
         Make room, or let this program write there: until then it is lost when this program ends, and authorities make only a few a week.",
        at.display()
    )
}

pub(super) async fn failed(
    domain: &Domain,
    authority: &str,
    error: &Error,
    pause: Duration,
    good_until: Option<DateTime<Utc>>,
) -> String {
    let mut said = match error {
        Error::Away { .. } | Error::Limited { .. } => format!("{authority} gives no certificate for {domain} now"),
        Error::NotValidated { .. } => format!("{authority} did not find this percloud at {domain}"),
        Error::Refused(_) => format!("{authority} refuses a certificate for {domain}"),
    };
    match error {
        // Not asked: the domain's own records say so.
        Error::Refused(source) if source.is::<caa::Forbids>() => {
            let _ = writeln!(
                said,
                ", or would: {source}.\n  Whoever keeps the domain's DNS can change or delete that entry; it is looked at again before the \
                 next try."
            );
        }
        _ => {
            let _ = writeln!(said, ".\n  It says: {}", error.words());
        }
    }
    if matches!(error, Error::NotValidated { .. }) {
        let _ = writeln!(
            said,
            "  {}\n  The name has to lead to this machine from everywhere, and ports 80 and 443 have to be open and, behind a\n  \
             router, be forwarded to it.",
            leads_to(domain).await
        );
    }
    if let Some(until) = good_until {
        let _ = writeln!(said, "  The present certificate is good until {}.", day(until));
    }
    let _ = write!(said, "  Next try in {}.", how_long(pause));
    said
}

async fn leads_to(domain: &Domain) -> String {
    let found = tokio::net::lookup_host((domain.as_str(), 443)).await;
    let mut addresses: Vec<String> = found.into_iter().flatten().map(|at| at.ip().to_string()).collect();
    addresses.dedup();
    if addresses.is_empty() {
        return format!("Seen from here, {domain} leads nowhere: DNS has no address for it.");
    }
    format!("Seen from here, {domain} leads to {}.", addresses.join(" and "))
}

fn how_long(pause: Duration) -> String {
    match pause.as_secs().div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes @ ..120 => format!("{minutes} minutes"),
        minutes => format!("{} hours", (minutes + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_names_and_spans() {
        assert_eq!(authority(tls::acme::LETS_ENCRYPT), "Let's Encrypt");
        assert_eq!(authority("https://ca.example/acme/directory"), "ca.example");
        let spans = [1, 60, 600, 6000, 86_400].map(|s| how_long(Duration::from_secs(s)));
        assert_eq!(spans, ["a minute", "a minute", "10 minutes", "100 minutes", "24 hours"]);
    }
}
