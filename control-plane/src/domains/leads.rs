//! Where a name leads, seen from us: pure.

use std::collections::BTreeSet;

use super::Wished;
use crate::dns::{Answer, Answers, HostFacts};

/// Where a name leads, seen from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// Here and nowhere else.
    Here,
    /// Here, and elsewhere too.
    Both(Vec<String>),
    /// Elsewhere.
    Elsewhere(Vec<String>),
    /// To another name, for which nobody answers: it may lead here.
    Unheard(Vec<String>),
    /// Nowhere.
    Nowhere,
    /// Nobody answered, or nobody knows whose the answer is.
    Unknown,
}

impl Leads {
    pub(super) fn of(wished: &Wished<'_>, facts: &HostFacts) -> Self {
        let target = wished.row.target_host_below(wished.edge);
        if facts.aliases.contains(&target) {
            // Servers that have not heard of it yet lead elsewhere, or nowhere.
            let lagging = facts.a.any(|answer| !matches!(answer, Answer::Alias(_)));
            return if lagging { Self::Both(facts.a.values().into_iter().collect()) } else { Self::Here };
        }
        if let Some(other) = facts.aliases.iter().find(|alias| below(alias, wished.edge)) {
            return Self::Elsewhere(vec![other.clone()]); // somebody else's target, or an older one of this owner's
        }
        let found = found(facts);
        let foreign: Vec<String> = found.iter().filter(|ip| !wished.is_ours(ip)).cloned().collect();
        // What one family says is no answer for the other: only an address of ours is worth something without it.
        let silent = facts.a.heard().next().is_none() || facts.aaaa.heard().next().is_none();
        if silent && foreign.len() == found.len() {
            let known = !facts.aliases.is_empty() && !wished.follows(facts);
            return if known { Self::Unheard(facts.aliases.clone()) } else { Self::Unknown };
        }
        // Whoever does not know the own addresses cannot say that one is another's.
        if wished.addresses.is_empty() && !foreign.is_empty() {
            return Self::Unknown;
        }
        match (found.is_empty(), foreign.len() == found.len(), foreign.is_empty()) {
            (true, ..) if facts.aliases.is_empty() => Self::Nowhere,
            (true, ..) => Self::Elsewhere(facts.aliases.clone()),
            (false, true, _) if !facts.aliases.is_empty() => {
                Self::Elsewhere(facts.aliases.iter().take(1).cloned().collect())
            }
            (false, true, _) => Self::Elsewhere(foreign),
            (false, false, true) if somewhere_missing(&facts.a, &found) => Self::Both(Vec::new()),
            (false, false, true) => Self::Here,
            (false, false, false) => Self::Both(foreign),
        }
    }
}

/// Every address that was found.
pub(super) fn found(host: &HostFacts) -> BTreeSet<String> {
    host.a.values().into_iter().chain(host.aaaa.values()).collect()
}

/// Whether a server leads nowhere where others lead somewhere.
fn somewhere_missing(a: &Answers, found: &BTreeSet<String>) -> bool {
    let v4 = found.iter().any(|ip| ip.contains('.'));
    v4 && a.any(|answer| matches!(answer, Answer::NoSuchName) || *answer == Answer::Values(Vec::new()))
}

fn below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
}
