use serde::Serialize;
use ui::{Lang, Page};

use crate::forms::sign_up::Errors;

/// `GET /sign-up` (`?moving=1` for those who bring a percloud along) and the answer to a refused `POST /sign-up`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SignUp {
    /// The name as typed.
    pub name: String,
    /// The e-mail address as typed.
    pub email: String,
    /// What is wrong, by field.
    pub errors: Errors,
    /// What follows the name in the address: `.percloud.localhost`.
    pub suffix: String,
    /// True for somebody who brings a percloud along.
    pub moving: bool,
    /// The language that the new percloud will speak first.
    pub language: Lang,
}

impl Page for SignUp {
    const TEMPLATE: &'static str = "pages/sign_up.html";
    fn samples() -> Vec<Self> {
        let empty = Self { suffix: ".percloud.localhost".into(), ..Self::default() };
        vec![
            empty.clone(),
            Self { moving: true, ..empty.clone() },
            Self {
                name: "www".into(),
                email: "ada".into(),
                errors: Errors { name: Some("sign-up.name.reserved"), email: Some("sign-up.email.wrong"), form: None },
                ..empty.clone()
            },
            Self {
                name: "a-name-as-long-as-it-may-be-yes".into(),
                email: "ada.lovelace.of.the.analytical.engine@a-very-long-library-name.example".into(),
                errors: Errors { form: Some("sign-up.too-many"), ..Errors::default() },
                suffix: ".cloud.a-very-long-library-name.example".into(),
                ..empty
            },
        ]
    }
}
