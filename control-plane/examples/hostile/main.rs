//! Plays the runtime in tests of the local host: speaks its activation protocol, answers a few requests, fails when asked
//! to, and tries to get out of the sandbox. **Never run it outside**: [`attacks`] does real things where nothing stops it.

#[cfg(target_os = "linux")]
mod attacks;
mod bombs;
#[cfg(target_os = "linux")]
mod descriptors;
mod egress;
#[cfg(target_os = "linux")]
mod kernel;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The host needs the memory.
static HURRIED: AtomicBool = AtomicBool::new(false);

fn main() {
    if std::env::args().nth(1).as_deref() == Some("prepare") && Path::new("/data").exists() {
        let made = std::fs::write("percloud.db", b"SQLite format 3\0, or nearly");
        exit(i32::from(made.is_err()));
    }
    if std::env::args().nth(2).as_deref() != Some("--activated") || std::env::var("LISTEN_FDS").as_deref() != Ok("1") {
        eprintln!("this program is for tests, inside the sandbox only");
        exit(2);
    }
    if Path::new("crash").exists() {
        eprintln!(r#"{{"level":"ERROR","fields":{{"message":"told to crash"}}}}"#);
        exit(3);
    }
    if Path::new("leave-at-once").exists() {
        exit(0);
    }
    if let Ok(ms) = std::fs::read_to_string("spin-and-leave") {
        bombs::spin(Duration::from_millis(ms.trim().parse().unwrap_or(0)));
        exit(0);
    }
    let stubborn = Path::new("stubborn").exists();
    extern "C" fn leave(_: libc::c_int) {
        // SAFETY: allowed in a signal handler.
        unsafe { libc::_exit(0) }
    }
    if !stubborn {
        // SAFETY: the handler does nothing but leave.
        unsafe { libc::signal(libc::SIGTERM, leave as *const () as libc::sighandler_t) };
    }
    extern "C" fn hurry(_: libc::c_int) {
        HURRIED.store(true, Ordering::SeqCst);
    }
    if !Path::new("deaf").exists() {
        // SAFETY: the handler does nothing but take note; it is let in while `serve` waits, and at no other time.
        unsafe {
            libc::signal(libc::SIGUSR1, hurry as *const () as libc::sighandler_t);
            let mut hurry: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut hurry, libc::SIGUSR1);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const hurry, std::ptr::null_mut());
        }
    }
    serve();
}

/// Answers one after the other, and leaves when nothing comes for the idle time (0 means 20 ms), when it is in a hurry, or
/// when it was started by its timetable. What of it was so is left in files.
fn serve() {
    // SAFETY: the protocol says that it is there and ours.
    let listener = unsafe { UnixListener::from_raw_fd(3) };
    let seconds: u64 = std::env::var("PERCLOUD_IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let scheduled = std::env::var_os("PERCLOUD_WOKEN").is_some_and(|by| by == "schedule");
    if scheduled {
        note("woken");
    }
    let idle = if seconds == 0 || scheduled { 20 } else { i32::try_from(seconds * 1000).unwrap_or(i32::MAX) };
    loop {
        let mut waiting = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let idle =
            libc::timespec { tv_sec: (idle / 1000).into(), tv_nsec: libc::c_long::from(idle % 1000) * 1_000_000 };
        // SAFETY: one entry, as said, and no signal is kept out.
        let ready = unsafe {
            let nothing: libc::sigset_t = std::mem::zeroed();
            libc::ppoll(&raw mut waiting, 1, &raw const idle, &raw const nothing)
        };
        if HURRIED.load(Ordering::SeqCst) {
            note("hurried");
            exit(0);
        }
        if ready == 0 {
            exit(0);
        }
        if ready < 0 {
            continue;
        }
        match listener.accept() {
            Ok(_) if Path::new("accept-and-leave").exists() => exit(0),
            Ok((stream, _)) => drop(answer(stream)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => {
                eprintln!("accept: {error}");
                exit(4);
            }
        }
    }
}

/// A line for each time.
fn note(name: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(name);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "once")) {
        eprintln!("{name}: {error}");
    }
}

fn answer(stream: UnixStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let text = act(path, &query);
    write!(&stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len())?;
    // SAFETY: no other thread reads it.
    unsafe { libc::shutdown(stream.as_raw_fd(), libc::SHUT_WR) };
    Ok(())
}

fn act(path: &str, query: &BTreeMap<&str, &str>) -> String {
    let number = |key: &str| query.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    match path {
        "/attacks" => attacks::table(query),
        "/env" => std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect(),
        "/egress" => egress::ask(query),
        "/standard-input" => descriptors::mark_standard_input(),
        "/exit" => exit(number("code")),
        "/abort" => std::process::abort(),
        "/interrupt-80" => kernel::old_system_calls(),
        "/memory" => bombs::touch(number("mib")),
        "/threads" => bombs::threads().unwrap_or_else(|made| made),
        "/spin" => bombs::spin(Duration::from_millis(u64::try_from(number("ms")).unwrap_or(0))),
        "/busy" => bombs::busy(Duration::from_millis(u64::try_from(number("ms")).unwrap_or(0))),
        "/sync" => bombs::sync(number("mib")),
        "/fill" => bombs::fill(number("mib"), number("files"), query.get("hidden").copied().unwrap_or_default()),
        "/tmp" => {
            std::fs::write("/tmp/secret", "Bob's").map_or_else(|error| error.to_string(), |()| "put there".into())
        }
        "/log" => {
            for i in 0..number("lines") {
                eprintln!("line {i} {}", "x".repeat(200));
            }
            "logged".into()
        }
        "/chatter" => bombs::chatter(Duration::from_millis(u64::try_from(number("ms")).unwrap_or(0))),
        "/status" => {
            let wake = query.get("wake_at").map(|at| format!(r#","wake_at":"{at}""#)).unwrap_or_default();
            let json = format!(r#"{{"set_up":true,"used_bytes":7{wake}}}"#);
            std::fs::write("status.json", json).map_or_else(|error| error.to_string(), |()| "written".into())
        }
        "/wait" => {
            std::thread::sleep(Duration::from_millis(u64::try_from(number("ms")).unwrap_or(0)));
            "waited".into()
        }
        _ => format!("{} {}\n", std::process::id(), std::env::var("PERCLOUD_SPEC").unwrap_or_default()),
    }
}
