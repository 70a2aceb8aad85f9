//! The portal and the API over HTTP, on a unix socket that only the edge reaches.
//!
//! A request writes a wish in one transaction, and answers; it calls no host, no mail server, no CA. All routes are in [`router`], all
//! errors go through [`error`]: a page or RFC 9457, by `Accept`.

mod api;
mod confirm;
mod dev_mails;
mod domains;
pub mod error;
mod extract;
pub mod limits;
mod observe;
mod owners;
mod pages;
pub mod router;
mod sign_up;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use bundle::Clock;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Settings},
    config::Common,
    db, mails, sockets,
};

pub use error::{Error, Result};

/// What `percloud web` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// How mail goes out: only whether it does matters here.
    #[command(flatten)]
    pub mail: mails::Options,
    /// Bytes that a new percloud may hold.
    #[arg(long, env = "PERCLOUD_QUOTA_BYTES", default_value_t = 10_000_000_000, value_name = "N",
        value_parser = clap::value_parser!(i64).range(1..))]
    pub quota_bytes: i64,
    /// Sign-ups an hour from one address (a library's patrons share one).
    #[arg(long, env = "PERCLOUD_SIGN_UPS_PER_HOUR", default_value_t = 60, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub sign_ups_per_hour: u32,
}

/// Serves the portal until SIGTERM; then answers what was asked already (10 s at most), and returns.
///
/// # Errors
/// When the options make no sense or the socket cannot be made. A database that is away is no error: visitors get a 503 until it is back.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let common = &options.common;
    let url = common.database_url.as_deref().context("no database is named (PERCLOUD_DATABASE_URL)")?;
    portal::pages().read_all()?;
    let app = App {
        db: db::pool(url)?,
        clock: Clock::system(),
        settings: Arc::new(Settings::new(common, options.quota_bytes, options.mail.sends())),
        limits: Arc::new(limits::Limits::new(options.sign_ups_per_hour)),
    };
    let listener = listen(&common.paths().web_socket())?;
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let serving = tokio::spawn(serve(listener, app, stop.clone()));
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stop.cancel();
    match tokio::time::timeout(Duration::from_secs(10), serving).await {
        Ok(served) => served?,
        Err(_) => Ok(()), // whoever is still there is cut off
    }
}

/// A fresh socket at `path`. Its folder says who may reach it: `percloud up` makes one that only the edge may enter.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    Ok(UnixListener::from_std(sockets::listen(path, 0o660, None)?)?)
}

/// Serves until `stop`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: UnixListener, app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let upkeep = {
        let (limits, stop) = (app.limits.clone(), stop.clone());
        tokio::spawn(async move { limits.forget_the_old(stop).await })
    };
    axum::serve(listener, router::router(app)).with_graceful_shutdown(stop.cancelled_owned()).await?;
    upkeep.abort();
    Ok(())
}
