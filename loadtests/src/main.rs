//! Load tests and benches: each starts a provider of its own, measures it, and ends with one line of JSON.

mod provider;
mod scenarios;

use clap::{Parser, Subcommand};
use scenarios::{edge, sign_up};

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
    /// A part of `edge`: what the proxies pass requests to
    #[command(hide = true)]
    Upstream(edge::upstream::Options),
    /// A part of `edge`: a client that does nothing but shake hands
    #[command(hide = true)]
    Handshakes(edge::handshakes::Options),
}

fn main() -> anyhow::Result<()> {
    // The parts are held on one processor: threads would only be in each other's way.
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let many = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let line = match Cli::parse().scenario {
        Scenario::SignUp(options) => many()?.block_on(sign_up::run(&options))?,
        Scenario::Edge(options) => many()?.block_on(edge::run(&options))?,
        Scenario::Upstream(options) => return one()?.block_on(edge::upstream::run(&options)),
        Scenario::Handshakes(options) => one()?.block_on(edge::handshakes::run(&options))?,
    };
    println!("{line}");
    Ok(())
}
