//! The provider's mails: a folder of three templates each, `subject.txt`, `body.txt` and `body.html`.

use anyhow::Context;
use serde::Serialize;
use ui::Lang;

/// A mail's fields, and where its templates are.
pub trait Template: Serialize {
    /// The folder below `templates/mails/`.
    const FOLDER: &'static str;
    /// What a test and the gallery show.
    fn sample() -> Self
    where
        Self: Sized;
}

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML, without anything to load.
    pub html: String,
}

/// Writes a mail.
///
/// # Errors
/// When a template asks for what the mail does not hold; a programmer's mistake, found by the test of all mails.
pub fn render<T: Template>(mail: &T, lang: Lang) -> anyhow::Result<Mail> {
    let part = |name: &str| {
        let path = format!("mails/{}/{name}", T::FOLDER);
        crate::pages().render_text(&path, mail, lang).with_context(|| format!("the mail {path}"))
    };
    // A header is one line, whatever stands in a domain or a translation.
    let subject = part("subject.txt")?.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Mail { subject, text: part("body.txt")?, html: part("body.html")? })
}

macro_rules! mails {
    ($($(#[doc = $doc:literal])+ $name:ident $folder:literal { $($(#[doc = $field_doc:literal])+ $field:ident: $sample:literal),* })*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, Serialize)]
            pub struct $name {
                $($(#[doc = $field_doc])+ pub $field: String,)*
            }
            impl Template for $name {
                const FOLDER: &'static str = $folder;
                fn sample() -> Self {
                    Self { $($field: $sample.to_owned()),* }
                }
            }
        )*
        /// Every mail in a language, by its folder, for the gallery.
        ///
        /// # Errors
        /// As [`render`].
        pub fn samples(lang: Lang) -> anyhow::Result<Vec<(&'static str, Mail)>> {
            Ok(vec![$(($folder, render(&$name::sample(), lang)?)),*])
        }
        /// Adds every mail to a check of all messages.
        #[cfg(test)]
        pub(crate) fn check_all(mut check: ui::testing::Check<'_>) -> ui::testing::Check<'_> {
            $(for part in ["subject.txt", "body.txt", "body.html"] {
                check = check.text(&format!("mails/{}/{part}", $folder), &$name::sample());
            })*
            check
        }
    };
}

mails! {
    /// Is this your address? Then go on here.
    Confirm "confirm" {
        /// The address that was picked.
        domain: "ada.percloud.localhost",
        /// The link to the page with the button.
        link: "https://percloud.localhost:8443/confirm/k3fq81za"
    }
    /// A set-up link from an operator: for a percloud that the provider made, or for one who lost the first link.
    SetUpLink "set_up_link" {
        /// The percloud's address.
        domain: "ada.percloud.localhost",
        /// The one-time link.
        link: "https://ada.percloud.localhost:8443/setup/k3fq81za"
    }
    /// The way in at the portal for an owner who cannot get into the percloud.
    ManageLink "manage_link" {
        /// The percloud's address.
        domain: "ada.percloud.localhost",
        /// The one-time link.
        link: "https://percloud.localhost:8443/manage/link/k3fq81za"
    }
    /// The provider closed the percloud.
    Suspended "suspended" {
        /// The percloud's address.
        domain: "ada.percloud.localhost",
        /// Why, in the operator's words.
        reason: "The invoice of May is open."
    }
    /// It is open again.
    Resumed "resumed" {
        /// The percloud's address.
        domain: "ada.percloud.localhost"
    }
    /// It holds far more than it may, and was put to sleep.
    DiskFull "disk_full" {
        /// The percloud's address.
        domain: "ada.percloud.localhost"
    }
    /// It is gone.
    Deleted "deleted" {
        /// The address that it had.
        domain: "ada.percloud.localhost"
    }
    /// It answers at its own domain.
    DomainReady "domain_ready" {
        /// The own domain.
        domain: "ada.example",
        /// The address that leads there now.
        old: "ada.percloud.localhost"
    }
    /// It answers at another own domain.
    DomainChanged "domain_changed" {
        /// The own domain.
        domain: "lovelace.example",
        /// The one that it answered at before, which leads there.
        before: "ada.percloud.localhost",
        /// The last day on which it does so.
        until: "14 May 2026",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
    /// A domain leads to it no more, which is not the one that it answers at.
    DomainEnded "domain_ended" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// The address at which it answers.
        address: "lovelace.example",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
    /// The provider has taken a domain away from it.
    DomainTaken "domain_taken" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// Those that led to it and went along; empty when there were none.
        former: "old.example, older.example",
        /// The address at which it answers.
        address: "ada.percloud.localhost",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
    /// The provider has paused a domain of its own.
    DomainLeft "domain_left" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// What that means: it `serves` on, it `leads` on to the one in use, or its claim `waits`.
        state: "serves",
        /// The address at which it answers, or will again when the certificate ends.
        address: "ada.percloud.localhost"
    }
    /// The entries of a domain of its own have not been as they should be for a day, or for days.
    DomainMissed "domain_missed" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// What that means: it `serves` on for now, it `leads` on to the one in use for now, or its certificate `ends`.
        state: "serves",
        /// The address at which it answers, or will again.
        address: "ada.percloud.localhost",
        /// The day on which it will; empty where it is not known.
        until: "14 May 2026",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
    /// It answers at its own domain no more.
    DomainLost "domain_lost" {
        /// The own domain.
        domain: "ada.example",
        /// The address at which it answers again.
        old: "ada.percloud.localhost",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
    /// It answers at its old name until there is a certificate for its own domain.
    DomainWaits "domain_waits" {
        /// The own domain.
        domain: "ada.example",
        /// The address at which it answers again.
        old: "ada.percloud.localhost"
    }
    /// It answers at its old name until the provider goes on with its own domain.
    DomainPaused "domain_paused" {
        /// The own domain.
        domain: "ada.example",
        /// The address at which it answers again.
        old: "ada.percloud.localhost"
    }
    /// The certificate for its own domain ends soon; the provider is at work on it.
    CertificateLate "certificate_late" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// The day on which the one there is ends.
        ends: "14 May 2026",
        /// The address at which it answers again before that day.
        old: "ada.percloud.localhost"
    }
    /// There is no certificate for its own domain, or soon none, and its owner can mend that.
    CertificateFailing "certificate_failing" {
        /// The domain.
        domain: "ada.percloud.localhost",
        /// The day on which the one there is ends; empty when there is none.
        ends: "14 May 2026",
        /// What stands in the way in the domain's DNS (CAA) and what to add, in a sentence; empty when it is something else.
        caa: "",
        /// What the certificate authority said; empty when it is that, or said nothing.
        said: "192.0.2.7: Fetching http://ada.percloud.localhost/.well-known/acme-challenge/x: Connection refused",
        /// The address at which it answers again before that day; empty when it does not answer at the domain.
        old: "ada.percloud.localhost",
        /// Another address, at which it answers all the while; empty when that is the domain.
        address: "lovelace.example",
        /// The page of the domain at the portal.
        page: "https://percloud.localhost:8443/manage/domain"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_the_same_in_text_and_html_and_breaks_no_header() {
        for lang in Lang::ALL {
            for (name, mail) in samples(lang).unwrap() {
                assert!(mail.subject.contains("ada.percloud.localhost") && !mail.subject.contains('\n'), "{name}");
                assert!(mail.text.lines().count() > 3 && !mail.text.contains('<'), "{name}: {}", mail.text);
                assert!(
                    mail.html.contains("<!doctype html>") && mail.html.contains(&format!("lang=\"{}\"", lang.code()))
                );
                assert!(!mail.html.contains("src=") && !mail.html.contains("url("), "{name} would load something");
            }
        }
    }

    #[test]
    fn what_a_person_chose_is_escaped_and_a_line_break_does_not_end_the_subject() {
        let mail = Deleted { domain: "a\r\nBcc: b@c.example<b>".into() };
        let mail = render(&mail, Lang::En).unwrap();
        assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
        assert!(mail.html.contains("&lt;b&gt;"));
    }

    #[test]
    fn the_link_stands_on_a_line_of_its_own_in_the_text() {
        let confirm = Confirm::sample();
        let mail = render(&confirm, Lang::It).unwrap();
        assert!(mail.text.lines().any(|line| line == confirm.link), "{}", mail.text);
        assert!(mail.html.contains(&format!("href=\"{}\"", confirm.link)));
    }
}
