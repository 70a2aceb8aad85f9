//! What the pages say of a change before and while it happens, also to browsers without JavaScript.

use super::*;

const REFRESH: &str = "<noscript><meta http-equiv=\"refresh\"";

#[tokio::test]
async fn the_oldest_of_three_names_from_before_is_named_before_it_makes_room() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    for name in ["lovelace.test", "byron.test", "king.test"] {
        let (_, change) = ada.get("/manage/domain/change").await;
        assert!(!change.contains("at most three"), "{name}: {change}");
        ada.cloud.clock.advance(TimeDelta::minutes(1));
        ada.changes_to(name).await;
        ada.next("verified", &but(&[])).await;
        ada.takes_over(name).await;
    }
    let ends = "ada.test no longer leads here: at most three names from before do.";
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("king.test leads there for 90 days") && change.contains(ends), "{change}");
    // One of the three is on its way back, and would lead on if yet another name were taken.
    ada.changes_to("ada.test").await;
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("Instead of <strong>ada.test</strong>") && change.contains(ends), "{change}");
    // The same where another one waits already, which the next one replaces.
    ada.changes_to("babbage.test").await;
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("Instead of <strong>babbage.test</strong>") && change.contains(ends), "{change}");
}

#[tokio::test]
async fn without_javascript_a_change_goes_on_by_itself_where_nothing_is_copied() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    ada.reads(&[], &[REFRESH]).await;
    ada.changes_to("lovelace.test").await;
    ada.reads(&["We are looking where the entries of lovelace.test are kept", REFRESH], &[]).await;
    ada.next("pending", &half()).await;
    ada.reads(&["1 of 2 entries are right."], &[REFRESH]).await;
    ada.next("verified", &half()).await;
    ada.reads(&["The last thing is its certificate", REFRESH], &[]).await;
    ada.cloud.sql("update domains set paused = true where part = 'next'").await;
    ada.reads(&["The last thing is its certificate"], &[REFRESH]).await;
}

#[tokio::test]
async fn who_waits_for_a_certificate_that_does_not_come_may_take_another_name() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&but(&[])).await;
    ada.cloud.sql("update domains set observed = 'verified', verified_at = now(), paused = true").await;
    ada.reads(&["Your provider has paused this name", "href=\"/manage/domain/change\"", "Use another name"], &[]).await;
    ada.changes_to("lovelace.test").await;
    ada.reads(&["Connect lovelace.test"], &["ada.test"]).await;
}
