//! Misses, silence, workers that die: what was proved stays in doubt, and goes for good reasons only.

use super::*;
use control_plane::reconcile::{Stage, set_right};
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_for_a_while_keeps_nobody_from_being_looked_at() {
    let scene = Scene::active().await;
    let ahead = TimeDelta::days(365);
    scene.pass(ahead).await;
    let row = scene.pass(-ahead).await;
    assert!(row.check_at > scene.now() + TimeDelta::days(300), "{row:?}");
    let set_right = async || set_right::<Domains>(&scene.cloud.worker, &scene.cloud.clock).await.unwrap();
    assert_eq!(set_right().await, 1);
    scene.settle().await;
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.observed, row.checked_at), (Observed::Active, Some(scene.now())));
    assert_eq!(set_right().await, 0);
}

#[tokio::test]
async fn three_daily_misses_lose_the_name_and_right_records_bring_it_back() {
    let scene = Scene::active().await;
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    let row = scene.pass(TimeDelta::hours(27)).await;
    assert_eq!((row.observed, row.misses), (Observed::Active, 1));
    let looked = row.checked_at.unwrap();
    let row = scene.pass(TimeDelta::minutes(12)).await;
    assert!(row.checked_at.unwrap() > looked, "looked at again soon");
    assert_eq!((row.observed, row.misses), (Observed::Active, 1), "which counts nothing");
    assert_eq!(scene.mails().await, ["domain-ready"], "whoever is changing entries is not told of it");
    let row = scene.pass(TimeDelta::hours(25)).await;
    assert_eq!((row.observed, row.misses), (Observed::Active, 2));
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"), "it serves until then");
    assert_eq!(scene.mails().await, ["domain-ready", "domain-missed"], "its owner has a day to mend it");
    let row = scene.pass(TimeDelta::hours(25)).await;
    assert_eq!(row.observed, Observed::Lost);
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "the owner is not locked out");
    assert_eq!(scene.cloud.host.spec(&scene.ada.id).unwrap().domain.as_str(), "ada.percloud.localhost");
    assert_eq!(scene.certified().await.len(), 0, "nothing is renewed");
    assert_eq!(scene.mails().await, ["domain-ready", "domain-missed", "domain-lost"]);

    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    scene.cloud.clock.advance(TimeDelta::hours(7));
    scene.turn(&Stages::new(|stage| stage == Stage::Performed)).await;
    let row = scene.row(&scene.ada).await;
    assert_eq!(
        (row.observed, row.misses),
        (Observed::Verified, 0),
        "its certificate need not wait until that is written"
    );
    scene.cloud.sql("update domains set claimed_until = '-infinity'").await;
    scene.settle().await;
    let row = scene.row(&scene.ada).await;
    assert!(row.serves(), "by itself: {row:?}");
    assert_eq!((row.misses, scene.route(NAME).await.as_deref()), (0, Some("running")));
}

/// The percloud's own apex leads here, and the text that proves it has been gone for three days and more.
async fn unproved() -> (Scene, String) {
    let scene = Scene::active().await;
    let text = scene.row(&scene.ada).await.challenge_value();
    scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
    for _ in 0..4 {
        scene.pass(TimeDelta::hours(25)).await;
    }
    (scene, text)
}

#[tokio::test]
async fn a_name_that_leads_here_without_its_proof_is_served_until_its_certificate_ends() {
    let (scene, _) = unproved().await;
    let row = scene.row(&scene.ada).await;
    assert!(row.serves() && row.runs_out() && row.misses > 3, "{row:?}");
    assert_eq!((scene.route(NAME).await.as_deref(), scene.certified().await.len()), (Some("running"), 2));
    assert_eq!(scene.mails().await, ["domain-ready", "domain-missed", "domain-missed"], "two, however long it goes on");
    let said = "select array_agg(text_body order by id) from mails where kind = 'domain-missed'";
    let said: Vec<String> = scene.cloud.value(said).await;
    assert!(said[0].contains("Since yesterday the entries of your own domain ada.test"), "{said:?}");
    assert!(said[1].contains("has been missing for days") && said[1].contains("nothing changes"), "{said:?}");
    let found = crate::operator::json(&scene.cloud, &["admin", "domains", "list", "--troubled"]);
    assert_eq!(found[0]["name"], NAME, "an operator sees it");

    // Neither when it is due for renewal nor when its own servers are away for a while does it go dark.
    for _ in 0..80 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let row = scene.row(&scene.ada).await;
    let certificate: String = scene.cloud.value("select waits from certificates where names = '{ada.test}'").await;
    assert!(row.serves() && certificate.contains("is not proved to be its percloud's"), "{certificate}: {row:?}");
    for _ in 0..4 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.observed, scene.certified().await.len()), (Observed::Lost, 0), "{row:?}");
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "the owner is not locked out");
    assert_eq!(scene.mails().await.last().map(String::as_str), Some("domain-lost"));
}

#[tokio::test]
async fn whose_proof_is_back_in_time_is_renewed_as_if_nothing_had_been() {
    let (scene, text) = unproved().await;
    for _ in 0..70 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let before: String = scene.cloud.value("select chain_pem from certificates where names = '{ada.test}'").await;
    scene.knot.set(CHALLENGE, "TXT", &text).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert!(row.serves() && row.misses == 0 && !row.runs_out(), "{row:?}");
    scene.pass(TimeDelta::minutes(30)).await;
    let after: String = scene.cloud.value("select chain_pem from certificates where names = '{ada.test}'").await;
    assert_ne!(after, before);
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
}

#[tokio::test]
async fn a_name_without_its_proof_goes_over_as_soon_as_somebody_elses_stands_or_it_leads_elsewhere() {
    let (scene, _) = unproved().await;
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    scene.cloud.confirm(&bob).await;
    let claim = scene.claim(&bob, NAME, false).await;
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    assert!(scene.ask(&bob).await.serves(), "at once");
    assert_eq!((scene.row(&scene.ada).await.observed, scene.own_domain(&scene.ada).await), (Observed::Lost, None));
    // Nobody's, but led elsewhere: nobody reads anything of Ada's there.
    let (scene, _) = unproved().await;
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    assert_eq!(scene.ask(&scene.ada).await.observed, Observed::Lost, "the days that it was given were there");
}

#[tokio::test]
async fn one_miss_is_forgotten_when_all_is_right_again() {
    let scene = Scene::active().await;
    scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
    let row = scene.pass(TimeDelta::hours(27)).await;
    assert_eq!((row.misses, words(&row)[0].as_str()), (1, "TXT missing"), "the proof must stay");
    scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    let row = scene.pass(TimeDelta::hours(1)).await;
    assert_eq!((row.observed, row.misses), (Observed::Active, 0));
}

#[tokio::test]
async fn a_name_server_that_is_away_costs_nobody_a_name_for_two_weeks() {
    let scene = Scene::active().await;
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    scene.cloud.confirm(&bob).await;
    scene.claim(&bob, "me.byron.test", false).await;
    let Scene { cloud, knot, domains, certificates, ada, .. } = scene;
    drop(knot); // its port is refused from now on
    let settle = async |days| {
        cloud.clock.advance(TimeDelta::days(days));
        for noun in 0..20 {
            let domain = turn(&domains, &cloud.worker, &cloud.clock, &Stages::default()).await.unwrap();
            let certificate = turn(&certificates, &cloud.worker, &cloud.clock, &Stages::default()).await.unwrap();
            if domain == Turn::Idle && certificate == Turn::Idle && cloud.settle().await.is_empty() {
                break;
            }
            assert!(noun < 19);
        }
        domains::of_tenant(&cloud.db.get().await.unwrap(), &ada.id).await.unwrap().unwrap()
    };
    let row = settle(2).await;
    assert_eq!((row.observed, row.misses), (Observed::Active, 0));
    assert!(words(&row).iter().all(|record| record.contains("unreachable")), "{:?}", words(&row));
    let row = settle(10).await;
    assert_eq!(row.observed, Observed::Active);
    let row = settle(5).await;
    assert_eq!(row.observed, Observed::Active, "nobody answers for any domain: that is our own way to DNS");
    // The command has the machine's clock, which is later still.
    let output = crate::operator::percloud(&cloud, &["doctor", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let said = report["findings"].as_array().unwrap().iter().find(|one| {
        one["about"] == "own domains" && one["found"].as_str().unwrap().contains("nobody has answered for 1 of them")
    });
    assert_eq!(said.unwrap_or_else(|| panic!("{report:#}"))["state"], "wrong");
    for day in 0..14 {
        cloud.sql(&format!("update domains set good_at = '{}' where name = 'me.byron.test'", cloud.now())).await;
        let row = settle(1).await;
        assert_eq!(row.observed, Observed::Active, "{day}: two weeks, from when somebody answers for another's");
    }
    cloud.sql(&format!("update domains set good_at = '{}' where name = 'me.byron.test'", cloud.now())).await;
    let row = settle(1).await;
    assert_eq!(row.observed, Observed::Lost, "but not for ever");
}

#[tokio::test]
async fn who_does_not_know_the_own_addresses_counts_no_miss() {
    let mut scene = Scene::active().await;
    // Neither --public-address nor an address of the base domain.
    scene.domains.addresses.clear();
    for _ in 0..5 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.serves(), row.misses, notices(&row)), (true, 0, vec!["no-addresses"]), "{row:?}");
    assert_eq!(words(&row), ["TXT ok", "CNAME ok"], "nobody is told to change an address");
    scene.knot.set(BASE, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!((words(&row), notices(&row)), (["TXT ok", "A ok", "CNAME ok"].map(str::to_owned).to_vec(), vec![]));
}

#[tokio::test]
async fn a_lame_server_beside_a_good_one_does_no_harm() {
    let scene = Scene::new().await;
    // It is asked, and nobody is there.
    scene.knot.add(NAME, "NS", "ns2.ada.test.").await.unwrap();
    scene.knot.set("ns2.ada.test", "A", "127.0.0.9").await.unwrap();
    let row = scene.claim(&scene.ada, NAME, false).await;
    scene.set_all(&row).await;
    let row = scene.ask(&scene.ada).await;
    assert!(row.serves(), "{:?}", words(&row));
}

#[tokio::test]
async fn servers_that_disagree_are_waited_for() {
    // Two servers at one port of two addresses; the second has an older copy of the zone.
    let first = Knot::start(&["test", NAME]).await.unwrap();
    let at = std::net::SocketAddr::new("127.0.0.2".parse().unwrap(), first.addr().port());
    let second = Knot::start_at(at, &[NAME]).await.unwrap();
    first.add(NAME, "NS", "ns2.ada.test.").await.unwrap();
    first.set("ns2.ada.test", "A", "127.0.0.2").await.unwrap();
    second.set(NAME, "A", OLD_SITE).await.unwrap();
    let scene = Scene::at(first).await;
    let row = scene.claim(&scene.ada, NAME, false).await;
    scene.set_all(&row).await;
    let row = scene.ask(&scene.ada).await;
    assert_eq!(row.observed, Observed::Pending);
    assert_eq!(words(&row), ["TXT missing", "A points-elsewhere 203.0.113.9"], "what the slower one says");
    second.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    second.set(NAME, "A", EDGE).await.unwrap();
    assert!(scene.ask(&scene.ada).await.serves());
}

#[tokio::test]
async fn a_domain_that_nobody_has_registered_is_called_so() {
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, "mistyped.test", false).await;
    assert_eq!(words(&row), ["TXT no-such-domain mistyped.test", "A no-such-domain mistyped.test"]);
    assert_eq!(notices(&row), ["unregistered"]);
}

#[tokio::test]
async fn a_name_that_a_company_gives_away_in_its_own_zone_is_not_called_nobodys() {
    let scene = Scene::at(Knot::start(&["test", "org", "duckdns.org"]).await.unwrap()).await;
    let row = scene.claim(&scene.ada, "ada.duckdns.org", true).await;
    assert_eq!(
        (words(&row), notices(&row)),
        (["TXT missing", "A missing", "CNAME missing"].map(str::to_owned).to_vec(), vec!["shared"])
    );
    assert_eq!(row.report.as_ref().unwrap().records[0].label, "_percloud-challenge.ada");
    let said = row.report.as_ref().unwrap().notices[0].said(ui::Lang::En);
    assert!(said.contains("a name below duckdns.org"), "{said}");
    scene.set_all(&row).await;
    let row = scene.ask(&scene.ada).await;
    assert!(row.serves() && notices(&row).is_empty(), "{:?}", words(&row));
    // What a registry sells is nobody's until it is bought.
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert_eq!(notices(&scene.claim(&scene.ada, "mistyped.org", true).await), ["unregistered"]);
}

/// Works until nothing is due, dying once on the way; true when it did die.
async fn work_and_die(scene: &Scene, nth: usize) -> bool {
    let passed = Arc::new(AtomicUsize::new(0));
    let counter = passed.clone();
    let stages = Stages::new(move |_: Stage| counter.fetch_add(1, Ordering::SeqCst) == nth);
    for turns in 0.. {
        assert!(turns < 100, "this never ends");
        let domain = scene.turn(&stages).await;
        let certificate =
            turn(&scene.certificates, &scene.cloud.worker, &scene.cloud.clock, &Stages::default()).await.unwrap();
        let others = scene.cloud.settle().await;
        if domain == Turn::Idle && certificate == Turn::Idle && others.is_empty() {
            break;
        }
        scene.cloud.sql("update domains set claimed_until = '-infinity'").await;
    }
    passed.load(Ordering::SeqCst) > nth
}

#[tokio::test]
async fn a_death_at_any_stage_still_ends_in_what_was_wanted() {
    let scene = Scene::new().await;
    let mut nth = 0;
    loop {
        scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
        let claim = scene.try_claim(&scene.ada, NAME, false).await.unwrap();
        let mut died = work_and_die(&scene, nth).await;
        scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
        scene.knot.set(NAME, "A", EDGE).await.unwrap();
        scene.cloud.sql("update domains set check_at = '2020-01-01', due_at = '2020-01-01'").await;
        died |= work_and_die(&scene, nth).await;
        assert!(scene.row(&scene.ada).await.serves(), "proved, stage {nth}");
        assert_eq!(scene.route(NAME).await.as_deref(), Some("running"), "stage {nth}");
        scene.remove(&scene.ada).await;
        died |= work_and_die(&scene, nth).await;
        assert!(scene.find(&scene.ada).await.is_none(), "removed, stage {nth}");
        assert_eq!((scene.certified().await.len(), scene.own_domain(&scene.ada).await), (0, None), "stage {nth}");
        if !died {
            break;
        }
        nth += 1;
    }
    assert!(nth > 8, "only {nth} stages were tried");
}

#[tokio::test]
async fn a_suspended_percloud_is_back_at_its_old_name_before_its_certificate_ends() {
    let scene = Scene::active().await;
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Suspend).await.unwrap();
    let row = scene.pass(TimeDelta::days(60)).await;
    assert_eq!((row.observed, row.serves()), (Observed::Active, true), "not for as long as its certificate is good");
    for _ in 0..30 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.observed, row.own_domain.as_deref(), row.misses), (Observed::Verified, None, 0));
    assert_eq!(scene.certified().await.len(), 0, "nothing was ordered for it");
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("suspended"), "its owner signs in there");
    assert_eq!(scene.cloud.host.spec(&scene.ada.id).unwrap().domain.as_str(), "ada.percloud.localhost");
    assert!(!scene.mails().await.contains(&"domain-lost".to_owned()));

    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Resume).await.unwrap();
    scene.settle().await;
    let row = scene.row(&scene.ada).await;
    assert!(row.serves(), "by itself, and at once: {row:?}");
    assert_eq!(scene.certified().await, [NAME, WWW]);
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
}
