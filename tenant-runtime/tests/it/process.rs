//! The program itself: started as a host starts it, spoken to as the edge speaks to it.

use std::{
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tenant_runtime::testing::{self, DOMAIN};

/// Where the program is.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_percloud-runtime");

/// A socket that outlives the processes that serve it, and the folder behind it.
pub(crate) struct Unit {
    pub(crate) folder: tempfile::TempDir,
    listener: UnixListener,
}

impl Unit {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, listener }
    }

    pub(crate) fn listener(&self) -> OwnedFd {
        self.listener.try_clone().unwrap().into()
    }

    /// Starts the runtime with an environment that holds nothing else and the listener as descriptor 3.
    pub(crate) fn start(&self, idle: &str) -> Process {
        self.start_with(idle, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(&self, idle: &str, more: &[(&str, &str)]) -> Process {
        self.start_saying(idle, more, Stdio::null())
    }

    /// The same, with its log going there.
    pub(crate) fn start_saying(&self, idle: &str, more: &[(&str, &str)], log: Stdio) -> Process {
        let script = "exec \"$0\" serve --activated 3<&0 </dev/null";
        let child = Command::new("/bin/sh")
            .args(["-c", script, PROGRAM])
            .stdin(Stdio::from(self.listener()))
            .stderr(log)
            .env_clear()
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "http")
            .env("PERCLOUD_DATA", self.folder.path().join("data"))
            .env("PERCLOUD_IDLE_SECONDS", idle)
            .env("PERCLOUD_SPEC", serde_json::to_string(&testing::spec()).unwrap())
            .envs(more.iter().copied())
            .spawn()
            .unwrap();
        Process(child)
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// One request on a connection of its own; status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(request(method, path, cookie, body, "close").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (status(&answer), answer)
    }
}

pub(crate) fn request(method: &str, path: &str, cookie: &str, body: &str, connection: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {DOMAIN}:8443\r\nConnection: {connection}\r\nAccept: text/html\r\n\
         Sec-Fetch-Site: same-origin\r\nX-Forwarded-For: 192.0.2.7\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// A process that does not outlive its test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// How it ended; fails the test when it does not.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < patience, "the runtime does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether a connection waits in a listener's queue.
pub(crate) fn waits(listener: &OwnedFd, patience: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// What a folder's `status.json` says.
pub(crate) fn told(folder: &Path) -> serde_json::Value {
    let json = std::fs::read(folder.join("data/status.json")).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}
