//! The Control panel: what the owner manages, apart from daily use.

mod activity_log;
mod address;
mod deletion;
mod grants;
mod overview;
mod password;
pub mod profile;
mod session_list;
mod storage;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use activity_log::ActivityLog;
pub use address::Address;
pub use deletion::Deletion;
pub use grants::Grants;
pub use overview::Overview;
pub use password::Password;
pub use profile::Profile;
pub use session_list::SessionList;
pub use storage::Storage;

use crate::runtime::Runtime;

/// The Control panel's pages, nested at `/control`.
pub fn routes() -> Router<Runtime> {
    // The form counts its bytes itself, so that a picture that is too large gets its own words.
    let profile = get(profile::show).post(profile::save).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/", get(overview::show))
        .route("/profile", profile)
        .route("/address", get(address::show))
        .route("/address/own", post(address::own))
        .route("/storage", get(storage::show))
        .route("/password", get(password::show).post(password::change))
        .route("/password/codes", post(password::renew_codes))
        .route("/password/codes.txt", post(password::codes_text))
        .route("/sessions", get(session_list::show))
        .route("/sessions/end-others", post(session_list::end_others))
        .route("/sessions/{id}/end", post(session_list::end))
        .route("/activity", get(activity_log::show))
        .route("/grants", get(grants::show))
        .route("/delete", get(deletion::show).post(deletion::want))
        .route("/delete/undo", post(deletion::undo))
}
