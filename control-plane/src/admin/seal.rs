//! The keys that seal secrets in the database: changed, and the old ones dropped.

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};

use super::Desk;
use crate::{config::SealOptions, seals, terminal};

/// How long after a rotation older keys stay at least: somebody may have sealed with one a moment before, and not written it yet.
const AT_LEAST: TimeDelta = TimeDelta::minutes(10);

/// `percloud admin seal`.
#[derive(Clone, Debug, clap::Args)]
pub struct Seal {
    /// Where the keys are.
    #[command(flatten)]
    pub(super) keys: SealOptions,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Command {
    /// Say how many keys there are, and what older ones sealed
    Status,
    /// Make a new key and seal everything with it; if that is broken off, the same again goes on
    Rotate {
        /// Make the key and seal nothing yet: for bringing the file to other machines first
        #[arg(long)]
        key_only: bool,
    },
    /// Drop the older keys, once nothing is sealed with them
    Prune,
}

/// How things are.
#[derive(serde::Serialize)]
struct Status {
    keys: usize,
    /// Secrets that an older key sealed.
    older: u64,
    /// Secrets that no key opens.
    lost: u64,
}

pub(super) async fn run(desk: &Desk, options: &Seal) -> anyhow::Result<()> {
    match options.command {
        Command::Status => status(desk, &options.keys).await,
        Command::Rotate { key_only } => rotate(desk, &options.keys, key_only).await,
        Command::Prune => prune(desk, &options.keys).await,
    }
}

async fn status(desk: &Desk, keys: &SealOptions) -> anyhow::Result<()> {
    let seal = keys.open(&desk.common.paths())?;
    let outcome = seals::survey(&desk.client().await?, &seal).await?;
    let status = Status { keys: seal.len(), older: outcome.anew, lost: outcome.lost };
    if desk.json {
        return terminal::print_json(&status);
    }
    say(&format!(
        "{} keys; {} secrets are sealed with older ones, {} open with none.",
        status.keys, status.older, status.lost
    ))
}

async fn rotate(desk: &Desk, keys: &SealOptions, key_only: bool) -> anyhow::Result<()> {
    let db = desk.client().await?;
    let mut seal = keys.open(&desk.common.paths())?;
    let unfinished = seals::survey(&db, &seal).await?.anew > 0;
    match (keys.program(), unfinished) {
        (_, true) => say("The last rotation was broken off; going on with it.")?,
        (None, false) => {
            seal = tls::Seal::rotate(&desk.common.paths().seal_key())?;
            say("A new key seals from now on. It is in the key file alone: copy that file to where its backups are.")?;
            if key_only {
                return say("Bring it to the other machines, too, then run this again without --key-only.");
            }
        }
        (Some(command), false) => {
            return say(&format!(
                "Everything is sealed with the first key that {command} prints. Let it print a new one first, then run this again."
            ));
        }
    }
    let outcome = seals::seal_anew(&db, &seal, |so_far| {
        let _ = say(&format!("{} sealed anew…", so_far.anew));
    })
    .await
    .context("broken off; run it again to go on")?;
    if outcome.lost > 0 {
        say(&format!("{} open with no key; the reconciler gets new ones in their place.", outcome.lost))?;
    }
    say(&format!(
        "Done. In {} minutes or later `percloud admin seal prune` drops the older keys.",
        AT_LEAST.num_minutes()
    ))
}

async fn prune(desk: &Desk, keys: &SealOptions) -> anyhow::Result<()> {
    let path = desk.common.paths().seal_key();
    let seal = keys.open(&desk.common.paths())?;
    let left = seals::survey(&desk.client().await?, &seal).await?.anew;
    ensure!(left == 0, "{left} secrets are still sealed with older keys; run `percloud admin seal rotate` first");
    if keys.program().is_some() {
        return say("Nothing is sealed with older keys: the program that prints them may leave them out from now on.");
    }
    if seal.len() > 1 {
        let rotated: DateTime<Utc> = std::fs::metadata(&path)?.modified()?.into();
        let due = rotated + AT_LEAST;
        ensure!(
            due <= desk.clock.now(),
            "the last rotation was at {}; somebody may have sealed with the older key a moment before: try again after {}",
            rotated.format("%H:%M:%S UTC"),
            due.format("%H:%M:%S UTC")
        );
    }
    let dropped = tls::Seal::prune(&path)?;
    say(&format!(
        "{dropped} older keys were dropped; one is left. Backups of the database from before need a copy of the old key file."
    ))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(terminal::print(&format!("{line}\n"))?)
}
