//! Whether the provider's own names lead anywhere: the base domain, any name below it, and those that own domains point to.
//!
//! This machine's resolver is asked, which is whom the operator can look up by hand. Where the names lead must be the edge; whether it is
//! cannot be seen from here (a balancer may stand before it), but that they lead to different places can.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use bundle::is_public;
use tokio::time::timeout;

use super::Finding;
use crate::config::Common;

const PATIENCE: Duration = Duration::from_secs(5);

type Found = Result<BTreeSet<IpAddr>, String>;

pub(super) async fn all(common: &Common) -> Vec<Finding> {
    let base = common.base_domain.as_str();
    if base == "localhost" || base.ends_with(".localhost") {
        return Vec::new();
    }
    // A label that nobody has: what answers is the wildcard.
    let label = format!("doctor-{:08x}", rand::random::<u32>());
    let below = format!("{label}.{base}");
    let edge = format!("{label}.{}", crate::domains::edge_of(base));
    let (base_found, below_found, edge_found) = tokio::join!(addresses(base), addresses(&below), addresses(&edge));
    judge(base, &base_found, &below_found, &edge_found)
}

async fn addresses(name: &str) -> Found {
    match timeout(PATIENCE, tokio::net::lookup_host((name, 443))).await {
        Err(_) => Err(format!("no answer from DNS within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
    }
}

fn judge(base: &str, base_found: &Found, below: &Found, edge: &Found) -> Vec<Finding> {
    let names = [
        (base.to_owned(), base_found, "the portal is not found"),
        (format!("*.{base}"), below, "no percloud is found"),
        (format!("*.{}", crate::domains::edge_of(base)), edge, "no own domain that has a CNAME leads here"),
    ];
    names.into_iter().map(|(name, found, harm)| one(&name, found, harm, base, base_found)).collect()
}

fn one(name: &str, found: &Found, harm: &str, base: &str, base_found: &Found) -> Finding {
    let about = format!("name {name}");
    let list = |all: &BTreeSet<IpAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (found, base_found) {
        (Err(why), _) => {
            let to_do = format!("set an A record (and AAAA, with IPv6) for {name} that leads to the edge");
            Finding::wrong(about, format!("leads nowhere: {why}; {harm}"), to_do)
        }
        (Ok(found), Ok(of_base)) if found.is_disjoint(of_base) => {
            let said = format!("leads to {}, and {base} to {}", list(found), list(of_base));
            Finding::warning(about, said, "let both lead to the edge, unless you mean it so")
        }
        (Ok(found), _) if name == base && !found.iter().copied().any(is_public) => {
            let need = "which is not public: own domains at the top of their zone need --public-address";
            Finding::well(about, format!("leads to {}, {need}", list(found)))
        }
        (Ok(found), _) => Finding::well(about, format!("leads to {}", list(found))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_name_that_leads_nowhere_is_wrong_and_one_that_leads_elsewhere_is_told() {
        let to = |ips: &[&str]| -> Found { Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect()) };
        let nowhere: Found = Err("no such name".into());
        let here = to(&["203.0.113.7", "2001:db8::7"]);
        let states = |base: &Found, below: &Found, edge: &Found| -> Vec<State> {
            judge("cloud.example", base, below, edge).into_iter().map(|finding| finding.state).collect()
        };
        assert_eq!(states(&here, &to(&["203.0.113.7"]), &here), [State::Well; 3]);
        assert_eq!(states(&here, &nowhere, &to(&["198.51.100.9"])), [State::Well, State::Wrong, State::Warning]);
        assert_eq!(states(&nowhere, &here, &nowhere), [State::Wrong, State::Well, State::Wrong]);
        let only = |found: &Found| judge("cloud.example", found, found, found)[0].found.contains("--public-address");
        assert!(only(&to(&["10.0.0.7"])) && !only(&to(&["10.0.0.7", "1.1.1.1"])));
        let said = &judge("cloud.example", &here, &nowhere, &here)[1];
        assert!(said.to_do.as_deref().unwrap().contains("*.cloud.example"), "{said:?}");
    }

    #[tokio::test]
    async fn names_of_this_machine_need_no_dns() {
        let common = common("percloud.localhost");
        assert!(all(&common).await.is_empty());
    }

    fn common(base: &str) -> Common {
        #[derive(clap::Parser)]
        struct Told {
            #[command(flatten)]
            common: Common,
        }
        <Told as clap::Parser>::parse_from(["doctor", "--data", "/nowhere", "--base-domain", base]).common
    }
}
