//! The provider's pages, forms and mails; no database and no HTTP server.
//!
//! The web role fills the structs in [`mod@pages`] and renders them with [`pages()`](fn@pages); the edge shows those of
//! perclouds that do not answer; the reconciler sends [`mails`]. `cargo run -p portal --example gallery` shows all.

use std::sync::LazyLock;

use ui::{Asset, Builder, Lang, Pages, Template};

pub mod forms;
pub mod mails;
pub mod pages;

const TEMPLATES: &[Template] = ui::templates!("templates":
    "pages/start.html", "pages/about.html", "pages/sign_up.html", "pages/check_mail.html",
    "pages/confirm.html", "pages/confirm_gone.html",
    "pages/no_such_percloud.html", "pages/suspended.html", "pages/cannot_start.html", "pages/preparing.html", "pages/detour.html",
    "pages/error.html", "pages/dev_mails.html", "pages/dev_mail.html",
    "manage/way_in.html", "manage/way_in_sent.html", "manage/way_in_link.html", "manage/way_in_gone.html", "manage/entering.html",
    "manage/ask.html", "manage/records.html", "manage/making.html", "manage/active.html", "manage/change.html", "manage/remove.html",
    "parts/manage_nav.html", "parts/whose.html", "parts/other.html", "parts/domain_name.html", "parts/entries.html", "parts/checked.html",
    "parts/where.html", "parts/notices.html", "parts/trouble.html", "parts/paused.html", "parts/nobody.html", "parts/connected.html",
    "parts/looked.html", "parts/next.html", "parts/former.html", "parts/meanwhile.html", "parts/refresh.html",
    "parts/edge.html", "parts/nav.html", "mails/base.html", "mails/parts.html",
    "mails/confirm/subject.txt", "mails/confirm/body.txt", "mails/confirm/body.html",
    "mails/set_up_link/subject.txt", "mails/set_up_link/body.txt", "mails/set_up_link/body.html",
    "mails/manage_link/subject.txt", "mails/manage_link/body.txt", "mails/manage_link/body.html",
    "mails/suspended/subject.txt", "mails/suspended/body.txt", "mails/suspended/body.html",
    "mails/resumed/subject.txt", "mails/resumed/body.txt", "mails/resumed/body.html",
    "mails/disk_full/subject.txt", "mails/disk_full/body.txt", "mails/disk_full/body.html",
    "mails/deleted/subject.txt", "mails/deleted/body.txt", "mails/deleted/body.html",
    "mails/domain_ready/subject.txt", "mails/domain_ready/body.txt", "mails/domain_ready/body.html",
    "mails/domain_changed/subject.txt", "mails/domain_changed/body.txt", "mails/domain_changed/body.html",
    "mails/domain_taken/subject.txt", "mails/domain_taken/body.txt", "mails/domain_taken/body.html",
    "mails/domain_ended/subject.txt", "mails/domain_ended/body.txt", "mails/domain_ended/body.html",
    "mails/domain_left/subject.txt", "mails/domain_left/body.txt", "mails/domain_left/body.html",
    "mails/domain_missed/subject.txt", "mails/domain_missed/body.txt", "mails/domain_missed/body.html",
    "mails/domain_lost/subject.txt", "mails/domain_lost/body.txt", "mails/domain_lost/body.html",
    "mails/domain_waits/subject.txt", "mails/domain_waits/body.txt", "mails/domain_waits/body.html",
    "mails/domain_paused/subject.txt", "mails/domain_paused/body.txt", "mails/domain_paused/body.html",
    "mails/certificate_late/subject.txt", "mails/certificate_late/body.txt", "mails/certificate_late/body.html",
    "mails/certificate_failing/subject.txt", "mails/certificate_failing/body.txt", "mails/certificate_failing/body.html",
);

const ASSETS: &[Asset] = ui::assets!("static", "portal": "portal.css", "sign-up.js");

/// Collects everything that the portal shows; the gallery adds to it.
#[must_use]
pub fn builder() -> Builder {
    Pages::builder()
        .templates(TEMPLATES)
        .messages(Lang::En, include_str!("../locales/en.json"))
        .messages(Lang::It, include_str!("../locales/it.json"))
        .messages(Lang::En, include_str!("pages/manage/locales/en.json"))
        .messages(Lang::It, include_str!("pages/manage/locales/it.json"))
        .assets(ASSETS)
}

/// All pages of the portal, read on first use; the role `web` reads them when it starts.
///
/// # Panics
/// When two templates or assets have the same name; every test that renders a page would find it.
#[must_use]
pub fn pages() -> &'static Pages {
    static PAGES: LazyLock<Pages> = LazyLock::new(|| builder().build().unwrap_or_else(|why| panic!("{why:#}")));
    &PAGES
}

#[cfg(test)]
mod tests {
    use crate::{forms, mails, pages::*};

    #[test]
    fn every_page_and_mail_says_everything_in_all_languages() {
        let check = ui::testing::check(super::pages())
            .page::<Start>()
            .page::<About>()
            .page::<SignUp>()
            .page::<CheckMail>()
            .page::<Confirm>()
            .page::<ConfirmGone>()
            .page::<NoSuchPercloud>()
            .page::<Suspended>()
            .page::<CannotStart>()
            .page::<Preparing>()
            .page::<Detour>()
            .page::<ErrorPage>()
            .page::<DevMails>()
            .page::<DevMail>()
            .page::<manage::WayIn>()
            .page::<manage::WayInSent>()
            .page::<manage::WayInLink>()
            .page::<manage::WayInGone>()
            .page::<manage::Entering>()
            .page::<manage::Ask>()
            .page::<manage::Records>()
            .page::<manage::Making>()
            .page::<manage::Active>()
            .page::<manage::Change>()
            .page::<manage::Remove>();
        let check = mails::check_all(check);
        // What the sample does not say: there is no certificate yet.
        let first = mails::CertificateFailing { ends: String::new(), ..mails::Template::sample() };
        let check = check.text("mails/certificate_failing/body.txt", &first);
        // What a pause means elsewhere than at the name in use.
        let left = |state: &str| mails::DomainLeft { state: state.to_owned(), ..mails::Template::sample() };
        let check = check.text("mails/domain_left/body.txt", &left("leads"));
        let check = check.text("mails/domain_left/body.txt", &left("waits"));
        // And what wrong entries mean to one that only leads on, or whose certificate is not renewed any more.
        let missed = |state: &str| mails::DomainMissed { state: state.to_owned(), ..mails::Template::sample() };
        let check = check.text("mails/domain_missed/body.txt", &missed("leads"));
        let check = check.text("mails/domain_missed/body.txt", &missed("ends"));
        check.said_elsewhere(forms::sign_up::KEYS).said_elsewhere(manage::KEYS).finish();
    }
}
