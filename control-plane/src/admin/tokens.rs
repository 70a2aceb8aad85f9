//! `percloud admin token`: who may use the JSON API for what.

use anyhow::bail;
use chrono::TimeDelta;
use serde_json::json;

use super::Desk;
use crate::{
    api_tokens::{self, Scope},
    terminal,
};

/// What to do with tokens.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Token {
    /// Make a token and print it, this once
    Create {
        /// What you call it: who or what uses it
        name: String,
        /// What it may do, may be repeated: tenants:read, tenants:write, mails:read, domains:read, domains:write, certificates:read,
        /// certificates:write, usage:read
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// End it after so many days
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
    },
    /// List tokens
    List,
    /// End a token
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

pub(super) async fn run(desk: &Desk, token: Token) -> anyhow::Result<()> {
    match token {
        Token::Create { name, scopes, days } => create(desk, &name, &scopes, days).await,
        Token::List => list(desk).await,
        Token::Revoke { id } => revoke(desk, &id).await,
    }
}

async fn create(desk: &Desk, name: &str, scopes: &[Scope], days: Option<u16>) -> anyhow::Result<()> {
    let now = desk.clock.now();
    let ends = days.map(|days| now + TimeDelta::days(i64::from(days)));
    let (token, secret) = api_tokens::create(&desk.client().await?, name, scopes, ends, now).await?;
    if desk.json {
        return terminal::print_json(
            &json!({ "id": token.id, "token": secret, "scopes": token.scopes, "expires_at": ends }),
        );
    }
    Ok(terminal::print(&format!("Token {}, shown only here:\n\n  {secret}\n\n", token.id))?)
}

async fn list(desk: &Desk) -> anyhow::Result<()> {
    let all = api_tokens::list(&desk.client().await?).await?;
    if desk.json {
        return terminal::print_json(&all);
    }
    let now = desk.clock.now();
    let mut rows = vec![["ID", "NAME", "MAY", "MADE", "LAST USED", "STATE"].map(str::to_owned).to_vec()];
    rows.extend(all.into_iter().map(|token| {
        let state = match (token.revoked_at, token.is_live(now)) {
            (Some(_), _) => "revoked",
            (None, false) => "ended",
            (None, true) => "live",
        };
        let may: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d").to_string());
        vec![token.id, token.name, may.join(" "), token.created_at.format("%Y-%m-%d").to_string(), used, state.into()]
    }));
    Ok(terminal::print(&terminal::table(&rows))?)
}

async fn revoke(desk: &Desk, id: &str) -> anyhow::Result<()> {
    if !api_tokens::revoke(&desk.client().await?, id, desk.clock.now()).await? {
        bail!("there is no live token {}", terminal::plain(id));
    }
    if desk.json {
        return terminal::print_json(&json!({ "id": id, "revoked": true }));
    }
    Ok(terminal::print(&format!("{id} opens nothing any more.\n"))?)
}
