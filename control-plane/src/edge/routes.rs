//! Which host name leads where; in memory, so that a restart of Postgres is not noticed by anybody's visitors.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use smol_str::SmolStr;

use super::company::Who;
use super::pace::Share;
use super::slots::{Slots, Whence};
use super::{Edge, limits};
use crate::ledger::{Account, Ledger};

/// What the edge may let through to a percloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Running,
    /// Only what an owner needs to sign in and leave.
    Suspended,
    /// Nothing yet: it is being made.
    Preparing,
    /// Nothing: it does not start.
    Failing,
}

impl State {
    /// Reads the column `edge_routes.state`; an unknown word leads nowhere.
    #[must_use]
    pub fn from_column(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "suspended" => Self::Suspended,
            "preparing" => Self::Preparing,
            _ => Self::Failing,
        }
    }
}

/// One row of `edge_routes`. There are a hundred thousand: each text takes what it needs and no more, and those that all have are in
/// the row itself if they are short (23 bytes), so that to find a name is to look at one place fewer in memory that no cache has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name.
    pub host: SmolStr,
    /// Whose.
    pub tenant_id: SmolStr,
    /// What may pass.
    pub state: State,
    /// Where its runtime listens, once there is a place.
    pub socket: Option<Arc<Path>>,
    /// The name that it answers at instead.
    pub redirect_to: Option<Box<str>>,
    /// Bytes that it may hold.
    pub quota_bytes: u64,
}

/// Where one name leads.
#[derive(Debug)]
pub struct Route {
    pub(super) row: Row,
    /// The percloud, whatever it is called.
    pub(super) who: Who,
    slots: Slots,
    share: Share,
    /// The percloud's, the same for all its names; from the first request on: most have none for long.
    account: OnceLock<Arc<Account>>,
}

/// Whom a connection is for.
#[derive(Debug)]
pub(super) enum Visited {
    Percloud(Arc<Route>),
    Portal,
    /// The name leads nowhere.
    Nobody,
}

impl Visited {
    /// What it is counted under.
    pub(super) fn who(&self) -> Who {
        match self {
            Self::Percloud(route) => route.who,
            Self::Portal => Who::PORTAL,
            Self::Nobody => Who::NOBODY,
        }
    }
}

/// A request that counts among those that are answered now.
#[derive(Debug)]
pub(super) struct Busy {
    of: Of,
    whence: Whence,
}

#[derive(Debug)]
enum Of {
    Percloud(Arc<Route>),
    Portal(Arc<Slots>),
}

impl Busy {
    /// Counts a request of the portal's; none when it has as many as it may.
    pub(super) fn of_portal(edge: &Edge, whence: Whence) -> Option<Self> {
        let slots = &edge.portal_slots;
        slots
            .take(edge.portal_busy_max(), edge.portal_busy_max().div_ceil(4), whence)
            .then(|| Self { of: Of::Portal(slots.clone()), whence })
    }

    /// Where it is put down what passes, if it is a percloud's.
    pub(super) fn account(&self) -> Option<&Account> {
        match &self.of {
            Of::Percloud(route) => route.counted(),
            Of::Portal(_) => None,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        match &self.of {
            Of::Percloud(route) => route.slots.give_back(self.whence),
            Of::Portal(slots) => slots.give_back(self.whence),
        }
    }
}

impl Route {
    fn new(row: Row) -> Arc<Self> {
        let who = Who::of(&row.tenant_id);
        Arc::new(Self { row, who, slots: Slots::default(), share: Share::default(), account: OnceLock::new() })
    }

    /// One of a percloud with this id, for tests of what does not look at where it leads.
    #[cfg(test)]
    pub(super) fn of_tenant(id: &str) -> Arc<Self> {
        let (host, state) = (smol_str::format_smolstr!("{id}.example"), State::Running);
        let row = Row { host, tenant_id: id.into(), state, socket: None, redirect_to: None, quota_bytes: 0 };
        Self::new(row)
    }

    /// Where whoever asks for this path here shall ask instead. Not where machines look at one certain name: a CA for its challenge, the
    /// provider for a sign of life.
    pub(super) fn elsewhere(&self, path: &str, path_and_query: &str, port: u16) -> Option<String> {
        let to = self.row.redirect_to.as_ref()?;
        let stays = path == "/healthz" || path.starts_with("/.well-known/acme-challenge/");
        (!stays && path_and_query.starts_with('/'))
            .then(|| format!("{}{path_and_query}", bundle::spec::origin(to, port)))
    }

    /// The socket at which a visitor of this name who is just coming will ask; none where they will not, or somebody is there already.
    pub(super) fn wakes(&self) -> Option<&Arc<Path>> {
        let comes = self.row.state == State::Running && self.row.redirect_to.is_none();
        self.row.socket.as_ref().filter(|_| comes && self.slots.is_empty())
    }

    /// Where it is put down what this percloud uses.
    pub(super) fn account(&self, ledger: &Ledger) -> &Account {
        self.account.get_or_init(|| ledger.account(&self.row.tenant_id))
    }

    /// The same, once there was a request.
    pub(super) fn counted(&self) -> Option<&Account> {
        self.account.get().map(|account| &**account)
    }

    /// Counts a request that comes so long after the edge began; none when this percloud has as many as it may, at once or in a while.
    pub(super) fn enter(self: &Arc<Self>, edge: &Edge, whence: Whence, now: Duration) -> Option<Busy> {
        let taken = self.slots.take(limits::BUSY_PER_TENANT, limits::BUSY_PER_ADDRESS, whence);
        let busy = taken.then(|| Busy { of: Of::Percloud(self.clone()), whence });
        let busy = busy.filter(|_| self.share.take(edge.pace, now));
        let account = self.account(&edge.ledger);
        if busy.is_some() {
            account.request()
        } else {
            account.refuse()
        }
        busy
    }

    /// No request's body is larger: it would not fit into the whole percloud, whatever was taken away before.
    pub(super) fn body_max(&self) -> u64 {
        self.row.quota_bytes.saturating_add(limits::BODY_EXTRA)
    }
}

/// A route in the table, which has its name from there: a name is held once.
#[derive(Debug)]
struct Named(Arc<Route>);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        &self.0.row.host
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.row.host.hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.row.host == other.0.row.host
    }
}

impl Eq for Named {}

/// All names of the provider's perclouds.
#[derive(Debug, Default)]
pub struct Routes {
    by_host: RwLock<HashSet<Named>>,
}

/// All routes, coming in one by one.
#[derive(Debug)]
pub struct Anew<'a> {
    routes: &'a Routes,
    fresh: HashSet<Named>,
}

impl Anew<'_> {
    /// One more. A route that did not change keeps its counts and takes no memory.
    pub fn put(&mut self, row: Row) {
        let route = self.routes.find(&row.host).filter(|route| route.row == row).unwrap_or_else(|| Route::new(row));
        self.fresh.insert(Named(route));
    }

    /// Knows exactly these from now on.
    pub fn replace(self) {
        *self.routes.by_host.write().unwrap_or_else(PoisonError::into_inner) = self.fresh;
    }
}

impl Routes {
    /// Where a name leads; the name in lower case and without a port.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Arc<Route>> {
        self.by_host.read().unwrap_or_else(PoisonError::into_inner).get(host).map(|named| named.0.clone())
    }

    /// Whose visitor shakes hands, by the name that they ask for.
    pub(super) fn of_handshake(&self, name: &str, base_domain: &str) -> Visited {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match self.find(&name) {
            Some(route) => Visited::Percloud(route),
            None if name == base_domain => Visited::Portal,
            None => Visited::Nobody,
        }
    }

    /// Begins to know all of them anew; what is known now stays until [`Anew::replace`].
    #[must_use]
    pub fn anew(&self) -> Anew<'_> {
        Anew { fresh: HashSet::with_capacity(self.len()), routes: self }
    }

    /// Knows this of one name from now on.
    pub fn set(&self, host: &str, row: Option<Row>) {
        let mut by_host = self.by_host.write().unwrap_or_else(PoisonError::into_inner);
        match row {
            None => drop(by_host.take(host)),
            Some(row) if by_host.get(host).is_some_and(|named| named.0.row == row) => {}
            Some(row) => drop(by_host.replace(Named(Route::new(row)))),
        }
    }

    /// How many names it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_host.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True while it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
