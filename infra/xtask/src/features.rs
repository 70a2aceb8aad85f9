//! What both programs are made of is built once: each crate that both need has the same features in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::{Context, ensure};

/// The two programs that are built alone, one after the other (`infra/lib.sh`).
const PROGRAMS: [&str; 2] = ["control-plane", "tenant-runtime"];

/// A crate with its version, and the features that it is built with; more than one set where the graph has it twice.
type Built = BTreeMap<String, BTreeSet<String>>;

/// Compares `cargo tree` of the two programs. What runs while building is left out: it is small, and differs by profile.
///
/// # Errors
/// Names each crate that would be built twice, with both sets of features.
pub(crate) fn check() -> anyhow::Result<()> {
    let [one, other] = PROGRAMS.map(|program| tree(program).map(|tree| read(&tree)));
    let twice = twice(&one?, &other?);
    ensure!(twice.is_empty(), "\n  {}\n  Name the features in infra/features/Cargo.toml.", twice.join("\n  "));
    Ok(())
}

fn tree(program: &str) -> anyhow::Result<String> {
    let args = ["tree", "--locked", "--offline", "--prefix=none", "--edges=normal,no-proc-macro", "--format={p}|{f}"];
    let output = Command::new("cargo").args(args).args(["--package", program]).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Lines of `name version|features`; a crate that was shown before ends in ` (*)`.
fn read(tree: &str) -> Built {
    let mut built = Built::new();
    for (name, features) in tree.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('|')) {
        built.entry(name.to_owned()).or_default().insert(features.to_owned());
    }
    built
}

fn twice(one: &Built, other: &Built) -> Vec<String> {
    let both = one.iter().filter_map(|(name, features)| Some((name, features, other.get(name)?)));
    both.filter(|(_, one, other)| one != other)
        .map(|(name, one, other)| format!("{name}: {one:?} and {other:?}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_would_be_built_twice_is_named() {
        let one = read("a v1|std\nlibc v0.2|default,std\nonly v1|x\nlibc v0.2|default,std (*)\n");
        assert!(twice(&one, &one).is_empty());
        let other = read("a v1|std\nlibc v0.2|default,extra_traits,std\n");
        assert_eq!(twice(&one, &other), [r#"libc v0.2: {"default,std"} and {"default,extra_traits,std"}"#]);
    }
}
