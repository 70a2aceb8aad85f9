//! The state of the running percloud: what every handler may use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::{Clock, TenantSpec};
use tokio::sync::Notify;

use crate::{
    auth::passwords::Hasher,
    blobs::Blobs,
    egress::Client,
    home::keepsake::Keepsake,
    pulse::{Busy, Patience, Pulse},
    store::Store,
};

/// The tables that belong to no service: owner, sessions, settings, activity, exports, imports.
pub const SCHEMA: &[&str] = &[include_str!("schema/0001_core.sql"), include_str!("schema/0002_owner_key.sql")];

/// Who runs this process, and so whose word about the visitor can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under a host: requests come from the edge over a unix socket, its forwarding headers are true.
    Hosted,
    /// At home: requests come straight from browsers.
    Home,
}

/// A handle to everything; clones share it. axum's state.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    spec: TenantSpec,
    place: Place,
    store: Store,
    keepsake: Keepsake,
    clock: Clock,
    hasher: Hasher,
    pulse: Arc<Pulse>,
    sweep: Notify,
    egress: Client,
}

impl Runtime {
    /// Opens the data folder (made when missing) and puts the parts together.
    ///
    /// # Errors
    /// When the folder cannot be written, or its database is not ours or of a newer version.
    pub fn open(folder: &Path, spec: TenantSpec, place: Place, clock: Clock) -> anyhow::Result<Self> {
        Self::open_with(folder, spec, place, clock, Client::of(place))
    }

    /// The same, with another way out than the usual one of the place.
    ///
    /// # Errors
    /// As [`Runtime::open`].
    pub fn open_with(
        folder: &Path,
        spec: TenantSpec,
        place: Place,
        clock: Clock,
        egress: Client,
    ) -> anyhow::Result<Self> {
        let parts = (Store::open(folder)?, Keepsake::default());
        Ok(Self::assemble(folder, spec, place, clock, egress, parts))
    }

    /// Under a host, which says which `program` this is (another word for each build): what this very program kept of Home is shown
    /// before the database is opened, and kept anew when the percloud falls asleep.
    ///
    /// # Errors
    /// As [`Runtime::open`].
    pub fn wake(folder: &Path, spec: TenantSpec, clock: Clock, program: &str) -> anyhow::Result<Self> {
        let keepsake = Keepsake::find(folder, &spec, program)?;
        let store = if keepsake.is_there() { Store::open_later(folder)? } else { Store::open(folder)? };
        let egress = Client::of(Place::Hosted);
        Ok(Self::assemble(folder, spec, Place::Hosted, clock, egress, (store, keepsake)))
    }

    fn assemble(
        folder: &Path,
        spec: TenantSpec,
        place: Place,
        clock: Clock,
        egress: Client,
        (store, keepsake): (Store, Keepsake),
    ) -> Self {
        Self(Arc::new(Inner {
            folder: folder.to_owned(),
            spec,
            place,
            store,
            keepsake,
            clock,
            hasher: Hasher::default(),
            pulse: Arc::default(),
            sweep: Notify::new(),
            egress,
        }))
    }

    /// The data folder: `percloud.db`, `blobs/`, `status.json`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Who this percloud is and what it may use.
    #[must_use]
    pub fn spec(&self) -> &TenantSpec {
        &self.0.spec
    }

    /// Under a host or at home.
    #[must_use]
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What was kept of Home.
    #[must_use]
    pub fn keepsake(&self) -> &Keepsake {
        &self.0.keepsake
    }

    /// The content.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        self.0.store.blobs()
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The way to the Internet.
    #[must_use]
    pub fn egress(&self) -> &Client {
        &self.0.egress
    }

    /// Templates, messages and assets.
    #[must_use]
    pub fn pages(&self) -> &'static ui::Pages {
        crate::pages::pages()
    }

    /// What hashes and checks passwords, a few at a time.
    #[must_use]
    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// Keeps the process awake until dropped, and as long afterwards as any visit: hold one while somebody is served, and
    /// during work that goes on after the answer (an import).
    #[must_use]
    pub fn busy(&self) -> Busy {
        Busy::visit(self.0.pulse.clone())
    }

    /// Keeps the process awake until dropped and no longer: hold one during work that nobody waits for.
    #[must_use]
    pub fn at_chores(&self) -> Busy {
        Busy::chore(self.0.pulse.clone())
    }

    /// Whether something is going on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.pulse.is_busy()
    }

    /// Waits until nothing is going on, and has not for as long as `patience` says.
    pub async fn idle(&self, patience: Patience) {
        self.0.pulse.idle(patience).await;
    }

    /// Waits so long, or until somebody asks for a [`Runtime::hurry`].
    pub async fn pause(&self, wait: std::time::Duration) {
        self.0.pulse.pause(wait).await;
    }

    /// The machine needs the memory: [`Runtime::idle`] is over as soon as nothing is going on.
    pub fn hurry(&self) {
        self.0.pulse.hurry();
    }

    /// Whether somebody has asked for a [`Runtime::hurry`].
    #[must_use]
    pub fn is_hurried(&self) -> bool {
        self.0.pulse.hurried()
    }

    /// Asks for the unnamed blobs to be removed soon; call after much was deleted.
    pub fn sweep_soon(&self) {
        self.0.sweep.notify_one();
    }

    /// Waits until somebody asks for a sweep.
    pub async fn sweep_wanted(&self) {
        self.0.sweep.notified().await;
    }
}
