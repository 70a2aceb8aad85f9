//! `POST /sign-up`.

use serde::{Deserialize, Serialize};
use ui::Lang;

/// Keys that code says: refusals of names and addresses, and what the live check answers.
pub const KEYS: &[&str] = &["sign-up.name.", "sign-up.email.", "sign-up.too-many", "sign-up.failed"];

/// What somebody typed. Fields that are missing are empty: a form without scripts leaves out what is not ticked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SignUp {
    /// The name wished for.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// `1` for somebody who brings a percloud along.
    pub moving: String,
    /// The code of the language to speak.
    pub language: String,
}

/// What is wrong, by field: keys of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// About the name.
    pub name: Option<&'static str>,
    /// About the address.
    pub email: Option<&'static str>,
    /// About the whole: too many tries.
    pub form: Option<&'static str>,
}

impl Errors {
    /// True when nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SignUp {
    /// What can be seen to be wrong without asking anybody. Whether the name may be had is for the control plane.
    #[must_use]
    pub fn check(&self) -> Errors {
        let name = self.name.trim().is_empty().then_some("sign-up.name.empty");
        let email = match self.email.trim() {
            "" => Some("sign-up.email.empty"),
            typed if plausible(typed) => None,
            _ => Some("sign-up.email.wrong"),
        };
        Errors { name, email, form: None }
    }

    /// True for somebody who brings a percloud along.
    #[must_use]
    pub fn moving(&self) -> bool {
        matches!(self.moving.as_str(), "1" | "on" | "true")
    }

    /// The language to speak: the one in the form, else the page's.
    #[must_use]
    pub fn language(&self, page: Lang) -> Lang {
        Lang::from_code(&self.language).unwrap_or(page)
    }
}

/// Something before the last `@` and a name with a dot after it. Only a mail can tell more.
fn plausible(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
    (1..=64).contains(&local.len())
        && address.len() <= 254
        && !address.contains(odd)
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_only_when_no_mail_could_reach_it() {
        for good in ["ada@example.org", "a+b.c@x.co", "o'hara@münchen.example", "\"a@b\"@example.org"] {
            assert!(plausible(good), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "ada@.org",
            "a b@example.org",
            "a@b..c",
            "a@x.org,b@x.org",
            "a@b.org\r\nBcc: c@d.org",
            &long,
        ] {
            assert!(!plausible(bad), "{bad}");
        }
    }

    #[test]
    fn errors_stand_by_their_field() {
        let empty = SignUp::default().check();
        assert_eq!((empty.name, empty.email), (Some("sign-up.name.empty"), Some("sign-up.email.empty")));
        let good = SignUp {
            name: "ada".into(),
            email: " ada@example.org ".into(),
            language: "it-CH".into(),
            ..SignUp::default()
        };
        assert!(good.check().is_empty() && !good.moving());
        assert_eq!(good.language(Lang::En), Lang::It);
        assert_eq!(SignUp::default().language(Lang::En), Lang::En);
    }
}
