use serde::Serialize;
use ui::Page;

/// Whatever went wrong: what it means and what to do now. Never why in the program's words.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    /// The HTTP status.
    pub status: u16,
    /// The id under which the log knows more, for a fault of ours.
    pub id: Option<String>,
    /// What the page says, chosen by the status: `not-found`, `forbidden`, `too-many`, `too-large`, `method`, `wrong`
    /// (the request), `unavailable`, `fault`.
    pub kind: &'static str,
}

impl ErrorPage {
    /// The page for a status.
    #[must_use]
    pub fn new(status: u16, id: Option<String>) -> Self {
        let kind = match status {
            404 | 410 | 421 => "not-found",
            401 | 403 => "forbidden",
            405 => "method",
            413 => "too-large",
            429 => "too-many",
            400..500 => "wrong",
            502..=504 => "unavailable",
            _ => "fault",
        };
        Self { status, id, kind }
    }
}

impl Page for ErrorPage {
    const TEMPLATE: &'static str = "pages/error.html";
    fn samples() -> Vec<Self> {
        let ids = |status| (status >= 500).then(|| "01jd-k3fq-81za".to_owned());
        [404, 403, 405, 413, 429, 422, 503, 500].map(|status| Self::new(status, ids(status))).into()
    }
}
