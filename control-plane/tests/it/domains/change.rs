//! One own domain gives way to another: nobody is lost on the way, and the one before leads on for a while.

use control_plane::domains::{Owned, Part};

use super::*;
use crate::played::Says;

mod back;
mod beside;
mod visitors;

const NEXT: &str = "lovelace.test";
const OLD: &str = "ada.percloud.localhost";

impl Scene {
    /// Ada's percloud at `ada.test`, in a world in which there is `lovelace.test`, too.
    async fn settled() -> Self {
        let scene = Self::at(Knot::start(&["test", NAME, NEXT, "byron.test", "king.test"]).await.unwrap()).await;
        scene.moved_in().await;
        scene
    }

    async fn moved_in(&self) {
        let row = self.claim(&self.ada, NAME, true).await;
        self.set_all(&row).await;
        assert!(self.ask(&self.ada).await.serves());
    }

    async fn change(&self, typed: &str) -> Result<DomainRow, domains::Error> {
        let name = domains::parse(typed, &BASE.parse::<Domain>().unwrap())?;
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        let owned = domains::owned(&tx, &self.ada.id).await.unwrap();
        let row = domains::change(&tx, owned.current().unwrap(), &name, &Actor::Owner, self.now()).await?;
        tx.commit().await.unwrap();
        self.settle().await;
        Ok(row)
    }

    async fn owned(&self) -> Owned {
        domains::owned(&self.cloud.db.get().await.unwrap(), &self.ada.id).await.unwrap()
    }

    /// What it has: main, next, and the former ones.
    async fn has(&self) -> (Option<String>, Option<String>, Vec<String>) {
        let Owned { main, next, former } = self.owned().await;
        (main.map(|row| row.name), next.map(|row| row.name), former.into_iter().map(|row| row.name).collect())
    }

    async fn next(&self) -> DomainRow {
        self.owned().await.next.expect("a change waits")
    }

    /// The next one is typed, and all that it needs is set.
    async fn ready(&self, typed: &str) {
        self.change(typed).await.unwrap();
        if let Some(next) = self.owned().await.next {
            self.set_all(&next).await;
            self.ask(&self.ada).await;
        }
    }

    async fn give_up(&self, row: &DomainRow) {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        domains::remove(&tx, row, &Actor::Owner, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
    }

    async fn leads(&self, host: &str, to: Option<&str>) {
        let to = to.map(|to| if ["running", "suspended"].contains(&to) { to.to_owned() } else { format!("to {to}") });
        assert_eq!(self.route(host).await, to, "{host}");
    }
}

#[tokio::test]
async fn the_next_name_takes_over_when_it_is_proved_and_has_its_certificate_and_not_before() {
    let scene = Scene::settled().await;
    scene.ca.say(Says::Away);
    let claimed = scene.change(NEXT).await.unwrap();
    assert_eq!((claimed.part, claimed.observed), (Part::Next, Observed::Pending));
    scene.leads(NAME, Some("running")).await;
    scene.leads(NEXT, None).await;
    let next = scene.next().await;
    assert_eq!(
        words(&next),
        ["TXT missing", "A missing", "CNAME missing"],
        "what it needs is said beside the present one"
    );
    scene.set_all(&next).await;
    scene.ask(&scene.ada).await;
    assert_eq!(scene.next().await.observed, Observed::Verified, "its certificate is awaited");
    scene.leads(NAME, Some("running")).await;
    scene.leads(OLD, Some(NAME)).await;
    assert_eq!(scene.certified().await, [NAME, NEXT, WWW, "www.lovelace.test"]);

    scene.ca.say(Says::Days(90));
    scene.cloud.clock.advance(TimeDelta::minutes(30));
    scene.settle().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![NAME.into()]));
    scene.leads(NEXT, Some("running")).await;
    for host in [NAME, WWW, "www.lovelace.test", OLD] {
        scene.leads(host, Some(NEXT)).await;
    }
    assert_eq!(scene.cloud.host.spec(&scene.ada.id).unwrap().domain.as_str(), NEXT);
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed"]);
    let said: String = scene.cloud.value("select text_body from mails where kind = 'domain-changed'").await;
    let until = ui::words::day(ui::Lang::En, scene.now() + TimeDelta::days(90));
    assert!(said.contains(&until), "the mail says until when: {said}");
}

#[tokio::test]
async fn a_change_that_is_cancelled_leaves_everything_as_it_was() {
    let scene = Scene::settled().await;
    let before = scene.row(&scene.ada).await;
    scene.change(NEXT).await.unwrap();
    let next = scene.next().await;
    scene.set_all(&next).await;
    scene.ca.say(Says::Away);
    scene.ask(&scene.ada).await;
    scene.give_up(&scene.next().await).await;
    assert_eq!(scene.has().await, (Some(NAME.into()), None, vec![]));
    let after = scene.row(&scene.ada).await;
    assert!(after.serves());
    assert_eq!((after.id, after.challenge), (before.id, before.challenge));
    assert_eq!(scene.certified().await, [NAME, WWW], "nothing is wanted for the one that was to come");
    scene.leads(NAME, Some("running")).await;
    assert_eq!(scene.mails().await, ["domain-ready"]);
    // Another one instead of one that waits: there is one claim besides the one in use.
    scene.change("king.test").await.unwrap();
    assert!(matches!(
        scene.try_claim(&scene.ada, "byron.test", false).await,
        Err(domains::Error::Refused(domains::Refusal::Already))
    ));
    scene.change("byron.test").await.unwrap();
    assert_eq!(scene.has().await, (Some(NAME.into()), Some("byron.test".into()), vec![]));
    let waiting = "select count(*) from domains where tenant_id = $1";
    let claims: i64 = {
        let db = scene.cloud.db.get().await.unwrap();
        db.query_one(waiting, &[&scene.ada.id.as_str()]).await.unwrap().get(0)
    };
    assert_eq!(claims, 2);
    // What it has already, and the other one of the two names, is no change.
    assert_eq!(scene.change(NAME).await.unwrap().name, NAME);
    assert_eq!(scene.change("byron.test").await.unwrap().part, Part::Next);
    assert_eq!(scene.change(WWW).await.unwrap().name, NAME, "its twin leads there");
    assert_eq!(scene.has().await.1.as_deref(), Some("byron.test"));
}

#[tokio::test]
async fn the_name_before_leads_on_for_ninety_days_and_is_then_let_go() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    let until = scene.owned().await.former[0].leads_until.unwrap();
    assert_eq!(until - scene.now(), TimeDelta::days(90));
    for _ in 0..30 {
        scene.pass(TimeDelta::days(3) - TimeDelta::minutes(10)).await;
        scene.leads(NAME, Some(NEXT)).await;
    }
    let renewed: DateTime<Utc> =
        scene.cloud.value("select not_before from certificates where names = '{ada.test}'").await;
    assert!(until - renewed < TimeDelta::days(45), "its certificate was renewed meanwhile: {renewed}");
    scene.cloud.clock.advance(until - scene.now());
    scene.settle().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![]));
    for host in [NAME, WWW] {
        scene.leads(host, None).await;
    }
    scene.leads(OLD, Some(NEXT)).await;
    assert_eq!(scene.certified().await, [NEXT, "www.lovelace.test"]);
    assert_eq!(scene.mails().await, ["domain-ended"], "the others have been swept long since");
    // Anybody may claim it, and needs a fresh proof.
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    let claim = scene.claim(&bob, NAME, true).await;
    assert!(words(&claim)[0].starts_with("TXT wrong-text"), "{:?}", words(&claim));
}

#[tokio::test]
async fn the_name_before_is_let_go_when_its_owner_says_so_or_its_dns_does() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.give_up(&scene.owned().await.former[0]).await;
    scene.leads(NAME, None).await;
    scene.leads(NEXT, Some("running")).await;
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed"], "its owner knows");
    // And another one, whose DNS leads elsewhere later.
    scene.ready("byron.test").await;
    scene.leads(NEXT, Some("byron.test")).await;
    scene.knot.set(NEXT, "A", OLD_SITE).await.unwrap();
    scene.knot.remove("www.lovelace.test", "CNAME").await.unwrap();
    for _ in 0..2 {
        scene.pass(TimeDelta::hours(27)).await;
        scene.leads(NEXT, Some("byron.test")).await;
    }
    scene.pass(TimeDelta::hours(27)).await;
    scene.leads(NEXT, None).await;
    assert_eq!(scene.has().await, (Some("byron.test".into()), None, vec![]));
    let told = ["domain-ready", "domain-changed", "domain-changed", "domain-missed", "domain-ended"];
    assert_eq!(scene.mails().await, told);
    let said: String = scene.cloud.value("select text_body from mails where kind = 'domain-missed'").await;
    assert!(said.contains("entries of lovelace.test, which leads to byron.test, have not been"), "{said}");
}

#[tokio::test]
async fn who_changes_their_mind_has_the_name_before_back_without_another_proof() {
    let scene = Scene::settled().await;
    let before = scene.row(&scene.ada).await;
    scene.ready(NEXT).await;
    scene.change(WWW).await.unwrap();
    assert_eq!(scene.has().await, (Some(WWW.into()), None, vec![NEXT.into()]));
    let after = scene.row(&scene.ada).await;
    assert_eq!((after.id, after.challenge, after.leads_until), (before.id, before.challenge, None));
    scene.leads(WWW, Some("running")).await;
    for host in [NAME, NEXT, OLD] {
        scene.leads(host, Some(WWW)).await;
    }
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed", "domain-changed"]);
    // Three names from before lead here at most; the oldest of four is let go, and its owner hears of it.
    for name in ["byron.test", "king.test", NEXT] {
        scene.pass(TimeDelta::minutes(1)).await;
        scene.ready(name).await;
    }
    scene.pass(TimeDelta::minutes(1)).await;
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, names(&["king.test", "byron.test", WWW])));
    scene.ready("me.ada.test").await;
    assert_eq!(scene.has().await, (Some("me.ada.test".into()), None, names(&[NEXT, "king.test", "byron.test"])));
    scene.leads(WWW, None).await;
    assert_eq!(scene.mails().await.last().map(String::as_str), Some("domain-ended"));
}

#[tokio::test]
async fn the_present_name_given_up_or_lost_while_a_change_waits_leaves_the_change() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.change("byron.test").await.unwrap();
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert_eq!(scene.has().await, (Some("byron.test".into()), None, vec![]), "what led there goes along");
    scene.leads(OLD, Some("running")).await;
    for host in [NAME, NEXT] {
        scene.leads(host, None).await;
    }
    let row = scene.row(&scene.ada).await;
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.leads(OLD, Some("byron.test")).await;
    // Lost, by what DNS says: the change goes on, and takes its place.
    scene.change("king.test").await.unwrap();
    scene.knot.set("byron.test", "A", OLD_SITE).await.unwrap();
    for _ in 0..3 {
        scene.pass(TimeDelta::hours(27)).await;
    }
    assert_eq!(scene.row(&scene.ada).await.observed, Observed::Lost);
    scene.leads(OLD, Some("running")).await;
    let next = scene.next().await;
    scene.set_all(&next).await;
    scene.ask(&scene.ada).await;
    assert_eq!(scene.has().await, (Some("king.test".into()), None, vec![]));
    scene.leads("byron.test", None).await;
    scene.leads(OLD, Some("king.test")).await;
}

#[tokio::test]
async fn somebody_elses_proof_takes_the_name_before_and_nothing_else() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    scene.cloud.confirm(&bob).await;
    let claim = scene.claim(&bob, NAME, false).await;
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    assert!(scene.ask(&bob).await.serves());
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![]));
    scene.leads(NAME, Some("running")).await;
    scene.leads(WWW, None).await;
    scene.leads(NEXT, Some("running")).await;
    assert_eq!(scene.own_domain(&bob).await.as_deref(), Some(NAME));
    assert_eq!(scene.mails().await, ["domain-ready", "domain-changed", "domain-ended", "domain-ready"]);
    // And one that is on its way, before its certificate is there: it waits for its proof again.
    scene.ca.say(Says::Away);
    scene.ready("byron.test").await;
    assert_eq!(scene.next().await.observed, Observed::Verified);
    let carol = scene.cloud.try_sign_up("carol", "carol@example.org").await.unwrap();
    let claim = scene.claim(&carol, "byron.test", false).await;
    scene.knot.set("_percloud-challenge.byron.test", "TXT", &claim.challenge_value()).await.unwrap();
    scene.ask(&carol).await;
    assert_eq!(
        (scene.next().await.observed, scene.row(&carol).await.observed),
        (Observed::Pending, Observed::Verified)
    );
    scene.leads(NEXT, Some("running")).await;
    assert_eq!(scene.mails().await.len(), 4, "nobody ever saw it");
}

#[tokio::test]
async fn a_suspended_percloud_changes_nothing_until_it_is_resumed() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.change("byron.test").await.unwrap();
    let next = scene.next().await;
    scene.set_all(&next).await;
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Suspend).await.unwrap();
    scene.ask(&scene.ada).await;
    assert_eq!(scene.next().await.observed, Observed::Verified);
    // Its certificates end, and it is back at its name at the provider: where the name before leads, too.
    for days in [11; 8].into_iter().chain([1]) {
        scene.pass(TimeDelta::days(days)).await;
    }
    assert_eq!(scene.has().await, (Some(NEXT.into()), Some("byron.test".into()), vec![NAME.into()]));
    scene.leads(OLD, Some("suspended")).await;
    scene.leads(NAME, Some(OLD)).await;
    scene.leads("byron.test", None).await;
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Resume).await.unwrap();
    scene.settle().await;
    assert_eq!(scene.has().await.0.as_deref(), Some("byron.test"));
    scene.leads("byron.test", Some("running")).await;
    scene.leads(OLD, Some("byron.test")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_is_to_come_and_what_leads_on_and_end_either() {
    use crate::{api, operator, portal::Portal};
    use control_plane::api_tokens::Scope;
    use serde_json::json;
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.change("byron.test").await.unwrap();
    let cloud = &scene.cloud;
    let listed = operator::done(cloud, &["admin", "domains", "list"]);
    for part in ["active, former", "pending, next"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let shown = operator::done(cloud, &["admin", "domains", "show", NAME]);
    assert!(shown.contains("Leads on until") && shown.contains("ada.percloud.localhost"), "{shown}");
    let shown = operator::done(cloud, &["admin", "domains", "show", "ada"]);
    assert!(shown.contains("lovelace.test"), "of a percloud the one in use is meant: {shown}");
    let doctor = String::from_utf8(operator::percloud(cloud, &["doctor"]).stdout).unwrap();
    for part in ["1 of them to take another's place", "1 former, leading to others"] {
        assert!(doctor.contains(part), "{part}: {doctor}");
    }
    let portal = Portal::of(cloud).await;
    let token = api::token(cloud, &[Scope::DomainsRead, Scope::DomainsWrite]).await;
    let call = async |method: &str, path: &str| api::call(&portal, method, path, &token, None).await;
    let (_, former) = call("GET", "/api/v1/domains/ada.test").await;
    assert_eq!((&former["part"], &former["serves"]), (&json!("former"), &json!(false)));
    let until = scene.owned().await.former[0].leads_until.unwrap();
    assert_eq!(former["leads_until"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), until);
    let (_, next) = call("GET", "/api/v1/domains/byron.test").await;
    assert_eq!((&next["part"], &next["leads_until"]), (&json!("next"), &json!(null)));
    assert_eq!(call("POST", "/api/v1/domains/byron.test/check").await.0, 202);
    assert_eq!(call("DELETE", "/api/v1/domains/byron.test").await.0, 202);
    assert_eq!(call("DELETE", "/api/v1/domains/byron.test").await.0, 404, "it goes already");
    operator::done(cloud, &["admin", "domains", "remove", NAME]);
    scene.cloud.pass_the_machine();
    scene.settle().await;
    assert_eq!(scene.has().await, (Some(NEXT.into()), None, vec![]));
    scene.leads(NEXT, Some("running")).await;
}

#[tokio::test]
async fn a_pause_is_told_at_once_and_each_domain_has_its_own() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.change("byron.test").await.unwrap();
    for name in [NEXT, NAME, "byron.test"] {
        let mut db = scene.web().await;
        let tx = db.transaction().await.unwrap();
        for _ in 0..2 {
            assert!(domains::pause(&tx, name, &Actor::Operator, scene.now()).await.unwrap().paused);
        }
        tx.commit().await.unwrap();
    }
    scene.settle().await;
    let told: Vec<String> = scene
        .cloud
        .value("select array_agg(split_part(text_body, E'\n', 3) order by id) from mails where kind = 'domain-left'")
        .await;
    let expected = [
        ("lovelace.test", "It goes on working."),
        ("ada.test", "which leads to lovelace.test. It goes on doing so."),
        ("byron.test", "which you are connecting."),
    ];
    assert_eq!(told.len(), expected.len(), "once each: {told:?}");
    for ((name, said), text) in expected.iter().zip(&told) {
        assert!(text.contains(name) && text.contains(said), "{name}: {text}");
    }
    // A paused name from before is let go on its day all the same, and a change that is not paused goes on.
    scene.cloud.sql("update domains set paused = false where name = 'byron.test'").await;
    let next = scene.next().await;
    scene.set_all(&next).await;
    scene.ask(&scene.ada).await;
    assert_eq!(scene.has().await, (Some("byron.test".into()), None, vec![NEXT.into(), NAME.into()]));
    let until = scene.owned().await.former[1].leads_until.unwrap();
    scene.cloud.clock.advance(until - scene.now());
    scene.settle().await;
    assert!(!scene.has().await.2.contains(&NAME.to_owned()));
}
