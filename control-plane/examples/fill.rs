//! For benches: makes a database on a provider's own Postgres and fills it with names, each with a certificate of its own (key sealed as
//! the reconciler seals it) and a route to one socket. Prints the database's address, for an edge of one's own.

use std::path::PathBuf;

use anyhow::Context;
use bundle::Clock;
use chrono::TimeDelta;
use clap::Parser;
use control_plane::{certificates, config::Common, db, up};
use futures_util::SinkExt;
use tls::{LocalCa, Seal};
use tokio_postgres::{Client, NoTls};

/// What to make.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    /// The database's name; there must be none of this name yet.
    #[arg(long)]
    database: String,
    /// How many names.
    #[arg(long)]
    names: usize,
    /// What they are called; `%` stands for the number.
    #[arg(long)]
    pattern: String,
    /// One name more, which has a certificate too.
    #[arg(long)]
    host: String,
    /// Where all routes lead.
    #[arg(long)]
    socket: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut options = Options::parse();
    options.common.data = std::path::absolute(&options.common.data)?;
    let owner = up::cluster::owner_url(&options.common)?;
    let database = &options.database;
    let (client, connection) = db::config(&owner)?.connect(NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("create database {database}")).await?;
    let url = owner.replace(&format!("dbname='{}'", up::cluster::DATABASE), &format!("dbname='{database}'"));
    anyhow::ensure!(url != owner, "the owner's address names no database");
    db::migrate::run(&url).await?;
    let (client, connection) = db::config(&url)?.connect(NoTls).await?;
    tokio::spawn(connection);
    routes(&client, &options).await?;
    fill_certificates(&client, &options).await?;
    client.batch_execute("analyze").await?;
    println!("{url}");
    Ok(())
}

impl Options {
    /// All names, the extra one first.
    fn all(&self) -> impl Iterator<Item = String> {
        let numbered = (0..self.names).map(|number| self.pattern.replace('%', &number.to_string()));
        std::iter::once(self.host.clone()).chain(numbered)
    }
}

/// The id of the row with this number.
fn id(kind: char, number: usize) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |at: u32| char::from(DIGITS[(number >> (at * 5)) & 31]);
    let digits: String = (0..16).rev().map(|at| if at < 12 { digit(at) } else { 'a' }).collect();
    format!("{kind}-{digits}")
}

async fn routes(client: &Client, options: &Options) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let account = id('a', 0);
    client
        .execute("insert into accounts (id, email, created_at) values ($1, 'bench@example.org', $2)", &[&account, &now])
        .await?;
    let hosts: Vec<String> = options.all().collect();
    let ids: Vec<String> = (0..hosts.len()).map(|number| id('t', number)).collect();
    let labels: Vec<String> = (0..hosts.len()).map(|number| format!("bench-{number}")).collect();
    client
        .execute(
            "insert into names (name, skeleton, tenant_id, taken_at) select label, label, id, $3 from unnest($1::text[], $2::text[]) as t (label, id)",
            &[&labels, &ids, &now],
        )
        .await?;
    let socket = options.socket.to_str().context("--socket: not UTF-8")?;
    client
        .execute(
            "insert into tenants (id, account_id, name, domain, observed, socket, quota_bytes, created_at)
            select id, $4, label, host, 'running', $5, 1000000000, $6 from unnest($1::text[], $2::text[], $3::text[]) as t (id, label, host)",
            &[&ids, &labels, &hosts, &account, &socket, &now],
        )
        .await?;
    Ok(())
}

/// The provider's own certificate and one for each name, none of them due for anything.
async fn fill_certificates(client: &Client, options: &Options) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let folder = tempfile::tempdir()?;
    // Not the provider's own authority: that one vouches for names below the base domain only.
    let ca = LocalCa::open_or_create(&folder.path().join("ca"), "bench", &[], now)?;
    let seal = Seal::open(&options.common.paths().seal_key())?;
    let provider = certificates::provider_names(options.common.base_domain.as_str());
    let all = std::iter::once(provider).chain(options.all().map(|name| vec![name]));
    let copy = "copy certificates (id, names, observed, issuer, chain_pem, key_sealed, not_before, not_after, created_at) from stdin";
    let mut sink = std::pin::pin!(client.copy_in::<_, bytes::Bytes>(copy).await?);
    for (number, names) in all.enumerate() {
        let id = id('c', number);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let issued = ca.issue(&names, 90, now)?;
        let key = hex::encode(seal.seal(&certificates::sealed_for(&id), issued.key_der.secret_pkcs8_der())?);
        let chain = issued.chain_pem.replace('\n', "\\n");
        let (from, to) = ((now - TimeDelta::hours(1)).to_rfc3339(), issued.not_after.to_rfc3339());
        let names = names.join(",");
        let row = format!("{id}\t{{{names}}}\tissued\tbench\t{chain}\t\\\\x{key}\t{from}\t{to}\t{from}\n");
        sink.send(row.into()).await?;
    }
    sink.finish().await?;
    Ok(())
}
