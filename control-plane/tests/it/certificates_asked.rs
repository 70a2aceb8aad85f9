//! What a CA asks beside a proof (an external account, a profile, what CAA says), and what it suggests: when to renew (ARI).

use std::sync::Arc;

use chrono::TimeDelta;
use control_plane::{
    audit::Actor,
    certificates::{self, State, reconcile::Certificates},
    dns::{self, Dns},
    domains::{self, connect::Connect, reconcile::Domains},
    reconcile::{Stages, turn},
};
use tls::{
    acme::{Directory, Eab, Kind},
    testing::{Acme2certifier, Acme2certifierOptions, Knot, Ordered},
};
use tokio_util::sync::CancellationToken;

use crate::{ca::Scene, postgres::eventually};

async fn ca(change: impl FnOnce(&mut Acme2certifierOptions)) -> Acme2certifier {
    let mut options = Acme2certifierOptions::default();
    change(&mut options);
    Acme2certifier::start(&options).await.unwrap()
}

async fn chain(scene: &Scene) -> String {
    scene.cloud.value("select chain_pem from certificates").await
}

/// Which of the orders named what they replace, and which were taken.
fn renewals(orders: &[Ordered]) -> Vec<(bool, bool)> {
    orders.iter().map(|order| (order.replaces.is_some(), order.accepted)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_comes_in_the_window_that_its_ca_suggests_and_names_what_it_replaces() {
    let scene = Scene::new().await;
    // One day from the twelfth of thirty on; by ourselves we would come on the nineteenth.
    let ca = ca(|options| options.window_begins_percent = 40).await;
    let noun = scene.noun_at([ca.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let first = scene.find("ada.test").await;
    let day = |n| first.validity.unwrap().not_before + TimeDelta::days(n);
    assert!(first.renewal().unwrap() > day(18), "nobody has asked yet: {first:?}");
    let old = chain(&scene).await;
    scene.pass(TimeDelta::hours(2), &noun).await;
    let asked = scene.find("ada.test").await.renewal().unwrap();
    assert!(day(12) <= asked && asked <= day(13), "{asked}");
    scene.pass(day(12) - scene.cloud.now() - TimeDelta::hours(1), &noun).await;
    assert_eq!(scene.find("ada.test").await.renewal(), Some(asked), "asked again and again, the moment stays");
    assert_eq!(chain(&scene).await, old, "not before the window");
    scene.pass(asked - scene.cloud.now(), &noun).await;
    assert_ne!(chain(&scene).await, old);
    let orders = ca.orders();
    assert_eq!(renewals(&orders), [(false, true), (true, true)]);
    let named = orders[1].replaces.as_deref().unwrap();
    assert_eq!(named.split('.').count(), 2, "{named}: the issuer's key and the serial number (RFC 9773, section 4.1)");
    let counted: Vec<bool> = scene.cloud.value("select array_agg(renewal order by id) from acme_attempts").await;
    assert_eq!(counted, [false, true], "a renewal in the window is in no budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_got_lost_is_ordered_again_without_what_has_been_replaced() {
    let scene = Scene::new().await;
    let ca = ca(|_| {}).await;
    let noun = scene.noun_at([ca.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    scene.pass(TimeDelta::hours(2), &noun).await;
    scene.cloud.sql("create table before as select * from certificates").await;
    let inside = scene.find("ada.test").await.renewal().unwrap();
    scene.pass(inside - scene.cloud.now(), &noun).await;
    assert_eq!(renewals(&ca.orders()), [(false, true), (true, true)]);
    // As if the reconciler had died after the CA issued, and before it wrote.
    let lost = "update certificates c set chain_pem = b.chain_pem, key_sealed = b.key_sealed, not_before = b.not_before,
            not_after = b.not_after, renew_at = b.renew_at, ari_start = b.ari_start, ari_end = b.ari_end, due_at = b.renew_at
        from before b";
    scene.cloud.sql(lost).await;
    let old = chain(&scene).await;
    scene.settle(&noun).await;
    assert_ne!(chain(&scene).await, old);
    assert_eq!(renewals(&ca.orders())[2..], [(true, false), (false, true)], "the CA has replaced that one already");
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    let counted: Vec<bool> = scene.cloud.value("select array_agg(renewal order by id) from acme_attempts").await;
    assert_eq!(counted, [false, true, false], "what the CA took for a new order is in our budgets, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_always_says_now_is_followed_a_few_times_a_week() {
    let scene = Scene::new().await;
    let ca = ca(|options| (options.window_begins_percent, options.window_hours) = (0, 1)).await;
    let noun = scene.noun_at([ca.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    for _ in 0..30 {
        scene.pass(TimeDelta::hours(2), &noun).await;
    }
    assert_eq!(ca.orders().len(), 5, "the budget for the same names ends such a loop");
    let one = scene.find("ada.test").await;
    assert_eq!(one.state, State::Waiting);
    assert!(one.waits.as_deref().unwrap().contains("has issued 5 for it within seven days"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_knows_its_customers_is_told_who_we_are() {
    let scene = Scene::new().await;
    let eab = |kid: &str, key: &str| Eab { kid: kid.into(), hmac_base64url: key.into() };
    let right = eab("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    let ca = scene.pebble(|options| options.eab = vec![right.clone()]).await;
    let noun = |eab: Option<Eab>| {
        let directory = Directory { eab, ..ca.directory() };
        scene.noun_at([directory], &scene.shared(&[Kind::Http01], None))
    };
    scene.want("ada.test").await;
    let wrong_key = eab("kid-1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (given, words) in [
        (None, "externalAccountRequired"),
        (Some(wrong_key), "refuses: registering an account"),
        (Some(eab("kid-2", "AAAA")), "refuses"),
    ] {
        scene.settle(&noun(given)).await;
        let one = scene.find("ada.test").await;
        let said = one.last_error.clone().unwrap_or_default();
        assert!(one.state == State::Failing && said.contains(words) && !said.contains("AAAA"), "{words}: {one:?}");
        scene.cloud.clock.advance(one.due_at.unwrap() - scene.cloud.now() + TimeDelta::seconds(1));
    }
    assert_eq!(ca.count("Added order"), 0);
    scene.settle(&noun(Some(right.clone()))).await;
    let one = scene.find("ada.test").await;
    assert_eq!((one.state, one.tries), (State::Issued, 0), "{one:?}");
    assert!(one.issuer.as_deref().unwrap().ends_with("#kid-1"), "{one:?}");
    // After a restart the account is the same, and its key is asked for no more.
    let kept = "select credentials_sealed from acme_accounts where id like '%#kid-1'";
    let before: Vec<u8> = scene.cloud.value(kept).await;
    let renewed = "update certificates set renew_at = due_at - interval '1 year', due_at = due_at - interval '1 year'";
    scene.cloud.sql(renewed).await;
    let old = chain(&scene).await;
    scene.settle(&noun(Some(right))).await;
    assert_ne!(chain(&scene).await, old);
    assert_eq!(scene.cloud.value::<Vec<u8>>(kept).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_ordered_by_name_and_its_life_says_when_to_renew() {
    let profiles = || vec![("usual".to_owned(), 60), ("shortlived".to_owned(), 6)];
    for (profile, days, renewed) in [(None, 60, 36..=40), (Some("usual"), 60, 36..=40), (Some("shortlived"), 6, 2..=3)]
    {
        let scene = Scene::new().await;
        let ca = ca(|options| options.profiles = profiles()).await;
        let directory = Directory { profile: profile.map(Into::into), ..ca.directory() };
        let noun = scene.noun_at([directory], &scene.shared(&[Kind::Http01], None));
        scene.want("ada.test").await;
        scene.settle(&noun).await;
        let one = scene.find("ada.test").await;
        let validity = one.validity.unwrap_or_else(|| panic!("{one:?}"));
        assert_eq!(validity.life().num_days(), days, "{profile:?}");
        let after = (one.renewal().unwrap() - validity.not_before).num_days();
        assert!(renewed.contains(&after), "{profile:?}: renewed after {after} days");
        assert_eq!(ca.orders()[0].profile.as_deref(), profile);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_the_ca_does_not_have_is_named() {
    let scene = Scene::new().await;
    let ca = ca(|options| options.profiles.push(("shortlived".into(), 6))).await;
    let directory = Directory { profile: Some("tlsserver".into()), ..ca.directory() };
    let noun = scene.noun_at([directory], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let one = scene.find("ada.test").await;
    let said = one.last_error.unwrap_or_default();
    assert!(one.state == State::Failing && said.contains("refuses") && said.contains("invalidProfile"), "{said}");
    assert_eq!(renewals(&ca.orders()), [(false, false)]);
}

/// It plays the resolver, too.
fn dns_options(knot: &Knot) -> dns::Options {
    dns::Options { dns_servers: vec![knot.addr()], dns_allow_private: true, dns_authority_port: knot.addr().port() }
}

/// A reconciler that asks this name server about CAA.
fn asking(scene: &Scene, knot: &Knot, cas: &[&Acme2certifier]) -> Certificates {
    let mut shared = scene.shared(&[Kind::Http01], None);
    shared.dns = Some(Arc::new(Dns::new(&dns_options(knot))));
    scene.noun_at(cas.iter().map(|ca| ca.directory()), &shared)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_whose_caa_forbids_our_ca_costs_no_order_and_says_so() {
    let scene = Scene::new().await;
    let knot = Knot::start(&["ada.test"]).await.unwrap();
    let ca = ca(|options| options.caa_identities = vec!["ca.example".into()]).await;
    let noun = asking(&scene, &knot, &[&ca]);
    scene.want("www.ada.test").await;
    for (record, words) in [
        (
            "0 issue \"other.example\"",
            "refuses: the CAA records at ada.test let only other.example issue for www.ada.test",
        ),
        ("0 issue \";\"", "refuses: the CAA records at ada.test let no authority issue for www.ada.test"),
        ("128 strange \"x\"", "refuses: the CAA records at ada.test let no authority issue for www.ada.test"),
        ("0 issue \"ca.example; accounturi=https://ca.example/acct/1\"", "do not let our account https://127.0.0.1:"),
        ("0 issue \"ca.example; validationmethods=dns-01\"", "issue for www.ada.test by http-01"),
    ] {
        knot.set("ada.test", "CAA", record).await.unwrap();
        scene.settle(&noun).await;
        let one = scene.find("www.ada.test").await;
        let said = one.last_error.clone().unwrap_or_default();
        assert!(one.state == State::Failing && said.contains(words), "{record}: {said}");
        scene.cloud.clock.advance(one.due_at.unwrap() - scene.cloud.now() + TimeDelta::seconds(1));
    }
    assert_eq!(ca.orders(), [], "the CA heard of nothing");
    assert_eq!(scene.cloud.value::<i64>("select count(*) from acme_attempts").await, 0, "and no budget was touched");
    knot.set("ada.test", "CAA", "0 issue \"ca.example; validationmethods=http-01\"").await.unwrap();
    scene.settle(&noun).await;
    assert_eq!(scene.find("www.ada.test").await.state, State::Issued);
    assert_eq!(ca.orders().len(), 1);
    // What its owner was told with the third retry, and not of one before it: what to add, in the words of the page, and nothing as if the CA had said it.
    scene.cloud.settle().await;
    let text = "select coalesce(text_body, last_error, observed) from mails where kind = 'certificate-failing'";
    let text: String = scene.cloud.value(text).await;
    let parts = ["CAA at ada.test lets ca.example make", "in another way than ours", "0 issue \"ca.example\""];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    for part in ["authority said", "needs a person", "refuses", "accounturi"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    assert!(
        scene.cloud.value::<bool>("select mend is null from certificates").await,
        "the next trouble is another one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ca_issues_where_caa_lets_only_that_one() {
    let scene = Scene::new().await;
    let knot = Knot::start(&["ada.test"]).await.unwrap();
    let (first, second) = (
        ca(|options| options.caa_identities = vec!["first.example".into()]).await,
        ca(|options| options.caa_identities = vec!["second.example".into()]).await,
    );
    let noun = asking(&scene, &knot, &[&first, &second]);
    knot.set("ada.test", "CAA", "0 issue \"second.example\"").await.unwrap();
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let one = scene.find("ada.test").await;
    assert_eq!((one.state, one.tries), (State::Issued, 0), "{one:?}");
    assert_eq!((first.orders().len(), second.orders().len()), (0, 1));
}

/// How those who issue are met in CAA records, once a reconciler has begun and learnt it.
async fn learnt(scene: &Scene, noun: Certificates, accounts: usize) -> certificates::Met {
    let (url, stop) = (scene.cloud.url.replace("percloud_owner", "percloud_reconcile"), CancellationToken::new());
    let keeps = tokio::spawn({
        let stop = stop.clone();
        async move { noun.keep(&url, stop).await }
    });
    let met = eventually("what CAs say of themselves", async || {
        let met = certificates::met(&scene.cloud.db.get().await.unwrap()).await.unwrap();
        met.filter(|met| met.accounts.len() == accounts)
    })
    .await;
    stop.cancel();
    keeps.await.unwrap().unwrap();
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_reads_that_caa_is_in_the_way_of_a_ca_that_nobody_but_itself_knows() {
    let scene = Scene::new().await;
    let knot = Knot::start(&["test", "ada.test"]).await.unwrap();
    let ca = ca(|options| options.caa_identities = vec!["ca.example".into()]).await;
    let met = learnt(&scene, asking(&scene, &knot, &[&ca]), 0).await;
    assert_eq!((&met.names[..], &met.methods[..]), (&["ca.example".to_owned()][..], &["http-01".to_owned()][..]));
    let dns = Dns::new(&dns_options(&knot));
    let domains = Domains {
        db: scene.cloud.worker.clone(),
        clock: scene.cloud.clock.clone(),
        connect: Connect::new(dns.clone(), "percloud.test".into(), "https://percloud.test", None),
        dns,
        base_domain: "percloud.test".into(),
        addresses: vec!["192.0.2.7".parse().unwrap()],
        former: Vec::new(),
    };
    let name = domains::parse("me.ada.test", &"percloud.test".parse().unwrap()).unwrap();
    let mut db = scene.cloud.db.get().await.unwrap();
    let tx = db.transaction().await.unwrap();
    domains::claim(&tx, &scene.ada.id, &name, false, &Actor::Owner, scene.cloud.now()).await.unwrap();
    tx.commit().await.unwrap();
    let reads = async |record: &str| -> Vec<String> {
        knot.set("ada.test", "CAA", record).await.unwrap();
        scene.cloud.clock.advance(TimeDelta::minutes(5));
        turn(&domains, &scene.cloud.worker, &scene.cloud.clock, &Stages::default()).await.unwrap();
        let db = scene.cloud.db.get().await.unwrap();
        let report = domains::of_tenant(&db, &scene.ada.id).await.unwrap().unwrap().report.unwrap();
        report.notices.iter().map(|words| words.said(ui::Lang::En)).collect()
    };
    let theirs = "0 issue \"ca.example; accounturi=https://ca.example/acct/1\"";
    assert_eq!(reads("0 issue \"ca.example\"").await, [""; 0]);
    // Where it stands, which is above the name, and what to add: nothing that protects the name is taken away.
    let (at, add) = ("An entry of the type CAA at ada.test lets", "type CAA, value 0 issue \"ca.example\"");
    for (record, said) in [
        ("0 issue \"other.example\"", "only others make certificates for your name: other.example. Leave it"),
        ("0 issue \";\"", "nobody make certificates for your name. Add one beside it at ada.test"),
    ] {
        let read = reads(record).await;
        assert!([at, said, add].iter().all(|part| read[0].contains(part)), "{said}: {read:?}");
    }
    assert_eq!(reads(theirs).await, [""; 0], "nobody has an account yet that it could mean");
    let otherwise = reads("0 issue \"ca.example; validationmethods=dns-01\"").await;
    assert!(
        otherwise[0]
            .contains("ca.example make certificates for your name, but only for somebody else or in another way"),
        "{otherwise:?}"
    );
    // A certificate later there is an account.
    let noun = asking(&scene, &knot, &[&ca]);
    scene.want("bob.test").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("bob.test").await.state, State::Issued);
    assert_eq!(learnt(&scene, noun, 1).await.names, ["ca.example"]);
    assert!(reads(theirs).await[0].contains("only for somebody else"));
}
