use chrono::{DateTime, Utc};
use serde::Serialize;
use ui::Page;

/// `GET /dev/mails`, in development only: the mails that would have been sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DevMails {
    /// The newest first.
    pub mails: Vec<DevMailRow>,
}

/// A mail in the list.
#[derive(Clone, Debug, Serialize)]
pub struct DevMailRow {
    /// Its number.
    pub id: String,
    /// Who it is for.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// When it was written.
    pub at: DateTime<Utc>,
}

impl Page for DevMails {
    const TEMPLATE: &'static str = "pages/dev_mails.html";
    fn samples() -> Vec<Self> {
        let row = DevMailRow {
            id: "7".into(),
            to: "ada@example.org".into(),
            subject: "ada.percloud.localhost is waiting for you".into(),
            at: DateTime::UNIX_EPOCH,
        };
        vec![Self::default(), Self { mails: vec![row.clone(), DevMailRow { id: "6".into(), ..row }] }]
    }
}

/// `GET /dev/mails/<id>`: one of them.
#[derive(Clone, Debug, Serialize)]
pub struct DevMail {
    /// Who it is for.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The plain text.
    pub text: String,
    /// Where the link in it leads, so that it can be followed here.
    pub link: Option<String>,
}

impl Page for DevMail {
    const TEMPLATE: &'static str = "pages/dev_mail.html";
    fn samples() -> Vec<Self> {
        vec![Self {
            to: "ada@example.org".into(),
            subject: "ada.percloud.localhost is waiting for you".into(),
            at: DateTime::UNIX_EPOCH,
            text: "Hello,\n\nplease confirm:\nhttps://percloud.localhost:8443/confirm/k3fq\n".into(),
            link: Some("https://percloud.localhost:8443/confirm/k3fq".into()),
        }]
    }
}
