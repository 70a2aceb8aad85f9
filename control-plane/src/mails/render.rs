//! A message's words in a language.

use super::Message;

/// A mail as it goes out.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// Finds the words.
pub(super) fn render(message: &Message, language: &str, provider: &str) -> anyhow::Result<Rendered> {
    let (subject, text) = words(message, language == "it", provider);
    let html = format!("<p>{}</p>", text.replace('&', "&amp;").replace('<', "&lt;"));
    Ok(Rendered { subject, text, html })
}

fn words(message: &Message, _italian: bool, provider: &str) -> (String, String) {
    match message {
        Message::Confirm { domain, link } => (format!("Your address {domain}"), format!("Go on: {link}\n\n{provider}")),
        Message::SetUpLink { domain, link } => (format!("Set up {domain}"), format!("Go on: {link}\n\n{provider}")),
        Message::Suspended { domain, reason } => (format!("{domain} is suspended"), format!("{reason}\n\n{provider}")),
        Message::Resumed { domain } => (format!("{domain} is back"), provider.to_owned()),
        Message::Deleted { domain } => (format!("{domain} is deleted"), provider.to_owned()),
    }
}
