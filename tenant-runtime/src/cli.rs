//! The command line: what can be done with a percloud's folder of data.

mod acme;
mod bundles;

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use bundle::Domain;
use clap::{Args, Parser, Subcommand};

use crate::{serve, store::Store};

#[derive(Debug, Parser)]
#[command(name = "percloud-runtime", version, about = "One percloud: its own pages, its own folder of data")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a percloud to browsers
    Serve(Serve),
    /// Make an empty percloud's database in a folder, for others to begin with a copy of it
    Prepare(Prepare),
    /// Fill a data folder from a bundle
    Import(bundles::Import),
    /// Write everything into a bundle
    Export(bundles::Export),
    /// Read a bundle through and say whether it is whole
    Check(bundles::Check),
}

/// How to serve.
#[derive(Debug, Args)]
struct Serve {
    /// Take the listening socket from the starter (systemd's protocol) and everything else from the environment
    #[arg(long, conflicts_with_all = ["data", "domain", "port", "listen"])]
    activated: bool,
    /// The folder with the percloud's data; made when missing
    #[arg(long, required_unless_present = "activated", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The name that browsers know it by; anything below .localhost works on this very machine without DNS
    #[arg(long, required_unless_present = "activated", value_name = "NAME")]
    domain: Option<Domain>,
    /// The port to listen on; 0 takes any free one; 8443 unless said otherwise, 443 with --acme
    #[arg(long)]
    port: Option<u16>,
    /// The address to listen on (once for each); this machine only, unless said otherwise; everywhere with --acme
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<IpAddr>,
    #[command(flatten)]
    acme: acme::Acme,
}

/// Where to make it.
#[derive(Debug, Args)]
struct Prepare {
    /// The folder; made when missing
    #[arg(long, env = "PERCLOUD_DATA", value_name = "DIR")]
    data: PathBuf,
}

/// Makes the database. Nothing in it is one percloud's own: no key, no token, no name.
fn prepare(data: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let store = Store::open(data)?;
    executor()?.block_on(store.close());
    Ok(())
}

/// Serves at home.
fn at_home(
    data: PathBuf,
    domain: Domain,
    port: Option<u16>,
    listen: Vec<IpAddr>,
    acme: acme::Acme,
) -> anyhow::Result<()> {
    let port = port.unwrap_or(if acme.wanted() { 443 } else { 8443 });
    let acme = acme.options(&domain)?;
    serve::home::run(serve::home::Options { data, domain, port, listen, acme })
}

/// Does what the command line says. What goes wrong is said in one line on stderr, and in the exit code: 1, or 2 when the
/// command line itself cannot be understood.
#[must_use]
pub fn main() -> ExitCode {
    // What a host says, word by word: a visitor waits, and need not wait until all that could be said is known.
    let as_by_a_host = std::env::args_os().skip(1).eq(["serve", "--activated"]);
    let done = if as_by_a_host { serve::hosted::run() } else { run(Cli::parse().command) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("percloud-runtime: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(Serve { activated: true, .. }) => serve::hosted::run(),
        Command::Serve(Serve { data: Some(data), domain: Some(domain), port, listen, acme, .. }) => {
            at_home(data, domain, port, listen, acme)
        }
        Command::Prepare(Prepare { data }) => prepare(&data),
        Command::Import(options) => bundles::import(&options),
        Command::Export(options) => bundles::export(&options),
        Command::Check(options) => bundles::check(&options),
        Command::Serve(_) => Err(anyhow::anyhow!("serve needs --data and --domain")),
    }
}

/// A place for async work on one thread; what blocks (SQLite, argon2) runs on a few others.
///
/// # Errors
/// When the system gives no threads.
pub fn executor() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().max_blocking_threads(16).thread_keep_alive(std::time::Duration::from_secs(10)).build()?)
}
