//! The `host:port` of a CONNECT: a name of the Internet's, or nothing.

use super::refusal::Refusal;

/// Names that mean something in somebody's own network, or nowhere (RFC 6761, 6762, 7686, 8375, 9476, and what is common).
const LOCAL: &[&str] = &[
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "onion",
    "alt",
    "invalid",
];

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// In lower case, A-labels, without a dot at the end.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
}

impl Target {
    /// Reads an authority. Whatever browsers would take for an address is one, in every spelling.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let (host, port) = text.rsplit_once(':').ok_or(Refusal::Malformed)?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::Malformed);
        }
        let port: u16 = port.parse().map_err(|_| Refusal::Malformed)?;
        if port == 0 {
            return Err(Refusal::Port);
        }
        Ok(Self { host: name(host)?, port })
    }
}

/// A host's name in its one form.
pub(super) fn name(text: &str) -> Result<String, Refusal> {
    if text.starts_with('[') || text.contains(':') {
        return Err(Refusal::Literal);
    }
    // Nothing that is decoded once more further on, or that belongs to another part of an address.
    if text.is_empty() || text.contains(['%', '@', '/', '\\', '?', '#', ' ']) {
        return Err(Refusal::NoName);
    }
    // IDNA, full-width forms, and numbers (decimal, octal, hexadecimal, short) that are an IPv4 address.
    let host = match url::Host::parse(text).map_err(|_| wrong(text))? {
        url::Host::Domain(host) => host,
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => return Err(Refusal::Literal),
    };
    let host = host.strip_suffix('.').unwrap_or(&host);
    let whole = host.len() <= 253 && host.split('.').all(is_label);
    let last = host.rsplit('.').next().unwrap_or_default();
    if !whole || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::NoName);
    }
    if !host.contains('.') || LOCAL.contains(&last) {
        return Err(Refusal::LocalName);
    }
    Ok(host.to_owned())
}

/// Numbers that are almost an address (`1.2.3.4.5`, `256.1.1.1`) are none, and no name either.
fn wrong(text: &str) -> Refusal {
    let numeric =
        text.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_numeric()));
    if numeric { Refusal::Literal } else { Refusal::NoName }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_in_one_form_only() {
        for (text, host) in [
            ("example.org:443", "example.org"),
            ("EXAMPLE.Org.:443", "example.org"),
            ("bücher.example.org:443", "xn--bcher-kva.example.org"),
            ("ｅｘａｍｐｌｅ.org:443", "example.org"),
            ("_mta.example.org:443", "_mta.example.org"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.host).as_deref(), Ok(host), "{text}");
        }
    }

    #[test]
    fn no_spelling_of_an_address_is_a_name() {
        for (text, why) in [
            ("127.0.0.1:80", Refusal::Literal),
            ("127.0.0.1.:80", Refusal::Literal),
            ("2130706433:80", Refusal::Literal),
            ("0x7f000001:80", Refusal::Literal),
            ("0177.0.0.1:80", Refusal::Literal),
            ("127.1:80", Refusal::Literal),
            ("0:80", Refusal::Literal),
            ("１２７.０.０.１:80", Refusal::Literal),
            ("127。0。0。1:80", Refusal::Literal),
            ("[::1]:80", Refusal::Literal),
            ("::1:80", Refusal::Literal),
            ("[fe80::1%25eth0]:80", Refusal::Literal),
            ("256.1.1.1:80", Refusal::Literal),
            ("1.2.3.4.5:80", Refusal::Literal),
            ("127.0.0.1%00.example.org:80", Refusal::NoName),
            ("a@example.org:80", Refusal::NoName),
            ("example.org/x:80", Refusal::NoName),
            ("-a.example.org:80", Refusal::NoName),
            ("a..example.org:80", Refusal::NoName),
            (":80", Refusal::NoName),
            ("localhost:80", Refusal::LocalName),
            ("LOCALHOST.:80", Refusal::LocalName),
            ("printer:80", Refusal::LocalName),
            ("a.localhost:80", Refusal::LocalName),
            ("nas.local:80", Refusal::LocalName),
            ("metadata.google.internal:80", Refusal::LocalName),
            ("router.home.arpa:80", Refusal::LocalName),
            ("1.0.0.127.in-addr.arpa:80", Refusal::LocalName),
            ("x.onion:80", Refusal::LocalName),
            ("example.org:0", Refusal::Port),
            ("example.org:", Refusal::Malformed),
            ("example.org", Refusal::Malformed),
            ("example.org:65536", Refusal::Malformed),
            ("example.org:+80", Refusal::Malformed),
            ("example.org:８０", Refusal::Malformed),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text}");
        }
    }
}
