//! Who may know whom.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Each crate of ours and the crates of ours that it may depend on (ARCHITECTURE.md).
const MAY_KNOW: [(&str, &[&str]); 9] = [
    ("bundle", &[]),
    ("tls", &[]),
    ("ui", &[]),
    ("portal", &["ui"]),
    ("tenant-runtime", &["bundle", "tls", "ui", "features"]),
    ("control-plane", &["bundle", "tls", "portal", "ui", "features"]),
    ("loadtests", &[]),
    ("features", &[]),
    ("xtask", &[]),
];

/// What a crate of ours must not depend on, whoever brings it: a percloud knows no Postgres and no Stripe; a page knows no server.
const MUST_NOT_KNOW: [(&str, &[&str]); 3] = [
    ("tenant-runtime", &["tokio-postgres", "deadpool-postgres", "async-stripe", "lettre"]),
    ("control-plane", &["rusqlite"]),
    ("portal", &["tokio-postgres", "hyper", "rusqlite"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Compares `cargo metadata` with the two tables above.
///
/// # Errors
/// Names the crate and the dependency that are not allowed.
pub(crate) fn check() -> anyhow::Result<()> {
    let output = Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps", "--offline"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    judge(&serde_json::from_slice(&output.stdout).context("cargo metadata")?)
}

fn judge(metadata: &Metadata) -> anyhow::Result<()> {
    let ours: Vec<&Package> =
        metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id)).collect();
    let names: BTreeSet<&str> = ours.iter().map(|package| package.name.as_str()).collect();
    for package in &ours {
        let (_, allowed) = MAY_KNOW.iter().find(|(name, _)| *name == package.name).with_context(|| {
            format!("{} is new: say in infra/xtask/src/boundaries.rs whom it may know", package.name)
        })?;
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev")) {
            let known = dependency.name.as_str();
            ensure!(!names.contains(known) || allowed.contains(&known), "{} must not know {known}", package.name);
            let banned = MUST_NOT_KNOW.iter().any(|(name, banned)| *name == package.name && banned.contains(&known));
            ensure!(!banned, "{} must not know {known}", package.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, dependency: &str, kind: Option<&str>) -> Metadata {
        let package = |name: &str, dependencies| Package { id: name.into(), name: name.into(), dependencies };
        let edge = Dependency { name: dependency.into(), kind: kind.map(Into::into) };
        let packages = vec![package(name, vec![edge]), package("ui", Vec::new()), package("portal", Vec::new())];
        let workspace_members = packages.iter().map(|package| package.id.clone()).collect();
        Metadata { packages, workspace_members }
    }

    #[test]
    fn a_crate_knows_only_whom_it_may() {
        assert!(judge(&with("tenant-runtime", "ui", None)).is_ok());
        assert!(judge(&with("tenant-runtime", "portal", None)).is_err());
        assert!(judge(&with("tenant-runtime", "portal", Some("dev"))).is_ok());
        assert!(judge(&with("tenant-runtime", "tokio-postgres", None)).is_err());
        assert!(judge(&with("newcomer", "serde", None)).is_err());
    }
}
