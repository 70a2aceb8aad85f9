//! What an operator does from the command line, straight on the database, as its owner.
//!
//! Everything here is a wish or a look, as in the portal and in the API: the reconciler makes wishes true a moment later.

mod abuse;
mod certificates;
mod costs;
mod domains;
mod mails;
mod perclouds;
mod seal;
mod tokens;
mod usage;

use std::process::ExitCode;

use anyhow::Context;
use bundle::Clock;

use crate::{
    config::{Common, SealOptions},
    db::{self, Pool},
    up::cluster,
};

/// What `percloud admin` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all commands are told.
    #[command(flatten)]
    pub common: Common,
    /// Say it as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Options {
    /// Where the sealing keys are, for the commands that need them.
    pub fn seal(&mut self) -> Option<&mut SealOptions> {
        match &mut self.command {
            Command::Seal(seal) => Some(&mut seal.keys),
            _ => None,
        }
    }
}

/// What an operator may want.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// List perclouds by address
    List(perclouds::List),
    /// Show one percloud and what was done to it
    Show(perclouds::Which),
    /// Make a percloud and print its one-time set-up link
    Create(perclouds::Create),
    /// Close a percloud to visitors; its owner can still sign in and take everything along
    Suspend(perclouds::Suspend),
    /// Open a suspended percloud again, or have one that does not start tried at once
    Resume(perclouds::Which),
    /// Delete a percloud with everything in it, for good
    Delete(perclouds::Delete),
    /// List mails, or show one that nobody sends because no mail server is configured
    Mails(mails::Mails),
    /// Tokens of the JSON API
    #[command(subcommand)]
    Token(tokens::Token),
    /// Own domains: list, show, check, pause and resume, remove, release
    #[command(subcommand)]
    Domains(domains::Domains),
    /// List certificates, show one, have one tried at once or renewed, pause and resume one
    Certificates(certificates::Certificates),
    /// What each percloud used: processor, memory, disk, requests, bytes that went out
    Usage(usage::Usage),
    /// What a percloud costs, and how that is spread; `costs set` says what you pay
    Costs(costs::Costs),
    /// Who met limits lately, the worst first
    Abuse(abuse::Abuse),
    /// The keys that seal secrets in the database
    Seal(seal::Seal),
}

/// What every command needs.
pub(crate) struct Desk {
    db: Pool,
    clock: Clock,
    common: Common,
    json: bool,
}

impl Desk {
    async fn client(&self) -> anyhow::Result<deadpool_postgres::Client> {
        self.db.get().await.context("the database does not answer; is the provider up? (`percloud doctor` says more)")
    }

    /// A percloud's origin, without a slash at the end.
    fn origin(&self, domain: &str) -> String {
        bundle::spec::origin(domain, self.common.public_port())
    }
}

/// Does what is asked.
///
/// # Errors
/// When the database does not answer or refuses; what to do is in the words.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let url = cluster::owner_url(&options.common)?;
    let desk = Desk { db: db::pool(&url)?, clock: Clock::system(), common: options.common, json: options.json };
    match options.command {
        Command::List(list) => perclouds::list(&desk, list).await?,
        Command::Show(which) => perclouds::show(&desk, &which).await?,
        Command::Create(create) => perclouds::create(&desk, create).await?,
        Command::Suspend(suspend) => perclouds::suspend(&desk, &suspend).await?,
        Command::Resume(which) => perclouds::resume(&desk, &which).await?,
        Command::Delete(delete) => perclouds::delete(&desk, &delete).await?,
        Command::Mails(mails) => mails::run(&desk, &mails).await?,
        Command::Token(token) => tokens::run(&desk, token).await?,
        Command::Domains(asked) => domains::run(&desk, asked).await?,
        Command::Certificates(asked) => certificates::run(&desk, asked).await?,
        Command::Usage(asked) => usage::run(&desk, asked).await?,
        Command::Costs(asked) => costs::run(&desk, asked).await?,
        Command::Abuse(asked) => abuse::run(&desk, &asked).await?,
        Command::Seal(seal) => seal::run(&desk, &seal).await?,
    }
    Ok(ExitCode::SUCCESS)
}
/// What a percloud is called that may have gone: only its id is then known.
fn called(domain: Option<&str>, tenant_id: &str) -> String {
    domain.map_or_else(|| format!("{tenant_id} (gone)"), str::to_owned)
}
