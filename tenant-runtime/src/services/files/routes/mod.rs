//! Every address of Files.

mod browse;
mod change;
mod fields;
mod list;
mod raw;
mod share;
mod trash;
mod upload;
mod visit;
mod zip;

pub(super) use visit::on_home;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::runtime::Runtime;

/// The owner's pages, nested at `/app/files`.
pub(super) fn owner() -> Router<Runtime> {
    Router::new()
        .route("/", get(browse::top))
        .route("/folder/{id}", get(browse::folder))
        .route("/search", get(browse::search))
        .route("/file/{id}", get(browse::file))
        .route("/raw/{id}/{name}", get(raw::get))
        .route("/zip", get(zip::get))
        .route("/new-folder", get(change::new_folder_page).post(change::new_folder))
        .route("/rename/{id}", get(change::rename_page).post(change::rename))
        .route("/move", get(change::choose_move).post(change::relocate))
        .route("/copy", get(change::choose_copy).post(change::copy))
        .route("/undo/{id}", post(change::undo))
        .route("/upload", get(upload::page).post(upload::post).layer(DefaultBodyLimit::disable()))
        .route("/throw", post(trash::throw))
        .route("/trash", get(trash::page))
        .route("/trash/empty", get(trash::empty_page).post(trash::empty))
        .route("/trash/restore", post(trash::restore))
        .route("/trash/purge", post(trash::purge))
        .route("/links", get(share::links))
        .route("/share/{id}", get(share::page).post(share::create))
        .route("/share/{id}/public", post(share::set_public))
        .route("/links/{id}/revoke", post(share::revoke))
}

/// What visitors may ask for.
pub(super) fn public() -> Router<Runtime> {
    Router::new()
        .route("/files", get(visit::public_list))
        .route("/files/{id}", get(visit::public))
        .route("/files/{id}/zip", get(visit::public_zip))
        .route("/files/{id}/{name}", get(visit::public_raw))
        .route("/s/{token}", get(visit::link).post(visit::unlock))
        .route("/s/{token}/{id}", get(visit::link_inner))
        .route("/s/{token}/{id}/zip", get(visit::link_zip))
        .route("/s/{token}/{id}/{name}", get(visit::link_raw))
}
