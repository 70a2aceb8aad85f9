use serde::Serialize;
use ui::Page;

/// `GET /check-mail` after a sign-up: look into your mail. It says the same whether the address is known or not.
#[derive(Clone, Debug, Serialize)]
pub struct CheckMail {
    /// The address that the mail goes to.
    pub email: String,
    /// The address that the percloud will have, where it is known.
    pub domain: Option<String>,
    /// Where the mail can be read in development, where none is sent.
    pub spool_link: Option<String>,
}

impl Page for CheckMail {
    const TEMPLATE: &'static str = "pages/check_mail.html";
    fn samples() -> Vec<Self> {
        vec![
            Self { email: "ada@example.org".into(), domain: Some("ada.percloud.localhost".into()), spool_link: None },
            Self {
                email: "ada.lovelace.of.the.analytical.engine@a-very-long-library-name.example".into(),
                domain: None,
                spool_link: Some("/dev/mails".into()),
            },
        ]
    }
}
