//! `percloud reconcile`: all nouns, until SIGTERM.

use std::sync::Arc;

use anyhow::Context;
use bundle::{Clock, spec::Provider};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::keep;
use crate::{
    certificates::{self, acme, issuer, reconcile::Certificates},
    config::{Common, SealOptions},
    db,
    dns::Dns,
    domains::{self, reconcile::Domains},
    hosts::client::HostClient,
    mails::{self, Mailer},
    tenants,
    usage::{
        APART,
        reconcile::{HOST_WITHIN, Meter},
    },
};

/// What `percloud reconcile` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// Where the sealing keys are.
    #[command(flatten)]
    pub seal: SealOptions,
    /// How mail goes out.
    #[command(flatten)]
    pub mail: mails::Options,
    /// Where own domains lead, and how DNS is asked.
    #[command(flatten)]
    pub domains: domains::Options,
    /// Who issues certificates.
    #[command(flatten)]
    pub certificates: certificates::Options,
    /// Name each percloud in the metrics of what is used: five series each.
    #[arg(long)]
    pub metrics_per_percloud: bool,
}

/// Makes what is wanted true, until SIGTERM; then ends the turns that run, and returns.
///
/// # Errors
/// When the options make no sense. A database or a host that is away is waited for.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut nouns = start(&options, Clock::system(), &stop)?;
    let ended = tokio::select! {
        _ = term.recv() => None,
        _ = int.recv() => None,
        ended = nouns.join_next() => ended,
    };
    drop(guard);
    while let Some(ended) = nouns.join_next().await {
        ended.context("a reconciler broke off")??;
    }
    match ended {
        None => Ok(()),
        Some(early) => {
            early.context("a reconciler broke off")?.and_then(|()| anyhow::bail!("a reconciler ended by itself"))
        }
    }
}

/// Starts every noun; a new noun has its line here.
fn start(options: &Options, clock: Clock, stop: &CancellationToken) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let common = &options.common;
    let url = common.database_url.clone().context("no database is named (PERCLOUD_DATABASE_URL)")?;
    let db = db::pool(&url)?;
    let provider = Provider { name: common.provider_name.clone(), url: common.portal_origin() };
    let tenants = tenants::reconcile::Tenants {
        db: db.clone(),
        host: Arc::new(HostClient::new(common.paths().host_socket())),
        clock: clock.clone(),
        provider,
        port: common.public_port(),
    };
    let mails =
        mails::reconcile::Mails { db: db.clone(), clock: clock.clone(), mailer: Mailer::new(common, &options.mail)? };
    let mut nouns = JoinSet::new();
    macro_rules! spawn {
        ($noun:expr) => {{
            let (url, db, clock, stop) = (url.clone(), db.clone(), clock.clone(), stop.clone());
            let noun = Arc::new($noun);
            nouns.spawn(async move { keep(noun, &url, db, clock, stop).await });
        }};
    }
    spawn!(tenants);
    spawn!(mails);
    {
        let host = HostClient::new(common.paths().host_socket()).with_patience(HOST_WITHIN);
        let per_percloud = options.metrics_per_percloud;
        let meter = Meter { db: db.clone(), host: Arc::new(host), clock: clock.clone(), per_percloud, apart: APART };
        let stop = stop.clone();
        nouns.spawn(async move {
            meter.keep(stop).await;
            Ok(())
        });
    }
    let cas = options.certificates.read(common.base_domain.as_str())?;
    if let Some(ways) = cas.said_ways() {
        tracing::info!(ways, "own domains are proved to the CA through the edge");
    }
    let domains = Domains::new(db.clone(), clock.clone(), common, &options.domains);
    {
        let (url, stop) = (url.clone(), stop.clone());
        nouns.spawn(async move { domains.keep(&url, stop).await });
    }
    let certificates = certificates(options, cas, &db, &clock)?;
    let stop = stop.clone();
    nouns.spawn(async move { certificates.keep(&url, stop).await });
    Ok(nouns)
}

/// The public CAs in the operator's order, then the local one.
fn certificates(
    options: &Options,
    settings: certificates::Settings,
    db: &db::Pool,
    clock: &Clock,
) -> anyhow::Result<Certificates> {
    let common = &options.common;
    let base_domain = common.base_domain.to_string();
    let seal = Arc::new(options.seal.open(&common.paths())?);
    let shared = acme::Shared {
        db: db.clone(),
        clock: clock.clone(),
        seal: seal.clone(),
        ways: settings.ways,
        budgets: settings.budgets,
        dns: Some(Arc::new(Dns::new(&options.domains.dns))),
    };
    let public = settings.directories.into_iter().map(|directory| -> Arc<dyn issuer::Issuer> {
        Arc::new(acme::Acme::new(directory, settings.email.clone(), shared.clone()))
    });
    let local: Arc<dyn issuer::Issuer> = Arc::new(issuer::Local::new(common));
    let issuers = issuer::Issuers::new(public.chain([local]).collect());
    Ok(Certificates { db: db.clone(), clock: clock.clone(), issuers, seal, base_domain })
}
