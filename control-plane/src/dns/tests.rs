//! What can be told without asking anybody.

use super::is_public;
use super::{hosts, zone};

#[test]
fn only_the_internets_addresses_are_public() {
    for public in [
        "1.1.1.1",
        "9.9.9.9",
        "100.63.255.255",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
    for private in [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::1",
        "3fff::1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
}

#[test]
fn what_was_bought_is_told_from_what_a_company_gives_away() {
    for (host, bought) in [
        ("ada.it", "ada.it"),
        ("me.ada.co.uk", "ada.co.uk"),
        ("ada.duckdns.org", "duckdns.org"),
        ("www.ada.duckdns.org", "duckdns.org"),
        ("duckdns.org", "duckdns.org"),
        ("ada.github.io", "github.io"),
        ("ada.blogspot.com", "blogspot.com"),
        ("me.ada.uk.com", "uk.com"),
        ("me.ada.test", "ada.test"),
    ] {
        assert_eq!(zone::registered(host), bought, "{host}");
    }
}

#[test]
fn a_host_is_known_by_its_servers_and_wants_names_typed_its_way() {
    let known = |servers: &[&str]| hosts::by_servers(servers.iter().copied()).map(|host| host.id);
    assert_eq!(known(&["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"]), Some("cloudflare"));
    assert_eq!(known(&["ns-1.awsdns-01.org", "ns-2.awsdns-22.co.uk"]), Some("aws"));
    assert_eq!(known(&["dns.technorail.com", "dns3.arubadns.net"]), Some("aruba"));
    assert_eq!(known(&["ns.evilcloudflare.com"]), None);
    assert_eq!(known(&["ns1.evil.test"]), None);
    assert_eq!(known(&["a.ns.cloudflare.com", "ns1.gandi.net"]), None, "two companies at once");
    assert_eq!(known(&[]), None);
    let host = |id: &str| hosts::ALL.iter().find(|host| host.id == id);
    for (id, root, sub, value) in [
        ("cloudflare", "@", "www", "t.edge.p.test"),
        ("gandi", "@", "www", "t.edge.p.test."),
        ("ovh", "", "www", "t.edge.p.test."),
        ("register", "ada.it", "www.ada.it", "t.edge.p.test."),
        ("nobody", "@", "www", "t.edge.p.test"),
    ] {
        assert_eq!(hosts::label(host(id), "ada.it", "ada.it"), root, "{id}");
        assert_eq!(hosts::label(host(id), "ada.it", "www.ada.it"), sub, "{id}");
        assert_eq!(hosts::value(host(id), "t.edge.p.test"), value, "{id}");
    }
    let page = hosts::page(host("godaddy").unwrap(), "ada.it");
    assert_eq!(page.as_deref(), Some("https://dcc.godaddy.com/control/dnsmanagement?domainName=ada.it"));
    let mut ids: Vec<_> = hosts::ALL.iter().map(|host| host.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), hosts::ALL.len());
}
