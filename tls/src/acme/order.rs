//! One order: from names to a certificate.
//!
//! An authorisation that failed is final, and takes its order with it (RFC 8555, section 7.1.6). So an order proves each name in one way;
//! whoever wants to try another one places another order, which authorities count.

use std::time::Duration;

use anyhow::{Result as AnyResult, anyhow};
use futures_util::future::join_all;
use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error as AcmeError, Identifier,
    NewOrder, Order, OrderStatus, Problem,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::time::{Instant, sleep, timeout};
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
/// How long our answers may take to become visible; DNS providers are slow to spread what they were told.
const SHOWING: Duration = Duration::from_secs(300);
/// How long taking them away may keep an order waiting.
const HIDING: Duration = Duration::from_secs(30);

pub(super) async fn issue(
    account: &Account,
    names: &[String],
    replaces: Option<CertificateIdentifier<'static>>,
    solver: &dyn Solver,
    patience: Duration,
) -> Result<Issued, Error> {
    let ordered = async {
        let (mut order, replaces) = place(account, names, replaces.as_ref()).await?;
        authorise(&mut order, solver, patience).await?;
        Ok(Issued { replaces, ..finish(&mut order, names, Instant::now() + patience).await? })
    };
    ordered.await.map_err(|error: Error| error.about(names))
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
async fn authorise(order: &mut Order, solver: &dyn Solver, patience: Duration) -> Result<(), Error> {
    let mut presented = Vec::new();
    let proved = prove(order, solver, &mut presented, patience).await;
    let hide = async |challenge| match timeout(HIDING, solver.withdraw(challenge)).await {
        Ok(withdrawn) => withdrawn,
        Err(_) => Err(anyhow!("it takes longer than {} seconds", HIDING.as_secs())),
    };
    for (challenge, hidden) in presented.iter().zip(join_all(presented.iter().map(hide)).await) {
        if let Err(error) = hidden {
            let name = &challenge.name;
            warn!(error = format!("{error:#}"), name, "the answer to a challenge could not be taken away");
        }
    }
    proved
}

/// `presented`: what is to be taken away afterwards.
async fn prove(
    order: &mut Order,
    solver: &dyn Solver,
    presented: &mut Vec<Challenge>,
    patience: Duration,
) -> Result<(), Error> {
    let all = look(order).await?;
    let mut chosen = Vec::new();
    for (at, wanted) in all.iter().enumerate().filter(|(_, w)| w.pending) {
        let kind = way(wanted, solver)?;
        presented.push(challenge(order, at, wanted, kind).await?);
        chosen.push((at, kind));
    }
    if let Err(error) = show(solver, presented).await {
        give_up(order).await;
        return Err(error);
    }
    let until = Instant::now() + patience;
    for (at, kind) in &chosen {
        with_nonces!("asking for validation", ready(order, *at, *kind))?;
    }
    match poll(order, until, |state| state != OrderStatus::Pending).await? {
        Some(OrderStatus::Invalid) => Err(blame(order, &all, &chosen).await),
        Some(_) => Ok(()),
        None => Err(slow(order, &all, &chosen, patience).await),
    }
}

/// Makes all answers visible, at once: each may take long. Whoever fails does not cut the others off, which are to be taken away as a whole.
async fn show(solver: &dyn Solver, challenges: &[Challenge]) -> Result<(), Error> {
    let shown = async |challenge: &Challenge| {
        let presented = match timeout(SHOWING, solver.present(challenge)).await {
            Ok(presented) => presented,
            Err(_) => Err(anyhow!("it takes longer than {} seconds", SHOWING.as_secs())),
        };
        let (name, kind) = (challenge.name.clone(), challenge.kind);
        presented.map_err(|source| {
            let source = source.context(format!("our answer to {kind} could not be made visible"));
            Error::NotValidated { name, source }
        })
    };
    join_all(challenges.iter().map(shown)).await.into_iter().collect()
}

/// How a name is proved: the first of what we can that the authority offers.
fn way(wanted: &Wanted, solver: &dyn Solver) -> Result<Kind, Error> {
    let can = solver.kinds(&wanted.name, wanted.wildcard);
    can.iter().copied().find(|kind| wanted.offered.contains(kind)).ok_or_else(|| no_way(wanted, &can))
}

fn no_way(wanted: &Wanted, can: &[Kind]) -> Error {
    let list = |kinds: &[Kind]| match kinds {
        [] => "none".to_owned(),
        some => some.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", "),
    };
    let star = if wanted.wildcard { "*." } else { "" };
    let (offered, can) = (list(&wanted.offered), list(can));
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
        found.push(Wanted {
            name: named(&one)?,
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

/// Looks at the order until `done`, as often as the authority likes; nothing when the time is over before.
async fn poll(
    order: &mut Order,
    until: Instant,
    done: impl Fn(OrderStatus) -> bool,
) -> Result<Option<OrderStatus>, Error> {
    let (mut pause, mut lost) = (FIRST_LOOK, 0);
    loop {
        match with_nonces!("waiting for the order", status(order)) {
            Ok(status) if done(status) => return Ok(Some(status)),
            Ok(_) => lost = 0,
            Err(Error::Away { .. }) if lost < LOST_LOOKS => lost += 1,
            Err(error) => return Err(error),
        }
        let wait = Heard::last().retry_after.unwrap_or(pause).max(FIRST_LOOK);
        // Some say a day. Who has less time than that looks once more when it is over.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        sleep(wait.min(left)).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Whose fault it is that an order is invalid.
async fn blame(order: &mut Order, all: &[Wanted], chosen: &[(usize, Kind)]) -> Error {
    for &(at, kind) in chosen {
        let Ok(Some((_, Some(problem)))) = with_nonces!("asking what went wrong", verdict(order, &all[at])) else {
            continue;
        };
        return Error::of_challenge(&all[at].name, &problem, kind);
    }
    let words = order.state().error.as_ref().map_or("it says no more".to_owned(), ToString::to_string);
    let name = chosen.first().and_then(|(at, _)| all.get(*at)).map_or(String::new(), |w| w.name.clone());
    Error::NotValidated { name, source: anyhow!("the order is invalid: {words}") }
}

/// Whose fault it is that validation does not end: the name's that the authority still looks at, since it may hang where that leads to.
async fn slow(order: &mut Order, all: &[Wanted], chosen: &[(usize, Kind)], patience: Duration) -> Error {
    for &(at, kind) in chosen {
        let Ok(Some((status, _))) = with_nonces!("asking what takes so long", verdict(order, &all[at])) else {
            continue;
        };
        if status == AuthorizationStatus::Pending {
            let source = anyhow!("the authority has not finished looking after {} seconds", patience.as_secs());
            return Error::NotValidated { name: all[at].name.clone(), source: source.context(kind) };
        }
    }
    late()
}

fn late() -> Error {
    Error::Away { after: Heard::last().retry_after, source: anyhow!("the order is not done in time") }
}

async fn status(order: &mut Order) -> Result<OrderStatus, AcmeError> {
    order.refresh().await.map(|state| state.status)
}

/// How a name's authorisation stands, and what went wrong there, if it did. It is looked for by its name: an order that was looked at again
/// may list its authorisations in another order (RFC 8555, section 7.1.3).
async fn verdict(
    order: &mut Order,
    wanted: &Wanted,
) -> Result<Option<(AuthorizationStatus, Option<Problem>)>, AcmeError> {
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let mut one = one?;
        if one.wildcard != wanted.wildcard || named(&one)? != wanted.name {
            continue;
        }
        let state = one.refresh().await?;
        let problem = state.challenges.iter().find_map(|c| c.error.clone());
        return Ok(Some((state.status, problem.filter(|_| state.status == AuthorizationStatus::Invalid))));
    }
    Ok(None)
}

/// The name that an authorisation is for, without `*.`.
fn named(one: &AuthorizationHandle<'_>) -> Result<String, AcmeError> {
    match one.identifier().identifier {
        Identifier::Dns(name) => Ok(name.trim_start_matches("*.").to_owned()),
        _ => Err(AcmeError::Str("a name")),
    }
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
        poll(order, until, done).await?.ok_or_else(late)?;
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
