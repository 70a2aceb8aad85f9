//! What keeps perclouds apart, layer by layer: from the host, or, when it does not answer, from what it wrote down when it last started.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Finding;
use crate::{
    config::Common,
    hosts::{self, Host, Layer, client::HostClient, local},
    terminal,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// The table is as wide as a terminal at least is.
const WIDTH: usize = 80;

/// The table of layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// When a host that does not answer found them; none when the one that runs says so.
    pub found_at: Option<DateTime<Utc>>,
    /// One by one.
    pub layers: Vec<Layer>,
}

/// The table, where there is one, and what is to be said about it.
pub(super) async fn all(common: &Common, now: DateTime<Utc>) -> (Option<Sandbox>, Vec<Finding>) {
    let host = HostClient::new(common.paths().host_socket()).with_patience(PATIENCE);
    match host.layers().await {
        Ok(layers) => {
            let findings = of_host(&layers);
            (Some(Sandbox { found_at: None, layers }), findings)
        }
        Err(error) => without_host(&error, local::last_found(&common.paths()), now),
    }
}

fn of_host(layers: &[Layer]) -> Vec<Finding> {
    let missing = layers.iter().filter_map(|layer| {
        let why = layer.missing.as_ref()?;
        let to_do = layer.without.clone().unwrap_or_else(|| {
            format!(
                "it keeps a percloud from this: {}. Until this machine has it, take in only people you trust",
                layer.keeps
            )
        });
        Some(Finding::warning(format!("sandbox: {}", layer.name), format!("missing: {why}"), to_do))
    });
    let missing: Vec<Finding> = missing.collect();
    if missing.is_empty() {
        vec![Finding::well("sandbox", format!("all {} layers are there", layers.len()))]
    } else {
        missing
    }
}

/// A host that refuses to start for a layer cannot say so; but it has written it down.
fn without_host(
    error: &hosts::Error,
    last: std::io::Result<Option<local::Found>>,
    now: DateTime<Utc>,
) -> (Option<Sandbox>, Vec<Finding>) {
    let silent = |more: String| {
        let to_do = "see whether it runs, above; as another user than root or its own one is not let in";
        Finding::wrong("sandbox", format!("the host role does not say: {error}{more}"), to_do)
    };
    let found = match last {
        Ok(Some(found)) => found,
        Ok(None) => return (None, vec![silent("; none has started here yet".into())]),
        Err(why) => return (None, vec![silent(format!("; what it found when it last started cannot be read: {why}"))]),
    };
    let ago = terminal::span((now - found.at).num_microseconds().unwrap_or(i64::MAX).max(0));
    let mut findings = vec![silent(format!("; the table has what it found when it last started, {ago} ago"))];
    let refused = found.layers.iter().filter(|layer| !layer.allowed);
    findings.extend(refused.filter_map(|layer| {
        let to_do = format!(
            "no host starts without it: {}. With `--allow-missing {}` it does, for people you trust",
            layer.keeps, layer.name
        );
        let why = layer.missing.as_ref()?;
        Some(Finding::wrong(format!("sandbox: {}", layer.name), format!("missing: {why}"), to_do))
    }));
    (Some(Sandbox { found_at: Some(found.at), layers: found.layers }), findings)
}

/// A row for each layer: its name, whether it is here, and what it is good for.
pub(super) fn words(sandbox: &Sandbox) -> String {
    let head = match sandbox.found_at {
        None => "The layers of the sandbox, as the host has them:".to_owned(),
        Some(at) => format!("The layers of the sandbox, as found on {}:", at.format("%Y-%m-%d %H:%M UTC")),
    };
    let cells: Vec<[String; 3]> =
        sandbox.layers.iter().map(|layer| [layer.name.clone(), here(layer).to_owned(), good_for(layer)]).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 2;
    let left = WIDTH.saturating_sub(width(0) + width(1));
    let mut rows = Vec::new();
    for [name, here, good_for] in cells {
        let mut first = [name, here];
        for line in terminal::wrap(&good_for, left) {
            let [name, here] = std::mem::take(&mut first);
            rows.push(vec![name, here, line]);
        }
    }
    format!("{head}\n\n{}", terminal::table(&rows))
}

fn here(layer: &Layer) -> &'static str {
    match (&layer.missing, layer.allowed) {
        (None, _) => "✓ has",
        (Some(_), true) => "! has not, allowed",
        (Some(_), false) => "✗ has not",
    }
}

fn good_for(layer: &Layer) -> String {
    let version = layer.version.as_ref().map(|version| format!("{version}; ")).unwrap_or_default();
    let missing = layer.missing.as_ref().map(|why| format!(" (missing: {why})")).unwrap_or_default();
    format!("{version}{}{missing}", layer.keeps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn layers() -> Vec<Layer> {
        let layer = |name: &str, keeps: &str, missing: Option<&str>, allowed| Layer {
            name: name.into(),
            keeps: keeps.into(),
            version: None,
            missing: missing.map(ToOwned::to_owned),
            allowed,
            without: (name == "a-disk").then(|| "neighbours wait".into()),
        };
        let landlock = layer("landlock", "the kernel opens files of its own folder only", None, false);
        vec![
            layer("own-user", "files of others belong to another user", Some("not root"), true),
            Layer { version: Some("ABI 6".into()), ..landlock },
            layer("oom-score", "it goes first", Some("no /proc"), true),
            layer("a-disk", "it ends somewhere", Some("no disk"), true),
            layer("seccomp", "most of the kernel cannot be called", Some("no such thing\u{7}"), false),
        ]
    }

    #[test]
    fn the_table_has_a_row_for_each_layer_and_fits_into_a_terminal() {
        let text = words(&Sandbox { found_at: None, layers: layers() });
        assert_eq!(
            text,
            "The layers of the sandbox, as the host has them:\n\n\
             own-user   ! has not, allowed  files of others belong to another user (missing:\n\
             \u{20}                              not root)\n\
             landlock   ✓ has               ABI 6; the kernel opens files of its own folder\n\
             \u{20}                              only\n\
             oom-score  ! has not, allowed  it goes first (missing: no /proc)\n\
             a-disk     ! has not, allowed  it ends somewhere (missing: no disk)\n\
             seccomp    ✗ has not           most of the kernel cannot be called (missing: no\n\
             \u{20}                              such thing )\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let told = of_host(&layers());
        let to_do =
            |name: &str| told.iter().find(|one| one.about.ends_with(name)).and_then(|one| one.to_do.clone()).unwrap();
        assert_eq!(to_do("a-disk"), "neighbours wait", "what the layer says");
        assert!(to_do("oom-score").contains("only people you trust"));
    }

    #[test]
    fn what_a_host_refused_to_start_for_is_told_though_it_cannot_be_asked() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let error = hosts::Error::Unavailable("nobody listens".into());
        let last = Ok(Some(local::Found { at, layers: layers() }));
        let (sandbox, findings) = without_host(&error, last, at + chrono::TimeDelta::minutes(200));
        assert_eq!(sandbox.unwrap().found_at, Some(at));
        let told: Vec<_> = findings.iter().map(|one| (one.about.as_str(), one.state)).collect();
        assert_eq!(told, [("sandbox", State::Wrong), ("sandbox: seccomp", State::Wrong)]);
        assert!(findings[0].found.ends_with("when it last started, 3 h 20 min ago"), "{}", findings[0].found);
        assert!(findings[1].to_do.as_ref().unwrap().contains("--allow-missing seccomp"));
        let (nothing, findings) = without_host(&error, Ok(None), at);
        assert_eq!((nothing, findings.len()), (None, 1));
    }
}
