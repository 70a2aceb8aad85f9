use super::super::routes::Route;
use super::crowd::Bustle;
use super::*;

#[tokio::test]
async fn between_two_turns_whatever_is_ready_is_done() {
    let turns = alone();
    tokio::spawn(turns.clone().run());
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what| {
        let log = log.clone();
        move || log.lock().unwrap().push(what)
    };
    let busy = |note: Box<dyn Fn() + Send>| async move {
        note();
        let began = Instant::now();
        while began.elapsed() < SLICE * 2 {}
    };
    let shaking: Vec<_> = (0..20)
        .map(|_| {
            let (turns, work) = (turns.clone(), busy(Box::new(note("turn"))));
            tokio::spawn(async move { turns.take(&Visited::Nobody, work).await })
        })
        .collect();
    let other = note("other");
    let others = tokio::spawn(async move {
        loop {
            other();
            tokio::task::yield_now().await;
        }
    });
    for one in shaking {
        assert_eq!(one.await.unwrap(), Some(()));
    }
    others.abort();
    let log = log.lock().unwrap();
    let together = log.windows(2).filter(|pair| pair == &["turn", "turn"]).count();
    assert_eq!(together, 0, "{log:?}");
}

#[tokio::test]
async fn a_step_that_waits_leaves_the_turn_to_others() {
    let turns = alone();
    tokio::spawn(turns.clone().run());
    let (tell, told) = oneshot::channel::<()>();
    let waiting = tokio::spawn({
        let turns = turns.clone();
        async move { turns.take(&Visited::Portal, told).await }
    });
    tokio::task::yield_now().await;
    for _ in 0..10 {
        assert_eq!(turns.take(&Visited::Nobody, std::future::ready(7)).await, Some(7));
    }
    tell.send(()).unwrap();
    assert_eq!(waiting.await.unwrap(), Some(Ok(())));
    assert_eq!(turns.queue().waiting, 0);
}

/// A worker's turns, with nobody there.
fn alone() -> Arc<Turns> {
    Turns::new(Arc::new(Company::new(Instant::now())), Arc::new(Ledger::new(bundle::Clock::system())))
}

#[tokio::test]
async fn handshakes_that_come_faster_than_a_perclouds_share_are_put_down_for_its_operator() {
    let turns = alone();
    tokio::spawn(turns.clone().run());
    let began = Instant::now();
    let [ada, bob] = ["ada", "bob"].map(|id| Visited::Percloud(Route::of_tenant(id)));
    for (visited, times) in [(&ada, 300), (&bob, 40), (&Visited::Portal, 300), (&Visited::Nobody, 300)] {
        for _ in 0..times {
            assert!(turns.take(visited, async {}).await.is_some());
        }
    }
    let crowded = |id| turns.ledger.account(id).take().crowded;
    // Fifty are its share of each second, and fifty may come at once.
    let (held, had) = (crowded("ada"), 51 + 50 * (began.elapsed().as_secs() + 1));
    assert!(held < 250 && held + had >= 300, "{held} {had}");
    assert_eq!(crowded("bob"), 0);
}

/// A worker's turns, at which the percloud "a" is a crowd: it has come fast, and somebody else is there.
fn crowded() -> (Arc<Turns>, Arc<Crowd>) {
    let turns = alone();
    tokio::spawn(turns.clone().run());
    turns.company.visited(Who::of("b"), Instant::now());
    let crowd = turns.crowd(Who::of("a"));
    assert!((0..10_000).any(|_| crowd.step(&turns.company) == Bustle::Crowded), "a crowd");
    (turns, crowd)
}

/// Two steps that take time, and what comes between them.
async fn steps(name: usize, log: Arc<Mutex<Vec<usize>>>) {
    for _ in 0..2 {
        log.lock().unwrap().push(name);
        let began = std::time::Instant::now();
        while began.elapsed() < SLICE {}
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_crowds_connections_go_on_one_by_one_in_their_order_and_who_has_gone_is_passed_over() {
    let (turns, crowd) = crowded();
    let log = Arc::new(Mutex::new(Vec::new()));
    let begin = |name| tokio::spawn(turns.clone().along(crowd.clone(), steps(name, log.clone())));
    let mut all: Vec<_> = (0..20).map(begin).collect();
    tokio::task::yield_now().await;
    assert!(turns.queue().held > 0, "they wait");
    for gone in all.drain(15..) {
        gone.abort();
    }
    for one in all {
        one.await.unwrap();
    }
    let log = log.lock().unwrap();
    assert_eq!(log[..], [(0..15).collect::<Vec<_>>(), (0..15).collect()].concat());
    assert_eq!(turns.queue().held, 0);
}

#[tokio::test]
async fn between_two_steps_of_who_is_lively_whatever_is_ready_is_done() {
    const OTHER: usize = 99;
    let turns = alone();
    tokio::spawn(turns.clone().run());
    turns.company.visited(Who::of("b"), Instant::now());
    let crowd = turns.crowd(Who::of("a"));
    assert!((0..1000).any(|_| crowd.step(&turns.company) == Bustle::Lively));
    let log = Arc::new(Mutex::new(Vec::new()));
    let begin = |name| tokio::spawn(turns.clone().along(crowd.clone(), steps(name, log.clone())));
    let all: Vec<_> = (0..20).map(begin).collect();
    let noted = log.clone();
    let others = tokio::spawn(async move {
        loop {
            noted.lock().unwrap().push(OTHER);
            tokio::task::yield_now().await;
        }
    });
    for one in all {
        one.await.unwrap();
    }
    others.abort();
    let log = log.lock().unwrap();
    let together = log.windows(2).filter(|pair| !pair.contains(&OTHER)).count();
    assert_eq!((together, log.iter().filter(|one| **one != OTHER).count()), (0, 40), "{log:?}");
}

#[tokio::test]
async fn who_is_no_crowd_never_waits_and_each_percloud_is_counted_once_for_all_its_connections() {
    let (turns, crowd) = crowded();
    let (first, second) = (turns.crowd(Who::of("c")), turns.crowd(Who::of("c")));
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&crowd, &turns.crowd(Who::of("a"))));
    let busy: Vec<_> =
        (0..20).map(|name| tokio::spawn(turns.clone().along(crowd.clone(), steps(name, Arc::default())))).collect();
    tokio::task::yield_now().await;
    let held = turns.queue().held;
    assert!(held > 0);
    let quiet = futures_util::FutureExt::now_or_never(turns.clone().along(first, async {}));
    assert_eq!((quiet, turns.queue().held), (Some(()), held));
    assert_eq!(turns.crowds.len(), 2);
    drop(turns.clone().along(second, async {}));
    assert_eq!(turns.crowds.len(), 1, "forgotten with the last of its connections");
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    for n in 0..1000 {
        turns.crowd(Who::of(&n.to_string()));
    }
    assert_eq!(turns.crowds.len(), 1, "who has no connection is forgotten");
}
