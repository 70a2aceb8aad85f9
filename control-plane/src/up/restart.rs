//! Replacing the edge while it serves.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{lock, say};
use crate::{
    config::{Common, Paths},
    edge::handover,
};

/// `percloud restart-edge`: a new edge from the program's file as it is now, and no request lost.
#[derive(Clone, Debug, clap::Args)]
pub struct RestartEdge {
    /// What every command is told.
    #[command(flatten)]
    pub common: Common,
}

/// Has the edge replaced and returns when the new one serves. What the old one has in hand it ends by itself.
///
/// # Errors
/// When no provider runs, or the new edge does not come up within a minute; then the old one serves on.
pub fn restart_edge(options: &RestartEdge) -> anyhow::Result<()> {
    let common = &options.common;
    let paths = Paths(std::path::absolute(&common.data)?);
    let Some(up) = lock::holder(&paths)? else { bail!("nothing runs on {}", common.data.display()) };
    let serving = || handover::process_at(&paths.handover(), common.port);
    let before = serving()?;
    kill(Pid::from_raw(up), Signal::SIGUSR2).with_context(|| format!("process {up} cannot be told"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match serving()? {
            Some(now) if before != Some(now) => {
                say(format_args!("The edge is process {now} now."));
                return Ok(());
            }
            _ if Instant::now() > deadline => {
                bail!("the new edge has not come up within a minute; see {}", paths.logs().join("edge.log").display())
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
