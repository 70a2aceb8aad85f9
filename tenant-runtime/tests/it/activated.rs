//! Under a host: the socket is handed over, the process comes and goes, no request is lost.

use std::{
    io::{Read, Write},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::Signal;
use tenant_runtime::testing::PASSWORD;

use crate::{
    process::{Unit, request, status, told, waits},
    set_up::link,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn form(password: &str) -> String {
    format!("password={}", password.replace(' ', "+"))
}

#[test]
fn it_leaves_when_idle_and_what_was_acknowledged_is_there_again() {
    let unit = Unit::new();
    let mut first = unit.start("0.5");
    assert_eq!(unit.ask("POST", &link(), "", &form(PASSWORD)).0, 200);
    assert!(first.wait(PATIENCE).success(), "it leaves by itself, content");
    assert_eq!(told(unit.folder.path())["set_up"], true);
    assert!(!unit.folder.path().join("data/percloud.db-wal").exists(), "the database was closed");

    // A connection that comes while nobody is there waits for the next one.
    let mut early = unit.connect();
    early.write_all(request("POST", "/sign-in", "", &form(PASSWORD), "close").as_bytes()).unwrap();
    let second = unit.start("60");
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 303, "{answer}");

    second.signal(Signal::KILL);
    drop(second);
    let _third = unit.start("60");
    assert_eq!(unit.ask("POST", "/sign-in", "", &form(PASSWORD)).0, 303, "nor does a kill lose anything");
}

#[test]
fn visitors_do_not_wait_for_a_log_that_nobody_takes() {
    const VISITS: usize = 1000;
    let unit = Unit::new();
    let mut process = unit.start_saying("60", &[], Stdio::piped());
    let mut stream = unit.connect();
    let whole = request("GET", "/sign-in", "", "", "keep-alive").replacen("GET", "HEAD", 1);
    for _ in 0..VISITS {
        stream.write_all(whole.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "));
    }
    let mut log = process.0.stderr.take().unwrap();
    process.signal(Signal::TERM);
    assert!(process.wait(PATIENCE).success());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests = lines.iter().filter(|line| line["message"] == "request").count();
    assert!((100..VISITS).contains(&requests), "{requests}: as many as a pipe holds");
}

#[test]
fn told_to_stop_it_finishes_what_it_is_at_and_closes_what_is_idle() {
    let unit = Unit::new();
    let mut process = unit.start("60");
    let mut idle = unit.connect();
    idle.write_all(request("GET", "/healthz", "", "", "keep-alive").as_bytes()).unwrap();
    let mut head = [0; 15];
    idle.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");

    let body = form(PASSWORD);
    let whole = request("POST", &link(), "", &body, "keep-alive");
    let (first, rest) = whole.split_at(whole.len() - body.len() / 2);
    let mut slow = unit.connect();
    slow.write_all(first.as_bytes()).unwrap();
    // Another one is answered, so the slow one has been accepted and is being read.
    assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    process.signal(Signal::TERM);
    let mut left = String::new();
    idle.read_to_string(&mut left).unwrap();
    slow.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(process.wait(PATIENCE).success());
    assert_eq!(told(unit.folder.path())["set_up"], true);
}

#[test]
fn told_to_stop_it_does_not_wait_for_a_bundle_that_is_being_read() {
    let unit = Unit::new();
    let data = unit.folder.path().join("data");
    let mut first = unit.start("60");
    assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    first.signal(Signal::TERM);
    assert!(first.wait(PATIENCE).success());
    // An import that was broken off, and a bundle that never comes to its end.
    std::fs::create_dir(data.join("blobs/00")).unwrap();
    let bundle = data.join("blobs/00").join("0".repeat(62));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, bundle, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let row = "insert into imports (id, file_name, sha256, size, state, created_at)
        values ('i', 'ada.zip', zeroblob(32), 1, 'checking', '2026-03-14 09:26:53+00:00')";
    rusqlite::Connection::open(data.join("percloud.db")).unwrap().execute(row, []).unwrap();

    let mut second = unit.start("60");
    for _ in 0..3 {
        assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    }
    second.signal(Signal::TERM);
    assert!(second.wait(PATIENCE).success());
}

#[test]
fn no_connection_is_lost_however_often_it_leaves() {
    let unit = Unit::new();
    let over = AtomicBool::new(false);
    let starts = std::thread::scope(|scope| {
        let host = scope.spawn(|| {
            let (listener, mut starts) = (unit.listener(), 0);
            while !over.load(Ordering::SeqCst) {
                if waits(&listener, Duration::from_millis(20)) {
                    starts += 1;
                    assert!(unit.start("0.05").wait(PATIENCE).success());
                }
            }
            starts
        });
        for turn in 0..30_u64 {
            assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200, "turn {turn}");
            // Around the moment at which it leaves: a little before, a little after.
            std::thread::sleep(Duration::from_millis(30 + turn * 3));
        }
        over.store(true, Ordering::SeqCst);
        host.join().unwrap()
    });
    assert!(starts > 1, "it was started {starts} times");
}

#[test]
fn http_2_with_prior_knowledge_is_understood() {
    let unit = Unit::new();
    let _process = unit.start("60");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let stream = tokio::net::UnixStream::connect(unit.folder.path().join("socket")).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://ada.percloud.localhost:8443/sign-in");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap().status()
    });
    assert_eq!(status, 200);
}

#[test]
fn without_a_socket_it_says_what_is_missing() {
    let output =
        std::process::Command::new(crate::process::PROGRAM).args(["serve", "--activated"]).env_clear().output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no listening socket was handed over"), "{said}");
}
