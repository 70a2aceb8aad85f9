//! A message's words in a language: the portal's templates.

use portal::mails::{self, Mail};
use ui::Lang;

use super::Message;
use crate::names::shown;

/// Finds the words.
pub(super) fn render(message: &Message, language: &str) -> anyhow::Result<Mail> {
    let lang = Lang::from_code(language).unwrap_or_default();
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
            let (domain, before) = (shown(&domain), shown(&before));
            mails::render(&mails::DomainChanged { domain, before, until }, lang)
        }
        Message::DomainEnded { domain, address } => {
            mails::render(&mails::DomainEnded { domain: shown(&domain), address: shown(&address) }, lang)
        }
        Message::DomainLeft { domain, state, address } => {
            mails::render(&mails::DomainLeft { domain: shown(&domain), state, address: shown(&address) }, lang)
        }
        Message::DomainLost { domain, old } => mails::render(&mails::DomainLost { domain: shown(&domain), old }, lang),
        Message::DomainWaits { domain, old } => {
            mails::render(&mails::DomainWaits { domain: shown(&domain), old }, lang)
        }
        Message::DomainPaused { domain, old } => {
            mails::render(&mails::DomainPaused { domain: shown(&domain), old }, lang)
        }
        Message::CertificateLate { domain, ends, old } => {
            mails::render(&mails::CertificateLate { domain: shown(&domain), ends, old }, lang)
        }
        Message::CertificateFailing { domain, ends, reason, old } => {
            let (domain, ends, old) = (shown(&domain), ends.unwrap_or_default(), old.unwrap_or_default());
            mails::render(&mails::CertificateFailing { domain, ends, reason, old }, lang)
        }
    }
}
