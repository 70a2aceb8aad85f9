//! What may be wished of own domains: each in one transaction of the caller's, with its line in the audit log.

use bundle::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::name::both;
use super::{DomainRow, Error, Name, Observed, Owned, Part, Refusal, Wanted, get, give_up, of_tenant, owned, sql};
use crate::{
    audit::{self, Actor},
    certificates,
    db::{self, Transaction, ensure_affected},
    mails, telemetry,
};

/// How long a challenge lasts that nobody has set in DNS.
pub(super) const CHALLENGE_LASTS: TimeDelta = TimeDelta::days(7);
/// An owner's impatience is served at most this often.
const ASK_EVERY_SECONDS: i64 = 3;
/// So many claims of a name wait without proof after their first day; one more takes the place of the oldest.
const CLAIMS: i64 = 10;
/// For so long a fresh claim neither goes nor counts: time for its owner to set a record, whatever others claim and cancel meanwhile.
const FIRST: TimeDelta = TimeDelta::days(1);
/// So many fresh claims of a name may wait at once: each is looked at, and makes a target. Older ones make room, so none of them counts here.
const MOST: i64 = 100;
/// For so long after it was made a claim without proof lasts longer by being asked about: whoever looks at the page keeps it no longer.
const ASKING_PROLONGS_DAYS: i64 = 30;

/// Which of the two names is the main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The name without `www.`; the one with it leads there.
    Apex,
    /// The name with `www.`; the one without it leads there.
    Www,
    /// The main name alone.
    NoTwin,
}

/// 128 random bits in lower-case base 32.
pub(super) fn random() -> String {
    data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_lowercase()
}

/// Claims a name for a percloud: its first one, or, while another one is in use, the one that is to take its place. It may have one claim at
/// a time besides the one in use. Claiming the name that it has claimed already changes nothing.
///
/// # Errors
/// `Already`, `Held` by claims that DNS knew of or by too many of one day, or `NotFound` when there is no such percloud.
pub async fn claim(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    name: &Name,
    twin: bool,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    let owned = owned(tx, tenant).await?;
    if let Some(row) = owned.known(name) {
        return Ok(row.clone());
    }
    let room = owned.next.is_none() && owned.main.as_ref().is_none_or(|main| main.in_use().is_some());
    if room { place(tx, &owned, tenant, name, twin, actor, now).await } else { Err(Refusal::Already.into()) }
}

/// Claims a name instead of [one](Owned::current) that the percloud has. If that is in use, it serves on until the new one is ready. If it
/// waits, it goes, and no other does; one that led to the percloud before does so again.
///
/// # Errors
/// As [`claim`]; `Changed` when it is not any more what was read.
pub async fn change(
    tx: &Transaction<'_>,
    instead: &DomainRow,
    name: &Name,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    let tenant = &instead.tenant_id;
    if let Some(row) = owned(tx, tenant).await?.known(name) {
        return Ok(row.clone());
    }
    if instead.part != Part::Main || instead.in_use().is_none() {
        give_up::cancel(tx, instead, actor, now).await?;
    }
    place(tx, &owned(tx, tenant).await?, tenant, name, true, actor, now).await
}

impl Owned {
    /// The one instead of which its owner may claim another: what waits to take the main one's place, or else the main one.
    #[must_use]
    pub fn current(&self) -> Option<&DomainRow> {
        self.next.as_ref().or(self.main.as_ref())
    }

    /// The one that the percloud has, or claims, by this name.
    fn known(&self, name: &Name) -> Option<&DomainRow> {
        self.main.iter().chain(&self.next).find(|row| row.hosts().any(|host| host == name.host()))
    }
}

/// A name that the percloud has not yet, where there is room for it: as its first one, beside the main one, or as the other one of that one's
/// two names.
async fn place(
    tx: &Transaction<'_>,
    Owned { main, former, .. }: &Owned,
    tenant: &TenantId,
    name: &Name,
    twin: bool,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    if let Some(main) = main.as_ref().filter(|main| main.base == name.base()) {
        let choice = if name.host() == main.base { Choice::Apex } else { Choice::Www };
        return choose(tx, main, choice, actor, now).await;
    }
    let part = if main.is_some() { Part::Next } else { Part::Main };
    match former.iter().find(|row| row.base == name.base()) {
        Some(row) => back(tx, row, part, name, twin, actor, now).await,
        None => insert(tx, tenant, name, twin, part, actor, now).await,
    }
}

/// A claim of its own, with a challenge and a target of its own.
async fn insert(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    name: &Name,
    twin: bool,
    part: Part,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    make_room(tx, tenant, name, now).await?;
    let id = db::random_id('d');
    let target = format!("t-{}", random());
    tx.execute(sql::TARGET, &[&target, &tenant.as_str(), &now]).await?;
    let twin = name.twin().filter(|_| twin);
    let (challenge, expires) = (random(), now + CHALLENGE_LASTS);
    let (tenant_id, trace, column) = (tenant.as_str(), telemetry::trace_parent(), part.as_str());
    let claimed = tx
        .execute(
            sql::CLAIM_NAME,
            &[&id, &tenant_id, &name.host(), &twin, &name.base(), &target, &challenge, &expires, &now, &trace, &column],
        )
        .await;
    if unless_taken(claimed)? == 0 {
        return Err(Error::NotFound);
    }
    let details = json!({ "name": name.host(), "twin": twin, "part": part });
    audit::note(tx, now, actor, "domain.claimed", tenant, &details).await?;
    get(tx, &id).await
}

/// A place that somebody took at the same time, in another window, is no failure of ours.
fn unless_taken(written: Result<u64, tokio_postgres::Error>) -> Result<u64, Error> {
    match written.map_err(db::Error::from) {
        Err(db::Error::Unique(constraint)) if constraint == "domains_of_tenant" => Err(Refusal::Already.into()),
        other => Ok(other?),
    }
}

/// One that the percloud had before shall be its own again. Its proof stands and its certificate is kept, so that takes a look at DNS; it leads
/// there until then, and goes on doing so if it is not wanted after all.
async fn back(
    tx: &Transaction<'_>,
    row: &DomainRow,
    part: Part,
    name: &Name,
    twin: bool,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    let (host, twin) = (name.host(), name.twin().filter(|_| twin));
    let trace = telemetry::trace_parent();
    let back = tx.execute(sql::BACK, &[&row.id, &host, &twin, &now, &trace, &part.as_str()]).await;
    give_up::once(unless_taken(back)?)?;
    let details = json!({ "name": host, "twin": twin, "part": part });
    audit::note(tx, now, actor, "domain.claimed", &row.tenant_id, &details).await?;
    get(tx, &row.id).await
}

/// Nobody keeps a name from its owner by claims alone: where it is full of those that nobody proves, the oldest goes that DNS never knew of
/// and that has had its day, as if it had lapsed. A percloud has one claim at a time, so a few that claim and cancel push out nobody.
async fn make_room(tx: &Transaction<'_>, tenant: &TenantId, name: &Name, now: DateTime<Utc>) -> Result<(), Error> {
    let (base, newcomer, before) = (name.base(), tenant.as_str(), now - FIRST);
    let row = tx.query_one(sql::CLAIMS, &[&base, &newcomer, &before]).await?;
    let (settled, fresh): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if fresh >= MOST {
        return Err(Refusal::Held.into());
    }
    let too_many = settled + 1 - CLAIMS;
    if too_many <= 0 {
        return Ok(());
    }
    let trace = telemetry::trace_parent();
    let going = tx.query(sql::MAKE_ROOM, &[&base, &newcomer, &now, &too_many, &trace, &before]).await?;
    if (going.len() as i64) < too_many {
        return Err(Refusal::Held.into());
    }
    for row in going {
        let whose: String = row.try_get("tenant_id")?;
        let whose: TenantId = whose.parse().map_err(|_| db::Error::Column("domains.tenant_id"))?;
        let details = json!({ "name": row.try_get::<_, String>("name")? });
        // By itself, as when it lapses: the newcomer knows nothing of it.
        audit::note(tx, now, &Actor::Reconcile, "domain.crowded-out", &whose, &details).await?;
    }
    Ok(())
}

/// Has DNS looked at at once, or three seconds after the last look, for all domains of a percloud.
///
/// # Errors
/// `NotFound` when the percloud has no domain; `Paused` when it has none that is not.
pub async fn ask_check(tx: &Transaction<'_>, tenant: &TenantId, now: DateTime<Utc>) -> Result<(), Error> {
    match ask(tx, tenant, None, now).await? {
        0 => Err(of_tenant(tx, tenant).await?.map_or(Error::NotFound, |_| Error::Paused)),
        _ => Ok(()),
    }
}

/// The same for one domain.
///
/// # Errors
/// `NotFound`; `Paused`.
pub async fn look(tx: &Transaction<'_>, which: &str, now: DateTime<Utc>) -> Result<DomainRow, Error> {
    let row = wanted(tx, which).await?;
    match ask(tx, &row.tenant_id, Some(&row.id), now).await? {
        0 => Err(Error::Paused),
        _ => Ok(row),
    }
}

async fn ask(tx: &Transaction<'_>, tenant: &TenantId, id: Option<&str>, now: DateTime<Utc>) -> Result<u64, Error> {
    let tenant = tenant.as_str();
    Ok(tx.execute(sql::ASK, &[&tenant, &now, &ASK_EVERY_SECONDS, &ASKING_PROLONGS_DAYS, &id]).await?)
}

/// Leaves a domain alone from now on: DNS is not looked at and nothing is ordered for it, while what serves goes on until its certificate
/// ends soon. A turn that runs is not cut off. Its owner may still choose another, or none.
///
/// # Errors
/// `NotFound`.
pub async fn pause(tx: &Transaction<'_>, which: &str, actor: &Actor, now: DateTime<Utc>) -> Result<DomainRow, Error> {
    let row = wanted(tx, which).await?;
    if row.paused {
        return Ok(row);
    }
    ensure_affected(tx.execute(sql::PAUSE, &[&row.id, &now, &telemetry::trace_parent()]).await?, 1)?;
    audit::note(tx, now, actor, "domain.paused", &row.tenant_id, &json!({ "name": row.name })).await?;
    mails::queue(tx, Some(&row.tenant_id), &row.email, &row.language, &row.left(), now).await?;
    get(tx, &row.id).await
}

/// Ends a pause: DNS is looked at at once, what was missed before counts for nothing, and what its certificates waited for is done.
///
/// # Errors
/// `NotFound`.
pub async fn resume(tx: &Transaction<'_>, which: &str, actor: &Actor, now: DateTime<Utc>) -> Result<DomainRow, Error> {
    let row = wanted(tx, which).await?;
    if !row.paused {
        return Ok(row);
    }
    // Certificates first, as the reconciler's steps do it.
    certificates::look(tx, &row.tenant_id, now).await?;
    ensure_affected(tx.execute(sql::RESUME, &[&row.id, &now, &telemetry::trace_parent()]).await?, 1)?;
    audit::note(tx, now, actor, "domain.resumed", &row.tenant_id, &json!({ "name": row.name })).await?;
    get(tx, &row.id).await
}

/// One that does not go already.
async fn wanted(tx: &Transaction<'_>, which: &str) -> Result<DomainRow, Error> {
    let row = get(tx, which).await?;
    if row.wanted == Wanted::Gone { Err(Error::NotFound) } else { Ok(row) }
}

/// Chooses the name of the main one's two that the percloud shall answer at, or that there is one only. One that is in use is looked at, and
/// serves, until the chosen one is ready.
///
/// # Errors
/// `NoTwin` when the name is not one of such two; `Changed` when it is not the main one any more.
pub async fn choose(
    tx: &Transaction<'_>,
    row: &DomainRow,
    choice: Choice,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<DomainRow, Error> {
    let www = format!("www.{}", row.base);
    let has_twin = row.base.parse().ok().and_then(|base| Name::of_host(base).ok()).is_some_and(|b| b.twin().is_some());
    let (name, twin) = match choice {
        Choice::Apex if has_twin => (row.base.clone(), Some(www)),
        Choice::Www if has_twin => (www, Some(row.base.clone())),
        Choice::NoTwin => (row.name.clone(), None),
        Choice::Apex | Choice::Www => return Err(Error::NoTwin),
    };
    if (&name, &twin) == (&row.name, &row.twin) {
        return Ok(row.clone());
    }
    let trace = telemetry::trace_parent();
    give_up::once(tx.execute(sql::CHOOSE, &[&row.id, &name, &twin, &now, &trace, &ASKING_PROLONGS_DAYS]).await?)?;
    audit::note(tx, now, actor, "domain.chosen", &row.tenant_id, &json!({ "name": name, "twin": twin })).await?;
    get(tx, &row.id).await
}

/// Takes a name from whoever has proved it, and tells its owner; anybody may claim it anew, with a fresh challenge.
///
/// # Errors
/// `NotFound` when nobody has proved it.
pub async fn release(tx: &Transaction<'_>, which: &str, actor: &Actor, now: DateTime<Utc>) -> Result<DomainRow, Error> {
    let row = get(tx, which).await?;
    if row.wanted == Wanted::Gone || !matches!(row.observed, Observed::Verified | Observed::Active) {
        return Err(Error::NotFound);
    }
    let before = owned(tx, &row.tenant_id).await?.former;
    give_up::give_up(tx, &row, now).await?;
    audit::note(tx, now, actor, "domain.released", &row.tenant_id, &json!({ "name": row.name })).await?;
    let left = owned(tx, &row.tenant_id).await?.former;
    let gone = before.into_iter().filter(|one| one.id != row.id && left.iter().all(|left| left.id != one.id));
    let message = row.taken(gone.map(|one| one.name).collect());
    mails::queue(tx, Some(&row.tenant_id), &row.email, &row.language, &message, now).await?;
    Ok(row)
}

/// A percloud runs again after it was suspended: its domain, if that rested meanwhile, is looked at now and gets a certificate again, and
/// a certificate that waited for it is ordered now. Part of the transaction that wants it to run.
///
/// # Errors
/// When the database refuses.
pub async fn resumed(tx: &Transaction<'_>, tenant: &TenantId, now: DateTime<Utc>) -> Result<(), db::Error> {
    tx.execute(sql::RESUMED, &[&tenant.as_str(), &now]).await?;
    certificates::look(tx, tenant, now).await
}

/// A percloud goes for good, and its claims with it: no certificate is wanted for what it had. Part of the transaction that forgets it.
///
/// # Errors
/// When the database refuses.
pub async fn forget(tx: &Transaction<'_>, tenant: &TenantId, now: DateTime<Utc>) -> Result<(), db::Error> {
    for row in tx.query(sql::NAMES_OF, &[&tenant.as_str()]).await? {
        let base: String = row.try_get("base")?;
        for host in both(&base) {
            certificates::unwant(tx, Some(tenant), &[host], now).await?;
        }
    }
    Ok(())
}
