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

#[cfg(test)]
mod tests {
    use crate::{auth::web as door, control, today, web};

    #[test]
    fn every_page_renders_well_in_all_languages() {
        ui::testing::check(super::pages())
            .page::<web::ErrorPage>()
            .page::<web::gates::Suspended>()
            .page::<web::gates::Closed>()
            .page::<door::SetUp>()
            .page::<door::SetUpUsed>()
            .page::<door::Codes>()
            .page::<door::SignIn>()
            .page::<door::Recover>()
            .page::<control::Overview>()
            .page::<control::Profile>()
            .page::<control::Address>()
            .page::<control::Storage>()
            .page::<control::Password>()
            .page::<control::SessionList>()
            .page::<control::ActivityLog>()
            .page::<control::Grants>()
            .page::<control::Deletion>()
            .page::<today::Today>()
            .said_elsewhere(&["activity.", "toast.", "password.score.", "password.hint.", "codes.file."])
            .finish();
    }
}
