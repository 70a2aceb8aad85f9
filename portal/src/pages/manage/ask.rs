use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use ui::Page;

use super::{Beside, Whose};

/// What is wrong with what was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// About the name.
    pub name: Option<&'static str>,
    /// About the whole: too many tries.
    pub form: Option<&'static str>,
}

/// `GET /manage/domain` of an owner who has no own domain, and the answer to a refused `POST`: one question.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ask {
    /// Whose.
    pub whose: Whose,
    /// The name as typed.
    pub name: String,
    /// What is wrong with it.
    pub errors: Errors,
    /// A name was given up just now.
    pub removed: bool,
    /// What to know before: `nobody` makes certificates for own domains here, or a `private` authority does.
    pub hold: Option<&'static str>,
    /// Something was wished for another percloud than the one signed in for; nothing was done.
    pub other: bool,
    /// Names from before, which lead to its name at the provider.
    pub beside: Beside,
}

impl Page for Ask {
    const TEMPLATE: &'static str = "manage/ask.html";
    fn samples() -> Vec<Self> {
        let empty = Self { whose: Whose::sample(), ..Self::default() };
        let wrong = |key| Errors { name: Some(key), form: None };
        let [.., beside] = Beside::samples();
        vec![
            empty.clone(),
            Self { beside: Beside { next: None, ..beside }, ..empty.clone() },
            Self { name: "ada".into(), errors: wrong("domain.error.not-a-domain"), ..empty.clone() },
            Self { removed: true, ..empty.clone() },
            Self { other: true, whose: Whose::long(), ..empty.clone() },
            Self { hold: Some("nobody"), ..empty.clone() },
            Self { hold: Some("private"), ..empty.clone() },
            Self {
                name: "https://www.a-very-long-name-that-somebody-really-owns.example/path".into(),
                errors: Errors { form: Some("domain.too-many"), name: None },
                whose: Whose::long(),
                hold: Some("nobody"),
                ..empty
            },
        ]
    }
}

/// `GET /manage/domain/change`: another name instead.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Whose.
    pub whose: Whose,
    /// Which claim the new one is instead of.
    pub id: String,
    /// Its name, as people read it: the one in use, or the one that waits.
    pub current: String,
    /// What it does: it `serves`, or it `waits`.
    pub state: &'static str,
    /// Where it answers now.
    pub now: String,
    /// Until when one that waits leads there again; none where it goes.
    pub until: Option<DateTime<Utc>>,
    /// The oldest name from before, where as many as may be lead here: it no longer does after this change.
    pub ends: Option<String>,
    /// It was otherwise when the form was opened: nothing was done.
    pub meanwhile: bool,
    /// The name as typed.
    pub name: String,
    /// What is wrong with it.
    pub errors: Errors,
    /// What to know before, as for the first name.
    pub hold: Option<&'static str>,
}

impl Page for Change {
    const TEMPLATE: &'static str = "manage/change.html";
    fn samples() -> Vec<Self> {
        let plain = Self {
            whose: Whose::sample(),
            id: "d-aaaaaaaaaaaaaaaa".into(),
            current: "bücher.example".into(),
            state: "serves",
            now: "ada.percloud.localhost".into(),
            until: None,
            ends: None,
            meanwhile: false,
            name: String::new(),
            errors: Errors::default(),
            hold: None,
        };
        let errors = Errors { name: Some("domain.error.ours"), form: None };
        let until = Some(DateTime::UNIX_EPOCH + TimeDelta::days(70));
        let ends = Some("old.example".to_owned());
        vec![
            Self { state: "waits", name: "x".into(), errors, hold: Some("nobody"), ..plain.clone() },
            Self { state: "waits", until, name: "lovelace.example".into(), meanwhile: true, ..plain.clone() },
            Self { state: "waits", ends: ends.clone(), ..plain.clone() },
            Self { ends, ..plain.clone() },
            plain,
        ]
    }
}

/// `GET /manage/domain/remove`: what will break.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Remove {
    /// Whose.
    pub whose: Whose,
    /// Which claim it is.
    pub id: String,
    /// The name, as people read it.
    pub name: String,
    /// The one that leads to it.
    pub twin: Option<String>,
    /// What it is: it `serves`, it `leads` to the one in use, it `waits`, or it `returns`: then it leads on.
    pub state: &'static str,
    /// Until when one that returns does so.
    pub until: Option<DateTime<Utc>>,
    /// Where the percloud answers while this one is there.
    pub now: String,
    /// What leads to it and goes along.
    pub former: Vec<String>,
    /// What is connected beside it and goes on.
    pub next: Option<String>,
    /// All that its owner reads here in one line, which the form brings back: what is otherwise by then is not done unread.
    pub shown: String,
    /// It was otherwise when the form was opened: nothing was done.
    pub meanwhile: bool,
}

impl Page for Remove {
    const TEMPLATE: &'static str = "manage/remove.html";
    fn samples() -> Vec<Self> {
        let now = "bücher.example".to_owned();
        let plain = Self {
            whose: Whose::sample(),
            id: "d-aaaaaaaaaaaaaaaa".into(),
            name: now.clone(),
            twin: Some("www.bücher.example".into()),
            state: "serves",
            now: now.clone(),
            ..Self::default()
        };
        let waits = Self { state: "waits", twin: None, now: "ada.percloud.localhost".into(), ..plain.clone() };
        let until = Some(DateTime::UNIX_EPOCH + TimeDelta::days(70));
        let (name, former) = ("lovelace.example".to_owned(), vec!["old.example".into(), "older.example".into()]);
        vec![
            Self { whose: Whose::long(), ..waits.clone() },
            Self { name: name.clone(), now: now.clone(), ..waits },
            Self { name: "old.example".into(), twin: None, state: "leads", ..plain.clone() },
            Self { name: "old.example".into(), state: "returns", until, meanwhile: true, ..plain.clone() },
            Self { former, next: Some(name), meanwhile: true, ..plain.clone() },
            plain,
        ]
    }
}
