use chrono::{DateTime, TimeDelta, Utc};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn said(ledger: &Ledger) -> Vec<(String, String, [u64; 3])> {
    ledger.gather();
    let rows = ledger.next(usize::MAX).into_iter();
    let counts = |c: Counts| [c.requests, c.bytes, c.refused + 10 * c.forbidden + 100 * c.crowded];
    rows.map(|row| (row.hour.format("%dT%H").to_string(), row.tenant.into(), counts(row.counts))).collect()
}

#[test]
fn all_who_count_for_a_percloud_count_together_and_nothing_is_lost_when_they_end() {
    let ledger = Ledger::new(Clock::fixed(at("2026-11-27T12:10:00Z")));
    let (first, second, bob) = (ledger.account("ada"), ledger.account("ada"), ledger.account("bob"));
    first.request();
    second.bytes(70);
    drop(first);
    second.request();
    second.refuse();
    second.forbid();
    second.crowd();
    drop(second);
    bob.bytes(1);
    let row = |tenant: &str, counts| ("27T12".to_owned(), tenant.to_owned(), counts);
    assert_eq!(said(&ledger), [row("ada", [2, 70, 111]), row("bob", [0, 1, 0])]);
    assert_eq!(said(&ledger), [], "nothing is said twice");
    assert_eq!(
        ledger.open().accounts.keys().map(|id| &**id).collect::<Vec<_>>(),
        ["bob"],
        "who is gone takes no memory"
    );
    bob.request();
    assert_eq!(said(&ledger), [row("bob", [1, 0, 0])], "who stays counts on");
}

#[test]
fn each_hour_gets_what_was_counted_in_it() {
    let clock = Clock::fixed(at("2026-11-27T22:59:00Z"));
    let ledger = Ledger::new(clock.clone());
    let ada = ledger.account("ada");
    assert_eq!(ledger.hour_ends_in(), Duration::from_secs(60));
    ada.request();
    clock.advance(TimeDelta::seconds(60));
    assert_eq!(ledger.hour_ends_in(), Duration::ZERO, "it must be gathered now");
    ledger.gather();
    ada.bytes(5);
    clock.advance(TimeDelta::hours(1));
    ledger.gather();
    ada.refuse();
    let row = |hour: &str, counts| (hour.to_owned(), "ada".to_owned(), counts);
    assert_eq!(said(&ledger), [row("27T22", [1, 0, 0]), row("27T23", [0, 5, 0]), row("28T00", [0, 0, 1])]);
}

#[test]
fn what_waits_for_long_takes_no_more_memory_and_loses_nothing() {
    let clock = Clock::fixed(at("2026-11-27T00:00:00Z"));
    let ledger = Ledger::new(clock.clone());
    let accounts: Vec<_> = (0..1000).map(|n| ledger.account(&format!("t-{n}"))).collect();
    for _ in 0..250 {
        accounts.iter().for_each(|account| account.request());
        ledger.gather();
        clock.advance(TimeDelta::hours(1));
        ledger.gather();
        assert!(ledger.open().waiting.len() <= WAITING);
    }
    let rows = ledger.next(usize::MAX);
    assert_eq!(rows.iter().map(|row| row.counts.requests).sum::<u64>(), 250_000);
}

#[test]
fn what_is_counted_while_it_is_gathered_is_counted_once() {
    let ledger = Ledger::new(Clock::fixed(at("2026-11-27T12:00:00Z")));
    let (ledger, mut rows) = (&ledger, Vec::new());
    std::thread::scope(|scope| {
        let work = |_| {
            scope.spawn(|| {
                for n in 0..10_000 {
                    // Comes and goes, as routes do.
                    let account = ledger.account("ada");
                    account.request();
                    account.bytes(n);
                }
            })
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            ledger.gather();
            rows.extend(ledger.next(usize::MAX));
        }
    });
    ledger.gather();
    rows.extend(ledger.next(usize::MAX));
    let mut sum = Counts::default();
    rows.iter().for_each(|row| sum.add(row.counts));
    assert_eq!(sum, Counts { requests: 40_000, bytes: 4 * 49_995_000, ..Counts::default() });
}
