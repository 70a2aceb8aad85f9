//! How long somebody is waited for who sends or takes a body: silence has a limit, and so has next to nothing. What was waited in all
//! counts until what comes makes up for it, so that a byte now and then holds no place for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Duration, Instant, Sleep, timeout_at};

use super::limits;
use super::meter::Progress;
use super::upstream::Failure;

/// How long was waited, without a clock of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    since: Option<Instant>,
    /// Before that, and not made up for.
    before: Duration,
}

impl Waited {
    /// Somebody waits from `now` on, unless somebody does already.
    pub(super) fn begins(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes have come by `now`, and nobody waits any more. They make up for as long as they take at [`limits::SLOWEST`].
    pub(super) fn goes_on(&mut self, bytes: usize, now: Instant) {
        if *self == Self::default() {
            return;
        }
        let waited = self.before + self.since.take().map_or(Duration::ZERO, |since| now - since);
        self.before = waited.saturating_sub(Duration::from_millis(bytes as u64 * 1000 / limits::SLOWEST));
    }

    /// Whether somebody waits, and has for longer than `limit` in all.
    pub(super) fn is_over(&self, limit: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| self.before + (now - since) > limit)
    }
}

/// The same with a clock, which runs only while somebody waits.
#[derive(Default)]
pub(super) struct Patience {
    waited: Waited,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Ready when `limit` has been waited in all.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if self.waited.since.is_none() {
            let now = Instant::now();
            self.waited.begins(now);
            timer.as_mut().reset(now + limit.saturating_sub(self.waited.before));
        }
        timer.as_mut().poll(cx)
    }

    /// So many bytes have come.
    pub(super) fn goes_on(&mut self, bytes: usize) {
        // The clock is not asked where nobody has waited.
        if self.waited != Waited::default() {
            self.waited.goes_on(bytes, Instant::now());
        }
    }

    /// Nobody waits any more, and what was waited is forgotten.
    pub(super) fn rest(&mut self) {
        self.waited = Waited::default();
    }
}

/// Waits for an answer as long as the client's body moves, and then a while: its end is movement, too.
pub(super) async fn patiently<T>(
    answer: impl Future<Output = Result<T, Failure>>,
    progress: Option<Arc<Progress>>,
    patience: Duration,
) -> Result<T, Failure> {
    let mut answer = std::pin::pin!(answer);
    let mut end = Instant::now() + patience;
    loop {
        match timeout_at(end, &mut answer).await {
            Ok(answer) => return answer,
            // Counted from the last piece: by the beginning, who is done just before a round number would have a moment left.
            Err(_) => match progress.as_ref().map(|progress| progress.moved() + patience) {
                Some(later) if later > end => end = later,
                _ => return Err(Failure::Slow),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Whether one who sends so many bytes every so many seconds is sent away within a day.
    fn ends(bytes: usize, seconds: u64) -> bool {
        let (mut waited, mut now) = (Waited::default(), Instant::now());
        (0..86_400 / seconds).any(|_| {
            waited.begins(now);
            now += Duration::from_secs(seconds);
            let over = waited.is_over(LIMIT, now);
            waited.goes_on(bytes, now);
            over
        })
    }

    #[test]
    fn who_is_slow_goes_on_and_who_sends_next_to_nothing_does_not() {
        for (what, bytes, seconds, over) in [
            ("a telephone line of the nineties", 3_500, 1, false),
            ("a piece of 64 KiB, then a pause of a minute", 64 << 10, 60, false),
            ("as slow as may be", limits::SLOWEST as usize, 1, false),
            ("half of it", limits::SLOWEST as usize / 2, 1, true),
            ("a byte now and then", 1, 59, true),
            ("a byte each second", 1, 1, true),
            ("nothing", 0, 61, true),
        ] {
            assert_eq!(ends(bytes, seconds), over, "{what}");
        }
    }

    #[test]
    fn nobody_is_sent_away_while_nobody_waits() {
        let (mut waited, now) = (Waited::default(), Instant::now());
        waited.begins(now);
        let later = now + LIMIT;
        waited.goes_on(0, later);
        let much_later = later + LIMIT * 10;
        assert!(!waited.is_over(LIMIT, much_later), "the percloud is what is waited for");
        waited.begins(much_later);
        assert!(waited.is_over(LIMIT, much_later + Duration::from_millis(1)), "what was waited before counts");
        waited.goes_on(1 << 20, much_later);
        assert_eq!(waited, Waited::default(), "and is made up for");
    }

    const PATIENCE: Duration = Duration::from_millis(400);

    #[tokio::test]
    async fn who_is_done_sending_just_before_the_time_is_over_still_gets_the_answer() {
        let progress = Arc::new(Progress::of_at_most(10));
        let sent = progress.clone();
        let answer = async move {
            sent.add(1);
            tokio::time::sleep(PATIENCE.mul_f64(0.9)).await;
            sent.finish();
            tokio::time::sleep(PATIENCE.mul_f64(0.5)).await;
            Ok("stored")
        };
        assert_eq!(patiently(answer, Some(progress), PATIENCE).await.ok(), Some("stored"));
    }

    #[tokio::test]
    async fn who_gives_no_answer_is_waited_for_from_the_last_movement_on_and_no_longer() {
        for body in [None, Some(Arc::new(Progress::of_at_most(10)))] {
            let (sent, began) = (body.clone(), Instant::now());
            let answer = async move {
                tokio::time::sleep(PATIENCE.mul_f64(0.5)).await;
                sent.inspect(|sent| sent.finish());
                std::future::pending::<Result<(), Failure>>().await
            };
            let from = if body.is_some() { PATIENCE.mul_f64(0.5) } else { Duration::ZERO };
            assert!(matches!(patiently(answer, body, PATIENCE).await, Err(Failure::Slow)));
            // By the clock that movement is noted with, which knows thousandths.
            assert!(began.elapsed() + Duration::from_millis(2) >= from + PATIENCE, "{:?}", began.elapsed());
        }
    }
}
