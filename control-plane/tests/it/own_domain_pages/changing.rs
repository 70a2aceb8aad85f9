//! Another name instead of the one in use, which serves until the new one is ready, and leads there afterwards.

use super::*;

mod said;

/// Where it is said what giving one of them up breaks.
fn asks(id: &str) -> String {
    format!("/manage/domain/remove?domain={id}")
}

impl Ada {
    /// What was found of the next one, and how far it is.
    async fn next(&self, observed: &str, report: &Report) {
        let (json, at) = (serde_json::to_string(report).unwrap(), self.cloud.now().to_rfc3339());
        let set = format!("observed = '{observed}', verified_at = '{at}', checked_at = '{at}', report = '{json}'");
        self.cloud.sql(&format!("update domains set {set} where part = 'next'")).await;
    }

    async fn id_of(&self, name: &str) -> String {
        self.cloud.value(&format!("select id from domains where name = '{name}'")).await
    }

    async fn changes_to(&self, name: &str) {
        let change = "/manage/domain/change";
        let answer = self.fills(change, change, &[("name", name)]).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/manage/domain"));
    }

    async fn gives_up(&self, name: &str) {
        let id = self.id_of(name).await;
        let answer = self.fills(&asks(&id), "/manage/domain/remove", &[]).await;
        assert_eq!(header(&answer, "location"), format!("/manage/domain?removed={name}"));
    }

    /// As the reconciler does it when the certificate is there.
    async fn takes_over(&self, name: &str) {
        let until = (self.cloud.now() + TimeDelta::days(90)).to_rfc3339();
        self.cloud
            .sql(&format!("update domains set part = 'former', leads_until = '{until}' where part = 'main'"))
            .await;
        self.cloud.sql("update domains set part = 'main', observed = 'active' where part = 'next'").await;
        self.cloud.sql(&format!("update tenants set own_domain = '{name}'")).await;
    }
}

#[tokio::test]
async fn the_page_shows_the_name_in_use_and_the_one_that_is_to_come() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    let (_, change) = ada.get("/manage/domain/change").await;
    for said in [
        "<strong>ada.test</strong> goes on working while you connect the new name",
        "Until everything is ready, ada.test stays your address",
        "ada.test leads there for 90 days, with every link that people have",
    ] {
        assert!(change.contains(said), "{said}: {change}");
    }
    ada.changes_to("lovelace.test").await;
    let present = ["Your percloud is at ada.test", "lovelace.test is to be your new name"];
    ada.reads(
        &[&present[..], &["We are looking where the entries of lovelace.test are kept", "id=\"next\""]].concat(),
        &[],
    )
    .await;
    ada.next("pending", &half()).await;
    let shown = [
        "1 of 2 entries are right.",
        "It still says 203.0.113.9. Change the A entry to 192.0.2.1.",
        "stays your address; then your percloud moves by itself",
        "data-refresh=\"4\"",
        "Use yet another name",
    ];
    ada.reads(&[&present[..], &shown].concat(), &["Something is not as it should be"]).await;
    // While the page is open, the next one is looked at every few seconds, and so it is when the button is pressed.
    ada.cloud.sql("update domains set due_at = now() + interval '1 year', check_at = now() + interval '1 year'").await;
    let due = async || ada.cloud.value::<DateTime<Utc>>("select due_at from domains where part = 'next'").await;
    ada.page().await;
    assert!(due().await > ada.cloud.now() + TimeDelta::days(1), "it was looked at just now");
    ada.cloud.clock.advance(TimeDelta::seconds(5));
    ada.page().await;
    assert!(due().await <= ada.cloud.now());
    assert_eq!(header(&ada.post("/manage/domain/check", &[]).await, "location"), "/manage/domain#next");

    ada.next("verified", &half()).await;
    ada.reads(
        &[&present[..], &["The last thing is its certificate", "That takes about a minute"]].concat(),
        &shown[..1],
    )
    .await;
    ada.takes_over("lovelace.test").await;
    ada.reads(
        &[
            "Your percloud is at lovelace.test",
            "Your names from before",
            "<strong>ada.test</strong> leads to lovelace.test until",
        ],
        &["id=\"next\"", "Use yet another name"],
    )
    .await;
}

#[tokio::test]
async fn a_change_is_cancelled_or_another_one_made_without_touching_the_present_name() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    ada.changes_to("lovelace.test").await;
    let id = ada.id_of("lovelace.test").await;
    let (_, ask) = ada.get(&format!("/manage/domain/remove?domain={id}")).await;
    let said = [
        "Stop connecting lovelace.test?",
        "Nothing breaks: your percloud answers at <strong>ada.test</strong>, as before",
    ];
    assert!(said.iter().all(|said| ask.contains(said)), "{ask}");
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("Instead of <strong>lovelace.test</strong>, which is not connected yet"), "{change}");
    ada.changes_to("byron.test").await;
    assert_eq!(
        ada.cloud.value::<String>("select name from domains where part = 'next' and wanted = 'active'").await,
        "byron.test"
    );
    ada.gives_up("byron.test").await;
    ada.reads(&["Your percloud is at ada.test"], &["byron.test", "lovelace.test"]).await;
    let (_, page) = ada.get("/manage/domain?removed=byron.test").await;
    assert!(page.contains("that name is given up") && page.contains("Your percloud answers at ada.test."), "{page}");
    assert!(page.contains("Your percloud is at ada.test") && !page.contains("byron.test"), "{page}");
    // What is typed wrong is said, and what is there already is no change.
    let (status, page) = read(ada.post("/manage/domain/change", &[("name", "x")]).await).await;
    assert!(status == 422 && page.contains("aria-invalid"), "{page}");
    ada.changes_to("ada.test").await;
    ada.reads(&["Your percloud is at ada.test"], &["id=\"next\""]).await;
    // A claim that was given up in another window: once is enough.
    let again = ada.post("/manage/domain/remove", &[("domain", &id)]).await;
    assert_eq!(header(&again, "location"), "/manage/domain");
    ada.reads(&["Your percloud is at ada.test"], &[]).await;
}

#[tokio::test]
async fn what_took_over_meanwhile_is_not_given_up_by_a_page_that_said_nothing_breaks() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    let (change, remove) = ("/manage/domain/change", "/manage/domain/remove");
    ada.changes_to("lovelace.test").await;
    ada.next("verified", &but(&[])).await;
    let opened = ada.get(&asks(&ada.id_of("lovelace.test").await)).await.1;
    assert!(opened.contains("Nothing breaks: your percloud answers at <strong>ada.test</strong>"), "{opened}");
    let (instead, choice) = (ada.get(change).await.1, ada.page().await);
    ada.takes_over("lovelace.test").await;
    let before: String = ada
        .cloud
        .value("select string_agg(concat_ws(' ', name, twin, part, wanted), ', ' order by name) from domains")
        .await;
    for (page, path, typed, said) in [
        (&opened, remove, None, "Give lovelace.test up?"),
        (&instead, change, Some(("name", "byron.test")), "<strong>lovelace.test</strong> goes on working"),
        (&choice, "/manage/domain/choose", Some(("choice", "www")), "Your percloud is at lovelace.test"),
    ] {
        let (status, again) = read(ada.submit(page, path, typed.as_slice()).await).await;
        assert_eq!(status, 409, "{path}: {again}");
        assert!(again.contains("Something has changed meanwhile") && again.contains(said), "{said}: {again}");
    }
    let after: String = ada
        .cloud
        .value("select string_agg(concat_ws(' ', name, twin, part, wanted), ', ' order by name) from domains")
        .await;
    assert_eq!(before, after, "nobody ends by a click that did not say so");
    // The page that is shown instead says what it does, and does it.
    let again = read(ada.submit(&opened, remove, &[]).await).await.1;
    assert!(again.contains("Nor do those to <span>ada.test") || again.contains("Nor do those to ada.test"), "{again}");
    let gone = ada.submit(&again, remove, &[]).await;
    assert_eq!(header(&gone, "location"), "/manage/domain?removed=lovelace.test");
}

#[tokio::test]
async fn a_name_that_rests_meanwhile_is_not_given_up_for_another_one_unasked() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    let change = "/manage/domain/change";
    let opened = ada.get(change).await.1;
    assert!(opened.contains("<strong>ada.test</strong> goes on working while you connect"), "{opened}");
    ada.cloud.sql("update domains set observed = 'verified'").await;
    ada.cloud.sql("update tenants set own_domain = null").await;
    let (status, page) = read(ada.submit(&opened, change, &[("name", "byron.test")]).await).await;
    assert!(status == 409 && page.contains("Instead of <strong>ada.test</strong>"), "{page}");
    assert!(page.contains("value=\"byron.test\""), "what was typed is not lost: {page}");
    assert_eq!(ada.cloud.value::<i64>("select count(*) from domains where wanted = 'active'").await, 1);
}

#[tokio::test]
async fn a_name_on_its_way_back_shows_what_it_needs_and_leads_on_when_it_is_cancelled() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    ada.changes_to("lovelace.test").await;
    ada.next("verified", &but(&[])).await;
    ada.takes_over("lovelace.test").await;
    ada.changes_to("ada.test").await;
    let text = entry(RecordKind::Txt, "_percloud-challenge.ada.test", RecordState::Missing, "domain.record.missing");
    ada.next("active", &but(&[text])).await;
    let shown = ["ada.test is to be your new name", "data-copy=\"value-of-TXT\"", "2 of 3 entries are right."];
    ada.reads(&shown, &["That takes about a minute", "The last thing is its certificate"]).await;
    ada.next("active", &Report { ready: true, ..but(&[]) }).await;
    ada.reads(&["The last thing is its certificate", "That takes about a minute"], &shown[2..]).await;
    let id = ada.id_of("ada.test").await;
    let (_, ask) = ada.get(&asks(&id)).await;
    for said in
        ["Leave ada.test as it was?", "<strong>ada.test</strong> leads there until", "leave its entries as they are"]
    {
        assert!(ask.contains(said), "{said}: {ask}");
    }
    assert!(!ask.contains("delete the entries"), "{ask}");
    assert_eq!(header(&ada.submit(&ask, "/manage/domain/remove", &[]).await, "location"), "/manage/domain");
    ada.reads(&["<strong>ada.test</strong> leads to lovelace.test until"], &["id=\"next\""]).await;
    // Yet another one instead says so, too.
    ada.changes_to("ada.test").await;
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("which then leads to <strong>lovelace.test</strong> until"), "{change}");
    ada.changes_to("byron.test").await;
    ada.reads(&["<strong>ada.test</strong> leads to lovelace.test until", "byron.test is to be"], &[]).await;
}

#[tokio::test]
async fn names_from_before_are_seen_and_let_go_without_one_in_use() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    ada.changes_to("lovelace.test").await;
    ada.next("verified", &but(&[])).await;
    ada.takes_over("lovelace.test").await;
    ada.cloud.sql("update domains set observed = 'lost', misses = 3 where part = 'main'").await;
    ada.cloud.sql("update tenants set own_domain = null").await;
    let (_, ask) = ada.get("/manage/domain/remove").await;
    assert!(!ask.contains("ada.test</") && ask.contains("Nothing breaks"), "{ask}");
    ada.gives_up("lovelace.test").await;
    ada.reads(&["Which name do you have?", "<strong>ada.test</strong> leads to ada.percloud.localhost until"], &[])
        .await;
    // It may come back, which takes a look at its entries, and says so.
    ada.claim("ada.test").await;
    ada.found(&Report::default()).await;
    ada.reads(&["Connect ada.test"], &["Your percloud is at", "Almost there"]).await;
    ada.found(&Report { ready: true, ..but(&[]) }).await;
    ada.reads(&["Almost there"], &["Your percloud is at"]).await;
    let ask = ada.get("/manage/domain/remove").await.1;
    ada.submit(&ask, "/manage/domain/remove", &[]).await;
    ada.gives_up("ada.test").await;
    ada.reads(&["Which name do you have?"], &["ada.test</strong> leads"]).await;
}

#[tokio::test]
async fn names_from_before_are_let_go_one_by_one_or_with_the_one_to_which_they_lead() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    for name in ["lovelace.test", "byron.test"] {
        ada.changes_to(name).await;
        ada.next("verified", &but(&[])).await;
        ada.takes_over(name).await;
    }
    ada.reads(
        &["<strong>ada.test</strong> leads to byron.test", "<strong>lovelace.test</strong> leads to byron.test"],
        &[],
    )
    .await;
    ada.cloud.sql("update domains set misses = 1 where name = 'ada.test'").await;
    ada.cloud.sql("update domains set paused = true where name = 'lovelace.test'").await;
    ada.reads(&["If they stay like that, it ends before that", "its certificate is not renewed for now"], &[]).await;
    let id = ada.id_of("ada.test").await;
    let (_, ask) = ada.get(&format!("/manage/domain/remove?domain={id}")).await;
    for said in [
        "Let ada.test go?",
        "Links to <strong>ada.test</strong> lead nowhere",
        "answers at <strong>byron.test</strong>",
    ] {
        assert!(ask.contains(said), "{said}: {ask}");
    }
    ada.gives_up("ada.test").await;
    ada.reads(&["Your percloud is at byron.test", "lovelace.test"], &["ada.test</strong> leads"]).await;
    ada.changes_to("king.test").await;
    let (_, ask) = ada.get("/manage/domain/remove").await;
    for said in
        ["Give byron.test up?", "Nor do those to lovelace.test", "<strong>king.test</strong>, which you are connecting"]
    {
        assert!(ask.contains(said), "{said}: {ask}");
    }
    ada.gives_up("byron.test").await;
    ada.reads(&["Connect king.test"], &["lovelace.test</strong> leads"]).await;
    let left: Vec<String> =
        ada.cloud.value("select array_agg(name order by name) from domains where wanted = 'active'").await;
    assert_eq!(left, ["king.test"]);
}

#[tokio::test]
async fn nobody_gives_up_what_is_anothers() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    let bob = ada.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    let insert = format!(
        "insert into domain_targets values ('t-bbbbbbbbbbbbbbbbbbbbbbbbbb', '{0}', now());
        insert into domains (id, tenant_id, name, base, target, challenge, challenge_expires_at, claimed_at, asked_at, check_at)
        values ('d-bbbbbbbbbbbbbbbb', '{0}', 'bob.test', 'bob.test', 't-bbbbbbbbbbbbbbbbbbbbbbbbbb', 'bbbbbbbbbbbbbbbbbbbbbbbbbb',
            now(), now(), now(), now())",
        bob.id
    );
    ada.cloud.sql(&insert).await;
    let answer = ada.post("/manage/domain/remove", &[("domain", "d-bbbbbbbbbbbbbbbb")]).await;
    assert_eq!(header(&answer, "location"), "/manage/domain");
    let (_, page) = ada.get("/manage/domain/remove?domain=d-bbbbbbbbbbbbbbbb").await;
    assert!(!page.contains("bob.test"));
    assert_eq!(ada.cloud.value::<i64>("select count(*) from domains where wanted = 'gone'").await, 0);
}
