//! A message's words in a language: the portal's templates.

use chrono::NaiveDate;
use portal::mails::{self, Mail};
use ui::{Lang, words};

use super::{Mend, Message};
use crate::names::shown;

/// Finds the words; `portal` is the origin to which links lead.
pub(super) fn render(message: &Message, language: &str, portal: &str) -> anyhow::Result<Mail> {
    let lang = Lang::from_code(language).unwrap_or_default();
    let page = format!("{portal}/manage/domain");
    match message.clone() {
        Message::Confirm { domain, link } => mails::render(&mails::Confirm { domain, link }, lang),
        Message::SetUpLink { domain, link } => mails::render(&mails::SetUpLink { domain, link }, lang),
        Message::ManageLink { domain, link } => mails::render(&mails::ManageLink { domain, link }, lang),
        Message::DiskFull { domain } => mails::render(&mails::DiskFull { domain }, lang),
        Message::Suspended { domain, reason } => mails::render(&mails::Suspended { domain, reason }, lang),
        Message::Resumed { domain } => mails::render(&mails::Resumed { domain }, lang),
        Message::Deleted { domain } => mails::render(&mails::Deleted { domain }, lang),
        Message::DomainReady { domain, old } => {
            mails::render(&mails::DomainReady { domain: shown(&domain), old }, lang)
        }
        Message::DomainChanged { domain, before, until } => {
            let (domain, before, until) = (shown(&domain), shown(&before), day(lang, &until));
            mails::render(&mails::DomainChanged { domain, before, until, page }, lang)
        }
        Message::DomainEnded { domain, address } => {
            mails::render(&mails::DomainEnded { domain: shown(&domain), address: shown(&address), page }, lang)
        }
        Message::DomainTaken { domain, former, address } => {
            let former = former.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
            let (domain, address) = (shown(&domain), shown(&address));
            mails::render(&mails::DomainTaken { domain, former, address, page }, lang)
        }
        Message::DomainLeft { domain, state, address } => {
            mails::render(&mails::DomainLeft { domain: shown(&domain), state, address: shown(&address) }, lang)
        }
        Message::DomainMissed { domain, state, address, until } => {
            let until = until.map(|until| day(lang, &until)).unwrap_or_default();
            let (domain, address) = (shown(&domain), shown(&address));
            mails::render(&mails::DomainMissed { domain, state, address, until, page }, lang)
        }
        Message::DomainLost { domain, old } => {
            mails::render(&mails::DomainLost { domain: shown(&domain), old, page }, lang)
        }
        Message::DomainWaits { domain, old } => {
            mails::render(&mails::DomainWaits { domain: shown(&domain), old }, lang)
        }
        Message::DomainPaused { domain, old } => {
            mails::render(&mails::DomainPaused { domain: shown(&domain), old }, lang)
        }
        Message::CertificateLate { domain, ends, old } => {
            mails::render(&mails::CertificateLate { domain: shown(&domain), ends: day(lang, &ends), old }, lang)
        }
        Message::CertificateFailing { domain, ends, mend, old, address } => {
            let (caa, said) = mend.map(|mend| mended(mend, &shown(&domain), lang)).unwrap_or_default();
            let (domain, old) = (shown(&domain), old.unwrap_or_default());
            let ends = ends.map(|ends| day(lang, &ends)).unwrap_or_default();
            let address = address.map(|address| shown(&address)).unwrap_or_default();
            mails::render(&mails::CertificateFailing { domain, ends, caa, said, old, address, page }, lang)
        }
    }
}

/// What CAA records to set, in the words of the page of the domain, or what the CA said: one of both is empty.
fn mended(mend: Mend, domain: &str, lang: Lang) -> (String, String) {
    let (at, issuers, ours, otherwise) = match mend {
        Mend::Name { said } => return (String::new(), said),
        Mend::Caa { at, issuers, ours, otherwise } => (at, issuers, ours, otherwise),
    };
    let key = match (&at, otherwise, issuers.is_empty()) {
        (None, ..) => "domain.notice.caa-unseen",
        (_, true, _) => "domain.notice.caa-otherwise",
        (_, _, true) => "domain.notice.caa-nobody",
        (_, _, false) => "domain.notice.caa",
    };
    let at = at.map(|at| shown(&at)).unwrap_or_default();
    let args = [("domain", domain.to_owned()), ("at", at), ("issuers", issuers.join(", ")), ("ours", ours)];
    let args = args.map(|(name, value)| (name.to_owned(), value)).into();
    (portal::pages().message(lang, key, &args), String::new())
}

/// A day as people say it, of one that is queued as `2026-05-14`.
fn day(lang: Lang, text: &str) -> String {
    let midnight = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    midnight.map_or_else(|| text.to_owned(), |at| words::day(lang, at.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTAL: &str = "https://percloud.example";

    #[test]
    fn days_are_said_as_each_language_says_them_and_the_page_to_go_to_is_one_link() {
        let text = |message: &Message, lang| render(message, lang, PORTAL).unwrap().text;
        let (domain, before, until) = ("lovelace.example".into(), "xn--bcher-kva.example".into(), "2026-05-01".into());
        let changed = Message::DomainChanged { domain, before, until };
        let (domain, ends, old) = ("ada.example".into(), "2026-05-14".into(), "ada.percloud.example".into());
        let late = Message::CertificateLate { domain, ends, old };
        for (message, lang, said) in [
            (&changed, "en", "until 1 May 2026."),
            (&changed, "it", "fino al 1º maggio 2026."),
            (&changed, "it", "bücher.example"),
            (&late, "en", "ends on 14 May 2026"),
            (&late, "it", "scade il 14 maggio 2026"),
        ] {
            assert!(text(message, lang).contains(said), "{said}: {}", text(message, lang));
        }
        let (domain, address) = ("ada.example".to_owned(), "lovelace.example".to_owned());
        let lost = Message::DomainLost { domain: domain.clone(), old: "ada.percloud.example".into() };
        let ended = Message::DomainEnded { domain: domain.clone(), address: address.clone() };
        let former = vec!["old.example".into()];
        let taken = Message::DomainTaken { domain: domain.clone(), former, address: address.clone() };
        let [serves, leads, ends] = ["serves", "leads", "ends"].map(|state| Message::DomainMissed {
            domain: domain.clone(),
            state: state.into(),
            address: address.clone(),
            until: (state == "ends").then(|| "2026-05-14".into()),
        });
        assert!(text(&ends, "en").contains("Until 14 May 2026 nothing changes"), "{}", text(&ends, "en"));
        let failing = Message::CertificateFailing { domain, ends: None, mend: None, old: None, address: None };
        for message in [changed, lost, ended, taken, failing, serves, leads, ends] {
            for lang in ["en", "it"] {
                let mail = render(&message, lang, PORTAL).unwrap();
                let page = format!("{PORTAL}/manage/domain");
                assert_eq!(mail.text.lines().filter(|line| **line == page).count(), 1, "{}", mail.text);
                assert_eq!(mail.html.matches(&format!("href=\"{page}\"")).count(), 1, "{}", mail.html);
                for word in ["record", "Record"] {
                    assert!(!mail.text.contains(word), "the page calls them otherwise: {}", mail.text);
                }
            }
        }
    }

    #[test]
    fn without_a_certificate_it_is_said_where_the_percloud_answers() {
        let failing = |address: Option<&str>| Message::CertificateFailing {
            domain: "www.ada.example".into(),
            ends: None,
            mend: None,
            old: None,
            address: address.map(Into::into),
        };
        let text = |address| render(&failing(address), "en", PORTAL).unwrap().text;
        assert!(text(Some("ada.example")).contains("At ada.example it answers as before."));
        assert!(!text(None).contains("as before"));
    }

    #[test]
    fn who_is_asked_for_help_reads_what_to_mend_and_what_the_authority_said_of_it() {
        let text = |mend: Option<Mend>, lang| {
            let (domain, ends) = ("xn--bcher-kva.example".into(), Some("2026-05-14".into()));
            let failing = Message::CertificateFailing { domain, ends, mend, old: None, address: None };
            let mail = render(&failing, lang, PORTAL).unwrap();
            assert!(!mail.text.contains("\n\n\n"), "{}", mail.text);
            mail.text
        };
        let caa = |at: Option<&str>, issuers: &[&str], otherwise| {
            let issuers = issuers.iter().map(|one| (*one).to_owned()).collect();
            Some(Mend::Caa { at: at.map(Into::into), issuers, ours: "ours.example".into(), otherwise })
        };
        let at = Some("xn--bcher-kva.example");
        let add = "0 issue \"ours.example\"";
        for (mend, lang, said) in [
            (caa(at, &["a.example", "b.example"], false), "en", "CAA at bücher.example lets only others"),
            (caa(at, &["a.example", "b.example"], false), "it", "solo ad altri: a.example, b.example"),
            (caa(at, &[], false), "en", "lets nobody"),
            (caa(at, &["ours.example"], true), "it", "solo per qualcun altro"),
            (caa(None, &[], false), "en", "CAA at bücher.example or above it"),
            (caa(None, &[], false), "it", "CAA di bücher.example, o di un nome al di sopra"),
        ] {
            let text = text(mend, lang);
            assert!(text.contains(said) && text.contains(add), "{said}: {text}");
            for other in ["authority said", "l'autorità", "Usually", "Di solito", "needs a person"] {
                assert!(!text.contains(other), "{other}: {text}");
            }
        }
        let quoted = text(Some(Mend::Name { said: "Connection refused".into() }), "it");
        assert!(quoted.contains("l'autorità di certificazione:\nConnection refused\n\nDi solito"), "{quoted}");
        for mend in [None, Some(Mend::Name { said: String::new() })] {
            let silent = text(mend, "en");
            assert!(!silent.contains("authority said") && silent.contains("Usually"), "{silent}");
        }
        // What an older release has queued.
        let queued =
            r#"{"kind": "certificate-failing", "domain": "a.example", "ends": null, "reason": "needs a person"}"#;
        let queued = render(&serde_json::from_str(queued).unwrap(), "en", PORTAL).unwrap().text;
        assert!(!queued.contains("needs a person") && queued.contains("Usually"), "{queued}");
    }

    #[test]
    fn whoever_loses_a_name_to_an_operator_is_promised_nothing() {
        let taken = |former: &[&str]| Message::DomainTaken {
            domain: "ada.example".into(),
            former: former.iter().map(|name| (*name).to_owned()).collect(),
            address: "ada.percloud.example".into(),
        };
        let with = render(&taken(&["old.example", "older.example"]), "en", PORTAL).unwrap().text;
        for said in ["has taken ada.example off", "old.example, older.example", "The old entries do not bring it back"]
        {
            assert!(with.contains(said), "{said}: {with}");
        }
        let alone = render(&taken(&[]), "en", PORTAL).unwrap().text;
        assert!(!alone.contains("names from before") && !alone.contains("by itself"), "{alone}");
    }
}
