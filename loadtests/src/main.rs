//! Load tests and benches: each starts a provider of its own, measures it, and ends with one line of JSON.

mod provider;
mod scenarios;

use clap::{Parser, Subcommand};

/// Measures one thing; the last line is one JSON object (docs: loadtests/README.md).
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// From the API's call to the first 200 at the new percloud's own name
    SignUp(scenarios::sign_up::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let line = match Cli::parse().scenario {
        Scenario::SignUp(options) => scenarios::sign_up::run(&options).await?,
    };
    println!("{line}");
    Ok(())
}
