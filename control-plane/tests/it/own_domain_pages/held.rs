//! What the owner reads where the provider does not go on, and back from a DNS host.

use std::sync::Arc;

use control_plane::certificates::{
    self,
    issuer::{Issuers, Local},
    reconcile::Certificates,
};
use tls::Seal;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::postgres::eventually;

/// A reconciler that knows the local CA alone, until it has written that down.
async fn without_a_public_ca(cloud: &TestCloud) {
    let paths = cloud.common.paths();
    tls::files::private_folder(&paths.keys()).unwrap();
    let certificates = Certificates {
        db: cloud.worker.clone(),
        clock: cloud.clock.clone(),
        issuers: Issuers::new(vec![Arc::new(Local::new(&cloud.common))]),
        seal: Arc::new(Seal::open_or_create(&paths.seal_key()).unwrap()),
        base_domain: cloud.common.base_domain.to_string(),
    };
    let (url, stop) = (cloud.url.replace("percloud_owner", "percloud_reconcile"), CancellationToken::new());
    let keeps = tokio::spawn({
        let stop = stop.clone();
        async move { certificates.keep(&url, stop).await }
    });
    let known = async || certificates::known(&cloud.db.get().await.unwrap()).await.unwrap();
    let known = eventually("what the reconciler knows", known).await;
    assert_eq!((known.public, known.own_domains, known.own_root), (vec![], false, false));
    stop.cancel();
    keeps.await.unwrap().unwrap();
}

#[tokio::test]
async fn where_nobody_makes_certificates_the_page_says_so_before_the_work() {
    let ada = Ada::new().await;
    let warned = ["Your provider cannot finish this yet", "Please ask there before you buy a name"];
    ada.reads(&["Which name do you have?"], &warned).await;
    without_a_public_ca(&ada.cloud).await;
    ada.reads(&[&["Which name do you have?"], &warned[..]].concat(), &[]).await;
    let (_, refused) = read(ada.post("/manage/domain", &[("name", "x")]).await).await;
    assert!(refused.contains(warned[0]), "{refused}");
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    ada.reads(&[&["1 of 2 entries are right."], &warned[..]].concat(), &[]).await;
    assert!(ada.get("/manage/domain/change").await.1.contains(warned[0]));
    ada.cloud.sql("update domains set observed = 'verified', verified_at = now()").await;
    ada.reads(&["So far nobody makes certificates for names of your own"], &["That takes about a minute"]).await;
    // The operator names a public CA.
    ada.cloud.sql("update issuers set own_domains = true").await;
    ada.reads(&["That takes about a minute"], &["nobody makes certificates"]).await;
    // One that strangers' browsers do not know.
    ada.cloud.sql("update issuers set own_root = true").await;
    let (_, change) = ada.get("/manage/domain/change").await;
    assert!(change.contains("Not every device will trust your name") && !change.contains(warned[0]), "{change}");
}

#[tokio::test]
async fn a_name_that_the_provider_has_paused_says_so_and_what_that_means() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    ada.cloud.sql("update domains set paused = true, due_at = null, check_at = now() + interval '1 year'").await;
    ada.cloud.clock.advance(TimeDelta::seconds(9));
    let paused = "Your provider has paused this name";
    ada.reads(&[paused, "You may set them already", "data-copy="], &["Look now", "every few seconds"]).await;
    let answer = ada.post("/manage/domain/check", &[]).await;
    assert_eq!(answer.status().as_u16(), 303, "a form of before does no harm");
    assert_eq!(ada.cloud.value::<Option<DateTime<Utc>>>("select due_at from domains").await, None);
    ada.cloud.sql("update domains set observed = 'verified', verified_at = now()").await;
    ada.reads(&[paused, "no certificate is made for it"], &["That takes about a minute"]).await;
    ada.serve("ada.test").await;
    ada.reads(
        &[paused, "It goes on working", "Not while it is paused"],
        &["Look now", "We look every day", "renewed by itself"],
    )
    .await;
    ada.cloud.sql("update domains set paused = false").await;
    ada.reads(&["Look now", "We look every day"], &[paused]).await;
}

#[tokio::test]
async fn what_an_authority_does_is_not_put_down_to_an_entry_of_the_owners() {
    let ada = Ada::at_ada_test(&but(&[])).await;
    let failing = "insert into certificates (id, names, created_at, due_at, last_error, failing_since, trouble) values
        ('c-aaaaaaaaaaaaaaaa', array['ada.test'], now(), now() + interval '1 hour', 'CA limits these names', now(), 'operator')";
    ada.cloud.sql(failing).await;
    let (entry, busy) = ("most often the reason is an entry", "Those who issue certificates are busy");
    ada.reads(&[busy, "Next try"], &[entry, "limits these names"]).await;
    ada.cloud.sql("update certificates set trouble = 'owner'").await;
    ada.reads(&[entry, "Next try"], &[busy]).await;
}

#[tokio::test]
async fn back_from_a_dns_host_the_owner_sees_what_is_found_now() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    let id: String = ada.cloud.value("select id from domains").await;
    ada.cloud.sql("update domains set due_at = now() + interval '1 year', check_at = now() + interval '1 year'").await;
    ada.cloud.clock.advance(TimeDelta::minutes(3));
    let (_, page) = ada.get(&format!("/manage/domain?state={id}")).await;
    assert!(page.contains("We are looking at what has been set") && page.contains("1 of 2 entries"), "{page}");
    let due = ada.cloud.value::<DateTime<Utc>>("select due_at from domains").await;
    assert!(due <= ada.cloud.now(), "and DNS is looked at");
    let (_, page) =
        ada.get(&format!("/manage/domain?error=access_denied&error_description=user_cancel&state={id}")).await;
    assert!(page.contains("It seems that nothing was set there") && page.contains("1 of 2 entries"), "{page}");
    for other in
        ["/manage/domain?state=d-aaaaaaaaaaaaaaaa", "/manage/domain?error=access_denied", "/manage/domain?state="]
    {
        let (status, page) = ada.get(other).await;
        assert!(status == 200 && !page.contains("Welcome back"), "{other} is nobody's way back");
    }
}

#[tokio::test]
async fn a_name_without_its_proof_says_until_when_it_serves_and_nothing_of_a_queue() {
    let ada = Ada::new().await;
    ada.claim("ada.test").await;
    ada.found(&half()).await;
    ada.cloud.sql("update domains set observed = 'verified', verified_at = now()").await;
    ada.serve("ada.test").await;
    let certificate = "insert into certificates (id, names, tenant_id, observed, chain_pem, key_sealed, not_before, not_after, waits, created_at)
        select 'c-aaaaaaaaaaaaaaaa', array['ada.test'], id, 'issued', '', '', now(), now() + interval '1 year', 'for its proof', now() from tenants";
    ada.cloud.sql(certificate).await;
    ada.cloud.sql("update domains set misses = 2").await;
    ada.reads(&["after three days at the earliest", "renewed by itself before"], &["not renewed any more"]).await;
    ada.cloud.sql("update domains set misses = 3").await;
    let not = ["after three days at the earliest", "renewed by itself", "We are in the queue"];
    ada.reads(&["is not renewed any more", "Yes, until"], &not).await;
}
