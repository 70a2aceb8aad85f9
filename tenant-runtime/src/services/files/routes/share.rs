//! Who else can see something: everybody, or whoever has a link.

use axum::{
    extract::{Path, State},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use rusqlite::Connection;

use super::{
    browse::{crumbs, top_name},
    fields::Fields,
    list::{self, id},
};
use crate::{
    activity,
    auth::passwords,
    runtime::Runtime,
    services::files::{
        node::{Id, Node},
        pages::{Crumb, Link, LinkedNode, Links, Share},
        shares,
        store::{read, write},
        types,
    },
    web::{self, Error, Request, page_with_status, redirect, redirect_with_toast},
};

fn linked(
    db: &Connection,
    origin: &str,
    node: &Node,
    new: Option<&str>,
    now: DateTime<Utc>,
) -> anyhow::Result<LinkedNode> {
    let link = |share: shares::Share| Link {
        url: format!("{origin}/s/{}", share.token),
        over: share.is_over(now),
        new: new == Some(share.id.as_str()),
        id: share.id.to_string(),
        password: share.password.is_some(),
        expires_at: share.expires_at,
        created_at: share.created_at,
        opened: share.opened,
        opened_at: share.opened_at,
    };
    Ok(LinkedNode {
        id: node.id.to_string(),
        name: node.name.clone(),
        icon: if node.is_folder() { "folder" } else { types::look(&node.mime).0 },
        folder: node.is_folder(),
        trashed: node.trash.is_some(),
        links: shares::of_node(db, &node.id)?.into_iter().map(link).collect(),
    })
}

pub(super) async fn page(
    State(rt): State<Runtime>,
    asked: Request,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    show(&rt, &asked, id(&text)?, &fields, None).await
}

async fn show(
    rt: &Runtime,
    asked: &Request,
    id: Id,
    fields: &Fields,
    error: Option<&'static str>,
) -> web::Result<Response> {
    if id.is_top() {
        return Err(Error::NotFound);
    }
    let (top, now, origin) = (top_name(rt, asked), rt.clock().now(), rt.spec().origin());
    let new = fields.one("new").map(str::to_owned);
    let here = fields.one("here").map(|_| fields.here().to_owned());
    let share = rt.store().read(move |db| {
        let node = read::get(db, &id)?;
        let ancestors = read::ancestors(db, &id)?;
        let above = ancestors.iter().find(|a| a.public_at.is_some());
        let public = node.public_at.is_some();
        Ok(Share {
            crumbs: crumbs(&top, &ancestors, &node.name),
            public,
            inherited: above.map(|a| Crumb::to(a.name.clone(), format!("/app/files/share/{}", a.id))),
            public_url: (public || above.is_some()).then(|| format!("{origin}/files/{id}")),
            here: here.unwrap_or_else(|| list::page_of(&node)),
            node: linked(db, &origin, &node, new.as_deref(), now)?,
            error,
        })
    });
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    page_with_status(rt, asked, &share.await?, status)
}

/// When a link ends, as the form's choices say it.
fn expiry(choice: Option<&str>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let days = match choice? {
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "year" => 365,
        _ => return None,
    };
    Some(now + TimeDelta::days(days))
}

pub(super) async fn create(
    State(rt): State<Runtime>,
    asked: Request,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let (node, now) = (id(&text)?, rt.clock().now());
    let typed = fields.one("password").map(str::to_owned);
    if typed.as_ref().is_some_and(|typed| typed.chars().count() > passwords::MAX_CHARS) {
        return show(&rt, &asked, node, &fields, Some("files.share.password-long")).await;
    }
    let password = match typed {
        Some(typed) => Some(rt.hasher().hash(typed).await?),
        None => None,
    };
    let share = shares::Share {
        id: Id::random(),
        node: node.clone(),
        token: shares::new_token(),
        password,
        expires_at: expiry(fields.one("expires"), now),
        created_at: now,
        opened: 0,
        opened_at: None,
    };
    let new = share.id.clone();
    rt.store()
        .write(move |tx| {
            let node = read::get(tx, &share.node)?;
            shares::insert(tx, &share)?;
            activity::note(tx, now, "files.activity.shared", &[("name", &node.name)])
        })
        .await?;
    Ok(redirect(&format!("/app/files/share/{node}?new={new}&here={}", super::fields::encoded(fields.here()))))
}

pub(super) async fn set_public(
    State(rt): State<Runtime>,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let (id, now) = (id(&text)?, rt.clock().now());
    let public = fields.one("public").is_some();
    let name = rt
        .store()
        .write(move |tx| {
            let node = write::set_public(tx, &id, public.then_some(now))?;
            if node.public_at.is_some() != public {
                let key = if public { "files.activity.public" } else { "files.activity.private" };
                activity::note(tx, now, key, &[("name", &node.name)])?;
            }
            Ok(node.name)
        })
        .await?;
    let key = if public { "files.toast.public" } else { "files.toast.private" };
    let here = format!("/app/files/share/{text}?here={}", super::fields::encoded(fields.here()));
    Ok(redirect_with_toast(&here, key, &[("name", &name)], None))
}

pub(super) async fn revoke(
    State(rt): State<Runtime>,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let (id, now) = (id(&text)?, rt.clock().now());
    let done = rt.store().write(move |tx| {
        let node = shares::revoke(tx, &id)?;
        let node = node.map(|id| read::find(tx, &id)).transpose()?.flatten();
        if let Some(node) = &node {
            activity::note(tx, now, "files.activity.revoked", &[("name", &node.name)])?;
        }
        Ok(node)
    });
    let back = match (done.await?, fields.one("to")) {
        (Some(node), Some("node")) => {
            format!("/app/files/share/{}?here={}", node.id, super::fields::encoded(fields.here()))
        }
        _ => "/app/files/links".to_owned(),
    };
    Ok(redirect_with_toast(&back, "files.toast.revoked", &[], None))
}

pub(super) async fn links(State(rt): State<Runtime>, asked: Request) -> web::Result<Response> {
    let (now, origin) = (rt.clock().now(), rt.spec().origin());
    let links = rt.store().read(move |db| {
        let mut ids: Vec<Id> = shares::all(db)?.into_iter().map(|share| share.node).collect();
        let mut seen = std::collections::BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        let mut nodes = Vec::new();
        for id in ids {
            if let Some(node) = read::find(db, &id)? {
                nodes.push(linked(db, &origin, &node, None, now)?);
            }
        }
        let public = list::rows(db, &read::public_roots(db, 1_000)?)?;
        Ok(Links { nodes, public })
    });
    web::page(&rt, &asked, &links.await?)
}
