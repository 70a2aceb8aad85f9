//! A claim to test with.

use chrono::{DateTime, TimeDelta};

use super::{DomainRow, Observed, Part, Wanted};

/// Ada's claim of `ada.test`, just made.
pub(crate) fn row() -> DomainRow {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    DomainRow {
        id: "d-aaaaaaaaaaaaaaaa".into(),
        tenant_id: "t-aaaaaaaaaaaaaaaa".parse().unwrap(),
        name: "ada.test".into(),
        twin: Some("www.ada.test".into()),
        base: "ada.test".into(),
        target: "t-target".into(),
        challenge: "challenge".into(),
        challenge_expires_at: now + TimeDelta::days(7),
        wanted: Wanted::Active,
        observed: Observed::Pending,
        part: Part::Main,
        leads_until: None,
        paused: false,
        resumed_at: None,
        report: None,
        claimed_at: now,
        asked_at: now,
        check_at: now,
        checked_at: None,
        verified_at: None,
        good_at: None,
        unheard_since: None,
        misses: 0,
        missed_at: None,
        slow: false,
        due_at: Some(now),
        tries: 0,
        last_error: None,
        wish: 0,
        trace_parent: None,
        domain: "ada.percloud.test".into(),
        own_domain: None,
        language: "en".into(),
        tenant_goes: false,
        suspended: false,
        email: "ada@example.org".into(),
    }
}
