//! Every template, message file and asset of the runtime, registered once.

use std::sync::LazyLock;

use ui::{Lang, Pages};

/// What one part of the runtime brings to its pages.
pub struct Part {
    /// Path as templates name it, and text.
    pub templates: &'static [(&'static str, &'static str)],
    /// Language, and flat JSON.
    pub locales: &'static [(Lang, &'static str)],
    /// Path as templates name it, and content.
    pub assets: &'static [ui::Asset],
}

/// What belongs to no service.
const CORE: Part = Part { templates: &[], locales: &[], assets: &[] };

/// Every part; a service adds its line: `&services::files::PAGES`.
const PARTS: &[&Part] = &[&CORE];

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
    let mut pages = Pages::builder();
    for part in PARTS {
        pages = pages.templates(part.templates).assets(part.assets);
        for (lang, json) in part.locales {
            pages = pages.messages(*lang, json);
        }
    }
    pages.build()
}
