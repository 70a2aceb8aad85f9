//! The pages of the own domain, as its owner walks through them; what DNS says is written by hand here, the reconciler has tests of its own.

mod changing;
mod held;

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::domains::{DnsHost, Record, RecordKind, RecordState, Report, Words};
use reqwest::Response;

use crate::{
    cloud::TestCloud,
    owners::Percloud,
    portal::{Portal, header, read},
};

/// An owner at the portal.
struct Ada {
    cloud: TestCloud,
    portal: Portal,
    percloud: Percloud,
    cookie: String,
}

impl Ada {
    async fn new() -> Self {
        let cloud = TestCloud::new().await;
        let portal = Portal::of(&cloud).await;
        let percloud = Percloud::set_up(&cloud, "ada").await;
        let cookie = percloud.enter(&cloud, &portal).await;
        Self { cloud, portal, percloud, cookie }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let request = self.portal.request("GET", path).header("accept", "text/html").header("cookie", &self.cookie);
        read(request.send().await.unwrap()).await
    }

    async fn page(&self) -> String {
        let (status, page) = self.get("/manage/domain").await;
        assert_eq!(status, 200, "{page}");
        page
    }

    /// What her browser does with a form of ours.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.send(path, form, "same-origin", &self.cookie).await
    }

    /// What her browser does with a form of ours on a page that she has open, with what she types and chooses.
    async fn submit(&self, page: &str, path: &str, typed: &[(&str, &str)]) -> Response {
        let form = page.split_once(&format!("action=\"{path}\"")).expect("the form is there").1;
        let form = form.split_once("</form>").unwrap().0;
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
            let mut parts = field.split('"');
            (parts.next().unwrap(), parts.nth(1).unwrap())
        });
        let fields: Vec<_> = hidden.chain(typed.iter().copied()).collect();
        self.post(path, &fields).await
    }

    /// She opens a page, and sends its form.
    async fn fills(&self, page: &str, path: &str, typed: &[(&str, &str)]) -> Response {
        self.submit(&self.get(page).await.1, path, typed).await
    }

    async fn chooses(&self, choice: &str) -> Response {
        self.fills("/manage/domain", "/manage/domain/choose", &[("choice", choice)]).await
    }

    async fn send(&self, path: &str, form: &[(&str, &str)], site: &str, cookie: &str) -> Response {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        if !form.iter().any(|(name, _)| *name == "percloud") {
            body.append_pair("percloud", self.percloud.id.as_str());
        }
        let body = body.extend_pairs(form).finish();
        let request = self.portal.request("POST", path).header("accept", "text/html").header("cookie", cookie);
        let request = request.header("sec-fetch-site", site);
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap()
    }

    async fn claim(&self, name: &str) {
        let answer = self.post("/manage/domain", &[("name", name)]).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/manage/domain"));
    }

    /// What a look found.
    async fn found(&self, report: &Report) {
        let json = serde_json::to_string(report).unwrap().replace('\'', "''");
        let at = self.cloud.now().to_rfc3339();
        self.cloud.sql(&format!("update domains set report = '{json}', checked_at = '{at}'")).await;
    }

    /// The name is in use, as the reconciler would have it.
    async fn serve(&self, name: &str) {
        let at = self.cloud.now().to_rfc3339();
        self.cloud.sql(&format!("update domains set observed = 'active', verified_at = '{at}'")).await;
        self.cloud.sql(&format!("update tenants set own_domain = '{name}'")).await;
    }
}

fn record(kind: RecordKind, label: &str, value: &str, state: RecordState, words: Words) -> Record {
    let host = format!("{label}.xn--bcher-kva.test");
    Record { kind, host, label: label.into(), value: value.into(), optional: false, state, found: Vec::new(), words }
}

fn half() -> Report {
    let elsewhere = [("found", "203.0.113.9"), ("kind", "A"), ("value", "192.0.2.1")];
    Report {
        dns_host: Some(DnsHost { id: "ovh".into(), name: "OVH <b>".into(), url: Some("https://ovh.example/".into()) }),
        connect: Some("https://connect.example/apply?domain=b".into()),
        records: vec![
            record(
                RecordKind::Txt,
                "_percloud-challenge",
                "percloud-verification=k3fq",
                RecordState::Ok,
                Words::new("domain.record.ok", &[]),
            ),
            record(
                RecordKind::A,
                "@",
                "192.0.2.1",
                RecordState::Wrong,
                Words::new("domain.record.points-elsewhere", &elsewhere),
            ),
        ],
        notices: vec![Words::new(
            "domain.notice.caa",
            &[("at", "ada.test"), ("issuers", ""), ("ours", "ours.example")],
        )],
        ..Report::default()
    }
}

#[tokio::test]
async fn a_name_is_typed_as_people_type_it_and_what_to_set_is_shown_record_by_record() {
    let ada = Ada::new().await;
    assert!(ada.page().await.contains("Which name do you have?"));
    ada.claim("https://www.Bücher.test/a/path").await;
    let looking = ada.page().await;
    assert!(looking.contains("www.bücher.test") && looking.contains("data-refresh"), "{looking}");
    ada.found(&half()).await;
    let page = ada.page().await;
    for said in [
        "1 of 2 entries are right.",
        "It still says 203.0.113.9. Change the A entry to 192.0.2.1.",
        "data-copy=\"percloud-verification=k3fq\"",
        "OVH &lt;b&gt;",
        "href=\"https:&#x2F;&#x2F;connect.example&#x2F;apply?domain=b\"",
        "lets nobody make certificates",
        "Looked just now",
        "DNS zone",
    ] {
        let plain = said.replace("&#x2F;", "/");
        assert!(page.contains(said) || page.contains(&plain), "{said}: {page}");
    }
    // What somebody else's server says is a text and no page of ours.
    assert!(!page.contains("OVH <b>"));
}

#[tokio::test]
async fn what_cannot_be_an_own_domain_is_said_next_to_the_field_and_as_it_is_typed() {
    let ada = Ada::new().await;
    for (typed, said) in [
        ("", "Type the name that you have."),
        ("no dot", "not a whole name yet"),
        ("co.uk", "only an ending"),
        ("me.percloud.localhost", "Nobody can have this name"),
        ("127.0.0.1", "Nobody can have this name"),
        (&"a".repeat(300), "too long"),
        (&format!("{}.test", "a.".repeat(200)), "too long"),
    ] {
        let (status, page) = read(ada.post("/manage/domain", &[("name", typed)]).await).await;
        assert!(status == 422 && page.contains("aria-invalid") && page.contains(said), "{typed}: {status} {page}");
        let Some(path) = (!typed.is_empty()).then(|| typed.replace(' ', "%20")) else { continue };
        let (status, answer) = ada.get(&format!("/manage/domain/check/{path}")).await;
        assert!(status == 200 && answer.contains("not-allowed") && answer.contains(said), "{typed}: {answer}");
    }
    let (_, answer) = ada.get("/manage/domain/check/B%C3%9CCHER.test").await;
    assert_eq!(answer, r#"{"state":"free","message":"bücher.test is possible."}"#);
    assert_eq!(ada.cloud.value::<i64>("select count(*) from domains").await, 0);
    ada.claim("one.test").await;
    let (status, page) = read(ada.post("/manage/domain", &[("name", "two.test")]).await).await;
    assert!(status == 422 && page.contains("another name of its own already"), "{page}");
}

#[tokio::test]
async fn nobody_else_and_no_other_page_may_wish_anything() {
    let mut ada = Ada::new().await;
    let eve = Percloud::set_up(&ada.cloud, "eve").await;
    let eves = eve.enter(&ada.cloud, &ada.portal).await;
    ada.cookie = ada.percloud.enter(&ada.cloud, &ada.portal).await; // time has passed meanwhile
    ada.claim("ada.test").await;
    // Looking at the page has DNS looked at, which is no wish.
    let wishes = "select string_agg(concat_ws(' ', name, twin, wanted, observed, challenge), ', ') from domains";
    let before: String = ada.cloud.value(wishes).await;
    for (path, field, value) in [
        ("/manage/domain", "name", "eve.test"),
        ("/manage/domain/check", "", ""),
        ("/manage/domain/choose", "choice", "www"),
        ("/manage/domain/change", "name", "eve.test"),
        ("/manage/domain/remove", "", ""),
    ] {
        let form = [(field, value)];
        let stranger = ada.send(path, &form, "same-origin", "").await;
        assert_eq!(stranger.status().as_u16(), 403, "{path} by a stranger");
        for site in ["same-site", "cross-site"] {
            let forged = ada.send(path, &form, site, &ada.cookie).await;
            assert_eq!(forged.status().as_u16(), 403, "{path} from {site}");
        }
        // Ada's form, sent after Eve had come in with this browser (or Eve had sent Ada in with a ticket of hers).
        let (status, page) = read(ada.send(path, &form, "same-origin", &eves).await).await;
        assert!(status == 409 && page.contains("nothing was changed"), "{path} for another: {status} {page}");
        assert!(page.contains("<strong>eve.percloud.localhost</strong>"), "{page}");
        let without = ada.send(path, &[("percloud", "")], "same-origin", &ada.cookie).await;
        assert_eq!(without.status().as_u16(), 409, "{path} without a percloud");
    }
    for path in ["/manage/domain", "/manage/domain/change", "/manage/domain/remove", "/manage/domain/check/a.test"] {
        assert_eq!(ada.portal.get(path).await.status().as_u16(), 403, "{path}");
    }
    let after: String = ada.cloud.value(wishes).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn an_impatient_owner_has_it_looked_at_now() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    ada.cloud.sql("update domains set due_at = now() + interval '1 year', check_at = now() + interval '1 year'").await;
    let answer = ada.post("/manage/domain/check", &[]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/manage/domain#entries"));
    let wait = ada.cloud.value::<DateTime<Utc>>("select due_at from domains").await - ada.cloud.now();
    assert!(wait.num_seconds() <= 3, "{wait}");
    ada.post("/manage/domain/remove", &[]).await;
    assert_eq!(ada.post("/manage/domain/check", &[]).await.status().as_u16(), 303, "given up meanwhile");
}

#[tokio::test]
async fn while_the_page_is_open_it_is_looked_at_every_few_seconds() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    ada.cloud.sql("update domains set due_at = now() + interval '1 year', check_at = now() + interval '1 year'").await;
    let due = async || ada.cloud.value::<DateTime<Utc>>("select due_at from domains").await;
    ada.page().await;
    assert!(due().await > ada.cloud.now() + TimeDelta::days(1), "it was looked at just now");
    ada.cloud.clock.advance(TimeDelta::seconds(5));
    ada.page().await;
    assert!(due().await <= ada.cloud.now(), "nobody pressed anything");
}

#[tokio::test]
async fn a_name_in_use_says_what_is_different_and_lets_its_owner_choose_change_and_give_it_up() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&Report { records: vec![half().records.remove(0)], twin_ready: true, ..Report::default() }).await;
    ada.cloud.sql("update domains set observed = 'verified', verified_at = now()").await;
    assert!(ada.page().await.contains("Almost there"));
    ada.serve("ada.test").await;
    let page = ada.page().await;
    for said in [
        "Your percloud is at ada.test",
        "www.ada.test leads to ada.test",
        "https://ada.test:8443",
        "value=\"apex\" checked",
    ] {
        assert!(page.contains(said) || page.contains(&said.replace('/', "&#x2F;")), "{said}: {page}");
    }
    assert!(!page.contains("Something is not as it should be"));

    let chosen = ada.chooses("www").await;
    assert_eq!(chosen.status().as_u16(), 303);
    assert_eq!(ada.cloud.value::<String>("select name from domains where wanted = 'active'").await, "www.ada.test");
    assert_eq!(ada.post("/manage/domain/choose", &[("choice", "both")]).await.status().as_u16(), 422);

    ada.cloud.sql("update domains set misses = 1").await;
    ada.reads(&["Something is not as it should be", "after three days at the earliest"], &[]).await;

    let (_, ask) = ada.get("/manage/domain/remove").await;
    assert!(ask.contains("connect it again at any time, with new entries"), "{ask}");
    let (status, page) = read(ada.post("/manage/domain/change", &[("name", "x")]).await).await;
    assert!(status == 422 && page.contains("aria-invalid"));
    let change = "/manage/domain/change";
    let same = ada.fills(change, change, &[("name", "ada.test")]).await;
    assert_eq!(same.status().as_u16(), 303);
    assert_eq!(ada.cloud.value::<i64>("select count(*) from domains where wanted = 'gone'").await, 0, "the same name");
    assert!(ask.contains("Your percloud answers at") && ask.contains("Give www.ada.test up"), "{ask}");
    let gone = ada.submit(&ask, "/manage/domain/remove", &[]).await;
    assert_eq!(header(&gone, "location"), "/manage/domain?removed=www.ada.test");
    let (_, page) = ada.get("/manage/domain?removed=www.ada.test").await;
    assert!(page.contains("that name is given up") && page.contains("Which name do you have?"), "{page}");
    assert!(page.contains("Your percloud answers at ada.percloud.localhost."), "{page}");
    let (_, page) = ada.get("/manage/domain?removed=your-money.test").await;
    assert!(!page.contains("your-money"), "nobody puts words into the page: {page}");
    assert_eq!(ada.post("/manage/domain/remove", &[]).await.status().as_u16(), 303, "once is enough");
    let noted =
        "select string_agg(action, ' ' order by id) from audit where actor = 'owner' and action like 'domain.%'";
    let noted: String = ada.cloud.value(noted).await;
    assert_eq!(noted, "domain.claimed domain.chosen domain.removed");
}

/// An entry of `ada.test`, as a look finds it.
fn entry(kind: RecordKind, host: &str, state: RecordState, key: &str) -> Record {
    let args = [("found", "203.0.113.9"), ("kind", kind.as_str()), ("value", "192.0.2.1")];
    let words = Words::new(key, &args);
    let value = format!("value-of-{}", kind.as_str());
    Record { host: host.into(), ..record(kind, host, &value, state, words) }
}

/// All is right at `ada.test` but what is given here.
fn but(others: &[Record]) -> Report {
    let right = [
        entry(RecordKind::Txt, "_percloud-challenge.ada.test", RecordState::Ok, "domain.record.ok"),
        entry(RecordKind::A, "ada.test", RecordState::Ok, "domain.record.ok"),
        entry(RecordKind::Cname, "www.ada.test", RecordState::Ok, "domain.record.ok"),
    ];
    let other = |record: &Record| others.iter().any(|other| other.kind == record.kind);
    let records = right.into_iter().filter(|record| !other(record)).chain(others.iter().cloned()).collect();
    let twin_ready = !others.iter().any(|other| other.host == "www.ada.test");
    Report { records, twin_ready, ..Report::default() }
}

fn missing_www() -> Record {
    let missing = entry(RecordKind::Cname, "www.ada.test", RecordState::Missing, "domain.record.missing");
    Record { optional: true, ..missing }
}

impl Ada {
    /// Her percloud answers at `ada.test`.
    async fn at_ada_test(report: &Report) -> Self {
        let ada = Self::new().await;
        ada.claim("ada.test").await;
        ada.found(report).await;
        ada.serve("ada.test").await;
        ada
    }

    async fn reads(&self, said: &[&str], not: &[&str]) {
        let page = self.page().await;
        for said in said {
            assert!(page.contains(said), "{said}: {page}");
        }
        for not in not {
            assert!(!page.contains(not), "not {not}: {page}");
        }
    }
}

#[tokio::test]
async fn a_healthy_name_says_today_what_will_stop_its_renewal() {
    let caa = [("at", "ada.test"), ("issuers", "ca.example"), ("ours", "ours.example")];
    let notices = vec![Words::new("domain.notice.caa", &caa)];
    let ada = Ada::at_ada_test(&Report { notices, ..but(&[]) }).await;
    ada.reads(
        &[
            "Something is not as it should be",
            "lets only others make certificates for your name: ca.example",
            "value 0 issue &quot;ours.example&quot;",
            "Looked just now",
        ],
        &["three days", "all the same", "data-copy=\"value-of-A\""],
    )
    .await;
    ada.found(&but(&[])).await;
    ada.reads(&["Looked just now"], &["Something is not as it should be"]).await;
}

#[tokio::test]
async fn the_three_days_are_said_when_they_are_counted() {
    let ada =
        Ada::at_ada_test(&but(&[entry(RecordKind::A, "ada.test", RecordState::Wrong, "domain.record.extra")])).await;
    ada.reads(&["all the same", "another one beside it: 203.0.113.9", "data-copy=\"value-of-A\""], &["three days"])
        .await;
    ada.cloud.sql("update domains set misses = 1").await;
    ada.reads(&["it goes back to ada.percloud.localhost, after three days"], &["all the same"]).await;
}

#[tokio::test]
async fn a_twin_that_does_not_lead_here_shows_what_it_needs() {
    let ada = Ada::at_ada_test(&but(&[missing_www()])).await;
    ada.reads(
        &["www.ada.test does not lead here yet. It needs this:", "data-copy=\"value-of-CNAME\""],
        &["Something is not as it should be", "data-copy=\"value-of-A\"", "Can be left out"],
    )
    .await;
    let clouded = entry(RecordKind::Cname, "www.ada.test", RecordState::Wrong, "domain.record.proxied");
    ada.found(&but(&[clouded])).await;
    ada.reads(&["Switch it off (“DNS only”)"], &["Something is not as it should be"]).await;
    ada.chooses("none").await;
    ada.reads(&["Only ada.test"], &["It needs this", "data-copy=\"value-of-CNAME\""]).await;
}

#[tokio::test]
async fn a_name_that_was_chosen_says_what_it_waits_for_and_which_one_is_in_use_until_then() {
    let ada = Ada::at_ada_test(&but(&[missing_www()])).await;
    ada.chooses("www").await;
    let until = "Until then <strong>ada.test</strong> is your address";
    let said = ["Your percloud is at ada.test", "You chose www.ada.test", until];
    let never = ["ada.test leads to", "does not lead here yet", "Something is not as it should be"];
    ada.reads(&said, &never).await;
    ada.reads(&["its entries are not right", "data-copy=\"value-of-CNAME\""], &["Can be left out"]).await;
    let saved = ada.get("/manage/domain?saved=1").await.1;
    assert!(saved.contains("Below you see how far it is"), "{saved}");

    ada.found(&but(&[])).await;
    ada.reads(&said, &never).await;
    ada.reads(&["its certificate is still being made"], &["data-copy=\"value-of-CNAME\""]).await;
    let certificate = "insert into certificates (id, names, observed, chain_pem, key_sealed, not_before, not_after, created_at)
        values ('c-aaaaaaaaaaaaaaaa', array['www.ada.test'], 'issued', '', '', now(), now() + interval '1 year', now())";
    ada.cloud.sql(certificate).await;
    ada.reads(&["is almost ready"], &["still being made"]).await;
    ada.found(&Report::default()).await;
    ada.reads(&["we are still looking at its entries"], &never).await;

    ada.chooses("none").await;
    ada.reads(&["You chose www.ada.test", "Only www.ada.test"], &never).await;
    ada.serve("www.ada.test").await;
    ada.reads(&["Your percloud is at www.ada.test"], &["You chose"]).await;
}

#[tokio::test]
async fn a_name_that_was_lost_says_what_to_do() {
    let ada = Ada::new().await;
    ada.claim("bücher.test").await;
    ada.found(&half()).await;
    ada.cloud.sql("update domains set observed = 'lost', misses = 3").await;
    let page = ada.page().await;
    assert!(page.contains("bücher.test no longer leads here") && page.contains("203.0.113.9"), "{page}");
}

#[tokio::test]
async fn claiming_again_and_again_is_slowed_down() {
    let ada = Ada::new().await;
    let mut statuses = Vec::new();
    for n in 0..25 {
        let name = format!("ada{n}.test");
        let path = if n == 0 { "/manage/domain" } else { "/manage/domain/change" };
        statuses.push(ada.fills(path, path, &[("name", &name)]).await.status().as_u16());
    }
    assert_eq!((statuses[0], statuses[19], statuses[24]), (303, 303, 429), "{statuses:?}");
}
