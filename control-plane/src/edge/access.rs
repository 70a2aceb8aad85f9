//! The access log: one structured event a request, on standard error among the other log lines and in their form.
//!
//! A worker only adds its line to a buffer; a thread of its own writes. What a request costs is then the same whether somebody
//! reads the log quickly, slowly or not at all: a reader that does not keep up loses lines, which are counted.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bundle::Clock;
use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::Notify;

use super::meter::{Entry, Meter};

/// Bytes that a worker gathers before it gives them away.
const FULL: usize = 32 * 1024;
/// How long a line may wait for others.
const LINGER: Duration = Duration::from_millis(200);
/// Buffers that may wait to be written.
const WAITING: usize = 64;

enum Piece {
    Lines(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where all workers' lines go.
pub(super) struct Log {
    /// None where nobody wants an access log (`PERCLOUD_LOG`).
    writer: Option<SyncSender<Piece>>,
    clock: Clock,
}

impl Log {
    /// Starts the writer, when the log's filter lets access lines through.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn start() -> std::io::Result<Self> {
        if !tracing::enabled!(target: "access", tracing::Level::INFO) {
            return Ok(Self { writer: None, clock: Clock::system() });
        }
        Self::to(std::io::stderr(), Clock::system())
    }

    fn to(sink: impl Write + Send + 'static, clock: Clock) -> std::io::Result<Self> {
        let (writer, pieces) = sync_channel(WAITING);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&pieces, sink))?;
        Ok(Self { writer: Some(writer), clock })
    }

    /// Waits, not for ever, until all that was given away is written.
    pub(super) fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        let (done, written) = sync_channel(1);
        if writer.send(Piece::Flush(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(2));
        }
    }
}

fn write(pieces: &Receiver<Piece>, mut sink: impl Write) {
    for piece in pieces {
        match piece {
            // A log that cannot be written must not stop the edge; standard error is where one would say so.
            Piece::Lines(lines) => drop(sink.write_all(&lines)),
            Piece::Flush(done) => drop(done.send(())),
        }
    }
}

/// One worker's end of the log, and of the metrics.
pub(super) struct Scribe {
    pub(super) meter: Arc<Meter>,
    log: Arc<Log>,
    lines: Mutex<Lines>,
    /// There is a first line in the buffer.
    begun: Notify,
}

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
    second: Second,
    date: Date,
}

impl Scribe {
    pub(super) fn new(meter: Arc<Meter>, log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self { meter, log, lines: Mutex::default(), begun: Notify::new() })
    }

    /// Gives away what has waited long enough, for as long as the worker lives.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(LINGER).await;
            self.give_away();
        }
    }

    /// Adds a request's line.
    pub(super) fn note(&self, entry: &Entry) {
        if self.log.writer.is_none() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let first = lines.text.is_empty();
        let Lines { text, count, second, .. } = &mut *lines;
        if first {
            // Room for all that is gathered: it does not move while it grows.
            text.reserve(FULL + 1024);
        }
        line(text, entry, second.say(self.log.clock.now()));
        *count += 1;
        let full = text.len() >= FULL;
        drop(lines);
        match (full, first) {
            (true, _) => self.give_away(),
            (false, true) => self.begun.notify_one(),
            (false, false) => {}
        }
    }

    /// Says when this is, as a head has it.
    pub(super) fn date(&self, put: impl FnOnce(&str)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        put(lines.date.say(self.log.clock.now()));
    }

    /// Gives away what there is.
    pub(super) fn give_away(&self) {
        let (text, count) = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut lines.text), std::mem::take(&mut lines.count))
        };
        let Some(writer) = &self.log.writer else { return };
        if let (false, Err(TrySendError::Full(_))) = (text.is_empty(), writer.try_send(Piece::Lines(text))) {
            self.meter.lines_lost.increment(count);
        }
    }
}

/// A moment as text. Within one second only the fraction is written anew.
#[derive(Default)]
struct Second {
    is: i64,
    text: String,
}

impl Second {
    fn say(&mut self, now: DateTime<Utc>) -> (&str, u32) {
        if self.text.is_empty() || self.is != now.timestamp() {
            self.is = now.timestamp();
            self.text = now.to_rfc3339_opts(SecondsFormat::Secs, true);
            self.text.truncate(self.text.len() - 1);
        }
        (&self.text, now.timestamp_subsec_micros().min(999_999))
    }
}

/// The header `Date`, written anew once a second.
#[derive(Default)]
struct Date {
    is: i64,
    text: String,
}

impl Date {
    fn say(&mut self, now: DateTime<Utc>) -> &str {
        if self.text.is_empty() || self.is != now.timestamp() {
            self.is = now.timestamp();
            self.text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        }
        &self.text
    }
}

/// The line, in the form of all our log lines. No value needs escaping: names are ours, ids are letters and digits, the rest is numbers.
fn line(out: &mut Vec<u8>, entry: &Entry, (second, micros): (&str, u32)) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(second.as_bytes());
    out.push(b'.');
    fraction(out, micros);
    out.extend_from_slice(b"Z\",\"level\":\"INFO\",\"fields\":{\"message\":\"request\",\"request.id\":\"");
    out.extend_from_slice(entry.request_id.as_str().as_bytes());
    if let Some(tenant) = &entry.tenant {
        out.extend_from_slice(b"\",\"tenant.id\":\"");
        out.extend_from_slice(tenant.row.tenant_id.as_bytes());
    }
    for piece in [
        "\",\"class\":\"",
        entry.class.name(),
        "\",\"area\":\"",
        entry.area,
        "\",\"method\":\"",
        super::meter::method(&entry.method),
        "\",\"protocol\":\"",
        super::meter::protocol(entry.version),
    ] {
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(b"\",\"status\":");
    digits(out, u64::from(entry.status.as_u16()), 3);
    out.extend_from_slice(b",\"bytes_in\":");
    digits(out, entry.bytes_in(), 1);
    out.extend_from_slice(b",\"bytes_out\":");
    digits(out, entry.bytes_out, 1);
    out.extend_from_slice(b",\"first_byte_seconds\":");
    seconds(out, entry.first_byte);
    out.extend_from_slice(b",\"seconds\":");
    seconds(out, entry.began.elapsed());
    out.extend_from_slice(if entry.whole { b",\"whole\":true" } else { b",\"whole\":false" });
    out.extend_from_slice(b"},\"target\":\"access\"}\n");
}

/// Two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let (mut pairs, mut at) = ([[0; 2]; 100], 0);
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// A number, with zeros in front until it has `least` digits.
pub(super) fn digits(out: &mut Vec<u8>, mut number: u64, least: usize) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while number >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 {
        at -= 1;
        buffer[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&buffer[at.min(buffer.len() - least)..]);
}

fn seconds(out: &mut Vec<u8>, duration: Duration) {
    digits(out, duration.as_secs(), 1);
    out.push(b'.');
    fraction(out, duration.subsec_micros());
}

/// Microseconds behind a point, six digits.
fn fraction(out: &mut Vec<u8>, micros: u32) {
    let [a, b, c] = [micros / 10_000, micros / 100 % 100, micros % 100].map(|pair| PAIRS[pair as usize % 100]);
    out.extend_from_slice(&[a[0], a[1], b[0], b[1], c[0], c[1]]);
}
