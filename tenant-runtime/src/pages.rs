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
///
/// # Panics
/// When a template does not parse or a message is there twice; every test that renders a page would find it.
#[must_use]
pub fn pages() -> &'static Pages {
    static PAGES: LazyLock<Pages> = LazyLock::new(|| build().unwrap_or_else(|why| panic!("{why:#}")));
    &PAGES
}

fn build() -> anyhow::Result<Pages> {
    let mut pages = Pages::builder().templates(TEMPLATES);
    for (lang, json) in LOCALES {
        pages = pages.messages(*lang, json);
    }
    pages.build()
}
