//! Companies that host DNS, known by their name servers, and how their pages want a record typed.
//!
//! Nothing depends on this table being right: an owner whose host is not in it, or has changed its pages, sees full names and `@`, which
//! most take. It was written down from what is commonly known of these hosts in 2026, and not tried with an account at each of them.

use super::is_below;

/// A company that hosts DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// A short word for it.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Where its customers set records; `{domain}` stands for the zone.
    pub url: Option<&'static str>,
    /// Its name servers are below one of these, or hold one that begins with a dot inside.
    servers: &'static [&'static str],
    /// How the zone's own name is typed.
    root: Root,
    /// Names in values need a dot at the end, or the zone's name is put behind them.
    dot: bool,
}

/// How the zone's own name is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// `@`.
    At,
    /// The field stays empty.
    Empty,
    /// All names are typed in full.
    Full,
}
use Root::{At, Empty, Full};

macro_rules! hosts {
    ($($id:literal $name:literal $url:expr, $servers:expr, $root:expr, $($flag:ident)?;)+) => {
        /// All that we know.
        pub const ALL: &[Host] = &[$(Host {
            id: $id, name: $name, url: $url, servers: &$servers, root: $root,
            dot: hosts!(@dot $($flag)?),
        }),+];
    };
    (@dot) => { false };
    (@dot dot) => { true };
}

hosts! {
    "aruba" "Aruba" Some("https://admin.aruba.it/"), ["technorail.com", "arubadns.net", "arubadns.cz"], Empty, ;
    "aws" "Amazon Route 53" Some("https://console.aws.amazon.com/route53/v2/hostedzones"), [".awsdns-"], Empty, ;
    "azure" "Azure DNS" Some("https://portal.azure.com/"),
        ["azure-dns.com", "azure-dns.net", "azure-dns.org", "azure-dns.info"], At, ;
    "bunny" "bunny.net" Some("https://dash.bunny.net/dns"), ["bunny.net"], Empty, ;
    "cloudflare" "Cloudflare" Some("https://dash.cloudflare.com/?to=/:account/{domain}/dns/records"), ["ns.cloudflare.com"], At, ;
    "desec" "deSEC" Some("https://desec.io/domains/{domain}"), ["desec.io", "desec.org"], Empty, dot;
    "digitalocean" "DigitalOcean" Some("https://cloud.digitalocean.com/networking/domains/{domain}"), ["digitalocean.com"], At, dot;
    "dnsimple" "DNSimple" Some("https://dnsimple.com/dashboard"), ["dnsimple.com", "dnsimple-edge.net", "dnsimple-edge.org"], Empty, ;
    "dynadot" "Dynadot" Some("https://www.dynadot.com/account/domain/name/list.html"), ["dynadot.com"], Empty, ;
    "gandi" "Gandi" Some("https://admin.gandi.net/domain/"), ["gandi.net"], At, dot;
    "godaddy" "GoDaddy" Some("https://dcc.godaddy.com/control/dnsmanagement?domainName={domain}"), ["domaincontrol.com"], At, ;
    "hetzner" "Hetzner" Some("https://dns.hetzner.com/"),
        ["ns.hetzner.com", "ns.hetzner.de", "second-ns.com", "second-ns.de", "first-ns.de"], At, dot;
    "hostinger" "Hostinger" Some("https://hpanel.hostinger.com/"), ["dns-parking.com"], At, ;
    "hover" "Hover" Some("https://www.hover.com/control_panel"), ["hover.com"], At, ;
    "infomaniak" "Infomaniak" Some("https://manager.infomaniak.com/"), ["infomaniak.ch", "infomaniak.com"], Empty, ;
    "inwx" "INWX" Some("https://www.inwx.com/en/nameserver2"), ["inwx.de", "inwx.eu", "inwx.com", "inwx.net"], Empty, ;
    "ionos" "IONOS" Some("https://my.ionos.com/domain-dns-settings/{domain}"), ["ui-dns.com", "ui-dns.org", "ui-dns.de", "ui-dns.biz"], At, ;
    "keliweb" "Keliweb" Some("https://clienti.keliweb.it/"), ["keliweb.com", "keliweb.it", "keliweb.net"], Full, dot;
    "namecheap" "Namecheap" Some("https://ap.www.namecheap.com/Domains/DomainControlPanel/{domain}/advancedns"),
        ["registrar-servers.com"], At, ;
    "netcup" "netcup" Some("https://www.customercontrolpanel.de/"), ["netcup.net"], At, dot;
    "netim" "Netim" Some("https://www.netim.com/direct/"), ["netim.net", "netim.com"], Empty, dot;
    "netsons" "Netsons" Some("https://www.netsons.com/clienti/"), ["netsons.net", "netsons.com"], Full, dot;
    "ns1" "NS1" Some("https://my.nsone.net/"), ["nsone.net"], Full, ;
    "one" "one.com" Some("https://www.one.com/admin/"), ["one.com"], Empty, ;
    "ovh" "OVHcloud" Some("https://www.ovh.com/manager/#/web/domain/{domain}/zone"), ["ovh.net", "ovh.ca", "anycast.me"], Empty, dot;
    "porkbun" "Porkbun" Some("https://porkbun.com/account/domainsSpeedy"), ["porkbun.com"], Empty, ;
    "register" "Register.it" Some("https://controlpanel.register.it/"), ["register.it"], Full, dot;
    "squarespace" "Squarespace" Some("https://account.squarespace.com/domains/managed/{domain}/dns/dns-settings"),
        ["squarespacedns.com", "googledomains.com"], At, ;
    "strato" "STRATO" Some("https://www.strato.de/apps/CustomerService"), ["rzone.de", "strato.de"], Empty, ;
    "transip" "TransIP" Some("https://www.transip.nl/cp/"), ["transip.net", "transip.nl", "transip.eu"], At, dot;
    "vercel" "Vercel" Some("https://vercel.com/dashboard/domains"), ["vercel-dns.com"], Empty, ;
    "wix" "Wix" Some("https://manage.wix.com/account/domains"), ["wixdns.net"], Full, ;
}

/// Whose name servers these are; none when we do not know, or when they are not all the same company's.
#[must_use]
pub fn by_servers<'a>(servers: impl IntoIterator<Item = &'a str>) -> Option<&'static Host> {
    let mut hosts = servers.into_iter().map(by_server);
    let first = hosts.next()??;
    hosts.all(|host| host == Some(first)).then_some(first)
}

fn by_server(server: &str) -> Option<&'static Host> {
    let matches = |pattern: &&str| match pattern.strip_prefix('.') {
        Some(_) => server.contains(*pattern),
        None => is_below(server, pattern),
    };
    ALL.iter().find(|host| host.servers.iter().any(matches))
}

/// How a record's name is typed.
#[must_use]
pub fn label(host: Option<&Host>, zone: &str, name: &str) -> String {
    let relative = name.strip_suffix(zone).map(|rest| rest.trim_end_matches('.'));
    match (host.map_or(At, |host| host.root), relative) {
        (Full, _) | (_, None) => name.to_owned(),
        (At, Some("")) => "@".to_owned(),
        (_, Some(relative)) => relative.to_owned(),
    }
}

/// How a name in a value is typed.
#[must_use]
pub fn value(host: Option<&Host>, name: &str) -> String {
    if host.is_some_and(|host| host.dot) { format!("{name}.") } else { name.to_owned() }
}

/// Where the zone's records are set.
#[must_use]
pub fn page(host: &Host, zone: &str) -> Option<String> {
    host.url.map(|url| url.replace("{domain}", zone))
}
