//! Runs perclouds as confined processes of this machine.

use std::path::PathBuf;

use crate::config::Common;

/// Options of `percloud host`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// The runtime's program; the default is `percloud-runtime` beside this one.
    #[arg(long, env = "PERCLOUD_RUNTIME", value_name = "PATH")]
    pub runtime: Option<PathBuf>,
    /// A percloud that nobody uses for so long goes to sleep.
    #[arg(long, env = "PERCLOUD_IDLE_SECONDS", default_value_t = 300, value_name = "N")]
    pub idle_seconds: u64,
    /// Run perclouds although this machine lacks these layers of the sandbox (`percloud doctor` names them).
    #[arg(long, env = "PERCLOUD_ALLOW_MISSING", value_name = "LAYER", value_delimiter = ',')]
    pub allow_missing: Vec<String>,
}

/// Runs the host role until SIGTERM.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let _ = options;
    anyhow::bail!("the local host is being built")
}

/// Becomes the host's spawner when this process was started as one, and then does not return. The first thing that
/// `main` calls: the spawner must have one thread only.
pub fn become_spawner_if_asked() {}
