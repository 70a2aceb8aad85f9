//! Owners come in at the portal: with a ticket of their percloud, by a mailed link; and everything that may be wrong about that.

use bundle::{
    TenantId,
    ticket::{OwnerKey, Ticket},
};
use chrono::TimeDelta;
use control_plane::hosts::Status;
use reqwest::Response;

use crate::{
    cloud::{TestCloud, Wish},
    portal::{Portal, header, read},
};

const PORTAL: &str = "https://percloud.localhost:8443";

/// A percloud whose owner can come in.
pub(crate) struct Percloud {
    pub(crate) id: TenantId,
    pub(crate) key: OwnerKey,
}

impl Percloud {
    /// Signed up, set up, and its key known.
    pub(crate) async fn set_up(cloud: &TestCloud, name: &str) -> Self {
        let created = cloud.sign_up(name).await;
        cloud.confirm(&created).await;
        cloud.settle().await;
        let this = Self { id: created.id, key: new_key() };
        this.tell(cloud);
        cloud.pass(TimeDelta::hours(1)).await;
        this
    }

    /// Its runtime says its key.
    fn tell(&self, cloud: &TestCloud) {
        let status = Status { set_up: true, owner_key: Some(self.key.public()), ..Status::default() };
        cloud.host.set_status(&self.id, status);
    }

    pub(crate) fn ticket(&self, cloud: &TestCloud) -> String {
        self.key.sign(&Ticket::new(&self.id, PORTAL, cloud.now())).unwrap()
    }

    /// Comes in; gives the cookie.
    pub(crate) async fn enter(&self, cloud: &TestCloud, portal: &Portal) -> String {
        let answer = show(portal, &self.ticket(cloud)).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/manage/domain"));
        cookie(&answer)
    }
}

fn new_key() -> OwnerKey {
    OwnerKey::read(&OwnerKey::random().unwrap()).unwrap()
}

async fn show(portal: &Portal, ticket: &str) -> Response {
    portal.get(&format!("/manage/enter?ticket={ticket}")).await
}

fn cookie(answer: &Response) -> String {
    let cookie = header(answer, "set-cookie");
    assert!(cookie.starts_with("__Host-owner=") && cookie.contains("; Path=/; "), "{cookie}");
    assert!(["Secure", "HttpOnly", "SameSite=Lax"].iter().all(|flag| cookie.contains(flag)), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn page(portal: &Portal, cookie: &str) -> (u16, String) {
    let request = portal.request("GET", "/manage/domain").header("accept", "text/html").header("cookie", cookie);
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn an_owner_comes_in_with_a_ticket_and_sees_whose_percloud_it_is() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    let answer = show(&portal, &ada.ticket(&cloud)).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/manage/domain"));
    assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let (status, said) = page(&portal, &cookie(&answer)).await;
    assert!(status == 200 && said.contains("<strong>ada.percloud.localhost</strong>"), "{said}");
    let kept: String = cloud.value("select sha256 || via from owner_sessions").await;
    let secret = cookie(&answer).split_once('=').unwrap().1.to_owned();
    assert!(kept.ends_with("ticket") && !kept.contains(&secret), "only a hash is kept");
    let noted = "select actor || ' ' || (details ->> 'via') from audit where action = 'owner.entered'";
    assert_eq!(cloud.value::<String>(noted).await, "owner ticket");
}

#[tokio::test]
async fn a_ticket_is_taken_once() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    let ticket = ada.ticket(&cloud);
    let cookie = cookie(&show(&portal, &ticket).await);
    for _ in 0..2 {
        let again = show(&portal, &ticket).await;
        assert_eq!((again.status().as_u16(), header(&again, "set-cookie").as_str()), (410, ""));
        let text = again.text().await.unwrap();
        assert!(text.contains("https://ada.percloud.localhost:8443/control/address"), "the way back: {text}");
    }
    // The owner's own browser, whose page came back from the history, goes on.
    let path = format!("/manage/enter?ticket={ticket}");
    let request = portal.request("GET", &path).header("accept", "text/html").header("cookie", &cookie);
    let again = request.send().await.unwrap();
    assert_eq!((again.status().as_u16(), header(&again, "set-cookie").as_str()), (303, ""));
    assert_eq!(cloud.value::<i64>("select count(*) from owner_sessions").await, 1);
    // Taken tickets are forgotten, once they have ended for good.
    cloud.clock.advance(TimeDelta::minutes(10));
    show(&portal, &ada.ticket(&cloud)).await;
    assert_eq!(cloud.value::<i64>("select count(*) from owner_tickets").await, 1);
    assert_eq!(show(&portal, &ticket).await.status().as_u16(), 410, "and open nothing all the same");
}

#[tokio::test]
async fn two_at_once_take_a_ticket_once() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    let ticket = ada.ticket(&cloud);
    let (one, other) = tokio::join!(show(&portal, &ticket), show(&portal, &ticket));
    let mut statuses = [one.status().as_u16(), other.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410]);
}

#[tokio::test]
async fn a_ticket_that_is_late_for_another_portal_or_of_another_percloud_opens_nothing() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    let eve = Percloud::set_up(&cloud, "eve").await;
    let sign = |key: &OwnerKey, id: &TenantId, audience: &str, by: TimeDelta| {
        key.sign(&Ticket::new(id, audience, cloud.now() + by)).unwrap()
    };
    let none = TimeDelta::zero();
    let good = ada.ticket(&cloud);
    let (json, signature) = good.split_once('.').unwrap();
    let (others, _) = eve.ticket(&cloud).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for (ticket, why) in [
        (sign(&ada.key, &ada.id, PORTAL, TimeDelta::minutes(-2)), "late"),
        (sign(&ada.key, &ada.id, PORTAL, TimeDelta::minutes(10)), "for another day"),
        (sign(&ada.key, &ada.id, "https://other.example", none), "for another portal"),
        (sign(&eve.key, &ada.id, PORTAL, none), "by Eve for Ada"),
        (sign(&new_key(), &ada.id, PORTAL, none), "by nobody's key"),
        (sign(&ada.key, &TenantId::random(), PORTAL, none), "for nobody"),
        (format!("{others}.{signature}"), "with another's words"),
        (format!("{json}."), "without a signature"),
        (json.to_owned(), "without anything"),
        (String::new(), "none"),
        ("%00".repeat(40), "nonsense"),
    ] {
        let answer = show(&portal, &ticket).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "set-cookie").as_str()), (410, ""), "{why}");
    }
    assert_eq!(cloud.value::<i64>("select count(*) from owner_sessions").await, 0);
    assert_eq!(show(&portal, &good).await.status().as_u16(), 303, "nothing of that used hers up");
}

#[tokio::test]
async fn a_percloud_whose_key_is_not_known_yet_is_looked_at_at_once() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let created = cloud.sign_up("ada").await;
    cloud.confirm(&created).await;
    cloud.settle().await;
    let ada = Percloud { id: created.id, key: new_key() };
    ada.tell(&cloud);
    assert!(cloud.settle().await.is_empty(), "it would be looked at in a quarter of an hour");
    let ticket = ada.ticket(&cloud);
    let (status, said) = read(show(&portal, &ticket).await).await;
    assert!(status == 200 && said.contains("data-refresh") && said.contains("ada.percloud.localhost"), "{said}");
    assert!(!cloud.settle().await.is_empty());
    assert_eq!(show(&portal, &ticket).await.status().as_u16(), 303, "the page that looks again goes on");
    // What is no key is not kept; a key that is not said any more is.
    for said in [Some("x".repeat(43) + "!"), Some("A".repeat(10_000)), None] {
        cloud.host.set_status(&ada.id, Status { set_up: true, owner_key: said, ..Status::default() });
        cloud.pass(TimeDelta::hours(1)).await;
        assert_eq!(cloud.value::<String>("select owner_key from tenants").await, ada.key.public());
    }
}

#[tokio::test]
async fn a_percloud_that_was_set_back_has_another_key_and_the_next_ticket_does() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let before = Percloud::set_up(&cloud, "ada").await;
    let after = Percloud { id: before.id.clone(), key: new_key() };
    after.tell(&cloud);
    assert_eq!(show(&portal, &after.ticket(&cloud)).await.status().as_u16(), 410);
    cloud.settle().await;
    assert_eq!(show(&portal, &after.ticket(&cloud)).await.status().as_u16(), 303);
    assert_eq!(show(&portal, &before.ticket(&cloud)).await.status().as_u16(), 410);
}

#[tokio::test]
async fn a_session_is_for_one_percloud_and_ends_after_an_hour_or_when_its_owner_leaves() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    for stranger in ["", "__Host-owner=", "__Host-owner=nonsense", &format!("__Host-owner={}", "a".repeat(52))] {
        let (status, said) = page(&portal, stranger).await;
        assert!(status == 403 && said.contains("Please come in first") && said.contains("href=\"/manage\""), "{said}");
    }
    let first = ada.enter(&cloud, &portal).await;
    cloud.clock.advance(TimeDelta::minutes(59));
    assert_eq!(page(&portal, &first).await.0, 200);
    cloud.clock.advance(TimeDelta::minutes(2));
    let (status, said) = page(&portal, &first).await;
    assert!(status == 403 && said.contains("You were away for a while"), "use does not prolong it: {said}");
    assert!(said.contains("href=\"https://ada.percloud.localhost:8443/control/address\""), "{said}");

    let second = ada.enter(&cloud, &portal).await;
    let leave = |site: &str| {
        let request = portal.request("POST", "/manage/sign-out").header("sec-fetch-site", site);
        request.header("cookie", &second).send()
    };
    assert_eq!(leave("same-site").await.unwrap().status().as_u16(), 403, "a neighbour cannot sign her out");
    assert_eq!(page(&portal, &second).await.0, 200);
    assert_eq!(leave("same-origin").await.unwrap().status().as_u16(), 303);
    let (status, said) = page(&portal, &second).await;
    assert!(status == 403 && said.contains("You are signed out"), "{said}");

    // A program hears it as programs do; a percloud that goes takes its sessions along.
    let asked = portal.request("GET", "/manage/domain").header("accept", "application/json").send().await.unwrap();
    assert_eq!((asked.status().as_u16(), header(&asked, "content-type").as_str()), (403, "application/problem+json"));
    let third = ada.enter(&cloud, &portal).await;
    cloud.wish(&ada.id, Wish::Delete).await.unwrap();
    assert_eq!(page(&portal, &third).await.0, 403);
    assert_eq!(show(&portal, &ada.ticket(&cloud)).await.status().as_u16(), 410);
    cloud.settle().await;
    assert_eq!(cloud.value::<i64>("select count(*) from owner_sessions").await, 0);
}

/// The newest mailed link, without the portal's origin.
async fn mailed(cloud: &TestCloud) -> String {
    let text: String =
        cloud.value("select text_body from mails where kind = 'manage-link' order by id desc limit 1").await;
    text.lines().find_map(|line| line.trim().strip_prefix(PORTAL)).expect("a link of its own line").to_owned()
}

#[tokio::test]
async fn an_owner_who_is_locked_out_comes_in_by_a_mailed_link_once() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let ada = Percloud::set_up(&cloud, "ada").await;
    let (status, form) = read(portal.get("/manage").await).await;
    assert!(status == 200 && form.contains("name=\"name\""), "{form}");
    let asked = portal.post("/manage", &[("name", " Ada.percloud.localhost ")]).await;
    assert_eq!((asked.status().as_u16(), header(&asked, "location").as_str()), (303, "/manage/sent"));
    cloud.settle().await;
    let link = mailed(&cloud).await;
    // A mail scanner follows it: nothing happens.
    for _ in 0..2 {
        let (status, said) = read(portal.get(&link).await).await;
        assert!(status == 200 && said.contains("ada.percloud.localhost"), "{said}");
    }
    let entered = portal.post(&link, &[]).await;
    assert_eq!((entered.status().as_u16(), header(&entered, "location").as_str()), (303, "/manage/domain"));
    assert_eq!(page(&portal, &cookie(&entered)).await.0, 200);
    assert_eq!(cloud.value::<String>("select via from owner_sessions").await, "mail");
    for answer in [portal.post(&link, &[]).await, portal.get(&link).await] {
        assert_eq!((answer.status().as_u16(), header(&answer, "set-cookie").as_str()), (410, ""), "once");
    }
    portal.post("/manage", &[("name", "ada")]).await;
    cloud.settle().await;
    let late = mailed(&cloud).await;
    assert_ne!(late, link);
    cloud.clock.advance(TimeDelta::minutes(31));
    assert_eq!(portal.post(&late, &[]).await.status().as_u16(), 410);
    // A link is no session and a session no link; nor is either for a percloud that is being deleted.
    let secret = late.rsplit('/').next().unwrap();
    assert_eq!(page(&portal, &format!("__Host-owner={secret}")).await.0, 403);
    let session = ada.enter(&cloud, &portal).await;
    let secret = session.split_once('=').unwrap().1;
    assert_eq!(portal.get(&format!("/manage/link/{secret}")).await.status().as_u16(), 410);
    for nonsense in ["/manage/link/x", "/manage/link/%00", "/manage/link/..%2F.."] {
        assert_eq!(portal.get(nonsense).await.status().as_u16(), 410, "{nonsense}");
    }
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_there_is_such_a_percloud() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    Percloud::set_up(&cloud, "ada").await;
    cloud.sign_up("unconfirmed").await;
    let mut answers = Vec::new();
    for name in ["ada", "nobody", "unconfirmed", "ada", "../..", "'; drop table tenants"] {
        let answer = portal.post("/manage", &[("name", name)]).await;
        let headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
        answers.push((answer.status().as_u16(), header(&answer, "location"), headers));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]) && answers[0].0 == 303, "{answers:?}");
    assert_eq!(cloud.value::<i64>("select count(*) from mails where kind = 'manage-link'").await, 2);
    let (status, said) = read(portal.post("/manage", &[("name", " ")]).await).await;
    assert!(status == 422 && said.contains("aria-invalid"), "{said}");
    // A mailbox gets five links and no more for a while; whoever asks is slowed down after ten.
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(portal.post("/manage", &[("name", "ada")]).await.status().as_u16());
    }
    assert_eq!(statuses, [303, 303, 303, 303, 429, 429]);
    assert_eq!(cloud.value::<i64>("select count(*) from mails where kind = 'manage-link'").await, 5);
}

#[tokio::test]
async fn showing_tickets_again_and_again_is_slowed_down() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(show(&portal, "x.y").await.status().as_u16());
    }
    assert_eq!(statuses.first(), Some(&410));
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
