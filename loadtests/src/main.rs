//! Load tests and benches: each starts a provider of its own, measures it, and ends with one line of JSON.

mod ahead;
mod figures;
mod processes;
mod provider;
mod scenarios;
mod visitor;

use clap::{Parser, Subcommand};
use scenarios::{density, edge, neighbours, sign_up, wake};

/// Measures one thing; the last line is one JSON object (docs: loadtests/README.md).
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// From the API's call to the first 200 at the new percloud's own name
    SignUp(sign_up::Options),
    /// The front door beside nginx, HAProxy and Caddy
    Edge(edge::Options),
    /// How long a visitor waits for a percloud that sleeps
    Wake(wake::Options),
    /// Memory of perclouds that are awake and idle, and of host and edge with many that sleep
    Density(density::Options),
    /// A quiet percloud beside one that behaves badly
    Neighbours(neighbours::Options),
    /// A part of `edge`: what the proxies pass requests to
    #[command(hide = true)]
    Upstream(edge::upstream::Options),
    /// A part of `edge`: a client that does nothing but shake hands
    #[command(hide = true)]
    Handshakes(edge::handshakes::Options),
    /// A part of `neighbours`: a crowd
    #[command(hide = true)]
    Flood(neighbours::flood::Options),
}

fn main() -> anyhow::Result<()> {
    // The parts are held on one processor: threads would only be in each other's way.
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let many = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let line = match Cli::parse().scenario {
        Scenario::SignUp(options) => many()?.block_on(sign_up::run(&options))?,
        Scenario::Edge(options) => many()?.block_on(edge::run(&options))?,
        Scenario::Wake(options) => many()?.block_on(wake::run(&options))?,
        Scenario::Density(options) => many()?.block_on(density::run(&options))?,
        Scenario::Neighbours(options) => {
            ahead::go();
            let ahead = tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(ahead::go).build()?;
            ahead.block_on(neighbours::run(&options))?
        }
        Scenario::Upstream(options) => return one()?.block_on(edge::upstream::run(&options)),
        Scenario::Handshakes(options) => one()?.block_on(edge::handshakes::run(&options))?,
        Scenario::Flood(options) => one()?.block_on(neighbours::flood::run(&options))?,
    };
    println!("{line}");
    Ok(())
}
