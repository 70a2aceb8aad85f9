//! `infra/bench sign-up`: from the API's call to the first 200 at the own name over TLS.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::provider::Provider;

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Sign-ups one after the other, for the percentiles.
    #[arg(long, default_value_t = 100)]
    alone: usize,
    /// Sign-ups as fast as it goes, for the rate.
    #[arg(long, default_value_t = 400)]
    together: usize,
    /// How many of those at once.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
}

/// Measures, and gives the line of JSON.
///
/// # Errors
/// When a sign-up fails or takes longer than 30 seconds.
pub(crate) async fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    println!("Starting a provider of our own…");
    let provider = Provider::start()?;
    let client = provider.client()?;
    for warm in 0..5 {
        sign_up(&provider, &client, &format!("warm{warm}")).await?;
    }
    println!("{} sign-ups, one after the other…", options.alone);
    let mut took = Vec::with_capacity(options.alone);
    for n in 0..options.alone {
        took.push(sign_up(&provider, &client, &format!("alone{n}")).await?);
    }
    took.sort();
    println!("{} sign-ups, {} at once…", options.together, options.at_once);
    let per_s = rate(&provider, &client, options).await?;
    let ms = |percent: usize| {
        let at = (took.len() * percent).div_ceil(100).clamp(1, took.len()) - 1;
        (took[at].as_secs_f64() * 10_000.0).round() / 10.0
    };
    Ok(
        json!({ "bench": "sign-up", "p50_ms": ms(50), "p99_ms": ms(99), "per_s": (per_s * 10.0).round() / 10.0, "alone": options.alone, "together": options.together }),
    )
}

async fn rate(provider: &Provider, client: &reqwest::Client, options: &Options) -> anyhow::Result<f64> {
    let start = Instant::now();
    let lanes = (0..options.at_once).map(|lane| async move {
        for n in (lane..options.together).step_by(options.at_once) {
            sign_up(provider, client, &format!("crowd{n}")).await?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(lanes).await?;
    Ok(options.together as f64 / start.elapsed().as_secs_f64())
}

async fn sign_up(provider: &Provider, client: &reqwest::Client, name: &str) -> anyhow::Result<Duration> {
    let start = Instant::now();
    provider.sign_up(client, name).await?;
    Ok(start.elapsed())
}
