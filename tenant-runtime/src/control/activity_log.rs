//! The activity log: what was done here, for the owner to read.

use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    activity::{self, Entry},
    runtime::Runtime,
    web::{Request, Result, page},
};

/// Entries on a page.
const AT_ONCE: u32 = 50;

/// What was done here, the latest first.
#[derive(Clone, Debug, Serialize)]
pub struct ActivityLog {
    /// This page's entries.
    pub entries: Vec<Entry>,
    /// The page with newer ones.
    pub newer: Option<u32>,
    /// The page with older ones.
    pub older: Option<u32>,
}

impl ui::Page for ActivityLog {
    const TEMPLATE: &'static str = "core/activity.html";
    fn samples() -> Vec<Self> {
        let entry = |key: &str, name: &str, value: &str| Entry {
            at: chrono::DateTime::UNIX_EPOCH,
            key: key.to_owned(),
            args: [(name.to_owned(), value.to_owned())].into(),
        };
        let keys = [
            ("activity.set-up", "device", "Firefox · Linux"),
            ("activity.sign-in", "device", "Safari · iPhone"),
            ("activity.sign-out", "device", "Safari · iPhone"),
            ("activity.recovered", "device", "curl"),
            ("activity.session-ended", "device", "Edge · Windows"),
            ("activity.sessions-ended", "count", "3"),
            ("activity.password-changed", "device", "Firefox · Linux"),
            ("activity.codes-renewed", "device", "Firefox · Linux"),
            ("activity.profile", "device", "Firefox · Linux"),
            ("activity.deletion-wanted", "device", "Firefox · Linux"),
            ("activity.deletion-undone", "device", "Firefox · Linux"),
        ];
        let entries = keys.map(|(key, name, value)| entry(key, name, value)).to_vec();
        vec![Self { entries: vec![], newer: None, older: None }, Self { entries, newer: Some(1), older: Some(3) }]
    }
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    page: Option<u32>,
}

/// GET `/control/activity`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request, Query(wanted): Query<Wanted>) -> Result<Response> {
    let number = wanted.page.unwrap_or(1).clamp(1, 10_000);
    let entries = rt.store().read(move |db| activity::list(db, AT_ONCE + 1, (number - 1) * AT_ONCE)).await?;
    let more = entries.len() > AT_ONCE as usize;
    let unknown = rt.pages().message(req.lang, "device.unknown", &Default::default());
    let named = |mut entry: Entry| {
        entry.args.entry("device".to_owned()).and_modify(|device| {
            if device.is_empty() {
                device.clone_from(&unknown);
            }
        });
        entry
    };
    let log = ActivityLog {
        entries: entries.into_iter().take(AT_ONCE as usize).map(named).collect(),
        newer: number.checked_sub(1).filter(|page| *page > 0),
        older: more.then_some(number + 1),
    };
    page(&rt, &req, &log)
}
