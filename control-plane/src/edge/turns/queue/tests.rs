use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct Crowd {
    queue: Queue,
    now: Instant,
    /// Who waits, with the ends that hear of it.
    called: Vec<(String, oneshot::Receiver<Turn>)>,
}

impl Crowd {
    fn new() -> Self {
        let now = Instant::now();
        let company = Arc::new(Company::new(now));
        Self { queue: Queue::new(company, now, [Gauge::noop(), Gauge::noop()]), now, called: Vec::new() }
    }

    fn wait(&mut self, key: &str, first: bool) -> bool {
        self.wait_for(key, if first { What::First } else { What::Later })
    }

    fn wait_for(&mut self, key: &str, what: What) -> bool {
        let (call, called) = oneshot::channel();
        self.called.push((format!("{key}{}", self.called.len()), called));
        self.queue.wait(Who::of(key), Waiter { call, what }, self.now)
    }

    /// Who is next, and how many times as long the busy then wait.
    fn next(&mut self) -> Option<(String, u32)> {
        let Next::Call(call, part) = self.queue.next(self.now) else { return None };
        let sent_away = |called: &mut oneshot::Receiver<Turn>| {
            called.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        };
        self.called.retain_mut(|(_, called)| !sent_away(called));
        drop(call);
        let at = self.called.iter_mut().position(|(_, called)| sent_away(called)).unwrap();
        Some((self.called.remove(at).0, part))
    }

    fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).map(|(who, _)| who).collect()
    }
}

#[test]
fn perclouds_take_turns_and_what_was_begun_is_ended_first() {
    let mut crowd = Crowd::new();
    for key in ["a", "a", "a", "b", "b", "c"] {
        assert!(crowd.wait(key, true));
    }
    assert!(crowd.wait("a", false));
    assert_eq!(crowd.all(), ["a6", "b3", "c5", "a0", "b4", "a1", "a2"]);
    assert_eq!(crowd.queue.waiting, 0);
}

#[test]
fn who_has_given_up_is_passed_over() {
    let mut crowd = Crowd::new();
    for _ in 0..4 {
        crowd.wait("a", true);
    }
    crowd.called.drain(1..3);
    assert_eq!(crowd.all(), ["a0", "a3"]);
    assert_eq!(crowd.queue.waiting, 0);
}

#[test]
fn the_busy_have_a_sixteenth_of_the_time_and_nobody_else_waits_for_them() {
    let mut crowd = Crowd::new();
    for _ in 0..WAIT_PER_NAME {
        crowd.wait("busy", true);
    }
    assert!(!crowd.wait("busy", true), "so many wait and no more");
    let (start, took) = (crowd.now, Duration::from_micros(250));
    let (mut had, mut others) = (0, 0);
    let visitor = |others: u64| start + millis(100 * (others + 1));
    while crowd.now < start + Duration::from_secs(1) {
        crowd.queue.company.visited(Who::of("quiet"), crowd.now);
        if crowd.now >= visitor(others) {
            crowd.wait("quiet", true);
            // One of the crowd's own share at most comes before.
            let next = [crowd.next(), crowd.next()].into_iter().flatten();
            let visits = next.filter(|(who, part)| who.starts_with("quiet") && *part == 0).count();
            assert_eq!(visits, 1);
            others += 1;
        } else if let Some((_, part)) = crowd.next() {
            crowd.queue.ended(part, took, crowd.now + took);
            crowd.now += took;
            had += 1;
        } else {
            // A clock that wakes late.
            crowd.now += millis(1);
        }
    }
    assert!(others >= 8, "{others}");
    // Its share of the beginning, then two hundred and fifty; the others are its share of this second.
    assert!((250..400).contains(&had), "{had}");
    // An hour later nobody else is there, and nobody waits for nobody.
    crowd.now += Duration::from_secs(3600);
    for _ in 0..SHARE + 1000 {
        crowd.wait("busy", true);
        let (_, part) = crowd.next().unwrap();
        crowd.queue.ended(part, took, crowd.now);
    }
}

#[test]
fn a_crowds_connections_go_on_in_their_order_and_in_turn_with_its_handshakes() {
    let mut crowd = Crowd::new();
    for _ in 0..=SHARE {
        crowd.queue.at_once(Who::of("a"), What::First, crowd.now);
    }
    for _ in 0..3 {
        assert!(crowd.wait_for("a", What::Step));
    }
    for key in ["a", "a", "b"] {
        assert!(crowd.wait(key, true));
    }
    assert_eq!(crowd.queue.at_once(Who::of("a"), What::Step, crowd.now), None, "others came before");
    assert_eq!(crowd.all(), ["b5", "a3", "a0", "a4", "a1", "a2"]);
    assert_eq!((crowd.queue.waiting, crowd.queue.held), (0, 0));
    assert_eq!(crowd.queue.at_once(Who::of("a"), What::Step, crowd.now), Some(STEPS_PART));
}

#[test]
fn a_crowds_connections_have_an_eighth_of_the_time_beside_others_and_all_of_it_alone() {
    let mut crowd = Crowd::new();
    for _ in 0..=WAIT {
        assert!(crowd.wait_for("busy", What::Step), "none is sent away");
    }
    let (start, took) = (crowd.now, Duration::from_micros(50));
    let (mut had, mut others) = (0, 0);
    while crowd.now < start + Duration::from_secs(1) {
        crowd.queue.company.visited(Who::of("quiet"), crowd.now);
        let Some((_, part)) = crowd.next() else {
            others += 1;
            crowd.queue.spent = Duration::ZERO;
            let quiet = crowd.queue.at_once(Who::of(&format!("quiet{others}")), What::First, crowd.now);
            assert_eq!(quiet, Some(0), "nobody waits for them");
            // A clock that wakes late.
            crowd.now += millis(1);
            continue;
        };
        crowd.now += took;
        crowd.queue.ended(part, took, crowd.now);
        had += 1;
        assert!(crowd.wait_for("busy", What::Step));
    }
    assert!(others > 0 && (2200..2560).contains(&had), "{others} {had}");
    crowd.now += Duration::from_secs(3600);
    assert_eq!(crowd.all().len(), WAIT + 1);
}

#[test]
fn who_is_lively_waits_for_a_turn_and_for_no_more() {
    let mut crowd = Crowd::new();
    crowd.queue.company.visited(Who::of("quiet"), crowd.now);
    // The busy have had their time, and much of it.
    for _ in 0..=SHARE {
        crowd.queue.at_once(Who::of("busy"), What::First, crowd.now);
    }
    crowd.queue.ended(PART, millis(100), crowd.now);
    for (key, what) in [
        ("busy", What::Step),
        ("busy", What::Lively),
        ("busy", What::Lively),
        ("lively", What::Lively),
        ("quiet", What::First),
    ] {
        assert!(crowd.wait_for(key, what));
    }
    assert_eq!(crowd.queue.at_once(Who::of("lively"), What::Lively, crowd.now), None, "others came before");
    assert_eq!(crowd.next(), Some(("quiet4".to_owned(), 0)), "a handshake goes before");
    assert_eq!(crowd.all(), ["busy1", "lively3", "busy2"], "perclouds take turns, and a crowd's wait");
    crowd.now += Duration::from_secs(2);
    assert_eq!(crowd.next(), Some(("busy0".to_owned(), STEPS_PART)));
    assert_eq!((crowd.queue.waiting, crowd.queue.held), (0, 0));
    crowd.queue.spent = Duration::ZERO;
    assert_eq!(crowd.queue.at_once(Who::of("lively"), What::Lively, crowd.now), Some(0));
    crowd.queue.ended(0, SLICE, crowd.now);
    let looked = crowd.queue.at_once(Who::of("lively"), What::Lively, crowd.now);
    assert_eq!(looked, None, "the worker looks at everything else first");
}

#[test]
fn when_too_many_wait_the_longest_queue_gives_way() {
    let mut crowd = Crowd::new();
    for _ in 0..WAIT / 2 {
        assert!(crowd.wait("a", true) && crowd.wait("b", true));
    }
    assert!(crowd.wait("quiet", true));
    assert_eq!(crowd.queue.waiting, WAIT);
    assert_eq!((0..3).filter(|_| crowd.next().unwrap().0.starts_with("quiet")).count(), 1);
    let mut many = Crowd::new();
    for n in 0..WAIT {
        assert!(many.wait(&n.to_string(), true));
    }
    assert!(!many.wait("one more", true), "nobody has more than it");
}

#[test]
fn names_are_forgotten_once_their_turns_are_paid_for() {
    let mut crowd = Crowd::new();
    for n in 0..10 * REMEMBERED {
        assert_eq!(crowd.queue.at_once(Who::of(&n.to_string()), What::First, crowd.now), Some(0));
        crowd.now += millis(1);
    }
    assert!(crowd.queue.names.len() <= REMEMBERED, "{}", crowd.queue.names.len());
}
