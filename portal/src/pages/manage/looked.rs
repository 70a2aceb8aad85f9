use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// A sentence that the control plane chose: a key and what fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// The message's key.
    pub key: String,
    /// What goes into it.
    pub args: BTreeMap<String, String>,
}

impl Words {
    pub(super) fn sample(key: &str, args: &[(&str, &str)]) -> Self {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { key: key.to_owned(), args }
    }
}

/// An entry that the owner sets.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// `TXT`, `A`, `AAAA` or `CNAME`.
    pub kind: String,
    /// The full name.
    pub host: String,
    /// The name as it is typed at the place where entries are set.
    pub label: String,
    /// The value as it is typed there.
    pub value: String,
    /// It goes without.
    pub optional: bool,
    /// `ok`, `missing`, `wrong` or `unknown`.
    pub state: &'static str,
    /// How it is, in words.
    pub words: Words,
}

/// Who keeps the domain's entries.
#[derive(Clone, Debug, Serialize)]
pub struct DnsHost {
    /// Its name.
    pub name: String,
    /// Where its customers set entries.
    pub url: Option<String>,
    /// How that is done there: a key, for those that we know.
    pub steps: Option<&'static str>,
}

/// The hosts for which there are steps in words; everybody else gets the general ones.
const STEPS: [(&str, &str); 12] = [
    ("aruba", "domain.where.aruba"),
    ("aws", "domain.where.aws"),
    ("cloudflare", "domain.where.cloudflare"),
    ("gandi", "domain.where.gandi"),
    ("godaddy", "domain.where.godaddy"),
    ("hetzner", "domain.where.hetzner"),
    ("ionos", "domain.where.ionos"),
    ("namecheap", "domain.where.namecheap"),
    ("ovh", "domain.where.ovh"),
    ("porkbun", "domain.where.porkbun"),
    ("register", "domain.where.register"),
    ("squarespace", "domain.where.squarespace"),
];

impl DnsHost {
    /// A host by the short word that the control plane has for it.
    #[must_use]
    pub fn new(id: &str, name: String, url: Option<String>) -> Self {
        let steps = STEPS.iter().find(|(known, _)| *known == id).map(|(_, key)| *key);
        Self { name, url: url.filter(|url| url.starts_with("https://")), steps }
    }
}

/// How long ago something was, where people watch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Checked {
    /// `now`, `seconds`, `minutes` or `date`.
    pub unit: &'static str,
    /// How many of them.
    pub n: i64,
    /// The moment.
    pub at: DateTime<Utc>,
}

impl Checked {
    /// As it is said at `now`.
    #[must_use]
    pub fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let seconds = (now - at).num_seconds().max(0);
        let (unit, n) = match seconds {
            0..3 => ("now", 0),
            3..60 => ("seconds", seconds),
            60..3600 => ("minutes", seconds / 60),
            _ => ("date", 0),
        };
        Self { unit, n, at }
    }
}

/// What the last look at the domain's entries found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Looked {
    /// The entries; none before the first look.
    pub records: Vec<Record>,
    /// How many of those that are needed are right.
    pub right: usize,
    /// How many are needed.
    pub needed: usize,
    /// Whether there are some that it goes without.
    pub optional: bool,
    /// What else there is to say.
    pub notices: Vec<Words>,
    /// Who keeps the entries, where we know.
    pub host: Option<DnsHost>,
    /// Where all is set with one click; none where that is not offered.
    pub connect: Option<String>,
    /// When that was.
    pub checked: Option<Checked>,
}

impl Looked {
    /// Counts what is right.
    #[must_use]
    pub fn new(records: Vec<Record>) -> Self {
        let needed = records.iter().filter(|record| !record.optional);
        let (right, needed) = (needed.clone().filter(|record| record.state == "ok").count(), needed.count());
        let optional = records.len() > needed;
        Self { records, right, needed, optional, ..Self::default() }
    }

    pub(super) fn samples() -> [Self; 3] {
        let record = |kind: &str, label: &str, value: &str, state, words| Record {
            kind: kind.into(),
            host: format!("{label}.bücher.example"),
            label: label.into(),
            value: value.into(),
            optional: label == "www",
            state,
            words,
        };
        let target = "t-k3fq81zak3fq81zak3fq81zak3.edge.percloud.localhost";
        let at = DateTime::UNIX_EPOCH;
        let half = Self {
            host: Some(DnsHost::new("cloudflare", "Cloudflare".into(), Some("https://dash.cloudflare.com/".into()))),
            connect: Some("https://dash.cloudflare.com/domainconnect".into()),
            checked: Some(Checked::new(at, at + TimeDelta::seconds(5))),
            ..Self::new(vec![
                record(
                    "TXT",
                    "_percloud-challenge",
                    "percloud-verification=k3fq81zak3fq81zak3fq81zak3",
                    "ok",
                    Words::sample("domain.record.ok", &[]),
                ),
                record(
                    "A",
                    "@",
                    "192.0.2.1",
                    "wrong",
                    Words::sample(
                        "domain.record.points-elsewhere",
                        &[("found", "203.0.113.9"), ("kind", "A"), ("value", "192.0.2.1")],
                    ),
                ),
                record("AAAA", "@", "2001:db8::1", "missing", Words::sample("domain.record.missing", &[])),
                record("CNAME", "www", target, "wrong", Words::sample("domain.record.proxied", &[])),
            ])
        };
        let bad = Self {
            host: Some(DnsHost::new("corner-shop", "Corner Shop".into(), None)),
            checked: Some(Checked::new(at, at + TimeDelta::minutes(3))),
            notices: vec![
                Words::sample("domain.notice.taken", &[]),
                Words::sample(
                    "domain.notice.caa",
                    &[
                        ("at", "bücher.example"),
                        ("issuers", "ca.example, other-ca.example"),
                        ("ours", "letsencrypt.org"),
                    ],
                ),
                Words::sample("domain.notice.aaaa-elsewhere", &[("found", "2001:db8::9")]),
                Words::sample("domain.notice.dnssec", &[]),
                Words::sample("domain.notice.no-addresses", &[]),
                Words::sample("domain.notice.shared", &[("above", "a-shared-name.example")]),
            ],
            ..Self::new(vec![record(
                "CNAME",
                "me",
                target,
                "unknown",
                Words::sample("domain.record.unreachable", &[("server", "ns1.a-long-name-of-a-server.example")]),
            )])
        };
        [Self::default(), half, bad]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_counted_and_what_is_not_is_left_out() {
        let [none, half, _] = Looked::samples();
        assert_eq!((none.right, none.needed), (0, 0));
        assert_eq!((half.right, half.needed, half.optional), (1, 3, true));
    }

    #[test]
    fn a_host_that_we_do_not_know_leads_nowhere_odd() {
        let host = DnsHost::new("x", "X".into(), Some("javascript:alert(1)".into()));
        assert!(host.url.is_none() && host.steps.is_none());
        assert!(DnsHost::new("ovh", "OVH".into(), None).steps.is_some());
    }

    #[test]
    fn a_moment_is_said_as_people_who_wait_say_it() {
        let at = DateTime::UNIX_EPOCH;
        for (seconds, unit, n) in [
            (-5, "now", 0),
            (0, "now", 0),
            (5, "seconds", 5),
            (59, "seconds", 59),
            (125, "minutes", 2),
            (7200, "date", 0),
        ] {
            let checked = Checked::new(at, at + TimeDelta::seconds(seconds));
            assert_eq!((checked.unit, checked.n), (unit, n), "{seconds}");
        }
    }
}
