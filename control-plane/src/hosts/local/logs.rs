//! What a runtime writes to its standard error: kept in a file per percloud, with a limit on its size, and taken only so
//! fast. A runtime that writes faster waits; that harms nobody but itself.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::unix::pipe, task::JoinHandle, time::Instant};

use super::pressure::Activity;

/// A file grows to this; then it becomes the old one, and the one before is gone.
const FILE_MAX: u64 = 1 << 20;
/// Taken per second, once [`AT_ONCE`] is used up.
const PER_SECOND: f64 = 64.0 * 1024.0;
/// Taken without delay after some silence.
const AT_ONCE: f64 = 256.0 * 1024.0;
/// Longer lines are cut.
const LINE_MAX: usize = 4096;
/// A reason for the operator is at most so many characters long.
const REASON_MAX: usize = 200;

/// The log of one run, being written.
pub(super) struct Log(JoinHandle<String>);

impl Log {
    /// Starts to take what comes out of `end` into `file`; that something came is a sign of `activity`.
    pub(super) fn take(end: OwnedFd, file: PathBuf, activity: Activity) -> io::Result<Self> {
        let pipe = pipe::Receiver::from_owned_fd(end)?;
        Ok(Self(tokio::spawn(drain(pipe, file, activity))))
    }

    /// The last line, once the runtime has ended. Something may have kept its end open; that is not waited for.
    pub(super) async fn last_line(mut self) -> String {
        match tokio::time::timeout(Duration::from_secs(2), &mut self.0).await {
            Ok(line) => line.unwrap_or_default(),
            Err(_) => {
                self.0.abort();
                String::new()
            }
        }
    }
}

async fn drain(pipe: pipe::Receiver, path: PathBuf, activity: Activity) -> String {
    let mut lines = Lines { file: None, path, line: Vec::new(), last: String::new() };
    let (mut allowance, mut since) = (AT_ONCE, Instant::now());
    while let Ok(n @ 1..) = lines.more(&pipe).await {
        activity.sign();
        allowance = (allowance + since.elapsed().as_secs_f64() * PER_SECOND).min(AT_ONCE) - n as f64;
        since = Instant::now();
        if allowance < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-allowance / PER_SECOND)).await;
        }
    }
    lines.end();
    lines.last
}

struct Lines {
    file: Option<(File, u64)>,
    path: PathBuf,
    line: Vec<u8>,
    last: String,
}

impl Lines {
    /// How many bytes came, once some have; none at the end. While nothing comes no room is kept for it.
    async fn more(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        loop {
            pipe.readable().await?;
            match self.read(pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn read(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        let mut buffer = [0; 4096];
        let n = pipe.try_read(&mut buffer)?;
        self.add(&buffer[..n]);
        Ok(n)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end();
            } else if self.line.len() < LINE_MAX {
                self.line.push(*byte);
            }
        }
    }

    fn end(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let line = harmless(&self.line);
        self.line.clear();
        if let Err(error) = self.write(&line) {
            tracing::warn!(%error, "a runtime's log");
        }
        self.last = line;
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
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
        file.write_all(format!("{line}\n").as_bytes())?;
        *size += line.len() as u64 + 1;
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
    for path in [path.to_owned(), path.with_extension("log.1")] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_is_kept_within_its_limits_and_cannot_steer_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t-a.log");
        let mut lines = Lines { file: None, path: path.clone(), line: Vec::new(), last: String::new() };
        for _ in 0..700 {
            lines.add(&[b'x'; 10_000]);
            lines.add(b"\n");
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&path) <= FILE_MAX + LINE_MAX as u64 + 1);
        assert!(size(&path.with_extension("log.1")) <= FILE_MAX + LINE_MAX as u64 + 1);
        lines.add(b"\x1b]0;owned\x07\xff done\n");
        assert!(!lines.last.contains('\x1b') && lines.last.ends_with("done"));
        remove(&path).unwrap();
        remove(&path).unwrap();
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
}
