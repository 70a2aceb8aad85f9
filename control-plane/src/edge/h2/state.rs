//! What the driver of a connection and the tasks of its streams share. They all live on one thread, so nobody ever waits here.

mod heard;
mod say;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::BytesMut;
use http::HeaderMap;
use tokio::time::{Duration, Instant};

use super::super::limits;
use super::super::patience::Waited;
use super::frame::{self, Code, LARGEST, RST_STREAM, WIDEST, WINDOW};
use super::hpack::Encoder;
pub(super) use heard::SMALL;

/// Bytes that wait to be sent; while there are more, nobody adds a piece of a body.
const OUT: usize = 64 * 1024;
/// Streams that we have ended before the client had, and of which we remember that what still comes is no mistake.
const REMEMBERED: usize = 2 * limits::STREAMS as usize;

/// Held by the driver and by each stream.
pub(super) struct Shared(Mutex<State>);

impl Shared {
    /// `unread` is the same for all connections.
    pub(super) fn new(unread: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            unread,
            held: 0,
            out: Vec::new(),
            encoder: Encoder::new(),
            window: WINDOW,
            shut: Waited::default(),
            initial: WINDOW,
            room: i64::from(limits::CONNECTION_WINDOW),
            taken: 0,
            streams: BTreeMap::new(),
            waiting: VecDeque::new(),
            turn: None,
            cut_off: VecDeque::new(),
            driver: None,
            asked: 0,
            broken_off: 0,
            chatter: 0,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's state.
pub(super) struct State {
    /// Frames that wait to be sent.
    pub(super) out: Vec<u8>,
    pub(super) encoder: Encoder,
    /// Bytes of bodies that the client takes, over all streams.
    pub(super) window: i64,
    /// How long somebody has waited for that window.
    shut: Waited,
    /// Bytes that the client takes on a stream that begins.
    initial: i64,
    /// Bytes of bodies that the client may still send, over all streams.
    room: i64,
    /// Bytes of them that went on and of which the client does not know yet.
    taken: u32,
    /// Bytes of them that nobody has read, of all connections and of this one.
    unread: Arc<AtomicUsize>,
    held: usize,
    pub(super) streams: BTreeMap<u32, Flow>,
    /// Streams that wait for what they all need: the connection's window, or room in `out`.
    waiting: VecDeque<u32>,
    /// The one of them that may go on.
    turn: Option<u32>,
    cut_off: VecDeque<u32>,
    driver: Option<Waker>,
    /// Requests so far.
    pub(super) asked: usize,
    /// Those that ended before there was an answer, and not by us.
    broken_off: usize,
    /// Frames, since the last round, that brought nobody any further.
    chatter: usize,
}

/// One stream.
pub(super) struct Flow {
    /// Bytes of its answer's body that the client takes.
    pub(super) window: i64,
    /// How long the client has taken nothing of its answer while there was more.
    shut: Waited,
    /// There is the head of an answer.
    pub(super) answered: bool,
    /// The answer has not ended.
    pub(super) open_out: bool,
    /// The request has not ended.
    pub(super) open_in: bool,
    /// Bytes of its body that the client may still send.
    room: i64,
    /// Bytes of it that went on and of which the client does not know yet.
    taken: u32,
    /// Bytes of it that must still come, where it was said how many there are.
    left: Option<u64>,
    /// What of it came and was not taken yet.
    pub(super) heard: VecDeque<BytesMut>,
    pub(super) trailers: Option<HeaderMap>,
    /// The stream's task, and whoever reads the request's body.
    pub(super) task: Option<Waker>,
    pub(super) reader: Option<Waker>,
}

impl Flow {
    fn wake(&mut self) {
        for waker in [self.task.take(), self.reader.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// What a client may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ends (RFC 9113 §5.4.1).
    Connection(Code),
    /// This stream does (§5.4.2).
    Stream(u32, Code),
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self::Connection(code)
    }
}

impl State {
    /// Lets the driver send what there is.
    pub(super) fn drive(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    pub(super) fn driven_by(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(driver),
            None => self.driver = Some(driver.clone()),
        }
    }

    /// Forgets what moved nothing: something has moved since, or a round is over.
    pub(super) fn forgive(&mut self) {
        self.chatter = 0;
    }

    /// Counts a frame that moved nothing.
    pub(super) fn chatter(&mut self) -> Result<(), Fault> {
        self.chatter += 1;
        if self.chatter > limits::CHATTER { Err(Code::EnhanceYourCalm.into()) } else { Ok(()) }
    }

    /// A request begins; `left` is how long its body is, where that was said.
    pub(super) fn open(&mut self, id: u32, open_in: bool, left: Option<u64>) {
        let flow = Flow {
            window: self.initial,
            shut: Waited::default(),
            answered: false,
            open_out: true,
            open_in,
            room: i64::from(limits::STREAM_WINDOW),
            taken: 0,
            left,
            heard: VecDeque::new(),
            trailers: None,
            task: None,
            reader: None,
        };
        self.streams.insert(id, flow);
    }

    /// Ends a stream with a code.
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        frame::put(&mut self.out, RST_STREAM, 0, id, &(code as u32).to_be_bytes());
        let known = self.streams.get(&id).map(|flow| flow.open_in);
        self.close(id);
        // Of a stream that was refused before it began, more may come as well.
        if known.unwrap_or(true) {
            self.cut_off.truncate(REMEMBERED - 1);
            self.cut_off.push_front(id);
        }
        self.drive();
    }

    /// A stream is over. What was not read of it makes room for others.
    pub(super) fn close(&mut self, id: u32) {
        let Some(mut flow) = self.streams.remove(&id) else { return };
        flow.wake();
        let unread = flow.heard.iter().map(BytesMut::len).sum();
        self.let_go(unread);
        self.release(unread);
        if self.turn == Some(id) {
            self.pass_turn();
        }
    }

    /// Something came on a stream that is over: no mistake where we had ended it and the client had not.
    fn late(&self, id: u32) -> Result<(), Fault> {
        if self.cut_off.contains(&id) { Ok(()) } else { Err(Code::StreamClosed.into()) }
    }

    /// Counts a request that the client itself brought to nothing.
    pub(super) fn breaks_off(&mut self) -> Result<(), Fault> {
        self.broken_off += 1;
        let enough = self.broken_off > limits::BROKEN_OFF && self.broken_off * 2 > self.asked;
        if enough { Err(Code::EnhanceYourCalm.into()) } else { Ok(()) }
    }

    /// The client takes more, on a stream or (0) over all of them.
    pub(super) fn widen(&mut self, id: u32, by: u32) -> Result<(), Fault> {
        let fault = |code| if id == 0 { Fault::Connection(code) } else { Fault::Stream(id, code) };
        if by == 0 {
            return Err(fault(Code::Protocol));
        }
        let (window, shut) = match (id, self.streams.get_mut(&id)) {
            (0, _) => (&mut self.window, &mut self.shut),
            (_, Some(flow)) => (&mut flow.window, &mut flow.shut),
            (_, None) => return Ok(()),
        };
        shut.goes_on(by as usize, Instant::now());
        *window += i64::from(by);
        if *window > WIDEST {
            return Err(fault(Code::FlowControl));
        }
        match self.streams.get_mut(&id) {
            Some(flow) => flow.wake(),
            None => self.wake_waiting(),
        }
        Ok(())
    }

    /// All streams' windows are so wide from the beginning, and those that are open as if they had been (RFC 9113 §6.9.2).
    pub(super) fn widen_all(&mut self, initial: i64) -> Result<(), Fault> {
        let by = initial - self.initial;
        self.initial = initial;
        for flow in self.streams.values_mut() {
            flow.window += by;
            if flow.window > WIDEST {
                return Err(Code::FlowControl.into());
            }
            if by > 0 {
                flow.shut.goes_on(by as usize, Instant::now());
                flow.wake();
            }
        }
        Ok(())
    }

    /// Lets go on who waited longest for what all need, if there is some.
    pub(super) fn wake_waiting(&mut self) {
        match self.turn.and_then(|id| self.streams.get_mut(&id)) {
            Some(flow) => flow.wake(),
            None => self.pass_turn(),
        }
    }

    /// The next of those who wait may send a frame.
    fn pass_turn(&mut self) {
        self.turn = None;
        while !self.is_short()
            && let Some(id) = self.waiting.pop_front()
        {
            if let Some(flow) = self.streams.get_mut(&id) {
                self.turn = Some(id);
                return flow.wake();
            }
        }
    }

    /// There is none of what all streams need: no window, or no room.
    fn is_short(&self) -> bool {
        self.out.len() >= OUT || self.window <= 0
    }

    /// Bytes of a body that may be put into a frame of a stream now; none when it must wait. Where several wait they send a frame each in
    /// turn, so that no large answer holds up a small one.
    pub(super) fn room(&self, id: u32) -> Option<usize> {
        let behind_others = self.turn != Some(id) && (self.turn.is_some() || !self.waiting.is_empty());
        let window = self.streams.get(&id)?.window.min(self.window).min(LARGEST as i64);
        (window > 0 && self.out.len() < OUT && !behind_others).then_some(window as usize)
    }

    /// The same for a stream that has something to say: when it must wait, it is woken. Whoever has a turn and says nothing holds up all others.
    pub(super) fn may_send(&mut self, id: u32) -> Option<usize> {
        let room = self.room(id);
        if room.is_none() {
            self.wait(id);
        }
        room
    }

    /// A stream waits for its own window, or for what all need.
    fn wait(&mut self, id: u32) {
        let has_turn = self.turn == Some(id);
        let Some(flow) = self.streams.get_mut(&id) else { return };
        if flow.window <= 0 {
            flow.shut.begins(Instant::now());
            if has_turn {
                self.pass_turn();
            }
            return;
        }
        if self.window <= 0 {
            self.shut.begins(Instant::now());
        }
        if !has_turn && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// More waits to be sent than should: nothing is read meanwhile.
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= 2 * OUT
    }

    /// Ends streams of which a client has let what it asked for lie for too long: a film may be paused, and what else goes on beside it goes
    /// on. True when it lets all of them lie.
    pub(super) fn end_stalled(&mut self, limit: Duration) -> bool {
        let now = Instant::now();
        let stalled = |shut: &Waited| shut.is_over(limit, now);
        let lie: Vec<u32> = self.streams.iter().filter(|(_, flow)| stalled(&flow.shut)).map(|(id, _)| *id).collect();
        lie.into_iter().for_each(|id| self.reset(id, Code::Cancel));
        stalled(&self.shut)
    }

    /// The connection is over, and so is whatever goes on in it.
    pub(super) fn close_all(&mut self) {
        for flow in self.streams.values_mut() {
            flow.wake();
        }
        self.streams.clear();
        self.let_go(self.held);
        self.turn = None;
        self.driver = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies(state: &mut State, id: u32) -> bool {
        assert_eq!(state.may_send(id), None);
        std::thread::sleep(Duration::from_millis(1));
        state.end_stalled(Duration::ZERO) || !state.streams.contains_key(&id)
    }

    #[test]
    fn a_client_that_widens_its_windows_in_either_way_takes_what_it_asked_for() {
        let shared = Shared::new(Arc::default());
        let mut state = shared.lock();
        for (id, widens) in [(1, false), (3, true)] {
            state.widen_all(0).unwrap();
            state.open(id, false, None);
            assert_eq!(state.may_send(id), None);
            std::thread::sleep(Duration::from_millis(1));
            if widens {
                state.widen(id, 5).unwrap()
            } else {
                state.widen_all(5).unwrap()
            }
            assert!(!state.end_stalled(Duration::ZERO));
            assert_eq!(state.may_send(id), Some(5));
            state.sent(id, 5, false);
            assert!(lies(&mut state, id));
        }
    }

    #[test]
    fn what_lies_is_one_stream_or_all_of_them() {
        let shared = Shared::new(Arc::default());
        let mut state = shared.lock();
        state.widen_all(0).unwrap();
        state.open(1, false, None);
        state.widen_all(10).unwrap();
        state.open(3, false, None);
        state.sent(1, 10, false);
        assert!(lies(&mut state, 1) && state.streams.contains_key(&3), "the other one goes on");
        assert_eq!(state.may_send(3), Some(10));
        state.window = 0;
        assert!(lies(&mut state, 3) && state.streams.contains_key(&3), "the connection is to end");
    }

    #[test]
    fn who_only_looks_for_room_waits_for_no_turn_and_holds_up_nobody() {
        let shared = Shared::new(Arc::default());
        let mut state = shared.lock();
        state.open(1, false, None);
        state.open(3, false, None);
        state.out = vec![0; OUT];
        assert_eq!((state.room(1), state.may_send(3)), (None, None));
        state.out.clear();
        state.wake_waiting();
        assert_eq!((state.room(1), state.may_send(3)), (None, Some(LARGEST)), "its turn");
        state.sent(3, 1, true);
        assert_eq!(state.room(1), Some(LARGEST));
    }
}
