//! What owners do at the portal: coming in, and the own domain. Each page says whose percloud it is about.

mod active;
mod ask;
mod beside;
mod looked;
mod records;
mod way_in;
mod whose;

pub use active::{Active, Certificate, Changed, Chosen, Twin};
pub use ask::{Ask, Change, Errors, Remove};
pub use beside::{Beside, Former, Next};
pub use looked::{Checked, DnsHost, Looked, Record, Words};
pub use records::{Making, Records, Trouble};
pub use way_in::{Entering, WayIn, WayInGone, WayInLink, WayInSent};
pub use whose::Whose;

/// Keys that code says: refusals of names, what a look at DNS found, where entries are set.
pub const KEYS: &[&str] = &["domain.error.", "domain.free", "domain.record.", "domain.notice.", "domain.where."];
