//! One order: from names to a certificate.
//!
//! An authorisation that failed is final, and takes its order with it (RFC 8555, section 7.1.6). So each way to prove a
//! name is tried on an order of its own; what was learnt (which way failed for whom) is carried on.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result as AnyResult, anyhow};
use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Error as AcmeError, Identifier, NewOrder, Order,
    OrderStatus, Problem,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::error::{refused, with_nonces};
use super::http::Heard;
use super::{Account, Challenge, Error, Kind, Solver};
use crate::{Certified, Issued};

/// Between two looks, when the authority does not say: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(10);
/// How often in a row the authority may be away while we only wait for it.
const LOST_LOOKS: u8 = 4;

/// A name, whether its wildcard is meant, and a kind of challenge.
type Way = (String, bool, &'static str);

/// Why an order came to nothing.
struct Failure {
    error: Error,
    /// The way that did not work, when that was it and its name has another one.
    try_without: Option<Way>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, try_without: None }
    }
}

pub(super) async fn issue(
    account: &Account,
    names: &[String],
    replaces: Option<CertificateIdentifier<'static>>,
    solver: &dyn Solver,
    patience: Duration,
) -> Result<Issued, Error> {
    let until = Instant::now() + patience;
    let mut failed = BTreeSet::new();
    loop {
        let (mut order, replaces) = place(account, names, replaces.as_ref()).await?;
        match authorise(&mut order, solver, &failed, until).await {
            Ok(()) => return Ok(Issued { replaces, ..finish(&mut order, names, until).await? }),
            Err(Failure { error, try_without: Some(way) }) if Instant::now() < until => {
                debug!(error = error.words(), way = way.2, "another way is tried");
                failed.insert(way);
            }
            Err(failure) => return Err(failure.error),
        }
    }
}

/// An order, and whether it is one that replaces.
async fn place(
    account: &Account,
    names: &[String],
    replaces: Option<&CertificateIdentifier<'static>>,
) -> Result<(Order, bool), Error> {
    const DOING: &str = "placing an order";
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let plain = || {
        let order = NewOrder::new(&identifiers);
        account.profile.as_deref().map_or(NewOrder::new(&identifiers), |profile| order.profile(profile))
    };
    if let Some(replaces) = replaces {
        let order = plain().replaces(replaces.clone());
        match with_nonces!(DOING, account.inner.new_order(&order)) {
            // Without ARI; replaced already; another authority's certificate: the order itself may still be welcome.
            Err(Error::Refused(why)) => debug!(?why, "an order that replaces none is placed instead"),
            // With half of ARI: it took the order, and did not say that it replaces anything.
            Err(Error::Away { source, .. }) if Heard::last().status.is_some_and(|s| s.is_success()) => {
                debug!(?source, "an order that replaces none is placed instead");
            }
            answer => return Ok((answer?, true)),
        }
    }
    let order = plain();
    Ok((with_nonces!(DOING, account.inner.new_order(&order))?, false))
}

/// One authorisation of an order, as far as we need it.
struct Wanted {
    name: String,
    pending: bool,
    wildcard: bool,
    offered: Vec<Kind>,
}

/// Proves all names of an order, and takes away what it had to show for that.
async fn authorise(
    order: &mut Order,
    solver: &dyn Solver,
    failed: &BTreeSet<Way>,
    until: Instant,
) -> Result<(), Failure> {
    let mut presented = Vec::new();
    let proved = prove(order, solver, failed, &mut presented, until).await;
    for challenge in &presented {
        if let Err(error) = solver.withdraw(challenge).await {
            let name = &challenge.name;
            warn!(error = format!("{error:#}"), name, "the answer to a challenge could not be taken away");
        }
    }
    proved
}

async fn prove(
    order: &mut Order,
    solver: &dyn Solver,
    failed: &BTreeSet<Way>,
    presented: &mut Vec<Challenge>,
    until: Instant,
) -> Result<(), Failure> {
    let all = look(order).await?;
    let mut chosen = Vec::new();
    for (at, wanted) in all.iter().enumerate().filter(|(_, w)| w.pending) {
        let ways = ways(wanted, solver, failed);
        let Some(&kind) = ways.first() else { return Err(no_way(wanted, solver).into()) };
        let challenge = challenge(order, at, wanted, kind).await?;
        presented.push(challenge.clone());
        if let Err(source) = solver.present(&challenge).await {
            give_up(order).await;
            let source = source.context(format!("our answer to {kind} could not be made visible"));
            let error = Error::NotValidated { name: wanted.name.clone(), source };
            return Err(Failure { error, try_without: another(wanted, &ways) });
        }
        chosen.push((at, ways));
    }
    for (at, ways) in &chosen {
        with_nonces!("asking for validation", ready(order, *at, ways[0]))?;
    }
    if poll(order, until, |state| state != OrderStatus::Pending).await? != OrderStatus::Invalid {
        return Ok(());
    }
    Err(blame(order, &all, &chosen).await)
}

/// How a name can be proved: what we can, in our order, if the authority offers it and it has not failed before.
fn ways(wanted: &Wanted, solver: &dyn Solver, failed: &BTreeSet<Way>) -> Vec<Kind> {
    let kinds = solver.kinds(&wanted.name, wanted.wildcard).into_iter();
    let untried = |kind: &Kind| !failed.contains(&way(wanted, *kind));
    kinds.filter(|kind| wanted.offered.contains(kind)).filter(untried).collect()
}

fn way(wanted: &Wanted, kind: Kind) -> Way {
    (wanted.name.clone(), wanted.wildcard, kind.as_str())
}

/// The way to leave out from now on: the first, when there is a second.
fn another(wanted: &Wanted, ways: &[Kind]) -> Option<Way> {
    (ways.len() > 1).then(|| way(wanted, ways[0]))
}

fn no_way(wanted: &Wanted, solver: &dyn Solver) -> Error {
    let list = |kinds: &[Kind]| match kinds {
        [] => "none".to_owned(),
        some => some.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", "),
    };
    let star = if wanted.wildcard { "*." } else { "" };
    let (offered, can) = (list(&wanted.offered), list(&solver.kinds(&wanted.name, wanted.wildcard)));
    Error::Refused(anyhow!("no way to prove {star}{}: it offers {offered}, we can answer {can}", wanted.name))
}

/// Reads all authorisations of an order.
async fn look(order: &mut Order) -> Result<Vec<Wanted>, Error> {
    with_nonces!("reading the order's authorisations", read(order))
}

async fn read(order: &mut Order) -> Result<Vec<Wanted>, AcmeError> {
    let mut found = Vec::new();
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let one = one?;
        let Identifier::Dns(name) = one.identifier().identifier else {
            return Err(AcmeError::Str("a name"));
        };
        found.push(Wanted {
            name: name.trim_start_matches("*.").to_owned(),
            pending: one.status == AuthorizationStatus::Pending,
            wildcard: one.wildcard,
            offered: one.challenges.iter().filter_map(|c| ours(&c.r#type)).collect(),
        });
    }
    Ok(found)
}

fn ours(kind: &ChallengeType) -> Option<Kind> {
    match kind {
        ChallengeType::Http01 => Some(Kind::Http01),
        ChallengeType::TlsAlpn01 => Some(Kind::TlsAlpn01),
        ChallengeType::Dns01 => Some(Kind::Dns01),
        _ => None,
    }
}

fn theirs(kind: Kind) -> ChallengeType {
    match kind {
        Kind::Http01 => ChallengeType::Http01,
        Kind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Kind::Dns01 => ChallengeType::Dns01,
    }
}

/// The challenge of a kind at the authorisation `at`, which [`look`] has read.
async fn challenge(order: &mut Order, at: usize, wanted: &Wanted, kind: Kind) -> Result<Challenge, Error> {
    let mut all = order.authorizations();
    for _ in 0..at {
        all.next().await;
    }
    let missing = || Error::Refused(anyhow!("the authority took back a challenge that it had offered"));
    let mut one = match all.next().await {
        Some(one) => one.map_err(|e| Error::sort(e, "reading a challenge"))?,
        None => return Err(missing()),
    };
    let theirs = one.challenge(theirs(kind)).ok_or_else(missing)?;
    Ok(Challenge {
        kind,
        name: wanted.name.clone(),
        token: theirs.token.clone(),
        key_authorization: theirs.key_authorization().as_str().to_owned(),
    })
}

/// Lets the authority look. A challenge that failed at once is found by [`blame`].
async fn ready(order: &mut Order, at: usize, kind: Kind) -> Result<(), AcmeError> {
    let mut all = order.authorizations();
    for _ in 0..at {
        all.next().await;
    }
    let Some(one) = all.next().await else { return Ok(()) };
    let mut one = one?;
    let Some(mut challenge) = one.challenge(theirs(kind)) else { return Ok(()) };
    challenge.set_ready().await
}

/// Looks at the order until `done`, as often as the authority likes.
async fn poll(order: &mut Order, until: Instant, done: impl Fn(OrderStatus) -> bool) -> Result<OrderStatus, Error> {
    let (mut pause, mut lost) = (FIRST_LOOK, 0);
    loop {
        match with_nonces!("waiting for the order", status(order)) {
            Ok(status) if done(status) => return Ok(status),
            Ok(_) => lost = 0,
            Err(Error::Away { .. }) if lost < LOST_LOOKS => lost += 1,
            Err(error) => return Err(error),
        }
        let after = Heard::last().retry_after;
        let wait = after.unwrap_or(pause).max(FIRST_LOOK);
        if Instant::now() + wait > until {
            return Err(Error::Away { after, source: anyhow!("the order is not done in time") });
        }
        sleep(wait).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Whose fault it is that an order is invalid.
async fn blame(order: &mut Order, all: &[Wanted], chosen: &[(usize, Vec<Kind>)]) -> Failure {
    for (at, ways) in chosen {
        let Ok(Some(problem)) = with_nonces!("asking what went wrong", problem(order, *at)) else { continue };
        let (wanted, kind) = (&all[*at], ways[0]);
        let error = Error::of_challenge(&wanted.name, &problem, kind);
        let theirs = matches!(error, Error::NotValidated { .. });
        return Failure { error, try_without: another(wanted, ways).filter(|_| theirs) };
    }
    let words = order.state().error.as_ref().map_or("it says no more".to_owned(), ToString::to_string);
    let name = chosen.first().and_then(|(at, _)| all.get(*at)).map_or(String::new(), |w| w.name.clone());
    Error::NotValidated { name, source: anyhow!("the order is invalid: {words}") }.into()
}

async fn status(order: &mut Order) -> Result<OrderStatus, AcmeError> {
    order.refresh().await.map(|state| state.status)
}

/// What went wrong at the authorisation `at`, if it did.
async fn problem(order: &mut Order, at: usize) -> Result<Option<Problem>, AcmeError> {
    let mut all = order.authorizations();
    for _ in 0..at {
        all.next().await;
    }
    let Some(one) = all.next().await else { return Ok(None) };
    let mut one = one?;
    let state = one.refresh().await?;
    if state.status != AuthorizationStatus::Invalid {
        return Ok(None);
    }
    Ok(state.challenges.iter().find_map(|c| c.error.clone()))
}

/// Tells the authority that an order will not be pursued: it counts those that are left lying.
async fn give_up(order: &mut Order) {
    let mut all = order.authorizations();
    while let Some(Ok(mut one)) = all.next().await {
        if one.status == AuthorizationStatus::Pending && one.deactivate().await.is_err() {
            return;
        }
    }
}

/// Has the certificate signed and fetches it.
async fn finish(order: &mut Order, names: &[String], until: Instant) -> Result<Issued, Error> {
    let (key, csr) = refused(request(names), "making a key and a request for it")?;
    with_nonces!("having the certificate signed", order.finalize_csr(&csr))?;
    let done = |status| matches!(status, OrderStatus::Valid | OrderStatus::Invalid);
    if !done(order.state().status) {
        // It signs now: who asks at once asks twice. Pebble 2.4 is worse off: asked while it signs, it may lock up for good.
        sleep(FIRST_LOOK).await;
        poll(order, until, done).await?;
    }
    if order.state().status == OrderStatus::Invalid
        && let Some(problem) = order.state().error.clone()
    {
        return Err(Error::sort(AcmeError::Api(problem), "having the certificate signed"));
    }
    let chain = with_nonces!("fetching the certificate", order.certificate())?;
    let away = |source| Error::Away { after: None, source };
    let chain_pem = chain.ok_or_else(|| away(anyhow!("no certificate where one was announced")))?;
    let certified = Certified::new(&chain_pem, key.clone_key().into()).map_err(away)?;
    if let Some(missing) = names.iter().find(|name| !certified.names().contains(name)) {
        return Err(away(anyhow!("the certificate does not stand for {missing}")));
    }
    Ok(Issued { chain_pem, key_der: key, not_after: certified.not_after(), replaces: false })
}

fn request(names: &[String]) -> AnyResult<(PrivatePkcs8KeyDer<'static>, Vec<u8>)> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new(); // names are where they belong, in the SAN
    let csr = params.serialize_request(&key)?.der().to_vec();
    Ok((PrivatePkcs8KeyDer::from(key.serialize_der()), csr))
}
