//! What a provider that is tried out may lack of the sandbox without being told so, and what is said of that.
//!
//! Below `.localhost` a provider is this machine's own, and the first command of the README must not end in a riddle because it is given
//! in a container. Whoever has a name of the Internet's takes in others, and names what they shall do without.

use std::collections::BTreeSet;

use super::Options;
use crate::{
    config::Common,
    hosts::{Layer, local::Kind},
};

/// The layers that the host may lack.
pub(super) fn may_lack(options: &Options) -> BTreeSet<Kind> {
    let root = nix::unistd::Uid::effective().is_root();
    options.allow_missing.iter().chain(unsaid(&options.common, root)).copied().collect()
}

/// Those of them that nobody need name.
fn unsaid(common: &Common, root: bool) -> &'static [Kind] {
    if common.base_domain.as_str().ends_with(".localhost") { Kind::often_missing(root) } else { &[] }
}

/// What to say of a host that lacks some that nobody has named; nothing of any other.
pub(super) fn told(layers: &[Layer], named: &[Kind]) -> Option<String> {
    let is_named = |layer: &Layer| named.iter().any(|kind| kind.to_string() == layer.name);
    let lacks = layers.iter().filter(|layer| layer.allowed && !is_named(layer));
    let rows: Vec<_> = lacks.filter_map(|layer| Some((layer.name.as_str(), layer.missing.as_deref()?))).collect();
    let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
    let lines: String = rows.iter().map(|(name, why)| format!("  {name:<16} {why}\n")).collect();
    (!rows.is_empty()).then(|| {
        format!(
            "To try it out, below .localhost, it runs though its sandbox lacks here:\n{lines}\
             With another name it would not, unless told: --allow-missing {}\n",
            names.join(",")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(base_domain: &str) -> Common {
        Common {
            data: "/nowhere".into(),
            base_domain: base_domain.parse().unwrap(),
            port: 8443,
            public_port: None,
            database_url: None,
            provider_name: String::new(),
        }
    }

    #[test]
    fn only_who_tries_it_out_need_not_name_what_the_machine_lacks() {
        let table: [(&str, bool, &[Kind]); 4] = [
            ("percloud.localhost", true, &[Kind::Io]),
            ("percloud.localhost", false, &[Kind::OwnUser, Kind::ControlGroups, Kind::Io]),
            ("percloud.example", true, &[]),
            ("percloud.example", false, &[]),
        ];
        for (base_domain, root, expected) in table {
            assert_eq!(unsaid(&common(base_domain), root), expected, "{base_domain} {root}");
        }
    }

    #[test]
    fn what_is_done_without_is_said_unless_it_was_named() {
        let layer = |name: &str, missing: Option<&str>| Layer {
            name: name.into(),
            keeps: String::new(),
            version: None,
            missing: missing.map(Into::into),
            allowed: missing.is_some(),
            without: None,
        };
        let layers = [layer("own-user", Some("not root")), layer("io", Some("on no disk")), layer("seccomp", None)];
        let said = told(&layers, &[Kind::OwnUser]).unwrap();
        assert!(said.contains("io               on no disk\n") && said.ends_with("--allow-missing io\n"), "{said}");
        assert!(!said.contains("own-user"), "{said}");
        assert_eq!(told(&layers, &[Kind::OwnUser, Kind::Io]), None);
    }
}
