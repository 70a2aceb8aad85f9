//! Mails through a real mail server (aiosmtpd in the environment of `infra/test`), and without one.

use std::process::Stdio;

use chrono::TimeDelta;
use control_plane::mails;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::cloud::{TestCloud, Wish};

/// aiosmtpd in a process of its own; ends with the test.
struct MailServer {
    port: u16,
    mails: Lines<BufReader<ChildStdout>>,
    _life: (Child, ChildStdin),
}

impl MailServer {
    async fn start() -> Self {
        let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-python/bin/python");
        let python = std::env::var("PERCLOUD_TEST_PYTHON").unwrap_or_else(|_| usual.into());
        let mut child = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mail_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("infra/test makes the Python of these tests");
        let life = child.stdin.take().unwrap();
        let mut mails = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = mails.next_line().await.unwrap();
        let port = port.expect("aiosmtpd is missing: infra/test sets PERCLOUD_TEST_PYTHON to a Python that has it");
        Self { port: port.parse().unwrap(), mails, _life: (child, life) }
    }

    fn url(&self) -> String {
        format!("smtp://percloud:open%20sesame@127.0.0.1:{}", self.port)
    }

    async fn next(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.mails.next_line().await.unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_mail_goes_out_and_nothing_of_it_stays() {
    let mut server = MailServer::start().await;
    let cloud = TestCloud::with_smtp(&server.url()).await;
    let ada = cloud.sign_up("ada").await;
    cloud.settle().await;
    let mail = server.next().await;
    assert_eq!(mail["user"], "percloud");
    assert_eq!(mail["from"], "percloud@percloud.localhost");
    assert_eq!(mail["to"], serde_json::json!(["ada@example.org"]));
    let text = mail["data"].as_str().unwrap().replace("=\r\n", "");
    assert!(text.contains(&format!("/confirm/{}", ada.token.secret())), "{text}");
    assert!(text.contains("Message-ID: <percloud-mail-1@percloud.localhost>"), "{text}");
    assert!(text.contains("text/plain") && text.contains("text/html"), "{text}");
    let left: String = cloud.value("select row_to_json(m)::text from mails m").await;
    assert!(left.contains("\"observed\":\"sent\""), "{left}");
    assert!(!left.contains(ada.token.secret()) && !left.contains("ada@example.org"), "{left}");
    cloud.pass(TimeDelta::days(8)).await;
    assert_eq!(cloud.value::<i64>("select count(*) from mails").await, 0);
}

#[tokio::test]
async fn a_mail_server_that_takes_its_time_over_a_mail_gets_it_once() {
    let mut server = MailServer::start().await;
    let cloud = TestCloud::with_smtp(&server.url()).await;
    cloud.try_sign_up("scanned", "scanned@example.org").await.unwrap();
    cloud.settle().await;
    let observed: String = cloud.value("select observed from mails").await;
    assert_eq!((observed.as_str(), cloud.value::<i32>("select tries from mails").await), ("sent", 0));
    assert_eq!(server.next().await["to"], serde_json::json!(["scanned@example.org"]));
    cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    cloud.settle().await;
    assert_eq!(
        server.next().await["to"],
        serde_json::json!(["bob@example.org"]),
        "the next one, and not the same again"
    );
}

#[tokio::test]
async fn a_mail_server_that_says_later_is_asked_again_and_one_that_says_never_is_not() {
    let server = MailServer::start().await;
    let cloud = TestCloud::with_smtp(&server.url()).await;
    cloud.try_sign_up("later", "later@example.org").await.unwrap();
    cloud.try_sign_up("never", "nobody@example.org").await.unwrap();
    cloud.settle().await;
    cloud.pass(TimeDelta::hours(1)).await;
    let mails = mails::list(&cloud.db.get().await.unwrap(), None, 10).await.unwrap();
    let (never, later) = (&mails[0], &mails[1]);
    assert_eq!((later.observed.as_str(), never.observed.as_str()), ("queued", "failed"));
    assert!(later.tries >= 2 && later.due_at > Some(cloud.now()), "{later:?}");
    assert_eq!(never.last_error.as_deref(), Some("the mail server refused it (550)"));
    let all: String = cloud.value("select string_agg(last_error, ' ') from mails").await;
    assert!(!all.contains('@'), "no address is written down: {all}");
}

#[tokio::test]
async fn a_mail_server_that_is_away_or_wants_another_password_loses_nothing() {
    let mut server = MailServer::start().await;
    let url = server.url().replace("open%20sesame", "wrong");
    let cloud = TestCloud::with_smtp(&url).await;
    cloud.sign_up("ada").await;
    cloud.settle().await;
    let mails = mails::list(&cloud.db.get().await.unwrap(), None, 10).await.unwrap();
    assert!(mails[0].last_error.is_some(), "{mails:?}");
    // The operator mends the password; the mail was kept.
    let mended = TestCloud::with(cloud.url.clone(), Some(server.url()));
    mended.sql("update mails set due_at = '2026-01-01' where observed <> 'sent'").await;
    let observed: String = mended.value("select observed from mails").await;
    if observed == "queued" {
        mended.settle().await;
        assert_eq!(server.next().await["to"][0], "ada@example.org");
    } else {
        panic!("a wrong password of ours is no reason to give a mail up: {observed}");
    }
}

#[tokio::test]
async fn without_a_mail_server_mails_are_kept_for_a_week_to_be_read() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    cloud.wish(&ada.id, Wish::Suspend).await.unwrap();
    cloud.settle().await;
    let spool = mails::spooled(&cloud.db.get().await.unwrap(), 10).await.unwrap();
    let kinds: Vec<_> = spool.iter().map(|mail| mail.kind.as_str()).collect();
    assert_eq!(kinds, ["suspended", "confirm"]);
    assert!(spool[0].text.contains("Please get in touch."));
    assert!(spool[1].text.contains(ada.token.secret()) && spool[1].html.contains(ada.token.secret()));
    assert_eq!(cloud.value::<i64>("select count(*) from mails where data is not null").await, 0);
    cloud.pass(TimeDelta::days(8)).await;
    assert!(mails::spooled(&cloud.db.get().await.unwrap(), 10).await.unwrap().is_empty());
}
