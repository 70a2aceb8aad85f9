//! Back to a name from before, and the one of two names that people know: neither ends because its owner thinks better of something.

use super::*;
use crate::postgres::eventually;

const PROOF_BELOW: &str = "_percloud-challenge.me.ada.test";

impl Scene {
    /// Ada's percloud at `ada.test`; nobody has set anything for `www.`.
    async fn without_www() -> Self {
        let scene = Self::at(Knot::start(&["test", NAME, NEXT, "byron.test", "king.test"]).await.unwrap()).await;
        let row = scene.claim(&scene.ada, NAME, true).await;
        scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
        scene.knot.set(NAME, "A", EDGE).await.unwrap();
        assert!(scene.ask(&scene.ada).await.serves());
        scene
    }

    async fn days(&self, looks: usize) {
        for _ in 0..looks {
            self.pass(TimeDelta::hours(27)).await;
        }
    }

    async fn cancel(&self) {
        let row = self.owned().await.current().cloned().unwrap();
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        domains::cancel(&tx, &row, &Actor::Owner, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
    }

    /// `lovelace.test` is in use, and `ada.test` leads there, whose proof its owner has tidied away a moment ago.
    async fn tidied() -> Self {
        let scene = Self::settled().await;
        scene.ready(NEXT).await;
        scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
        scene
    }

    /// The name in use leads elsewhere for long enough.
    async fn lose(&self, host: &str) {
        self.knot.set(host, "A", OLD_SITE).await.unwrap();
        self.days(3).await;
        assert_eq!(self.row(&self.ada).await.observed, Observed::Lost);
    }
}

#[tokio::test]
async fn what_leads_on_is_the_name_that_people_know_and_not_the_one_that_was_never_ready() {
    for choices in [&[Choice::Www][..], &[Choice::Www, Choice::NoTwin]] {
        let scene = Scene::without_www().await;
        for choice in choices {
            assert!(!scene.choose(*choice).await.serves(), "www was never set");
        }
        scene.ready(NEXT).await;
        assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![NAME.into()]));
        scene.leads(NAME, Some(NEXT)).await;
        scene.days(4).await;
        scene.leads(NAME, Some(NEXT)).await;
        let row = scene.owned().await.former.remove(0);
        assert_eq!((row.misses, row.twin.as_deref()), (0, Some(WWW)), "{row:?}");
        let said: String = scene.cloud.value("select text_body from mails where kind = 'domain-changed'").await;
        assert!(said.contains("opens ada.test is led there"), "{said}");
    }
}

#[tokio::test]
async fn a_name_in_use_stays_although_only_the_other_one_was_wanted_before_that_was_ready() {
    let scene = Scene::without_www().await;
    scene.choose(Choice::Www).await;
    scene.choose(Choice::NoTwin).await;
    scene.days(5).await;
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.observed, row.misses), (Observed::Active, 0), "{row:?}");
    scene.leads(NAME, Some("running")).await;
    let looked = row.checked_at;
    scene.pass(TimeDelta::minutes(9)).await;
    assert_eq!(
        scene.row(&scene.ada).await.checked_at,
        looked,
        "and nobody asks every minute whether the other one came"
    );
    scene.knot.set(WWW, "CNAME", &format!("{}.", row.target_host(BASE))).await.unwrap();
    assert!(scene.ask(&scene.ada).await.serves(), "it is the other one's turn");
    scene.leads(WWW, Some("running")).await;
    scene.leads(NAME, None).await;
    // What is looked at is the name in use: when that leads elsewhere, it is lost.
    let scene = Scene::without_www().await;
    scene.choose(Choice::Www).await;
    scene.choose(Choice::NoTwin).await;
    scene.lose(NAME).await;
    scene.leads(OLD, Some("running")).await;
}

#[tokio::test]
async fn a_name_from_before_that_has_its_own_target_comes_back_without_the_text() {
    let scene = Scene::at(Knot::start(&["test", NAME, NEXT]).await.unwrap()).await;
    let row = scene.claim(&scene.ada, "me.ada.test", true).await;
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.ready(NEXT).await;
    scene.knot.remove(PROOF_BELOW, "TXT").await.unwrap();
    scene.change("me.ada.test").await.unwrap();
    assert_eq!(scene.has().await, (Some("me.ada.test".into()), None, vec![NEXT.into()]));
    // Its target is not enough for a beginning: somebody who forgot it there has proved nothing.
    scene.remove(&scene.ada).await;
    scene.settle().await;
    let row = scene.claim(&scene.ada, "me.ada.test", true).await;
    scene.knot.set("me.ada.test", "CNAME", &format!("{}.", row.target_host(BASE))).await.unwrap();
    assert_eq!(scene.ask(&scene.ada).await.observed, Observed::Pending);
}

#[tokio::test]
async fn a_name_on_its_way_back_says_what_it_needs_and_leads_on_until_then() {
    let scene = Scene::tidied().await;
    scene.change(NAME).await.unwrap();
    let next = scene.next().await;
    assert_eq!((next.observed, next.awaited()), (Observed::Active, false), "its text is missing");
    assert_eq!(words(&next)[0], "TXT missing");
    scene.leads(NAME, Some(NEXT)).await;
    scene.leads(WWW, Some(NEXT)).await;
    scene.set_all(&next).await;
    scene.ask(&scene.ada).await;
    assert_eq!(scene.has().await, (Some(NAME.into()), None, vec![NEXT.into()]));
    assert_eq!(scene.row(&scene.ada).await.leads_until, None);
}

#[tokio::test]
async fn a_name_that_is_not_wanted_back_after_all_leads_on_as_before() {
    let scene = Scene::tidied().await;
    let until = scene.owned().await.former[0].leads_until;
    let wanted = scene.certified().await;
    scene.change(NAME).await.unwrap();
    assert!(scene.next().await.returns());
    let mut db = scene.web().await;
    let tx = db.transaction().await.unwrap();
    domains::pause(&tx, NAME, &Actor::Operator, scene.now()).await.unwrap();
    domains::resume(&tx, NAME, &Actor::Operator, scene.now()).await.unwrap();
    tx.commit().await.unwrap();
    scene.settle().await;
    let told: String = scene.cloud.value("select text_body from mails where kind = 'domain-left'").await;
    assert!(told.contains("which leads to lovelace.test. It goes on doing so."), "{told}");
    scene.cancel().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![NAME.into()]));
    assert_eq!(scene.owned().await.former[0].leads_until, until);
    assert_eq!(scene.certified().await, wanted, "nothing is taken away");
    // The same by its other name, which is not set; and by taking yet another one instead.
    scene.knot.set(CHALLENGE, "TXT", &scene.owned().await.former[0].challenge_value()).await.unwrap();
    scene.knot.remove(WWW, "CNAME").await.unwrap();
    scene.change(WWW).await.unwrap();
    scene.leads(NAME, Some(NEXT)).await;
    scene.change("byron.test").await.unwrap();
    assert_eq!(scene.has().await, (Some(NEXT.into()), Some("byron.test".into()), vec![WWW.into()]));
    scene.days(4).await;
    scene.leads(NAME, Some(NEXT)).await;
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed", "domain-left"], "nobody missed anything");
    // At the end of its day it leads for a week more, and is then let go of like any other.
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.knot.remove(WWW, "CNAME").await.unwrap();
    scene.change(WWW).await.unwrap();
    scene.pass(TimeDelta::days(89)).await;
    scene.cancel().await;
    assert_eq!(scene.owned().await.former[0].leads_until, Some(scene.now() + TimeDelta::days(7)));
}

#[tokio::test]
async fn who_loses_a_name_on_its_way_back_hears_of_it_since_people_used_it() {
    let scene = Scene::tidied().await;
    scene.change(NAME).await.unwrap();
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    scene.knot.remove(WWW, "CNAME").await.unwrap();
    scene.days(3).await;
    let next = scene.next().await;
    assert_eq!((next.observed, next.leads_until), (Observed::Pending, None), "it waits for its proof like any other");
    for host in [NAME, WWW] {
        scene.leads(host, None).await;
    }
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed", "domain-missed", "domain-ended"]);
    scene.cancel().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![]), "there is nothing to lead on");
    // And to somebody else's proof.
    let scene = Scene::tidied().await;
    scene.change(NAME).await.unwrap();
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    let claim = scene.claim(&bob, NAME, false).await;
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    scene.ask(&bob).await;
    assert_eq!(scene.next().await.observed, Observed::Pending);
    assert_eq!(scene.mails().await.iter().filter(|kind| *kind == "domain-ended").count(), 1);
}

#[tokio::test]
async fn a_name_from_before_comes_back_when_the_one_in_use_was_lost() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.lose(NEXT).await;
    scene.leads(NAME, Some(OLD)).await;
    scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
    scene.change(NAME).await.unwrap();
    let row = scene.row(&scene.ada).await;
    assert_eq!((row.part, row.in_use(), row.awaited()), (Part::Main, None, false));
    scene.leads(NAME, Some(OLD)).await;
    scene.cancel().await;
    assert_eq!(scene.has().await, (None, None, vec![NAME.into()]), "it leads on without a main one");
    scene.leads(NAME, Some(OLD)).await;
    scene.try_claim(&scene.ada, NAME, true).await.unwrap();
    scene.settle().await;
    scene.cloud.sql("delete from mails").await;
    let row = scene.row(&scene.ada).await;
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.leads(OLD, Some(NAME)).await;
    assert_eq!(scene.mails().await, ["domain-ready"], "as the page has promised");
}

#[tokio::test]
async fn a_name_on_its_way_back_takes_a_lost_ones_place_and_its_owner_hears_of_it() {
    let scene = Scene::tidied().await;
    scene.change(NAME).await.unwrap();
    scene.lose(NEXT).await;
    scene.cloud.sql("delete from mails").await;
    scene.set_all(&scene.next().await).await;
    scene.ask(&scene.ada).await;
    assert_eq!(scene.has().await.0.as_deref(), Some(NAME));
    assert_eq!(scene.mails().await, ["domain-ready"]);
}

#[tokio::test]
async fn another_name_instead_of_one_that_waits_leaves_a_lost_one_where_it_is() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.lose(NEXT).await;
    let instead = scene.change("byron.test").await.unwrap();
    assert_eq!(instead.part, Part::Main, "instead of the lost one, which its page names");
    assert_eq!(scene.has().await, (Some("byron.test".into()), None, vec![NAME.into()]));
    let row = scene.row(&scene.ada).await;
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.change("king.test").await.unwrap();
    scene.lose("byron.test").await;
    scene.change(NEXT).await.unwrap();
    assert_eq!(scene.has().await, (Some("byron.test".into()), Some(NEXT.into()), vec![NAME.into()]));
    // Given up, what is not in use takes nothing along that works.
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![NAME.into()]));
    scene.leads(NAME, Some(OLD)).await;
}

#[tokio::test]
async fn two_windows_want_two_names_at_once_and_the_later_one_reads_so() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    let (mut one, mut other) = (scene.web().await, scene.web().await);
    let parsed = |typed: &str| domains::parse(typed, &BASE.parse::<Domain>().unwrap()).unwrap();
    let first = one.transaction().await.unwrap();
    domains::claim(&first, &scene.ada.id, &parsed("byron.test"), true, &Actor::Owner, scene.now()).await.unwrap();
    let later = async {
        let tx = other.transaction().await.unwrap();
        domains::claim(&tx, &scene.ada.id, &parsed(NAME), true, &Actor::Owner, scene.now()).await.map(drop)
    };
    let commits = async {
        let waits = "select nullif(count(*), 0) from pg_locks where not granted";
        eventually("the later one", async || scene.cloud.value::<Option<i64>>(waits).await).await;
        first.commit().await.unwrap();
    };
    let (later, ()) = tokio::join!(later, commits);
    assert!(matches!(later, Err(domains::Error::Refused(domains::Refusal::Already))), "{later:?}");
}

#[tokio::test]
async fn what_took_over_between_the_reading_and_the_click_is_not_given_up() {
    let scene = Scene::settled().await;
    scene.ca.say(Says::Away);
    scene.ready(NEXT).await;
    let read = scene.next().await;
    scene.ca.say(Says::Days(90));
    scene.cloud.clock.advance(TimeDelta::minutes(30));
    scene.settle().await;
    let mut db = scene.web().await;
    for wish in [true, false] {
        let tx = db.transaction().await.unwrap();
        let done = match wish {
            true => domains::remove(&tx, &read, &Actor::Owner, scene.now()).await,
            false => domains::cancel(&tx, &read, &Actor::Owner, scene.now()).await,
        };
        assert!(matches!(done, Err(domains::Error::Changed)), "{done:?}");
    }
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![NAME.into()]));
}
