//! The way out: a mail server, or the spool.

use std::time::Duration;

use anyhow::Context;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor,
    message::{Mailbox, MultiPart},
};
use portal::mails::Mail;
use url::Url;

use super::reconcile::Seen;
use crate::{config::Common, reconcile::StepError};

/// How long a mail server may take to say that it is there.
const GREETING: Duration = Duration::from_secs(15);

/// How mail goes out.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "mail")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// The mail server: smtps://user:password@host, starttls://user:password@host:587 or, on this machine, smtp://localhost:25.
    /// Without one, mails are kept for `percloud admin mails` to show.
    #[arg(long = "smtp-url", env = "PERCLOUD_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<String>,
    /// The sender's address (by default percloud@ and the base domain).
    #[arg(long = "mail-from", env = "PERCLOUD_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<Address>,
}

impl Options {
    /// Whether there is a mail server.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.smtp_url.as_deref().is_some_and(|url| !url.is_empty())
    }
}

/// A mail server, or the spool.
pub struct Mailer {
    way: Option<AsyncSmtpTransport<Tokio1Executor>>,
    from: Mailbox,
    portal: String,
}

impl Mailer {
    /// Reads the options; connects to nothing yet.
    ///
    /// # Errors
    /// When the server's URL or the sender's address cannot be read.
    pub fn new(common: &Common, options: &Options) -> anyhow::Result<Self> {
        let address = match &options.mail_from {
            Some(address) => address.clone(),
            None => format!("percloud@{}", common.base_domain).parse()?,
        };
        let way = options.smtp_url.as_deref().filter(|url| !url.is_empty()).map(transport).transpose()?;
        let from = Mailbox::new(Some(common.provider_name.clone()), address);
        Ok(Self { way, from, portal: common.portal_origin() })
    }

    /// The origin of the portal, to which mails lead.
    pub(super) fn portal(&self) -> &str {
        &self.portal
    }

    pub(super) async fn send(&self, id: i64, to: &str, mail: Mail) -> Result<Seen, StepError> {
        let Some(way) = &self.way else { return Ok(Seen::Spooled(mail)) };
        let Ok(address) = to.parse::<Address>() else { return Ok(Seen::Failed("the address cannot be read".into())) };
        let letter = Letter::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            // A mail that goes out twice, since we died before writing down that it went, is one mail for its reader.
            .message_id(Some(format!("<percloud-mail-{id}@{}>", self.from.email.domain())))
            .header(lettre::message::header::MIME_VERSION_1_0)
            .subject(mail.subject)
            .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))
            .map_err(|error| StepError::Stuck(error.into()))?;
        // A server that says nothing at all is not one that looks through a mail: it keeps no place for as long as that may take.
        if !tokio::time::timeout(GREETING, way.test_connection()).await.is_ok_and(|there| there.unwrap_or(true)) {
            return Err(StepError::later(anyhow::anyhow!("the mail server did not take it (no answer)")));
        }
        match way.send(letter).await {
            Ok(_) => Ok(Seen::Sent),
            // That it does not let us in says nothing about this mail: the operator mends the password, and it goes out.
            Err(error) if lets_nobody_in(&error) => {
                Err(StepError::Stuck(anyhow::anyhow!("the mail server does not let us in ({})", code(&error))))
            }
            // The server's own words may hold the address: only its code is kept.
            Err(error) if error.is_permanent() => {
                Ok(Seen::Failed(format!("the mail server refused it ({})", code(&error))))
            }
            Err(error) => Err(StepError::later(anyhow::anyhow!("the mail server did not take it ({})", code(&error)))),
        }
    }
}

fn lets_nobody_in(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

fn code(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => code.to_string(),
        None if error.is_timeout() => "no answer".to_owned(),
        None if error.is_tls() => "no TLS".to_owned(),
        None => "no connection".to_owned(),
    }
}

/// Plain SMTP is for this machine only: anywhere else `smtp://` means STARTTLS, unless `?tls=none` says otherwise.
fn transport(url: &str) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    // The error must not show the URL: there is a password in it.
    let mut url = Url::parse(&url.replacen("starttls://", "smtp://", 1).replace("?tls=none", "?tls=plain"))
        .ok()
        .context("the mail server's URL cannot be read")
        .map(|parsed| (parsed, url.starts_with("starttls://")))?;
    let host = url.0.host_str().unwrap_or_default();
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let said = url.0.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let tls = match said.as_deref() {
        Some("plain") => None,
        Some(other) => Some(other.to_owned()),
        None if url.0.scheme() == "smtp" && (url.1 || !here) => Some("required".to_owned()),
        None => None,
    };
    url.0.set_query(tls.map(|tls| format!("tls={tls}")).as_deref());
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.0.as_str())
        .ok()
        .context("the mail server's URL is not smtp://, smtps:// or starttls://")?;
    Ok(builder.timeout(Some(Duration::from_secs(10))).build())
}

#[cfg(test)]
mod tests {
    use super::transport;

    #[tokio::test]
    async fn a_mail_servers_url_is_read_and_its_password_never_shown() {
        for good in [
            "smtp://localhost:2525",
            "smtps://user:pass%40word@mail.example",
            "starttls://user:password@mail.example:587",
            "smtp://mail.example",
            "smtp://mail.example?tls=none",
        ] {
            assert!(transport(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "mail.example",
            "http://user:secret@mail.example",
            "smtps://user:secret@",
            "smtp://user:secret@mail.example?tls=maybe",
        ] {
            let error = transport(bad).err().unwrap_or_else(|| panic!("{bad} was taken"));
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
