//! Somebody signs up, from the first page to the own percloud's door; and everything that may be wrong on the way.

use chrono::TimeDelta;
use control_plane::hosts::Status;

use crate::{
    cloud::TestCloud,
    portal::{Portal, header, read},
};

/// The link in the newest mail, without the portal's origin.
async fn mailed_link(cloud: &TestCloud) -> String {
    let text: String = cloud.value("select text_body from mails where kind = 'confirm' order by id desc limit 1").await;
    let origin = "https://percloud.localhost:8443";
    text.lines().find_map(|line| line.trim().strip_prefix(origin)).expect("a link of its own line").to_owned()
}

#[tokio::test]
async fn from_the_first_page_to_the_own_door() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let (status, start) = read(portal.get("/").await).await;
    assert!(status == 200 && start.contains("href=\"/sign-up\"") && start.contains("/dev/mails"), "{start}");
    let (status, form) = read(portal.get("/sign-up").await).await;
    assert!(status == 200 && form.contains("name=\"email\""));

    let answer = portal.post("/sign-up", &[("name", " Ada "), ("email", "ada@example.org"), ("language", "it")]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "location").as_str()), (303, "/check-mail"));
    let cookie = header(&answer, "set-cookie");
    assert!(cookie.starts_with("__Host-sign-up=") && cookie.contains("HttpOnly") && cookie.contains("Secure"));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let (status, check) =
        read(portal.request("GET", "/check-mail").header("cookie", cookie).send().await.unwrap()).await;
    assert!(status == 200 && check.contains("ada@example.org") && check.contains("ada.percloud.localhost"), "{check}");

    cloud.settle().await;
    let (_, list) = read(portal.get("/dev/mails").await).await;
    assert!(list.contains("ada.percloud.localhost"), "{list}");
    let (status, mail) = read(portal.get("/dev/mails/1").await).await;
    let link = mailed_link(&cloud).await;
    assert!(status == 200 && mail.contains(&link));

    // A mail scanner follows the link, twice: nothing happens.
    for _ in 0..2 {
        let looked = portal.get(&link).await;
        assert!(
            header(&looked, "content-security-policy")
                .contains("form-action 'self' https://ada.percloud.localhost:8443;")
        );
        let (status, page) = read(looked).await;
        assert!(status == 200 && page.contains(&format!("action=\"{link}\"")), "{page}");
    }
    assert!(cloud.value::<bool>("select confirmed_at is null from tenants").await);

    let forged = portal.request("POST", &link).header("sec-fetch-site", "same-site").send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 403);
    assert!(cloud.value::<bool>("select confirmed_at is null from tenants").await);

    let token = link.strip_prefix("/confirm/").unwrap();
    for _ in 0..2 {
        let answer = portal.post(&link, &[]).await;
        let door = format!("https://ada.percloud.localhost:8443/setup/{token}");
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (303, door));
    }
    assert!(cloud.value::<bool>("select confirmed_at is not null from tenants").await);
    assert_eq!(cloud.value::<i64>("select count(*) from audit where action = 'tenant.confirmed'").await, 1);
    assert_eq!(cloud.value::<String>("select language from tenants").await, "it");

    // Her runtime knows that very token.
    let id: String = cloud.value("select id from tenants").await;
    let setup = cloud.host.spec(&id.parse().unwrap()).unwrap().setup_sha256.unwrap();
    let expected = control_plane::tenants::Token::setup_sha256(&token.parse().unwrap());
    assert_eq!(setup, expected);

    // Once she has moved in, the old link says so and shows the way.
    cloud.host.set_status(&id.parse().unwrap(), Status { set_up: true, ..Status::default() });
    cloud.pass(TimeDelta::minutes(30)).await;
    for (status, page) in [read(portal.get(&link).await).await, read(portal.post(&link, &[]).await).await] {
        assert!(status == 410 && page.contains("https://ada.percloud.localhost:8443/"), "{page}");
    }
}

#[tokio::test]
async fn who_brings_a_percloud_along_ends_at_the_import() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let (_, form) = read(portal.get("/sign-up?moving=1").await).await;
    assert!(form.contains("name=\"moving\""));
    portal.post("/sign-up", &[("name", "ada"), ("email", "ada@example.org"), ("moving", "1")]).await;
    cloud.settle().await;
    let link = mailed_link(&cloud).await;
    let (_, page) = read(portal.get(&link).await).await;
    let action = page.split("action=\"/confirm/").nth(1).unwrap().split('"').next().unwrap();
    let answer = portal.post(&format!("/confirm/{action}"), &[]).await;
    assert!(header(&answer, "location").ends_with("?next=import"), "{}", header(&answer, "location"));
}

#[tokio::test]
async fn a_form_that_is_wrong_comes_back_with_reasons_and_changes_nothing() {
    let cloud = TestCloud::new().await;
    cloud.sign_up("taken").await;
    let portal = Portal::of(&cloud).await;
    let long = "x".repeat(300);
    for (name, email, said) in [
        ("", "ada@example.org", "Type the name"),
        ("ab", "ada@example.org", "3 characters or more"),
        ("admin", "ada@example.org", "kept for the provider"),
        ("taken", "ada@example.org", "has this name already"),
        ("ada", "", "need an e-mail address"),
        ("ada", "ada", "does not look like"),
        ("ada", "a@b.org\r\nBcc: c@d.org", "does not look like"),
        ("<script>alert(1)</script>", "ada@example.org", "Only letters, digits"),
        (long.as_str(), "ada@example.org", "30 characters at most"),
        ("../../etc", "ada@example.org", "Only letters, digits"),
    ] {
        let (status, page) = read(portal.post("/sign-up", &[("name", name), ("email", email)]).await).await;
        assert_eq!(status, 422, "{name} {email}");
        assert!(page.contains(said), "{name} {email}: {page}");
        assert!(!page.contains("<script>alert"), "escaped");
    }
    let italian = portal
        .request("POST", "/sign-up")
        .header("sec-fetch-site", "same-origin")
        .header("accept-language", "it-IT,it;q=0.9")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("name=admin&email=ada@example.org");
    let (_, page) = read(italian.send().await.unwrap()).await;
    assert!(page.contains("lang=\"it\""), "{page}");
    assert_eq!(cloud.value::<i64>("select count(*) from tenants").await, 1);
    assert_eq!(cloud.value::<i64>("select count(*) from mails").await, 1);
}

#[tokio::test]
async fn names_are_checked_as_they_are_typed() {
    let cloud = TestCloud::new().await;
    cloud.sign_up("mary").await;
    let portal = Portal::of(&cloud).await;
    for (typed, state, key) in [
        ("ada", "free", None),
        ("ADA", "free", None),
        ("mary", "taken", Some("sign-up.name.taken")),
        ("rnary", "taken", Some("sign-up.name.too-alike")),
        ("www", "not-allowed", Some("sign-up.name.reserved")),
        ("a%2Fb", "not-allowed", Some("sign-up.name.characters")),
        ("b%C3%BCcher", "free", None),
    ] {
        let answer = portal.request("GET", &format!("/api/names/{typed}")).header("accept-language", "it").send().await;
        let answer: serde_json::Value = serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(
            (answer["state"].as_str().unwrap(), answer["reason_key"].as_str()),
            (state, key),
            "{typed}: {answer}"
        );
        assert!(!answer["message"].as_str().unwrap().contains("sign-up."), "words, not keys: {answer}");
    }
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_an_address_is_known() {
    let cloud = TestCloud::new().await;
    let known = cloud.sign_up("known").await;
    cloud.confirm(&known).await;
    let portal = Portal::of(&cloud).await;
    let mut answers = Vec::new();
    for (name, email) in [("one", "ada@example.org"), ("two", "eve@example.org")] {
        let answer = portal.post("/sign-up", &[("name", name), ("email", email)]).await;
        let headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
        answers.push((answer.status(), header(&answer, "location"), headers));
    }
    assert_eq!(answers[0], answers[1]);
    // Somebody else's address in a form gives its owner a mail, and the stranger nothing.
    assert_eq!(cloud.value::<i64>("select count(*) from tenants where confirmed_at is not null").await, 1);
}

#[tokio::test]
async fn who_mistyped_the_address_begins_again_with_the_same_name() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let first = portal.post("/sign-up", &[("name", "ada"), ("email", "adda@example.org")]).await;
    let cookie = header(&first, "set-cookie").split(';').next().unwrap().to_owned();
    cloud.settle().await;
    let old = mailed_link(&cloud).await;
    let ask = async |cookie: &str| {
        let answer = portal.request("GET", "/api/names/ada").header("cookie", cookie).send().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap()["state"].clone()
    };
    let sign_up = async |cookie: &str| {
        let request =
            portal.request("POST", "/sign-up").header("sec-fetch-site", "same-origin").header("cookie", cookie);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body("name=ada&email=ada@example.org").send().await.unwrap()
    };
    // Another browser may not, whatever it shows.
    for other in ["", "__Host-sign-up=nonsense", "__Host-sign-up=eyJlbWFpbCI6IiIsImRvbWFpbiI6IiIsImFnYWluIjoiIn0"] {
        assert_eq!(ask(other).await, "taken");
        assert_eq!(sign_up(other).await.status().as_u16(), 422);
    }
    assert_eq!(ask(&cookie).await, "free");
    let second = sign_up(&cookie).await;
    assert_eq!(second.status().as_u16(), 303);
    cloud.settle().await;
    let emails: String = cloud.value("select string_agg(email, ' ') from accounts").await;
    assert_eq!(emails, "ada@example.org", "the mistyped address is forgotten");
    let link = mailed_link(&cloud).await;
    assert_eq!(portal.get(&old).await.status().as_u16(), 410, "the stranger's link has ended");
    let door = portal.post(&link, &[]).await;
    let token = link.strip_prefix("/confirm/").unwrap().parse::<control_plane::tenants::Token>().unwrap();
    assert!(header(&door, "location").ends_with(token.secret()));
    let id: String = cloud.value("select id from tenants").await;
    assert_eq!(cloud.host.spec(&id.parse().unwrap()).unwrap().setup_sha256, Some(token.setup_sha256()));
    // Once confirmed, no cookie takes it away.
    let cookie = header(&second, "set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!((ask(&cookie).await, sign_up(&cookie).await.status().as_u16()), ("taken".into(), 422));
}

#[tokio::test]
async fn links_that_ran_out_or_never_were_say_so() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    portal.post("/sign-up", &[("name", "ada"), ("email", "ada@example.org")]).await;
    cloud.settle().await;
    let link = mailed_link(&cloud).await;
    cloud.pass_steadily(TimeDelta::hours(49)).await;
    let never = format!("/confirm/{}", "a".repeat(52));
    for path in [link.as_str(), never.as_str(), "/confirm/short", "/confirm/%00", "/confirm/..%2F..%2Fetc"] {
        let (status, page) = read(portal.get(path).await).await;
        assert!(status == 410 && page.contains("no longer works"), "{path}: {status}");
        let (status, _) = read(portal.post(path, &[]).await).await;
        assert_eq!(status, 410, "{path}");
    }
    assert_eq!(read(portal.get("/check-mail").await).await.0, 303, "nothing was sent to this visitor");
}

#[tokio::test]
async fn too_many_sign_ups_are_slowed_down_by_visitor_and_by_address() {
    let cloud = TestCloud::new().await;
    let web = cloud.url.replace("percloud_owner", "percloud_web");
    let portal = Portal::with(&cloud, &web, 3).await;
    for n in 0..3 {
        let (name, email) = (format!("ada-{n}"), format!("ada{n}@example.org"));
        assert_eq!(portal.post("/sign-up", &[("name", &name), ("email", &email)]).await.status().as_u16(), 303);
    }
    let slow = portal.post("/sign-up", &[("name", "ada-4"), ("email", "ada4@example.org")]).await;
    assert!(header(&slow, "retry-after").parse::<u32>().unwrap() > 0);
    let (status, page) = read(slow).await;
    assert!(status == 429 && page.contains("very many sign-ups") && page.contains("value=\"ada-4\""), "{page}");

    let generous = Portal::with(&cloud, &web, 1000).await;
    let mut statuses = Vec::new();
    for n in 0..6 {
        let name = format!("bob-{n}");
        let email = if n % 2 == 0 { "bob@example.org" } else { " BOB@example.org" };
        statuses.push(generous.post("/sign-up", &[("name", &name), ("email", email)]).await.status().as_u16());
    }
    assert_eq!(statuses, [303, 303, 303, 303, 303, 429]);
}
