use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{Looked, Trouble};

/// The name that is to take the place of the one in use, beside which it is connected.
#[derive(Clone, Debug, Serialize)]
pub struct Next {
    /// Which claim it is.
    pub id: String,
    /// The name, as people read it.
    pub name: String,
    /// Where the percloud answers until then.
    pub now: String,
    /// What was found.
    pub looked: Looked,
    /// Its entries are right, and its certificate is awaited.
    pub making: bool,
    /// What keeps that, if it takes longer.
    pub trouble: Option<Trouble>,
    /// The provider has paused it.
    pub paused: bool,
    /// Back from where all is set with one click: `yes`, or `no` when it was not set there.
    pub connected: Option<&'static str>,
}

/// A name that gave way to the one in use, and leads there.
#[derive(Clone, Debug, Serialize)]
pub struct Former {
    /// Which claim it is.
    pub id: String,
    /// The name, as people read it.
    pub name: String,
    /// Where it leads.
    pub now: String,
    /// Its last day.
    pub until: DateTime<Utc>,
    /// Its entries are not as they should be: it ends within days.
    pub missed: bool,
    /// The provider has paused it.
    pub paused: bool,
}

/// What a percloud has beside the name that the page is about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Beside {
    /// What is to take its place.
    pub next: Option<Next>,
    /// What leads to it; the one that does so longest comes first.
    pub former: Vec<Former>,
    /// One of these was given up just now: where the percloud answers.
    pub removed: Option<String>,
    /// It was otherwise when a form was opened: nothing was done.
    pub meanwhile: bool,
}

impl Beside {
    /// A change in each of its states, and what is left of one.
    pub(super) fn samples() -> [Self; 7] {
        let [none, half, bad] = Looked::samples();
        let next = |looked: Looked| Next {
            id: "d-aaaaaaaaaaaaaaaa".into(),
            name: "lovelace.example".into(),
            now: "bücher.example".into(),
            looked,
            making: false,
            trouble: None,
            paused: false,
            connected: None,
        };
        let long = "me.a-very-long-name-that-somebody-really-owns.example";
        let former = |name: &str, days| Former {
            id: "d-aaaaaaaaaaaaaaab".into(),
            name: name.into(),
            now: "bücher.example".into(),
            until: DateTime::UNIX_EPOCH + TimeDelta::days(days),
            missed: false,
            paused: false,
        };
        let with = |next: Next| Self { next: Some(next), ..Self::default() };
        let failing = Some(Trouble { kind: "failing", next: Some(DateTime::UNIX_EPOCH) });
        let missed = Former { missed: true, ..former(long, 3) };
        [
            with(next(none.clone())),
            with(Next { connected: Some("yes"), ..next(half) }),
            with(Next { paused: true, ..next(none.clone()) }),
            with(Next { making: true, ..next(none.clone()) }),
            with(Next { making: true, trouble: failing, ..next(none) }),
            Self {
                former: vec![former("old.example", 90)], removed: Some("bücher.example".into()), ..Self::default()
            },
            Self {
                next: Some(Next { name: long.into(), ..next(bad) }),
                former: vec![former("old.example", 90), Former { paused: true, ..former("older.example", 9) }, missed],
                meanwhile: true,
                ..Self::default()
            },
        ]
    }
}
