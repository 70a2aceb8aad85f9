//! What a runtime writes to its standard error: kept in a file per percloud, with a limit on its size, and taken only so
//! fast, in bytes and in lines. A runtime that writes faster waits; that harms nobody but itself. To take it costs the host, on nobody's
//! account; and whoever waits runs as soon as something is taken, so that little at a time would be many short turns on its neighbours' processors.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::unix::pipe, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::pressure::Activity;

/// A file grows to this; then it becomes the old one, and the one before is gone.
const FILE_MAX: u64 = 1 << 20;
/// Taken per second, once [`AT_ONCE`] is used up.
const PER_SECOND: f64 = 64.0 * 1024.0;
/// Taken without delay after some silence.
const AT_ONCE: f64 = 256.0 * 1024.0;
/// And in pieces of at most so many bytes.
const AT_A_TIME: usize = 4096;
/// To take anything at all costs as much as so many bytes.
const TAKING: f64 = 1024.0;
/// A line costs as much as so many bytes, however short it is.
const LINE_LEAST: f64 = 128.0;
/// Longer lines are cut.
const LINE_MAX: usize = 4096;
/// A reason for the operator is at most so many characters long.
const REASON_MAX: usize = 200;

/// How long what is left in a pipe may take once the runtime has ended. Tests wait for it all.
const LAST_WORDS: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 2 });

/// The log of one run, being written.
pub(super) struct Log {
    drain: JoinHandle<String>,
    ended: CancellationToken,
}

impl Log {
    /// Starts to take what comes out of `end` into `file`; that something came is a sign of `activity`.
    pub(super) fn take(end: OwnedFd, file: PathBuf, activity: Activity) -> io::Result<Self> {
        let pipe = pipe::Receiver::from_owned_fd(end)?;
        let ended = CancellationToken::new();
        Ok(Self { drain: tokio::spawn(drain(pipe, file, activity, ended.clone())), ended })
    }

    /// The last line, once the runtime has ended: what is in the pipe still is taken at once. Something may have kept its end open; that is
    /// not waited for.
    pub(super) async fn last_line(mut self) -> String {
        self.ended.cancel();
        match tokio::time::timeout(LAST_WORDS, &mut self.drain).await {
            Ok(line) => line.unwrap_or_default(),
            Err(_) => {
                self.drain.abort();
                String::new()
            }
        }
    }
}

async fn drain(mut pipe: pipe::Receiver, path: PathBuf, activity: Activity, ended: CancellationToken) -> String {
    let (mut lines, mut allowance) = (Lines::new(path), Allowance::new(Instant::now()));
    loop {
        let bytes = more(&pipe).await.unwrap_or_default();
        let (over, now) = (bytes.is_empty(), Instant::now());
        if !over {
            activity.sign();
            allowance.spend(cost(&bytes), now);
        }
        let then = allowance.next_at(now).filter(|_| !over && !ended.is_cancelled());
        let on = listen_from(pipe, then, &ended);
        // Looked through and written down where nobody waits who does something for others.
        let done = tokio::task::spawn_blocking(move || {
            if over {
                lines.end();
            } else {
                lines.take(&bytes);
            }
            lines
        });
        let (done, on) = tokio::join!(done, on);
        match (done, on) {
            (Ok(back), _) if over => return harmless(&back.last),
            (Ok(back), Ok(on)) => (lines, pipe) = (back, on),
            (Err(error), _) => return broken(error),
            (_, Err(error)) => return broken(error),
        }
    }
}

/// What taking this costs, in bytes.
fn cost(bytes: &[u8]) -> f64 {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    (bytes.len() as f64).max(TAKING).max(lines as f64 * LINE_LEAST)
}

fn broken(error: impl std::fmt::Display) -> String {
    tracing::error!(%error, "a runtime's log");
    String::new()
}

/// The pipe again, not before then or the runtime's end. What comes meanwhile is not heard of: each line that somebody writes into a pipe that is listened to
/// wakes who listens, and that would be us, on nobody's account.
async fn listen_from(
    pipe: pipe::Receiver,
    then: Option<Instant>,
    ended: &CancellationToken,
) -> io::Result<pipe::Receiver> {
    let Some(then) = then else { return Ok(pipe) };
    let unheard = pipe.into_nonblocking_fd()?;
    let _ = ended.run_until_cancelled(tokio::time::sleep_until(then)).await;
    pipe::Receiver::from_owned_fd(unheard)
}

/// What came, once something has; nothing at the end. While nothing comes no room is kept for it.
async fn more(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    loop {
        pipe.readable().await?;
        match read(pipe) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

fn read(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut buffer = [0; AT_A_TIME];
    let n = pipe.try_read(&mut buffer)?;
    Ok(buffer[..n].to_vec())
}

/// What may still be taken, in bytes; below nought it must be waited for.
struct Allowance {
    left: f64,
    since: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, since: now }
    }

    fn fill(&mut self, now: Instant) {
        let more = now.saturating_duration_since(self.since).as_secs_f64() * PER_SECOND;
        self.left = (self.left + more).min(AT_ONCE);
        self.since = now;
    }

    fn spend(&mut self, bytes: f64, now: Instant) {
        self.fill(now);
        self.left -= bytes;
    }

    /// From when on something may be taken again; none where that is now.
    fn next_at(&self, now: Instant) -> Option<Instant> {
        (self.left < 0.0).then(|| now + Duration::from_secs_f64(-self.left / PER_SECOND))
    }
}

struct Lines {
    file: Option<(File, u64)>,
    path: PathBuf,
    /// The beginning of one that has not ended.
    line: Vec<u8>,
    /// The last one.
    last: Vec<u8>,
    /// What is to be written.
    page: String,
}

impl Lines {
    fn new(path: PathBuf) -> Self {
        Self { file: None, path, line: Vec::new(), last: Vec::new(), page: String::new() }
    }

    /// Takes what came at once, and writes it at once.
    fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.add(&rest[..at]);
            self.line_ends();
            rest = &rest[at + 1..];
        }
        self.add(rest);
        self.put_down();
    }

    fn end(&mut self) {
        self.line_ends();
        self.put_down();
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_MAX - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line_ends(&mut self) {
        if self.line.is_empty() {
            return;
        }
        self.page.push_str(&harmless(&self.line));
        self.page.push('\n');
        std::mem::swap(&mut self.last, &mut self.line);
        self.line.clear();
    }

    fn put_down(&mut self) {
        let page = std::mem::take(&mut self.page);
        if !page.is_empty()
            && let Err(error) = self.write(&page)
        {
            tracing::warn!(%error, "a runtime's log");
        }
    }

    fn write(&mut self, page: &str) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|(_, size)| *size > FILE_MAX) {
            self.file = None;
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        if self.file.is_none() {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            let size = file.metadata()?.len();
            self.file = Some((file, size));
        }
        let Some((file, size)) = &mut self.file else { return Ok(()) };
        file.write_all(page.as_bytes())?;
        *size += page.len() as u64;
        Ok(())
    }
}

/// Without what could steer the operator's terminal.
fn harmless(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What to tell the operator of a last line: a log line's message, or the line, not too long.
#[must_use]
pub(super) fn reason(line: &str) -> String {
    let message = || {
        let json: serde_json::Value = serde_json::from_str(line).ok()?;
        let at = |pointer: &str| json.pointer(pointer).and_then(serde_json::Value::as_str);
        Some(at("/message").or_else(|| at("/fields/message"))?.to_owned())
    };
    let words = message().unwrap_or_else(|| line.to_owned());
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
}

/// Removes a percloud's logs.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    tls::files::remove(path)?;
    tls::files::remove(&path.with_extension("log.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_kept_within_its_limits_and_cannot_steer_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t-a.log");
        let mut lines = Lines::new(path.clone());
        for _ in 0..700 {
            lines.take(&[b'x'; 10_000]);
            lines.take(b"\n");
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!((FILE_MAX / 2..=FILE_MAX + LINE_MAX as u64 + 1).contains(&size(&path)));
        assert!(size(&path.with_extension("log.1")) <= FILE_MAX + LINE_MAX as u64 + 1);
        lines.take(b"\x1b]0;owned\x07\xff done\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains('\x1b') && text.ends_with("done\n"));
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    /// Calls that this thread has made in order to write.
    fn writes() -> u64 {
        let io = fs::read_to_string("/proc/thread-self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap().parse().unwrap()
    }

    #[test]
    fn many_short_lines_are_written_with_one_call_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t-a.log");
        let mut lines = Lines::new(path.clone());
        let before = writes();
        for _ in 0..64 {
            lines.take(&b"x\n".repeat(AT_A_TIME / 2));
        }
        lines.take(b"the last\n");
        lines.end();
        assert!(writes() - before < 100, "{}", writes() - before);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}the last\n", "x\n".repeat(64 * AT_A_TIME / 2)));
        assert_eq!(lines.last, b"the last");
    }

    #[test]
    fn a_short_line_costs_as_much_as_one_of_128_bytes_and_next_to_nothing_as_much_as_a_kilobyte() {
        assert_eq!(cost(&b"x\n".repeat(2048)), 2048.0 * LINE_LEAST);
        assert_eq!(cost(&[&[b'y'; 299][..], b"\n"].concat().repeat(13)), 3900.0);
        assert_eq!(cost(b"x"), TAKING);
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        allowance.spend(AT_ONCE, now);
        assert_eq!(allowance.next_at(now), None);
        allowance.spend(cost(&b"x\n".repeat(2048)), now);
        assert_eq!(allowance.next_at(now), Some(now + Duration::from_secs(4)));
        let later = now + Duration::from_secs(60);
        allowance.fill(later);
        assert_eq!(allowance.left, AT_ONCE);
    }

    /// How often this thread has slept so far.
    fn slept() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse().unwrap()
    }

    #[tokio::test]
    async fn who_writes_on_while_nothing_is_taken_wakes_nobody() {
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let pipe = pipe::Receiver::from_owned_fd(read).unwrap();
        let (before, then) = (slept(), Instant::now() + Duration::from_millis(300));
        let writes = std::thread::spawn(move || {
            let mut write = File::from(write);
            for _ in 0..1000 {
                write.write_all(b"x\n").unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let pipe = listen_from(pipe, Some(then), &CancellationToken::new()).await.unwrap();
        assert!(slept() - before < 50, "{}", slept() - before);
        writes.join().unwrap();
        assert_eq!(more(&pipe).await.unwrap(), b"x\n".repeat(1000), "and all is there");
    }

    #[tokio::test]
    async fn the_last_line_is_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let log = Log::take(read, folder.path().join("t-a.log"), Activity::default()).unwrap();
        File::from(write).write_all(b"one\n{\"fields\":{\"message\":\"no room\\u0007\"}}").unwrap();
        assert_eq!(reason(&log.last_line().await), "no room ");
    }

    #[tokio::test]
    async fn the_last_line_of_very_many_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let log = Log::take(read, folder.path().join("t-a.log"), Activity::default()).unwrap();
        let mut write = File::from(write);
        // What may be taken at once is, then as much as a pipe holds.
        let first = b"x\n".repeat(AT_ONCE as usize / LINE_LEAST as usize + AT_A_TIME);
        let rest = b"y\n".repeat(24 * 1024);
        tokio::task::spawn_blocking(move || {
            write.write_all(&first).unwrap();
            write.write_all(&rest).unwrap();
            write.write_all(b"why it ended").unwrap();
        })
        .await
        .unwrap();
        assert_eq!(log.last_line().await, "why it ended");
    }
}
