//! Set-up, sign-in, recovery: the pages before the owner's door.

mod recover;
mod set_up;
mod sign_in;
mod strength;

use axum::{
    Router,
    routing::{get, post},
};

pub use recover::Recover;
pub use set_up::{Codes, SetUp, SetUpUsed};
pub use sign_in::SignIn;
pub(crate) use sign_in::{Attempt, attempt, check_password};
pub(crate) use strength::known_words;

use crate::runtime::Runtime;

/// The pages before the owner's door.
pub fn routes() -> Router<Runtime> {
    Router::new()
        .route("/setup/{token}", get(set_up::show).post(set_up::set_up))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/recover", get(recover::show).post(recover::recover))
        .route("/api/password-strength", post(strength::judge))
}

/// A path of this site to go on to, or the usual one: never another site, whatever a link says.
#[must_use]
pub fn next_or<'a>(next: Option<&'a str>, usual: &'a str) -> &'a str {
    let own = |path: &&str| {
        path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && path.bytes().all(|byte| byte.is_ascii_graphic())
    };
    next.filter(own).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::next_or;

    #[test]
    fn one_only_goes_on_within_this_site() {
        assert_eq!(next_or(Some("/control/export?x=1"), "/app"), "/control/export?x=1");
        for bad in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a b", "/a\r\nx: y"] {
            assert_eq!(next_or(Some(bad), "/app"), "/app", "{bad}");
        }
        assert_eq!(next_or(None, "/app"), "/app");
    }
}
