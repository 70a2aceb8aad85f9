//! The upload form for browsers without scripts, and for programs that cannot resume.

use axum::{
    extract::{Multipart, State, multipart::Field},
    response::Response,
};

use super::{fields::Fields, list::page_of};
use crate::{
    quota,
    runtime::Runtime,
    services::files::{arrive::Place, node::Id, pages::Put, store::read},
    uploads::{self, Metadata, multipart},
    web::{self, Error, Request, redirect_with_toast},
};

pub(super) async fn page(State(rt): State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    let id = fields.one("folder").map_or_else(|| Ok(Id::top()), super::list::id)?;
    let here = fields.here().to_owned();
    let folder = rt.store().read(move |db| Ok(read::get_folder(db, &id)?)).await?;
    web::page(&rt, &asked, &Put { folder: folder.id.to_string(), folder_name: folder.name, here })
}

/// Takes every file of the form, one after the other; those before a failure stay.
pub(super) async fn post(State(rt): State<Runtime>, mut form: Multipart) -> web::Result<Response> {
    let mut wanted = Metadata::new();
    let mut count = 0_usize;
    while let Some(field) = form.next_field().await.map_err(|_| Error::Invalid("uploads.cut-off"))? {
        match (field.name(), field.file_name()) {
            (Some("folder"), _) => {
                let folder = field.text().await.map_err(|_| Error::Invalid("uploads.cut-off"))?;
                wanted.insert("folder".to_owned(), folder);
            }
            // A form without a chosen file sends one without a name.
            (Some("file"), Some(name)) if !name.is_empty() => {
                wanted.insert("filename".to_owned(), last_name(name).to_owned());
                take(&rt, &wanted, field).await?;
                count += 1;
            }
            _ => {}
        }
    }
    let place = wanted.get("folder").map_or_else(|| Ok(Id::top()), |id| super::list::id(id))?;
    if count == 0 {
        return Err(Error::Invalid("files.nothing-chosen"));
    }
    let folder = rt.store().read(move |db| read::find(db, &place)).await?;
    let back = folder.map_or_else(|| "/app/files".to_owned(), |node| page_of(&node));
    Ok(redirect_with_toast(&back, "files.toast.uploaded", &[("count", &count.to_string())], None))
}

/// Some browsers send a path.
fn last_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

async fn take(rt: &Runtime, wanted: &Metadata, field: Field<'_>) -> web::Result<()> {
    let place = Place::parse(wanted)?;
    let (folder, spec) = (place.folder.clone(), rt.spec().clone());
    let room = rt.store().read(move |db| {
        read::get_folder(db, &folder)?;
        quota::ensure_room(db, &spec, 0)?;
        Ok(spec.quota_bytes.saturating_sub(quota::used(db)?).saturating_sub(uploads::reserved(db)?))
    });
    let blob = multipart::store(rt.blobs(), field, room.await?).await.map_err(|error| match error {
        Error::TooLarge => Error::NoRoom,
        other => other,
    })?;
    let now = rt.clock().now();
    rt.store().write(move |tx| place.add(tx, blob, now)).await?;
    Ok(())
}
