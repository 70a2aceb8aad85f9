//! Throwing away, bringing back, removing for good.

use axum::{extract::State, response::Response};
use rusqlite::Transaction;

use super::{change::keep, fields::Fields, list};
use crate::{
    activity,
    blobs::Hash,
    runtime::Runtime,
    services::files::{
        node::{Id, Node},
        pages::{EmptyTrash, Trash, TrashRow},
        store::{
            read::{self, Slice, Sort},
            trash, undo,
        },
        types,
    },
    web::{self, Request, redirect_with_toast},
};

pub(super) async fn throw(State(rt): State<Runtime>, fields: Fields) -> web::Result<Response> {
    let (ids, now) = (fields.ids()?, rt.clock().now());
    let done = rt.store().write(move |tx| {
        let steps = trash::throw(tx, &ids, now)?;
        keep(tx, &steps, now)
    });
    Ok(done.await?.answer(fields.here(), "files.toast.thrown"))
}

pub(super) async fn page(State(rt): State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    let number = fields.one("page").and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 1_000_000);
    let now = rt.clock().now();
    let trash = rt.store().read(move |db| {
        let slice = Slice { sort: Sort::Name, reversed: false, skip: (number - 1) * list::PART, limit: list::PART };
        let (nodes, total) = read::trashed(db, slice)?;
        let row = |node: Node| -> anyhow::Result<TrashRow> {
            let at = node.trashed_at.unwrap_or(now);
            let size = if node.is_folder() { read::total(db, &node)?.1 } else { node.size() };
            let icon = if node.is_folder() { "folder" } else { types::look(&node.mime).0 };
            let days = (at + trash::KEPT - now + chrono::TimeDelta::hours(23)).num_days().max(0);
            Ok(TrashRow { id: node.id.to_string(), icon, size, at, days, name: node.name })
        };
        let rows = nodes.into_iter().map(row).collect::<anyhow::Result<_>>()?;
        Ok(Trash { rows, total, pager: list::pager("/app/files/trash", "", number, total) })
    });
    web::page(&rt, &asked, &trash.await?)
}

pub(super) async fn restore(State(rt): State<Runtime>, fields: Fields) -> web::Result<Response> {
    let (ids, now) = (fields.ids()?, rt.clock().now());
    let done = rt.store().write(move |tx| {
        let steps = trash::restore(tx, &ids)?;
        keep(tx, &steps, now)
    });
    Ok(done.await?.answer("/app/files/trash", "files.toast.restored"))
}

pub(super) async fn purge(State(rt): State<Runtime>, fields: Fields) -> web::Result<Response> {
    let ids = fields.ids()?;
    remove(&rt, move |_| Ok(ids)).await
}

pub(super) async fn empty_page(State(rt): State<Runtime>, asked: Request) -> web::Result<Response> {
    let slice = Slice { sort: Sort::Name, reversed: false, skip: 0, limit: 0 };
    let total = rt.store().read(move |db| Ok(read::trashed(db, slice)?.1)).await?;
    web::page(&rt, &asked, &EmptyTrash { total })
}

pub(super) async fn empty(State(rt): State<Runtime>) -> web::Result<Response> {
    let all = Slice { sort: Sort::Name, reversed: false, skip: 0, limit: u32::MAX };
    remove(&rt, move |tx| Ok(read::trashed(tx, all)?.0.into_iter().map(|node| node.id).collect())).await
}

/// Removes things for good, and their content as soon as nothing else names it.
async fn remove(
    rt: &Runtime,
    which: impl FnOnce(&Transaction<'_>) -> anyhow::Result<Vec<Id>> + Send + 'static,
) -> web::Result<Response> {
    let now = rt.clock().now();
    let (count, content) = rt
        .store()
        .write(move |tx| {
            let ids = which(tx)?;
            let content = trash::content(tx, &ids)?;
            let count = trash::purge(tx, &ids)?;
            undo::forget(tx)?;
            if count > 0 {
                activity::note(tx, now, "files.activity.purged", &[("count", &count.to_string())])?;
            }
            Ok((count, content))
        })
        .await?;
    free(rt, content).await?;
    Ok(redirect_with_toast("/app/files/trash", "files.toast.purged", &[("count", &count.to_string())], None))
}

/// Gives the room back at once where that is safe; the sweep does the rest.
async fn free(rt: &Runtime, content: Vec<(Hash, chrono::DateTime<chrono::Utc>)>) -> web::Result<()> {
    let blobs = rt.blobs().clone();
    let freeing = rt.store().read(move |db| {
        let named = crate::quota::named(db)?;
        for (hash, since) in content {
            if named.binary_search(&hash).is_err() {
                blobs.forget(&hash, since);
            }
        }
        Ok(())
    });
    freeing.await?;
    rt.sweep_soon();
    Ok(())
}
