//! A crowd at one percloud.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const BOB: &str = "bob.cloud.localhost";
/// Requests of a crowd, on so many connections: enough steps to be one.
const CROWD: (usize, usize) = (1600, 16);

#[tokio::test]
async fn a_crowd_at_one_percloud_is_answered_in_turn_and_another_percloud_meanwhile() {
    for version in BOTH {
        let house = House::new();
        let ada = house.ada();
        house.route(BOB, State::Running, Some(house.socket("bob")));
        let bob = fake::Fake::serve(house.socket("bob"));
        let (requests, connections) = CROWD;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (mut client, answered) = (house.client(version, ADA).await, answered.clone());
            crowd.spawn(async move {
                for _ in 0..requests / connections {
                    let answer = client.ask(get(ADA, "/page")).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    assert_eq!(text(answer).await, "GET /page");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (mut client, mut visits) = (house.client(version, BOB).await, 0);
        while answered.load(Ordering::Relaxed) < requests && !crowd.is_empty() {
            assert_eq!(client.ask(get(BOB, "/page")).await.unwrap().status(), 200);
            visits += 1;
            while crowd.try_join_next().is_some_and(|joined| joined.is_ok()) {}
        }
        while let Some(joined) = crowd.join_next().await {
            joined.unwrap();
        }
        assert_eq!(answered.load(Ordering::Relaxed), requests, "each was answered");
        assert_eq!((ada.seen(), bob.seen()), (requests, visits), "once");
        assert!(visits > 10, "{visits}: it did not wait for the crowd to go");
    }
}
