//! The edge is asked to end while somebody is served.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn what_is_in_flight_ends_and_nothing_new_begins() {
    for version in BOTH {
        let house = House::new();
        let ada = house.ada();
        let mut client = house.client(version, ADA).await;
        let mut events = client.ask(get(ADA, "/events")).await.unwrap().into_body();
        events.frame().await.unwrap().unwrap();
        house.ending.asked.cancel();
        while house.tls(ADA, &["h2"]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ada.next.notify_one();
        let more = timeout(Duration::from_secs(5), events.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(more.into_data().unwrap(), "data: 2\n\n", "{version:?}");
    }
}
