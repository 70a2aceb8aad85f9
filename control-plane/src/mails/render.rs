//! A message's words in a language: the portal's templates.

use portal::mails::{self, Mail};
use ui::Lang;

use super::Message;

/// Finds the words.
pub(super) fn render(message: &Message, language: &str) -> anyhow::Result<Mail> {
    let lang = Lang::from_code(language).unwrap_or_default();
    let (domain, reason, link) = match message.clone() {
        Message::Confirm { domain, link }
        | Message::SetUpLink { domain, link }
        | Message::ManageLink { domain, link } => (domain, String::new(), link),
        Message::Suspended { domain, reason } => (domain, reason, String::new()),
        Message::Resumed { domain } | Message::Deleted { domain } => (domain, String::new(), String::new()),
    };
    match message {
        Message::Confirm { .. } => mails::render(&mails::Confirm { domain, link }, lang),
        Message::SetUpLink { .. } => mails::render(&mails::SetUpLink { domain, link }, lang),
        Message::ManageLink { .. } => mails::render(&mails::ManageLink { domain, link }, lang),
        Message::Suspended { .. } => mails::render(&mails::Suspended { domain, reason }, lang),
        Message::Resumed { .. } => mails::render(&mails::Resumed { domain }, lang),
        Message::Deleted { .. } => mails::render(&mails::Deleted { domain }, lang),
    }
}
