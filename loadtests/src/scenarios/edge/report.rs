//! Medians, ratios, the table for people and the line for machines.

use serde_json::{Map, Value};

use super::Proxy;
use super::load::{Kind, Outcome};
use crate::figures::median;

fn of(outcomes: &[(Kind, Outcome)], kind: Kind, what: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    outcomes.iter().filter(|(of, _)| *of == kind).map(|(_, outcome)| what(outcome)).collect()
}

/// The median of the rounds' ratios.
fn ratio(ours: &[(Kind, Outcome)], theirs: &[(Kind, Outcome)], kind: Kind, what: impl Fn(&Outcome) -> f64) -> f64 {
    let pairs = of(ours, kind, &what).into_iter().zip(of(theirs, kind, &what));
    median(pairs.map(|(ours, theirs)| ours / theirs).collect())
}

/// What each proxy reached, for people.
pub(super) fn table<'a>(proxies: impl Iterator<Item = &'a Proxy>) {
    println!("\n{:10} {:11} {:>9} {:>10} {:>9} {:>8}", "proxy", "work", "per s", "CPU µs", "p99 ms", "busy %");
    for proxy in proxies {
        for kind in Kind::ALL {
            let middle = |what: fn(&Outcome) -> f64| median(of(&proxy.outcomes, kind, what));
            let busy = middle(|o| o.per_s * o.cpu_us / 10_000.0);
            println!(
                "{:10} {:11} {:9.0} {:10.1} {:9.2} {busy:8.0}",
                proxy.name,
                kind.name(),
                middle(|o| o.per_s),
                middle(|o| o.cpu_us),
                middle(|o| o.p99_ms),
            );
        }
    }
    println!();
}

/// The line of JSON. Requests are compared by rate, handshakes by the proxy's processor time for each: there the client is the
/// slower side. `…_cpu` and `…_rate` give each the other way.
pub(super) fn line(plain: &[(Kind, Outcome)], peers: &[Proxy], edges: &[Proxy]) -> anyhow::Result<Value> {
    let mut line = Map::new();
    line.insert("bench".into(), "edge".into());
    let mut put = |key: String, value: f64| {
        let rounded = serde_json::Number::from_f64((value * 1000.0).round() / 1000.0);
        line.insert(key, rounded.map_or(Value::Null, Value::Number));
    };
    let per_cpu = |outcome: &Outcome| 1.0 / outcome.cpu_us;
    for peer in peers {
        for kind in [Kind::H1, Kind::H2] {
            put(format!("{}_vs_{}", kind.name(), peer.name), ratio(plain, &peer.outcomes, kind, |o| o.per_s));
            put(format!("{}_vs_{}_cpu", kind.name(), peer.name), ratio(plain, &peer.outcomes, kind, per_cpu));
        }
        put(format!("p99_vs_{}", peer.name), ratio(plain, &peer.outcomes, Kind::H1, |o| o.p99_ms));
        put(format!("handshakes_vs_{}", peer.name), ratio(plain, &peer.outcomes, Kind::Handshakes, per_cpu));
        put(format!("handshakes_vs_{}_rate", peer.name), ratio(plain, &peer.outcomes, Kind::Handshakes, |o| o.per_s));
    }
    for kind in Kind::ALL {
        put(format!("{}_per_s", kind.name()), median(of(plain, kind, |o| o.per_s)));
        put(format!("{}_cpu_us", kind.name()), median(of(plain, kind, |o| o.cpu_us)));
    }
    for edge in edges {
        put(format!("mib_{}", edge.names), edge.running.pss_mib()?);
    }
    if let Some((first, others)) = edges.split_first() {
        for edge in others {
            let key = format!("handshakes_{}_vs_{}", edge.names, first.names);
            put(key.clone(), ratio(&edge.outcomes, &first.outcomes, Kind::Handshakes, per_cpu));
            put(format!("{key}_rate"), ratio(&edge.outcomes, &first.outcomes, Kind::Handshakes, |o| o.per_s));
        }
    }
    Ok(Value::Object(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        let rounds = |all: &[f64]| {
            all.iter().map(|&per_s| (Kind::H1, Outcome { per_s, cpu_us: 1.0, p99_ms: 1.0 })).collect::<Vec<_>>()
        };
        // The machine was slow in the last round, for both.
        let (ours, theirs) = (rounds(&[20.0, 22.0, 2.0]), rounds(&[10.0, 10.0, 1.0]));
        assert!((ratio(&ours, &theirs, Kind::H1, |o| o.per_s) - 2.0).abs() < 1e-9);
    }
}
