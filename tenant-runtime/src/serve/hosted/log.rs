//! The log of a hosted runtime: to standard error, from where the host takes 64 KiB a second. Whoever writes faster to it waits, and lines about
//! visitors must not make visitors wait: what there is no room for is left out and counted. Ordinary lines leave some room for warnings and errors.

use std::io::{self, Stderr, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{FileType, OFlags};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Ordinary lines: bytes a second in the long run, three quarters of what the host takes.
const PER_SECOND: f64 = 48.0 * 1024.0;
/// Bytes of them without a pause, likewise.
const AT_ONCE: f64 = 192.0 * 1024.0;
/// Once some were left out, the next come when there is room for so many bytes of them, so that lines that belong together stay together.
const TOGETHER: f64 = AT_ONCE / 16.0;
/// The host cuts longer lines; and so much goes into a pipe as a whole or not at all (`PIPE_BUF`).
const LINE_MAX: usize = 4096;

/// Logs to standard error from now on, without ever waiting for it where it is a pipe. Elsewhere it may be somebody's terminal, which is not
/// ours to change.
///
/// # Errors
/// When standard error is not open.
pub(super) fn start() -> io::Result<()> {
    let error = io::stderr();
    if FileType::from_raw_mode(rustix::fs::fstat(&error)?.st_mode) == FileType::Fifo {
        rustix::fs::fcntl_setfl(&error, rustix::fs::fcntl_getfl(&error)? | OFlags::NONBLOCK)?;
    }
    let outlet = Outlet(Mutex::new(Lines::new(error, Instant::now())));
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(outlet).with_target(false).init();
    Ok(())
}

struct Outlet(Mutex<Lines<Stderr>>);

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { outlet: self, weighty: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line { outlet: self, weighty: *event.level() <= Level::WARN }
    }
}

/// Takes one line, in one call.
struct Line<'a> {
    outlet: &'a Outlet,
    /// A warning or an error.
    weighty: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.outlet.0.lock().unwrap_or_else(PoisonError::into_inner).put(line, self.weighty, Instant::now());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Lines<W> {
    to: W,
    /// What ordinary lines may still take, in bytes; below nought they are left out.
    left: f64,
    since: Instant,
    /// So many were left out since the last that was not.
    left_out: u64,
}

impl<W: Write> Lines<W> {
    fn new(to: W, now: Instant) -> Self {
        Self { to, left: AT_ONCE, since: now, left_out: 0 }
    }

    fn put(&mut self, line: &[u8], weighty: bool, now: Instant) {
        let more = now.saturating_duration_since(self.since).as_secs_f64() * PER_SECOND;
        (self.left, self.since) = ((self.left + more).min(AT_ONCE), now);
        let enough = if self.left_out > 0 { TOGETHER } else { 0.0 };
        if (weighty || self.left >= enough) && self.written(line) {
            self.left_out = 0;
        } else {
            self.left_out += 1;
        }
    }

    /// Whether there was room for it, and for how many were left out before it.
    fn written(&mut self, line: &[u8]) -> bool {
        let mut piece = match self.left_out {
            0 => Vec::with_capacity(line.len()),
            lines => {
                format!("{{\"level\":\"WARN\",\"message\":\"left out, too many at once\",\"lines\":{lines}}}\n").into()
            }
        };
        piece.extend_from_slice(line);
        if piece.len() > LINE_MAX {
            piece.truncate(LINE_MAX - 1);
            piece.push(b'\n');
        }
        let done = self.to.write_all(&piece).is_ok();
        self.left -= if done { piece.len() as f64 } else { 0.0 };
        done
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::Duration;

    use rustix::pipe::PipeFlags;

    use super::*;

    /// A pipe that nobody takes anything from, and lines of 200 bytes.
    struct Scene {
        lines: Lines<File>,
        other: File,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
            let now = Instant::now();
            Self { lines: Lines::new(File::from(write), now), other: File::from(read), now }
        }

        fn put(&mut self, count: usize, weighty: bool) {
            for _ in 0..count {
                let line = format!("{:199}\n", if weighty { "weighty" } else { "ordinary" });
                self.lines.put(line.as_bytes(), weighty, self.now);
            }
        }

        /// What the host finds: ordinary lines, weighty ones, and how many it is told were left out.
        fn take(&mut self) -> (usize, usize, u64) {
            let mut text = Vec::new();
            let _ = self.other.read_to_end(&mut text);
            let text = String::from_utf8(text).unwrap();
            let count = |word| text.lines().filter(|line| line.starts_with(word)).count();
            let told = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            (count("ordinary"), count("weighty"), told.map(|line| line["lines"].as_u64().unwrap()).sum())
        }
    }

    #[test]
    fn nobody_waits_for_a_full_pipe_and_what_is_left_out_is_told_once_there_is_room() {
        let mut scene = Scene::new();
        scene.put(500, true);
        let (_, weighty, told) = scene.take();
        assert!((300..328).contains(&weighty) && told == 0, "64 KiB: {weighty}");
        scene.put(1, true);
        assert_eq!(scene.take(), (0, 1, 500 - weighty as u64));
    }

    #[test]
    fn ordinary_lines_leave_room_for_weighty_ones() {
        let mut scene = Scene::new();
        let mut found = 0;
        for _ in 0..20 {
            scene.put(200, false);
            found += scene.take().0;
        }
        assert!(found.abs_diff(AT_ONCE as usize / 200) < 3, "{found}");
        scene.put(1, true);
        assert_eq!(scene.take(), (0, 1, 4000 - found as u64));
        scene.put(1, false);
        assert_eq!(scene.take(), (0, 0, 0));
        scene.now += Duration::from_secs(1);
        scene.put(300, false);
        let (ordinary, _, told) = scene.take();
        assert!(ordinary.abs_diff(PER_SECOND as usize / 200) < 4 && told == 1, "{ordinary} {told}");
        scene.now += Duration::from_millis(200);
        scene.put(1, false);
        assert_eq!(scene.take(), (0, 0, 0), "not one by one");
        scene.now += Duration::from_millis(100);
        scene.put(1, false);
        assert_eq!(scene.take(), (1, 0, 301 - ordinary as u64));
    }

    #[test]
    fn a_line_that_is_too_long_for_one_piece_is_cut() {
        let mut scene = Scene::new();
        scene.lines.put(&b"z".repeat(10_000), true, scene.now);
        let mut text = Vec::new();
        let _ = scene.other.read_to_end(&mut text);
        assert_eq!((text.len(), text.last()), (LINE_MAX, Some(&b'\n')));
    }
}
