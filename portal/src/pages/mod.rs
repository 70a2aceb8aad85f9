//! The portal's pages: each a struct that the web role (or the edge) fills, and a template of the same name.

mod about;
mod cannot_start;
mod check_mail;
mod confirm;
mod detour;
mod dev_mails;
mod error;
pub mod manage;
mod no_such_percloud;
mod preparing;
mod sign_up;
mod start;
mod suspended;

pub use about::About;
pub use cannot_start::CannotStart;
pub use check_mail::CheckMail;
pub use confirm::{Confirm, ConfirmGone};
pub use detour::Detour;
pub use dev_mails::{DevMail, DevMailRow, DevMails};
pub use error::ErrorPage;
pub use no_such_percloud::NoSuchPercloud;
pub use preparing::Preparing;
pub use sign_up::SignUp;
pub use start::Start;
pub use suspended::Suspended;
