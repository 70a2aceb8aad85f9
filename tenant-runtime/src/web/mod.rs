//! What handlers share: who asks ([`Request`]), what is answered ([`page`], [`redirect_with_toast`]), and [`Error`].

mod error;
pub mod gates;
mod log;
mod problem;
mod request;
mod respond;

pub use error::{Error, Result};
pub(crate) use log::note_as;
pub use log::{log, note_route};
pub use problem::{ErrorPage, explain};
pub(crate) use request::cookie;
pub use request::{Client, Request, attach};
pub(crate) use respond::{html, no_session_cookie, render, session_cookie};
pub use respond::{page, page_with_status, redirect, redirect_with_toast, toast_cookie};
