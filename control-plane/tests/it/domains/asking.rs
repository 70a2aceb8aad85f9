//! How DNS is asked: at the source, within bounds, and never where strangers could lead us.

use std::net::SocketAddr;

use control_plane::dns::{Answer, Caa, CaaAsker, Question, Silence, Trouble};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use tls::dns::caa_allows;

use super::*;

fn question() -> Question<'static> {
    Question { base: NAME, challenge_host: CHALLENGE, hosts: &[NAME, WWW], ours: "edge.percloud.test" }
}

#[tokio::test]
async fn what_the_zones_own_servers_say_is_read_with_its_aliases() {
    let knot = Knot::start(&["test", NAME, "blog.test"]).await.unwrap();
    let dns = Dns::new(&options(&knot));
    knot.set(NAME, "A", EDGE).await.unwrap();
    knot.add(NAME, "A", OLD_SITE).await.unwrap();
    knot.set(NAME, "AAAA", "2001:db8::9").await.unwrap();
    knot.set(WWW, "CNAME", "x.ada.test.").await.unwrap();
    knot.set("x.ada.test", "CNAME", "pages.blog.test.").await.unwrap();
    knot.set("pages.blog.test", "A", "198.51.100.4").await.unwrap();
    knot.set(CHALLENGE, "TXT", "percloud-verification=x").await.unwrap();
    let facts = dns.look(&question()).await;
    let zone = facts.zone.clone().unwrap();
    assert_eq!((zone.origin.as_str(), zone.servers[0].name.as_str()), (NAME, "ns1.ada.test"));
    assert_eq!(facts.txt.0, [("ns1.ada.test".to_owned(), Answer::Values(vec!["percloud-verification=x".into()]))]);
    let [apex, www] = &facts.hosts[..] else { panic!("{facts:?}") };
    assert!(apex.apex && !www.apex);
    assert_eq!(apex.a.values().into_iter().collect::<Vec<_>>(), [EDGE, OLD_SITE]);
    assert_eq!(apex.aaaa.values().into_iter().collect::<Vec<_>>(), ["2001:db8::9"]);
    assert_eq!(www.aliases, ["x.ada.test", "pages.blog.test"], "into another zone");
    assert_eq!(www.a.values().into_iter().collect::<Vec<_>>(), ["198.51.100.4"]);
    knot.set(WWW, "CNAME", "www2.ada.test.").await.unwrap();
    knot.set("www2.ada.test", "CNAME", "www.ada.test.").await.unwrap();
    let loops = dns.look(&question()).await;
    assert!(loops.hosts[1].a.values().is_empty(), "a circle ends");
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_a_datagram_comes_over_tcp() {
    let knot = Knot::start(&[NAME]).await.unwrap();
    for n in 0..12 {
        knot.add(CHALLENGE, "TXT", &format!("{n}-{}", "x".repeat(200))).await.unwrap();
    }
    knot.add(CHALLENGE, "TXT", "percloud-verification=x").await.unwrap();
    let facts = Dns::new(&options(&knot)).look(&question()).await;
    assert_eq!(facts.txt.values().len(), 13);
}

#[tokio::test]
async fn name_servers_at_private_addresses_are_not_asked() {
    let knot = Knot::start(&["test", NAME]).await.unwrap();
    knot.set(CHALLENGE, "TXT", "percloud-verification=x").await.unwrap();
    // Whoever has a domain decides where its name servers are: our database, the cloud's metadata, a neighbour.
    for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"] {
        let kind = if inside.contains(':') { "AAAA" } else { "A" };
        knot.remove("ns1.ada.test", "A").await.unwrap();
        knot.remove("ns1.ada.test", "AAAA").await.unwrap();
        knot.set("ns1.ada.test", kind, inside).await.unwrap();
        let guarded = Dns::new(&dns::Options { dns_allow_private: false, ..options(&knot) });
        let facts = guarded.look(&question()).await;
        assert_eq!(facts.txt.0, [("ns1.ada.test".to_owned(), Answer::Silent(Silence::Private))], "{inside}");
        assert!(facts.zone.unwrap().servers[0].addresses.is_empty());
    }
}

#[tokio::test]
async fn troubles_are_told_apart() {
    let knot = Knot::start(&["test", NAME]).await.unwrap();
    let dns = Dns::new(&options(&knot));
    assert_eq!(dns.zone("nobody.test").await, Err(Trouble::Unregistered));
    assert_eq!(dns.zone("elsewhere.invalid").await, Err(Trouble::Broken), "the server refuses what is not its own");
    let nobody = dns::Options { dns_servers: vec!["127.0.0.1:9".parse().unwrap()], ..options(&knot) };
    assert_eq!(Dns::new(&nobody).zone(NAME).await, Err(Trouble::NoResolver));
    // A server in the zone's list that is none for it.
    let other =
        Knot::start_at(SocketAddr::new("127.0.0.3".parse().unwrap(), knot.addr().port()), &["other.test"]).await;
    let _other = other.unwrap();
    knot.set("ns1.ada.test", "A", "127.0.0.3").await.unwrap();
    let facts = dns.look(&question()).await;
    assert_eq!(facts.txt.silent(), Some(("ns1.ada.test", Silence::Lame)));
}

#[tokio::test]
async fn caa_records_are_looked_for_upwards_and_behind_aliases() {
    let knot = Knot::start(&["test", NAME, "blog.test"]).await.unwrap();
    let dns = Dns::new(&options(&knot));
    let asker = CaaAsker { issuers: &["ca.test"], ..CaaAsker::default() };
    let allows = async |host: &str, wildcard| caa_allows(dns.resolvers(), host, wildcard, &asker).await.unwrap();
    let refused = |at: &str| Caa::Refused { at: at.into(), issuers: vec!["other.test".into()] };
    assert_eq!(allows("me.www.ada.test", false).await, Caa::Allowed, "nothing is said");
    knot.set(NAME, "CAA", "0 issue \"other.test\"").await.unwrap();
    assert_eq!(allows("me.www.ada.test", false).await, refused(NAME), "the parent's counts");
    knot.set(WWW, "CAA", "0 issue \"ca.test\"").await.unwrap();
    assert_eq!(allows("me.www.ada.test", false).await, Caa::Allowed, "the nearest counts");
    knot.set("x.ada.test", "CNAME", "pages.blog.test.").await.unwrap();
    assert_eq!(
        allows("x.ada.test", false).await,
        refused(NAME),
        "an alias without any: its own parents, not the other's"
    );
    knot.set("pages.blog.test", "CAA", "0 issue \"ca.test\"").await.unwrap();
    assert_eq!(allows("x.ada.test", false).await, Caa::Allowed, "behind the alias");
    knot.add("pages.blog.test", "CAA", "0 issuewild \";\"").await.unwrap();
    assert!(matches!(allows("*.x.ada.test", true).await, Caa::Refused { .. }));
}

/// Plays a resolver, in front of a real one, that drops some questions, or answers that it failed.
async fn resolver(behind: SocketAddr, does: fn(&Query) -> Does) -> SocketAddr {
    let bind = || tokio::net::UdpSocket::bind("127.0.0.1:0");
    let socket = bind().await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buffer, mut answer) = ([0; 4096], [0; 4096]);
        while let Ok((length, asker)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            match question.queries.first().map_or(Does::Pass, does) {
                Does::Pass => {}
                Does::Drop => continue,
                Does::Fail => {
                    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
                    answer.add_queries(question.queries.clone());
                    answer.metadata.response_code = ResponseCode::ServFail;
                    socket.send_to(&answer.to_vec().unwrap(), asker).await.unwrap();
                    continue;
                }
            }
            let there = bind().await.unwrap();
            there.send_to(&buffer[..length], behind).await.unwrap();
            let length = there.recv(&mut answer).await.unwrap();
            socket.send_to(&answer[..length], asker).await.unwrap();
        }
    });
    at
}

/// What a played resolver does with a question.
enum Does {
    Pass,
    Drop,
    Fail,
}

#[tokio::test]
async fn a_resolver_that_says_half_of_where_the_edge_is_says_nothing_of_it() {
    let mut scene = Scene::active().await;
    scene.knot.set(BASE, "A", EDGE).await.unwrap();
    scene.knot.set(BASE, "AAAA", "2001:db8::7").await.unwrap();
    let does = |query: &Query| {
        let addresses = query.query_type() == RecordType::A && query.name().to_ascii() == "percloud.test.";
        if addresses { Does::Fail } else { Does::Pass }
    };
    let half = resolver(scene.knot.addr(), does).await;
    let whole = std::mem::replace(
        &mut scene.domains.dns,
        Dns::new(&dns::Options { dns_servers: vec![half], ..options(&scene.knot) }),
    );
    scene.domains.addresses.clear();
    let row = scene.ask(&scene.ada).await;
    assert_eq!((row.serves(), row.misses, notices(&row)), (true, 0, vec!["no-addresses"]), "{:?}", words(&row));
    scene.domains.dns = whole;
    let row = scene.ask(&scene.ada).await;
    assert_eq!((words(&row)[1].as_str(), row.misses, notices(&row)), ("A ok", 0, vec![]));
}

#[tokio::test]
async fn a_resolver_that_is_away_or_refuses_us_keeps_nobody_waiting() {
    for does in [|_: &Query| Does::Drop, |_: &Query| Does::Fail] {
        let mut scene = Scene::new().await;
        let first = resolver(scene.knot.addr(), does).await;
        let both = vec![first, scene.knot.addr()];
        scene.domains.dns = Dns::new(&dns::Options { dns_servers: both, ..options(&scene.knot) });
        let row = scene.claim(&scene.ada, NAME, true).await;
        assert_eq!(words(&row), ["TXT missing", "A missing", "CNAME missing"]);
        scene.set_all(&row).await;
        assert!(scene.ask(&scene.ada).await.serves());
        assert!(!scene.row(&scene.ada).await.slow, "it costs its time once");
    }
}

#[tokio::test]
async fn a_dead_server_at_two_addresses_hides_nothing_that_the_living_one_says() {
    let scene = Scene::new().await;
    let mut silent = Vec::new();
    scene.knot.add(NAME, "NS", "ns2.ada.test.").await.unwrap();
    for ip in ["127.0.0.21", "127.0.0.22"] {
        silent.push(tokio::net::UdpSocket::bind((ip, scene.knot.addr().port())).await.unwrap());
        scene.knot.add("ns2.ada.test", "A", ip).await.unwrap();
    }
    let row = scene.claim(&scene.ada, NAME, true).await;
    scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    // As many DNS hosts have it from the beginning.
    scene.knot.set(WWW, "CNAME", "ada.test.").await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!((words(&row), row.serves()), (["TXT ok", "A ok", "CNAME ok"].map(str::to_owned).to_vec(), true));
}

#[tokio::test]
async fn three_resolvers_that_never_answer_about_caa_hide_nothing_else() {
    let mut scene = Scene::new().await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        // As some firewalls do.
        let does = |query: &Query| if query.query_type() == RecordType::CAA { Does::Drop } else { Does::Pass };
        silent.push(resolver(scene.knot.addr(), does).await);
    }
    scene.domains.dns = Dns::new(&dns::Options { dns_servers: silent, ..options(&scene.knot) });
    let known = "insert into issuers (public, own_domains, own_root, written_at, caa_names) values ('{}', true, false, now(), '{ca.test}')
        on conflict (one) do update set caa_names = excluded.caa_names";
    scene.cloud.sql(known).await;
    let row = scene.claim(&scene.ada, NAME, true).await;
    assert_eq!(words(&row), ["TXT missing", "A missing", "CNAME missing"]);
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
}

#[tokio::test]
async fn what_was_said_of_caa_without_saying_where_goes_with_its_migration_and_the_rest_stays() {
    let scene = Scene::new().await;
    scene.claim(&scene.ada, NAME, true).await;
    let said = |key: &str| format!(r#"{{"key": "domain.notice.{key}", "args": {{"issuers": ""}}}}"#);
    let all = ["caa", "taken", "caa-otherwise", "dnssec"].map(said).join(", ");
    scene.cloud.sql(&format!("update domains set report = jsonb_set(report, '{{notices}}', '[{all}]')")).await;
    scene.cloud.sql(include_str!("../../../../migrations/0024_caa_notices.sql")).await;
    let row = scene.row(&scene.ada).await;
    assert_eq!((notices(&row), words(&row).len()), (vec!["taken", "dnssec"], 3));
}

/// Plays a resolver that validates, in front of a zone whose signatures are broken: it fails, unless it shall not check.
async fn validating_resolver() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, asker)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.add_queries(question.queries.clone());
            if !question.metadata.checking_disabled {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            socket.send_to(&answer.to_vec().unwrap(), asker).await.unwrap();
        }
    });
    at
}

#[tokio::test]
async fn broken_signatures_are_called_so() {
    // Also where another resolver does not look at them.
    let knot = Knot::start(&["test", NAME]).await.unwrap();
    for careless in [None, Some(knot.addr())] {
        let servers = std::iter::once(validating_resolver().await).chain(careless).collect();
        let options = dns::Options { dns_servers: servers, ..options(&knot) };
        assert_eq!(Dns::new(&options).zone(NAME).await, Err(Trouble::Dnssec));
    }
}

#[tokio::test]
async fn an_alias_of_a_name_that_nobody_has_registered_leads_nowhere() {
    let knot = Knot::start(&["test", NAME]).await.unwrap();
    knot.set(WWW, "CNAME", "site.lapsed.test.").await.unwrap();
    let facts = Dns::new(&options(&knot)).look(&question()).await;
    let www = facts.hosts.iter().find(|host| host.host == WWW).unwrap();
    assert_eq!(www.aliases, ["site.lapsed.test"]);
    assert!(www.a.all(|answer| *answer == Answer::NoSuchName) && www.aaaa.heard().next().is_some(), "{www:?}");
}
