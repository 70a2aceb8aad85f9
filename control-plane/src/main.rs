//! `percloud`: one binary, roles by subcommand.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use control_plane::{
    admin, certificates,
    config::{Common, Remembered, SealOptions},
    db, doctor, edge, egress, hosts, privileges, reconcile, telemetry, up, web,
};

/// For the edge, where a request is many small allocations (docs/decisions/0013-edge-speed.md). Perclouds do not have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A cloud of their own for everybody: what a provider runs.
#[derive(Parser)]
#[command(name = "percloud", version, propagate_version = true)]
struct Cli {
    /// Set by `percloud up`, with its own number: end when it ends. An older one said no number.
    #[arg(long, hide = true, value_name = "PID", num_args = 0..=1, require_equals = true)]
    supervised: Option<Option<i32>>,
    /// Become this user (and group) before anything else; needs root.
    #[arg(long, hide = true, value_name = "UID")]
    drop_to: Option<u32>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is made in the life of a process")]
enum Command {
    /// Run the whole provider on this machine
    Up(up::Options),
    /// End what `up --detach` left running
    Down(up::Down),
    /// Replace the edge that `up` runs by a fresh one, without losing a request
    RestartEdge(up::RestartEdge),
    /// The front door: TLS, and each name to its percloud
    Edge(edge::Options),
    /// The way out: connections of perclouds to hosts of the Internet
    Egress(egress::Options),
    /// The portal and the API
    Web(web::Options),
    /// Make true what is wanted
    Reconcile(reconcile::Options),
    /// Run perclouds on this machine, each locked in
    Host(hosts::local::Options),
    /// Bring the database up to date
    Migrate(Migrate),
    /// Say in words what is wrong
    Doctor(doctor::Options),
    /// List, show, create, suspend, resume and delete perclouds; see what they use and cost; read mails; make API tokens
    Admin(admin::Options),
}

#[derive(clap::Args)]
struct Migrate {
    #[command(flatten)]
    common: Common,
}

impl Command {
    fn certificates(&mut self) -> Option<&mut certificates::Options> {
        match self {
            Self::Up(options) => Some(&mut options.certificates),
            _ => None,
        }
    }

    fn seal(&mut self) -> Option<&mut SealOptions> {
        match self {
            Self::Up(options) => Some(&mut options.seal),
            Self::Doctor(options) => Some(&mut options.seal),
            Self::Admin(options) => options.seal(),
            _ => None,
        }
    }

    fn common(&mut self) -> Option<&mut Common> {
        match self {
            Self::Up(options) => Some(&mut options.common),
            Self::Down(_) => None,
            Self::RestartEdge(options) => Some(&mut options.common),
            Self::Edge(options) => Some(&mut options.common),
            Self::Egress(options) => Some(&mut options.common),
            Self::Web(options) => Some(&mut options.common),
            Self::Reconcile(options) => Some(&mut options.common),
            Self::Host(options) => Some(&mut options.common),
            Self::Migrate(options) => Some(&mut options.common),
            Self::Doctor(options) => Some(&mut options.common),
            Self::Admin(options) => Some(&mut options.common),
        }
    }
}

fn main() -> std::process::ExitCode {
    small_pages();
    // Before anything that could start a thread.
    hosts::local::become_spawner_if_asked();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("percloud: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Of each page of 2 MiB, which our allocator asks for, a role needs a part and pays for the whole
/// (docs/decisions/0021-registered.md); and to clear one stops a worker of the edge, and all who wait for it, for milliseconds
/// (docs/decisions/0018-fair-neighbours.md). Whatever is started from here inherits this; a kernel without such pages does not mind.
fn small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn run() -> anyhow::Result<std::process::ExitCode> {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches)
        .map_err(|error| error.exit())
        .unwrap_or_else(|never: std::convert::Infallible| match never {});
    fill_in(&mut cli, &matches)?;
    if let Some(uid) = cli.drop_to {
        privileges::drop_to(uid)?;
    }
    if let Some(parent) = cli.supervised {
        privileges::end_with_parent(parent)?;
    }
    match cli.command {
        Command::Up(options) => up::run(options)?,
        Command::Down(options) => up::down(&options)?,
        Command::RestartEdge(options) => up::restart_edge(&options)?,
        Command::Edge(options) => role("edge", &options.common.clone(), edge::run(options))?,
        Command::Egress(options) => role("egress", &options.common.clone(), egress::run(options))?,
        Command::Web(options) => role("web", &options.common.clone(), web::run(options))?,
        Command::Reconcile(options) => role("reconcile", &options.common.clone(), reconcile::run(options))?,
        Command::Migrate(options) => block_on(migrate(&options.common))?,
        Command::Doctor(options) => return block_on(doctor::run(options)),
        Command::Admin(options) => return block_on(admin::run(options)),
        Command::Host(options) => role("host", &options.common.clone(), hosts::local::run(options))?,
    }
    Ok(std::process::ExitCode::SUCCESS)
}

/// A command that is given only the data folder finds the rest in what the last `up` was told.
fn fill_in(cli: &mut Cli, matches: &clap::ArgMatches) -> anyhow::Result<()> {
    let mut levels = vec![matches];
    while let Some((_, deeper)) = levels.last().and_then(|matches| matches.subcommand()) {
        levels.push(deeper);
    }
    let given = |id: &str| {
        let source = |matches: &&clap::ArgMatches| {
            matches.try_contains_id(id).is_ok_and(|there| there).then(|| matches.value_source(id)).flatten()
        };
        levels.iter().filter_map(source).any(|source| source != ValueSource::DefaultValue)
    };
    let Some(common) = cli.command.common() else { return Ok(()) };
    let kept = std::path::absolute(&common.data).map(|data| control_plane::config::Paths(data).remembered())?;
    // Roles run as users who may not read it, and are told everything by `up`.
    if let Ok(json) = std::fs::read(kept) {
        let remembered = serde_json::from_slice::<Remembered>(&json)?;
        remembered.clone().fill(common, given);
        if let Some(options) = cli.command.certificates() {
            remembered.fill_certificates(options);
        }
        if let Some(options) = cli.command.seal() {
            remembered.fill_seal(options)?;
        }
    }
    Ok(())
}

async fn migrate(common: &Common) -> anyhow::Result<()> {
    let done = db::migrate::run(&up::cluster::owner_url(common)?).await?;
    match done.as_slice() {
        [] => println!("The database is up to date."),
        steps => println!("Done: {}", steps.join(", ")),
    }
    Ok(())
}

fn role(name: &'static str, common: &Common, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    block_on(async {
        let _telemetry = telemetry::start(name, Some(&common.paths().metrics_socket(name)))?;
        work.await
    })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
