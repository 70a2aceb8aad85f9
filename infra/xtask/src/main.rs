//! What CI checks beside the tests: `cargo xtask ci`, or one check by name.

mod boundaries;
mod features;
mod messages;
mod tree;

use std::{path::Path, process::Command};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

/// Checks and chores of this checkout.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI checks beside the tests
    Ci,
    /// Who may know whom, from `cargo metadata`
    Boundaries,
    /// What both programs need is built once
    Features,
    /// Message files: every language has every key, with the same places to fill
    Messages,
    /// Files: length, dead paths in documents, words that must not be committed
    Tree,
    /// Formatting and lints
    Lint,
    /// Documentation builds without a warning
    Docs,
    /// Licences, sources and banned crates (needs cargo-deny)
    Deny,
}

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask is in infra/xtask")?;
    std::env::set_current_dir(root)?;
    match Cli::parse().task {
        Task::Boundaries => boundaries::check(),
        Task::Features => features::check(),
        Task::Messages => messages::check(root),
        Task::Tree => tree::check(root),
        Task::Lint => lint(),
        Task::Docs => docs(),
        Task::Deny => deny(),
        Task::Ci => {
            step("boundaries", boundaries::check)?;
            step("features", features::check)?;
            step("messages", || messages::check(root))?;
            step("tree", || tree::check(root))?;
            step("lint", lint)?;
            step("docs", docs)?;
            step("deny", deny)
        }
    }
}

fn step(name: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    eprintln!("xtask: {name}");
    check().with_context(|| format!("xtask {name}"))
}

fn lint() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"], &[])
}

fn docs() -> anyhow::Result<()> {
    cargo(
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"],
        &[("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links")],
    )
}

fn deny() -> anyhow::Result<()> {
    // Not the advisories: their database is fetched from a host that CI does not reach.
    cargo(&["deny", "--locked", "--log-level", "error", "check", "licenses", "bans", "sources"], &[])
}

fn cargo(args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<()> {
    let status = Command::new("cargo").args(args).envs(env.iter().copied()).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}
