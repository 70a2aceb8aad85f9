//! TXT records for DNS-01: by dynamic update ([`Update`], RFC 2136), or by asking an HTTP hook of the operator's ([`Hook`]).

mod hook;
mod update;
mod wire;

use futures_util::future::BoxFuture;

pub use hook::Hook;
pub use update::Update;

/// A place where TXT records can be put.
pub trait Txt: Send + Sync {
    /// Puts `value` beside what is at `fqdn` already, and waits until the world can see it. Twice is once.
    fn publish<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Takes exactly this value away; what else is at `fqdn` stays. Twice is once.
    fn remove<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
}
