//! The driver of a connection: reads what comes, sends what waits, and ends it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::super::limits;
use super::super::proxy::Connection;
use super::Streams;
use super::frame::{self, Code, GOAWAY, LARGEST, PING, SETTINGS, WIDEST, WINDOW, WINDOW_UPDATE, setting};
use super::hpack::{Decoder, Fields};
use super::state::Shared;

/// Room for what comes in one read: a frame, as large as frames may be.
const ROOM: usize = frame::HEAD + LARGEST;
/// Times that one connection is read before all others have their turn.
const READS: usize = 4;
/// Rounds of silence, while somebody waits for an answer, after which it is asked whether the client is still there.
const SILENT: u32 = (limits::SILENT.as_secs() / limits::ROUND.as_secs()) as u32;
/// And after which it is believed to be gone.
const GONE: u32 = 2 * SILENT;
/// What a ping says that asks whether a client has heard that it should go.
const FAREWELL: [u8; 8] = *b"farewell";

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaving {
    No,
    /// The client was told; what is on its way to us is still answered.
    Told,
    /// It knows: nothing new begins.
    Known,
    /// All is said but what waits to be sent.
    Over,
}

/// See the module.
pub(super) struct Driver<T> {
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
    pub(super) streams: Streams,
    io: T,
    /// What was read and is no whole frame yet.
    heard: BytesMut,
    /// What is being sent, and how much of it was.
    sending: Vec<u8>,
    sent: usize,
    /// Something was written that the stream has not been told to send off.
    unsent: bool,
    pub(super) decoder: Decoder,
    pub(super) fields: Fields,
    /// A header block of which not all has come.
    pub(super) block: Option<Block>,
    /// The client has said what it says first; and its settings.
    pub(super) greeted: (bool, bool),
    /// The last stream that began.
    pub(super) last: u32,
    /// The last one that the client was told may be answered.
    promised: u32,
    pub(super) leaving: Leaving,
    /// Nothing is read, since there is too much already that nobody reads.
    sated: bool,
    /// After which it is looked whether that is still so: others' streams do not wake us.
    pause: Option<Pin<Box<Sleep>>>,
    silence: Silence,
    /// Rounds since the client was told that it should go, and then since all is said.
    told: u32,
}

/// How long nothing has come from the client: no word, nor a sign that it takes what it is sent. One that fetches something large says
/// next to nothing meanwhile, and our question whether it is there lies behind all that is on its way.
#[derive(Default)]
struct Silence {
    rounds: u32,
    /// What is to be sent waits for the client to take what was sent before: to be written, and to go out. TLS takes what is written as long as
    /// it has room itself, which says nothing of the client.
    writes: bool,
    flushes: bool,
}

impl Silence {
    /// What goes out at once says nothing of the client: it may lie in our own machine. What had to wait and goes on says that it takes.
    fn wrote<R>(&mut self, said: &Poll<io::Result<R>>) {
        if went_on(&mut self.writes, said) {
            self.rounds = 0;
        }
    }

    /// The same of what is on its way out.
    fn flushed<R>(&mut self, said: &Poll<io::Result<R>>) {
        if went_on(&mut self.flushes, said) {
            self.rounds = 0;
        }
    }
}

fn went_on<R>(waits: &mut bool, said: &Poll<io::Result<R>>) -> bool {
    let waited = std::mem::replace(waits, said.is_pending());
    waited && matches!(said, Poll::Ready(Ok(_)))
}

/// A header block in pieces.
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: usize,
}

impl<T> Driver<T> {
    pub(super) fn new(connection: Arc<Connection>, io: T, streams: Streams) -> Self {
        let shared = Shared::new(connection.edge.unread.clone());
        greet(&mut shared.lock().out);
        Self {
            connection,
            shared,
            streams,
            io,
            heard: BytesMut::new(),
            sending: Vec::new(),
            sent: 0,
            unsent: false,
            decoder: Decoder::new(),
            fields: Fields::default(),
            block: None,
            greeted: (false, false),
            last: 0,
            promised: WIDEST as u32,
            leaving: Leaving::No,
            sated: false,
            pause: None,
            silence: Silence::default(),
            told: 0,
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    pub(super) fn is_used(&self) -> bool {
        !self.shared.lock().streams.is_empty()
    }

    /// Has itself polled again after a pause.
    fn pause(&mut self, cx: &mut Context<'_>) {
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(limits::UNREAD_PAUSE)));
        pause.as_mut().reset(Instant::now() + limits::UNREAD_PAUSE);
        if pause.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Tells the client that nothing new should begin here; what is on its way is still answered (RFC 9113 §6.8).
    pub(super) fn leave(&mut self) {
        self.leaving = Leaving::Told;
        self.go_away(self.promised, Code::No);
        frame::put(&mut self.shared.lock().out, PING, 0, 0, &FAREWELL);
    }

    /// The client has answered a ping.
    pub(super) fn pong(&mut self, said: &[u8]) {
        if self.leaving == Leaving::Told && *said == FAREWELL {
            self.leaving = Leaving::Known;
            self.go_away(self.last, Code::No);
        }
    }

    /// Says how far streams are answered; what was said once is not taken back.
    fn go_away(&mut self, last: u32, code: Code) {
        self.promised = self.promised.min(last);
        let said = [self.promised.to_be_bytes(), (code as u32).to_be_bytes()].concat();
        frame::put(&mut self.shared.lock().out, GOAWAY, 0, 0, &said);
    }

    /// Ends the connection, since nobody knows what the client means.
    fn fail(&mut self, code: Code) {
        tracing::debug!(?code, "an HTTP/2 connection is ended");
        self.go_away(self.last, code);
        (self.leaving, self.told) = (Leaving::Over, 0);
        self.shared.lock().close_all();
    }

    /// Looks at the connection once in a while: gives how much was asked so far, or nothing when it should end at once.
    pub(super) fn round(&mut self) -> Option<usize> {
        let mut state = self.shared.lock();
        state.forgive();
        self.silence.rounds += u32::from(!self.sated);
        let gone = self.silence.rounds > GONE && !state.streams.is_empty();
        // Whoever does not take the last that is said will not hear it.
        if gone || self.leaving == Leaving::Over && self.told > SILENT {
            return None;
        }
        let stalled = state.end_stalled(limits::CLIENT_TAKES);
        if self.silence.rounds > SILENT && !state.streams.is_empty() {
            frame::put(&mut state.out, PING, 0, 0, b"anybody?");
        }
        let asked = state.asked;
        drop(state);
        if stalled {
            self.fail(Code::Cancel);
        }
        self.told += u32::from(matches!(self.leaving, Leaving::Told | Leaving::Over));
        if self.leaving == Leaving::Told && self.told > SILENT {
            // It does not say that it knows.
            self.pong(&FAREWELL);
        }
        Some(asked)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// Ready when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Whoever has something to say lets us know.
        self.shared.lock().driven_by(cx.waker());
        for _ in 0..READS {
            let sent = self.poll_send(cx);
            if let Poll::Ready(Err(_)) = sent {
                return Poll::Ready(());
            }
            if self.is_over() {
                ready!(sent.map(drop));
                // A client that does not hear the end will notice it.
                return Pin::new(&mut self.io).poll_shutdown(cx).map(drop);
            }
            let full = {
                let state = self.shared.lock();
                self.sated = state.is_sated();
                state.is_full()
            };
            if self.sated {
                self.pause(cx);
                return Poll::Pending;
            }
            if sent.is_pending() && full {
                return Poll::Pending;
            }
            match ready!(self.poll_hear(cx)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what there is.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.sending.len() {
                let said = Pin::new(&mut self.io).poll_write(cx, &self.sending[self.sent..]);
                self.silence.wrote(&said);
                let sent = ready!(said)?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                (self.sent, self.unsent) = (self.sent + sent, true);
            }
            // A connection that is silent needs no memory for what it may say.
            self.sent = 0;
            let mut state = self.shared.lock();
            self.sending = std::mem::take(&mut state.out);
            if self.sending.is_empty() {
                break;
            }
            state.wake_waiting();
        }
        if self.unsent {
            let said = Pin::new(&mut self.io).poll_flush(cx);
            self.silence.flushed(&said);
            ready!(said)?;
            self.unsent = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads, and does what is said; false when nothing more will be.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [const { MaybeUninit::uninit() }; ROOM];
        let mut room = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        if room.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.silence.rounds = 0;
        let mut heard = std::mem::take(&mut self.heard);
        heard.extend_from_slice(room.filled());
        if let Err(code) = self.hear(&mut heard) {
            self.fail(code);
        } else if !heard.is_empty() {
            // A silent connection holds no buffer.
            self.heard = heard;
        }
        self.fields.shrink();
        Poll::Ready(Ok(true))
    }

    /// Nothing is left to be done but to send what waits.
    fn is_over(&mut self) -> bool {
        if self.leaving == Leaving::Known && !self.is_used() {
            (self.leaving, self.told) = (Leaving::Over, 0);
        }
        self.leaving == Leaving::Over
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.shared.lock().close_all();
    }
}

/// What we say first (RFC 9113 §3.4): how much may be sent to us.
fn greet(out: &mut Vec<u8>) {
    let settings = [
        (setting::MAX_CONCURRENT_STREAMS, limits::STREAMS),
        (setting::INITIAL_WINDOW_SIZE, limits::STREAM_WINDOW),
        (setting::MAX_HEADER_LIST_SIZE, limits::HEAD_BYTES as u32),
        (setting::ENABLE_CONNECT_PROTOCOL, 1),
        (setting::NO_RFC7540_PRIORITIES, 1),
    ];
    let settings: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame::put(out, SETTINGS, 0, 0, &settings);
    frame::put(out, WINDOW_UPDATE, 0, 0, &(limits::CONNECTION_WINDOW - WINDOW as u32).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_what_it_is_sent_is_not_silent_and_one_that_does_not_is() {
        let (went, waits) = (Poll::Ready(Ok(1)), Poll::<io::Result<usize>>::Pending);
        let rounds = |said: &[&Poll<io::Result<usize>>]| {
            let mut silence = Silence::default();
            for _ in 0..=GONE {
                silence.rounds += 1;
                said.iter().for_each(|said| silence.wrote(said));
            }
            silence.rounds
        };
        assert_eq!(rounds(&[&waits, &went]), 0);
        assert_eq!(rounds(&[&waits, &waits, &went, &waits]), 0, "and waits again");
        for gone in [&[&went][..], &[&went, &went], &[&waits], &[&waits, &waits], &[]] {
            assert!(rounds(gone) > GONE, "{gone:?}");
        }
        let mut silence = Silence::default();
        for _ in 0..=GONE {
            silence.rounds += 1;
            silence.wrote(&went); // our own question, in TLS's room
            silence.flushed(&waits);
        }
        assert!(silence.rounds > GONE, "what TLS takes is not what the client takes");
        silence.flushed(&went);
        assert_eq!(silence.rounds, 0);
        let mut silence = Silence { rounds: 1, writes: true, flushes: false };
        silence.wrote::<usize>(&Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())));
        assert_eq!(silence.rounds, 1);
    }
}
