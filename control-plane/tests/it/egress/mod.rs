//! The way out as perclouds have it: a real role on a machine between a private network and a public one.

mod crowd;
mod internet;
mod sandbox;
mod strange;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use bundle::TenantId;
use control_plane::egress::Key;
use internet::{HOST, Internet, NEIGHBOUR, PRIVATE, PROVIDER};
use strange::{ADDRESSES, NAMES};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{machine::EGRESS_KEY, postgres::eventually};

/// The role in a process of its own.
struct Role {
    data: tempfile::TempDir,
    child: Child,
}

impl Role {
    async fn start(internet: &Internet, more: &[&str]) -> Self {
        Self::start_with(internet, more, |_| Stdio::inherit()).await
    }

    /// `log` says where its log goes, of a role with this data folder.
    async fn start_with(internet: &Internet, more: &[&str], log: impl FnOnce(&Path) -> Stdio) -> Self {
        let data = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
        std::fs::create_dir_all(data.path().join("run/metrics")).unwrap();
        let log = log(data.path());
        let child = start(internet, Path::new(env!("CARGO_BIN_EXE_percloud")), data.path(), None, more, log);
        let role = Self { data, child };
        answers(&role.socket()).await;
        role
    }

    fn socket(&self) -> PathBuf {
        self.data.path().join("run/egress/sock")
    }

    /// Asks for a connection; the head of the answer and the connection.
    async fn connect(&self, token: &str, to: &str) -> (String, UnixStream) {
        connect(&self.socket(), token, to).await
    }

    /// Asks for a connection and, when there is one, for a page.
    async fn page(&self, token: &str, to: &str, path: &str) -> String {
        let (head, mut stream) = self.connect(token, to).await;
        if !head.starts_with("HTTP/1.1 200 ") {
            return head;
        }
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(
    internet: &Internet,
    program: &Path,
    data: &Path,
    user: Option<u32>,
    more: &[&str],
    log: impl Into<Stdio>,
) -> Child {
    let mut command = Command::new(program);
    if let Some(user) = user {
        command.args(["--drop-to", &user.to_string()]);
    }
    command.arg("egress").arg("--data").arg(data).args(["--dns-server", &format!("{HOST}:53")]).args(more);
    command.env("PERCLOUD_EGRESS_KEY", EGRESS_KEY).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    internet.start(command)
}

async fn answers(socket: &Path) {
    eventually("the way out", async || UnixStream::connect(socket).await.ok()).await;
}

/// The same where all users may come: for a moment only its own may.
async fn opens(socket: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_open = || std::fs::metadata(socket).is_ok_and(|door| door.permissions().mode() & 0o006 == 0o006);
    eventually("a door that is open to all", async || is_open().then_some(())).await;
    answers(socket).await;
}

async fn connect(socket: &Path, token: &str, to: &str) -> (String, UnixStream) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
    // Who is turned away at the door may hear it before they have said anything.
    let _ = stream.write_all(request.as_bytes()).await;
    (head(&mut stream).await, stream)
}

async fn head(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What else comes, until the end.
async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "it does not end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The word for why not; `through` when there is a connection.
fn word(head: &str) -> &str {
    match head.split_once("details=\"") {
        Some((_, details)) => details.split_once(':').unwrap().0,
        None if head.starts_with("HTTP/1.1 200 ") => "through",
        None => head,
    }
}

/// A token of the user who runs the tests.
fn token(id: &TenantId) -> String {
    Key::parse(EGRESS_KEY).unwrap().token(id, rustix::process::geteuid().as_raw())
}

#[tokio::test(flavor = "multi_thread")]
async fn perclouds_reach_the_internet_and_nothing_else() {
    let Some(internet) = Internet::new() else { return };
    let role = Role::start(&internet, &["--egress-deny-host", "denied.example.org"]).await;
    let token = |_| token(&TenantId::random());
    internet.name("public.example.org", &[&[HOST]]);
    internet.name("denied.example.org", &[&[HOST]]);
    internet.name("ours.example.org", &[&[PROVIDER]]);
    assert!(role.page(&token(()), "public.example.org:80", "/x").await.ends_with(&format!("here is {HOST} with /x")));
    assert!(role.page(&token(()), "PUBLIC.example.org.:80", "/y").await.ends_with("/y"));
    assert!(role.page(&token(()), "ours.example.org:80", "/").await.contains(PROVIDER), "as anybody reaches it");

    println!("{:<44} {:<28} answer", "asked for", "which is");
    for (address, what) in ADDRESSES {
        internet.name("stranger.example.org", &[&[address]]);
        let (head, _) = role.connect(&token(()), "stranger.example.org:80").await;
        println!("{:<44} {what:<28} {}", format!("name of {address}"), word(&head));
        let expected = if *address == NEIGHBOUR { "neighbour" } else { "not-public" };
        assert_eq!(word(&head), expected, "{address}: {head}");
    }
    for (to, why) in NAMES {
        let (head, _) = role.connect(&token(()), to).await;
        println!("{to:<44} {:<28} {}", "", word(&head));
        assert_eq!(word(&head), *why, "{to}: {head}");
    }
    assert_eq!(internet.trespasses.load(Ordering::SeqCst), 0, "somebody came where nobody may come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_a_moment_later_gains_nothing() {
    let Some(internet) = Internet::new() else { return };
    let role = Role::start(&internet, &[]).await;
    let token = token(&TenantId::random());
    internet.name("rebinds.example.org", &[&[HOST], &[PRIVATE]]);
    let page = role.page(&token, "rebinds.example.org:80", "/").await;
    assert!(page.contains(HOST), "{page}");
    assert_eq!(
        internet.questions.load(Ordering::SeqCst),
        1,
        "the address that was judged is the one that is connected to"
    );
    let (head, _) = role.connect(&token, "rebinds.example.org:80").await;
    assert_eq!(word(&head), "not-public");
    internet.name("mixed.example.org", &[&[PRIVATE, "127.0.0.1", "::1", HOST]]);
    let page = role.page(&token, "mixed.example.org:80", "/").await;
    assert!(page.contains(HOST), "{page}");
    assert_eq!(internet.trespasses.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_allows_by_name_is_reached_and_what_is_denied_is_not() {
    let Some(internet) = Internet::new() else { return };
    let allowed = ["--egress-allow-address", PRIVATE, "--egress-allow-address", "198.46.0.0/24:80"];
    let denied = ["--egress-deny-address", HOST, "--egress-port", "80", "--egress-port", "587"];
    let role = Role::start(&internet, &[&allowed[..], &denied[..]].concat()).await;
    let names = [
        ("relay", PRIVATE),
        ("other", "10.9.9.8"),
        ("neighbour", NEIGHBOUR),
        ("ours", "198.46.0.10"),
        ("public", HOST),
    ];
    for (name, address) in names {
        internet.name(&format!("{name}.example.org"), &[&[address]]);
    }
    let token = token(&TenantId::random());
    assert!(role.page(&token, "relay.example.org:80", "/").await.contains(PRIVATE));
    assert!(role.page(&token, "neighbour.example.org:80", "/").await.contains(NEIGHBOUR));
    for (to, why) in [
        ("other.example.org:80", "not-public"),
        ("relay.example.org:443", "port"),
        ("neighbour.example.org:587", "neighbour"),
        ("ours.example.org:587", "our-own"),
        ("public.example.org:80", "denied-address"),
    ] {
        assert_eq!(word(&role.connect(&token, to).await.0), why, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_percloud_that_uses_up_its_way_out_harms_no_other() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    let limits = ["--egress-at-once", "2", "--egress-per-minute", "6", "--egress-connection-bytes", "65536"];
    let more = ["--egress-day-bytes", "200000", "--egress-idle-seconds", "3"];
    let role = Role::start(&internet, &[&limits[..], &more[..]].concat()).await;
    let to = "public.example.org:80";
    let (ada, bob) = (token(&TenantId::random()), token(&TenantId::random()));

    let (first, second) = (role.connect(&ada, to).await, role.connect(&ada, to).await);
    assert_eq!((word(&first.0), word(&second.0)), ("through", "through"));
    let (head, _) = role.connect(&ada, to).await;
    assert_eq!(word(&head), "at-once", "{head}");
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("Retry-After: "), "{head}");
    // Both say nothing, and are ended for it.
    let ((_, mut first), (_, mut second)) = (first, second);
    assert_eq!(rest(&mut first).await, "");
    assert_eq!(rest(&mut second).await, "");

    let much = role.page(&ada, to, "/much").await;
    assert!(much.len() <= 65_536, "one connection carried {}", much.len());
    let quiet = role.page(&ada, to, "/quiet").await;
    assert!(quiet.ends_with("/quiet"), "what was said arrives, then it is ended: {quiet}");
    let mut words = Vec::new();
    for _ in 0..6 {
        let answer = role.page(&ada, to, "/much").await;
        words.push(if answer.contains("Proxy-Status") { word(&answer).to_owned() } else { "through".to_owned() });
    }
    assert!(words.ends_with(&["too-fast".to_owned(), "too-fast".to_owned()]), "{words:?}");
    assert!(role.page(&bob, to, "/bob").await.ends_with("/bob"), "Bob has his own");

    let carol = token(&TenantId::random());
    let mut last = String::new();
    for _ in 0..6 {
        last = role.page(&carol, to, "/much").await;
    }
    assert_eq!(word(&last), "day-used");
    assert!(role.page(&bob, to, "/bob").await.ends_with("/bob"), "Bob has his own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_in_its_time_and_the_log_says_where_it_led_and_nothing_of_what_was_said() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    internet.name("private.example.org", &[&[PRIVATE]]);
    let file = |data: &Path| std::fs::File::create(data.join("log")).unwrap().into();
    let role = Role::start_with(&internet, &["--egress-connection-seconds", "3"], file).await;
    let ada = TenantId::random();
    let (token, to) = (token(&ada), "public.example.org:80");
    let began = std::time::Instant::now();
    let (_, mut stream) = role.connect(&token, to).await;
    let asked = format!("GET /slowly?rosebud HTTP/1.1\r\nHost: {to}\r\nCookie: rosebud\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let heard = rest(&mut stream).await;
    assert!(
        heard.ends_with('x') && began.elapsed() >= Duration::from_secs(3),
        "it is never silent, and ended: {heard}"
    );
    assert!(role.page(&token, to, "/brief").await.ends_with("/brief"));
    assert_eq!(word(&role.connect(&token, "private.example.org:443").await.0), "not-public");

    let lines = eventually("three lines", async || {
        let log = std::fs::read_to_string(role.data.path().join("log")).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let lines = lines.map(|line| line["fields"].clone());
        let mut lines: Vec<_> = lines.filter(|line| line["message"] == "way out" && line["tenant"] != "").collect();
        // Who is told first has not always been written down first.
        let place = |line: &serde_json::Value| ["too-long", "done"].iter().position(|end| line["end"] == *end);
        lines.sort_by_key(|line| place(line).unwrap_or(2));
        (lines.len() == 3).then_some(lines)
    })
    .await;
    let said = |line: &serde_json::Value| {
        let words = ["tenant", "host", "end"].map(|key| line[key].as_str().unwrap().to_owned());
        let numbers = ["port", "sent", "received"].map(|key| line[key].as_u64().unwrap());
        (words, numbers)
    };
    let words = |host: &str, end: &str| [ada.to_string(), host.to_owned(), end.to_owned()];
    let long = (words("public.example.org", "too-long"), [80, asked.len() as u64, heard.len() as u64]);
    assert_eq!(said(&lines[0]), long);
    assert!(lines[0]["ms"].as_u64().unwrap() >= 3000, "{}", lines[0]);
    assert_eq!(said(&lines[1]).0, words("public.example.org", "done"));
    assert_eq!(said(&lines[2]), (words("private.example.org", "not-public"), [443, 0, 0]));
    let log = std::fs::read_to_string(role.data.path().join("log")).unwrap();
    let mac = token.split_once('.').unwrap().1;
    for never in ["rosebud", "slowly", "brief", "Cookie", mac, HOST] {
        assert!(!log.contains(never), "{never} is in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_show_whose_they_are_is_not_heard() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    let role = Role::start(&internet, &[]).await;
    let (ada, bob) = (TenantId::random(), TenantId::random());
    let good = token(&ada);
    let mac = good.split_once('.').unwrap().1;
    let of_another_user = Key::parse(EGRESS_KEY).unwrap().token(&ada, 200_000);
    let of_another_key = Key::parse(&"00".repeat(32)).unwrap().token(&ada, rustix::process::geteuid().as_raw());
    for wrong in
        ["", "x", ada.as_str(), &format!("{bob}.{mac}"), &good[..good.len() - 1], &of_another_user, &of_another_key]
    {
        let (head, _) = role.connect(wrong, "public.example.org:80").await;
        assert_eq!(word(&head), "no-token", "{wrong}");
        assert!(head.starts_with("HTTP/1.1 407 ") && head.contains("Proxy-Authenticate: Bearer"), "{head}");
    }
    for (request, why) in [
        ("GET http://public.example.org/ HTTP/1.1\r\n\r\n", "not-connect"),
        ("CONNECT public.example.org:80 HTTP/1.0\r\n\r\n", "malformed"),
        ("nonsense\r\n\r\n", "malformed"),
    ] {
        let mut stream = UnixStream::connect(role.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(word(&head(&mut stream).await), why, "{request}");
    }
    let mut stream = UnixStream::connect(role.socket()).await.unwrap();
    let _ = stream.write_all(format!("CONNECT x HTTP/1.1\r\nX: {}", "y".repeat(9000)).as_bytes()).await;
    assert_eq!(word(&head(&mut stream).await), "head-too-long");
    assert_eq!(word(&role.connect(&good, "public.example.org:80").await.0), "through");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_slowly_is_sent_away_and_keeps_nobody_waiting() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    let role = Role::start(&internet, &[]).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = UnixStream::connect(role.socket()).await.unwrap();
        stream.write_all(b"CONNECT public.exam").await.unwrap();
        slow.push(stream);
    }
    let page = role.page(&token(&TenantId::random()), "public.example.org:80", "/meanwhile").await;
    assert!(page.ends_with("/meanwhile"), "{page}");
    for mut stream in slow {
        let head = tokio::time::timeout(Duration::from_secs(20), head(&mut stream)).await.unwrap();
        assert_eq!(word(&head), "head-too-slow");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_is_counted_for_whose_it_is_and_what_is_refused_too() {
    let Some(internet) = Internet::new() else { return };
    internet.name("public.example.org", &[&[HOST]]);
    internet.name("private.example.org", &[&[PRIVATE]]);
    let cloud = crate::cloud::TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let url = cloud.url.replace("percloud_owner", "percloud_egress");
    let mut role = Role::start(&internet, &["--database-url", &url]).await;
    let (to, mut sent) = ("public.example.org:80", 0);
    for path in ["/x", "/some/where"] {
        assert!(role.page(&token(&ada), to, path).await.ends_with(path));
        sent += format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n").len();
    }
    assert_eq!(word(&role.connect(&token(&bob), "private.example.org:80").await.0), "not-public");
    assert_eq!(word(&role.connect(&token(&bob), "127.0.0.1:80").await.0), "literal");
    assert_eq!(word(&role.connect(&token(&bob), "nothing.example.org:80").await.0), "no-address", "nobody's fault");
    // One that still goes on when the role is asked to end, and is cut off then.
    let (head, mut open) = role.connect(&token(&ada), to).await;
    assert_eq!(word(&head), "through");
    open.write_all(b"GET /quiet HTTP/1.1\r\n\r\n").await.unwrap();
    open.read_u8().await.unwrap();
    sent += "GET /quiet HTTP/1.1\r\n\r\n".len();
    crate::ledger::end(&mut role.child).await;
    let rows = "select string_agg(concat_ws(' ', tenant_id, requests, egress_bytes, refused, forbidden), ', ' order by forbidden) from usage_hours";
    assert_eq!(cloud.value::<String>(rows).await, format!("{ada} 0 {sent} 0 0, {bob} 0 0 0 2"));
}
