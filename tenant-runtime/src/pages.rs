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
const CORE: Part = Part {
    templates: ui::templates!("templates":
        "core/activity.html",
        "core/address.html",
        "core/closed.html",
        "core/codes.html",
        "core/control.html",
        "core/delete.html",
        "core/error.html",
        "core/grants.html",
        "core/parts.html",
        "core/password.html",
        "core/profile.html",
        "core/recover.html",
        "core/sessions.html",
        "core/set-up-used.html",
        "core/set-up.html",
        "core/sign-in.html",
        "core/storage.html",
        "core/suspended.html",
        "core/today.html",
    ),
    locales: &[(Lang::En, include_str!("../locales/en.json")), (Lang::It, include_str!("../locales/it.json"))],
    assets: ui::assets!("static/core", "core": "strength.js"),
};

/// Every part; a service adds its line: `&services::files::PAGES`.
const PARTS: &[&Part] = &[
    &CORE,
    &crate::home::PAGES,
    &crate::exports::PAGES,
    &crate::imports::PAGES,
    &crate::services::files::PAGES,
    &crate::services::posts::PAGES,
    &crate::services::bookmarks::PAGES,
];

/// All pages. Each is read when it is first asked for: a percloud that wakes shows one of them.
///
/// # Panics
/// When two templates or assets have the same name; every test that renders a page would find it.
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
    use crate::{
        auth::web as door,
        control, exports, home, imports,
        services::{
            bookmarks::{pages as bookmarks, public::PublicPage},
            files::pages as files,
            posts::{pages as posts, public as read},
        },
        today, web,
    };

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
            .page::<files::Choose>()
            .page::<files::EmptyTrash>()
            .page::<files::Ended>()
            .page::<files::File>()
            .page::<files::Folder>()
            .page::<files::Links>()
            .page::<files::NameIt>()
            .page::<files::Put>()
            .page::<files::Share>()
            .page::<files::Trash>()
            .page::<files::Unlock>()
            .page::<files::Visit>()
            .page::<home::Home>()
            .page::<posts::ListPage>()
            .page::<posts::EditorPage>()
            .page::<posts::PreviewPage>()
            .page::<read::PostPage>()
            .page::<read::ListPage>()
            .page::<bookmarks::ListPage>()
            .page::<bookmarks::FormPage>()
            .page::<bookmarks::ToolsPage>()
            .page::<bookmarks::ResultPage>()
            .page::<PublicPage>()
            .page::<control::Deletion>()
            .page::<today::Today>()
            .page::<exports::Export>()
            .page::<imports::Choose>()
            .page::<imports::Ready>()
            .page::<imports::Refused>()
            .page::<imports::Running>()
            .page::<imports::Done>()
            .said_elsewhere(&["activity.", "toast.", "password.score.", "password.hint.", "codes.file."])
            .said_elsewhere(&["import.reason.", "import.running"])
            .said_elsewhere(&[
                "files.toast.",
                "files.activity.",
                "files.type.",
                "files.import.",
                "files.nothing-chosen",
                "uploads.",
            ])
            .said_elsewhere(&["posts.toast.", "posts.import.", "posts.error.no-picture"])
            .said_elsewhere(&["bookmarks.toast.", "bookmarks.import."])
            .finish();
    }
}
