//! Under a host: when the process stays, and when it goes to sleep.

use std::{
    io::{Read, Write},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tenant_runtime::testing::PASSWORD;

use crate::{
    process::{PROGRAM, Unit, request, status, told},
    set_up::link,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A request of somebody who says who they are.
fn ask_as(unit: &Unit, agent: &str) -> u16 {
    let mut stream = unit.connect();
    let request = request("GET", "/", "", "", "close").replacen("\r\n", &format!("\r\nUser-Agent: {agent}\r\n"), 1);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    status(&answer)
}

#[test]
fn woken_by_its_timetable_it_does_what_is_due_and_leaves_at_once() {
    let unit = Unit::new();
    let mut first = unit.start("3600");
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(unit.ask("POST", &link(), "", &body).0, 200);
    first.signal(Signal::TERM);
    assert!(first.wait(PATIENCE).success());
    let wake_at = told(unit.folder.path())["wake_at"].as_str().map(ToOwned::to_owned);
    assert!(wake_at.is_some(), "its owner's session will end");

    // A session that ended long ago, and housekeeping that was done the day before yesterday.
    let database = rusqlite::Connection::open(unit.folder.path().join("data/percloud.db")).unwrap();
    database
        .execute_batch(
            "insert into sessions values ('old', x'00', 'Firefox', '2020-01-01 00:00:00+00:00', '2020-01-01 00:00:00+00:00');
             insert or replace into chores values ('tidy', '2020-02-02 00:00:00+00:00');",
        )
        .unwrap();
    drop(database);
    let began = Instant::now();
    let mut second = unit.start_with("3600", &[("PERCLOUD_WOKEN", "schedule")]);
    assert!(second.wait(PATIENCE).success(), "nobody tells it to leave");
    assert!(began.elapsed() < PATIENCE);
    let database = rusqlite::Connection::open(unit.folder.path().join("data/percloud.db")).unwrap();
    let old: u32 = database.query_row("select count(*) from sessions where id = 'old'", [], |row| row.get(0)).unwrap();
    assert_eq!(old, 0, "what was due is done");
    assert_eq!(
        told(unit.folder.path())["wake_at"].as_str().map(ToOwned::to_owned),
        wake_at,
        "and what is next is told"
    );
}

#[test]
fn killed_just_when_an_import_has_begun_it_will_be_woken_to_go_on() {
    let unit = Unit::new();
    let mut process = unit.start("3600");
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    let (code, answer) = unit.ask("POST", &link(), "", &body);
    assert_eq!(code, 200);
    let cookies = answer.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next().unwrap_or_default())
    });
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    // Housekeeping, which tells the host what there is to tell every ten minutes, has just done so.
    let tidied = || {
        let database = rusqlite::Connection::open(unit.folder.path().join("data/percloud.db")).unwrap();
        database.query_row("select count(*) from chores where name = 'tidy'", [], |row| row.get(0)).unwrap_or(0_u32)
            == 1
    };
    let began = Instant::now();
    while !tidied() || told(unit.folder.path())["wake_at"].is_null() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\nno bundle\r\n--x--\r\n";
    let whole = request("POST", "/control/import", &cookies, form, "close")
        .replace("application/x-www-form-urlencoded", "multipart/form-data; boundary=x");
    let mut stream = unit.connect();
    stream.write_all(whole.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 303, "{answer}");
    process.signal(Signal::KILL);
    assert!(!process.wait(PATIENCE).success());
    let wake_at: chrono::DateTime<chrono::Utc> = told(unit.folder.path())["wake_at"].as_str().unwrap().parse().unwrap();
    assert!(wake_at <= bundle::Clock::system().now(), "it is due, and the host knows: {wake_at}");
}

#[test]
fn crawlers_health_checks_and_open_connections_do_not_keep_it_awake() {
    let unit = Unit::new();
    let mut process = unit.start("3600");
    // The edge keeps its connections open.
    let mut open = unit.connect();
    open.write_all(request("HEAD", "/", "", "", "keep-alive").as_bytes()).unwrap();
    let mut head = [0; 15];
    open.read_exact(&mut head).unwrap();
    assert_eq!(ask_as(&unit, "Mozilla/5.0 (compatible; Googlebot/2.1)"), 200, "it is answered like anybody");
    assert_eq!(unit.ask("GET", "/robots.txt", "", "").0, 200);
    assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    assert!(process.wait(PATIENCE).success(), "an hour's patience is for people");
}

#[test]
fn in_a_hurry_it_finishes_what_it_is_at_and_leaves() {
    let unit = Unit::new();
    let mut process = unit.start("3600");
    assert_eq!(ask_as(&unit, "Firefox"), 200);
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    let whole = request("POST", &link(), "", &body, "close");
    let (first, rest) = whole.split_at(whole.len() - body.len() / 2);
    let mut slow = unit.connect();
    slow.write_all(first.as_bytes()).unwrap();
    // Another one is answered, so the slow one has been accepted and is being read.
    assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    process.signal(Signal::USR1);
    // It goes on, for others too, as long as somebody is being served.
    assert_eq!(unit.ask("GET", "/healthz", "", "").0, 200);
    slow.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(process.wait(PATIENCE).success());
    assert_eq!(told(unit.folder.path())["set_up"], true);
}

#[test]
fn what_others_begin_with_holds_nothing_of_anybody() {
    let unit = Unit::new();
    let made = unit.folder.path().join("made");
    let done = Command::new(PROGRAM).arg("prepare").arg("--data").arg(&made).status().unwrap();
    assert!(done.success());
    assert!(!made.join("percloud.db-wal").exists(), "it was closed");
    let ready = std::fs::read(made.join("percloud.db")).unwrap();
    let database = rusqlite::Connection::open(made.join("percloud.db")).unwrap();
    let mut tables = database.prepare("select name from sqlite_schema where type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 10, "{tables:?}");
    let only_form = |name: &String| name == "schema_steps" || name.starts_with("sqlite_");
    for table in tables.iter().filter(|name| !only_form(name)) {
        let rows: i64 = database.query_row(&format!("select count(*) from \"{table}\""), [], |row| row.get(0)).unwrap();
        // The folder that all others are in is the same for everybody.
        assert_eq!(rows, i64::from(table == "files_nodes"), "{table}");
    }

    // With a copy of it a percloud begins as with its own.
    std::fs::write(unit.folder.path().join("data/percloud.db"), ready).unwrap();
    let _process = unit.start("3600");
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(unit.ask("POST", &link(), "", &body).0, 200);
}

#[test]
fn what_it_kept_of_home_is_shown_before_its_database_is_opened() {
    let unit = Unit::new();
    let program = [("PERCLOUD_PROGRAM", "one")];
    let home = || {
        let mut stream = unit.connect();
        let request = request("GET", "/", "", "", "close").replacen("Cookie: \r\n", "", 1);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned()).unwrap()
    };
    let mut first = unit.start_with("0", &program);
    let fresh = home();
    assert!(first.wait(PATIENCE).success());

    let mut second = unit.start_with("0", &program);
    // To open the database would make its log's index.
    let kept = home();
    assert!(!unit.folder.path().join("data/percloud.db-shm").exists());
    assert!(second.wait(PATIENCE).success());
    assert_eq!(kept, fresh);
    assert!(told(unit.folder.path())["owner_key"].is_string(), "what the host was told stays");
}
