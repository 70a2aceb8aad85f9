//! Every template, message file and asset of the runtime, registered once.

use std::sync::LazyLock;

use ui::{Lang, Pages};

/// A part's templates: path as templates name it, and text.
pub type Templates = &'static [(&'static str, &'static str)];
/// A part's messages: language, and flat JSON.
pub type Locales = &'static [(Lang, &'static str)];

/// Templates that belong to no service.
pub const TEMPLATES: Templates = &[];

/// Messages that belong to no service.
pub const LOCALES: Locales = &[];

/// All pages. Parsed on first use, so that a process that only hands out files starts without it.
#[must_use]
pub fn pages() -> &'static Pages {
    static PAGES: LazyLock<Pages> = LazyLock::new(|| Pages);
    &PAGES
}
