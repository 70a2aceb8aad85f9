//! What runs tenants. The control plane says what it wants through [`Host`]; how is the host's own matter.
//!
//! [`local`] runs them as confined processes of this machine, in a process of its own; [`client`] is how the others reach it;
//! [`simulated`] plays a host in tests.

pub mod client;
pub mod local;
pub mod protocol;
pub mod server;
pub mod simulated;

use std::path::PathBuf;

use bundle::{TenantId, TenantSpec};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Why a host did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// Try again later: the host is not there, or busy.
    #[error("the host does not answer: {0}")]
    Unavailable(String),
    /// A person must look: a layer of the sandbox is missing, the disk is full, the folder is not ours.
    #[error("the host refuses: {0}")]
    Refused(String),
}

/// One percloud as the host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// [`TenantSpec::hash`] of the spec it is placed with.
    pub spec_hash: String,
    /// Where the edge reaches it.
    pub socket: PathBuf,
    /// Whether its runtime runs now.
    pub state: State,
    /// What the runtime says of itself (untrusted; read from its folder).
    pub status: Status,
    /// Within the last day it was put to sleep for filling the disk.
    #[serde(default)]
    pub filled: bool,
}

/// Whether a runtime runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its socket listens; the first connection starts it.
    Asleep,
    /// It runs.
    Awake,
    /// It does not start; why, in words for the operator. Tried again with back-off.
    Failing(String),
}

/// What a runtime says of itself in `status.json` in its folder; every field may be missing or a lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The owner has used the set-up link.
    pub set_up: bool,
    /// Bytes in use.
    pub used_bytes: u64,
    /// The owner asked for deletion; after this moment it may be done.
    pub delete_after: Option<DateTime<Utc>>,
    /// The public half of the key that vouches for the owner at the portal ([`bundle::ticket`]).
    pub owner_key: Option<String>,
    /// When it next wants to run, if nobody comes before.
    pub wake_at: Option<DateTime<Utc>>,
}

/// What the perclouds of a host have used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Another one whenever all counters begin at nought again: when a host finds nothing that the one before has left.
    pub epoch: String,
    /// Each percloud that the host has.
    pub of: Vec<Used>,
}

/// What one percloud has used since the host's epoch began. Counters only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Which.
    pub id: TenantId,
    /// Microseconds of processor time.
    pub cpu_micros: u64,
    /// Memory in use times the time it was in use: bytes × seconds.
    pub memory_byte_seconds: u64,
    /// Seconds awake.
    pub awake_seconds: u64,
    /// Starts of its runtime.
    pub wakes: u64,
    /// Bytes of its folder now, as the host last counted; no counter. None as long as the host has not counted it.
    pub storage_bytes: Option<u64>,
    /// How often it met a limit of its own.
    pub limits_met: LimitsMet,
}

/// How often a percloud met each of its limits: what an operator looks at to find abuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsMet {
    /// Microseconds that it was held back for wanting more processor time than it may have.
    pub throttled_micros: u64,
    /// It was ended for using too much memory.
    pub memory: u64,
    /// It was refused a thread.
    pub threads: u64,
    /// It was found with more on the disk than its quota: when it came to that, when it went on growing, and else once an hour.
    pub disk: u64,
    /// Its runtime failed.
    pub failures: u64,
    /// It was started in vain once too often: it left at once, or while the connection that it was started for still waited.
    pub starts: u64,
    /// Microseconds for which it kept processors busy beyond its share, for which it is in the slow lane.
    pub busy_micros: u64,
}

/// One layer of the sandbox on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name, e.g. `mount namespace`.
    pub name: String,
    /// What it keeps a tenant from, in one sentence.
    pub keeps: String,
    /// Which version of it this machine has, and for control groups what they limit; none where there is nothing to say.
    #[serde(default)]
    pub version: Option<String>,
    /// Why this machine has it not; none when it has.
    pub missing: Option<String>,
    /// Its absence was allowed by name (`--allow-missing`).
    #[serde(default)]
    pub allowed: bool,
    /// What follows where it cannot be had, and what it needs; none where [`Layer::keeps`] says it all.
    #[serde(default)]
    pub without: Option<String>,
}

/// What runs tenants. Every call ensures: doing it twice is doing it once.
pub trait Host: Send + Sync {
    /// The percloud as the host has it, or none.
    fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>>;
    /// Prepares folder, uid, limits and listening socket; a running runtime with another spec is stopped (drained),
    /// and starts with the new one on the next connection.
    fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>>;
    /// Forgets why it was not to be started for a while, and starts it, unless it runs; the percloud as it is then, or none.
    fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>>;
    /// Stops the runtime, closes its socket and wipes its folder.
    fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>>;
    /// The sandbox's layers on this machine.
    fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>>;
    /// What each has used.
    fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>>;
    /// All perclouds that the host has.
    fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>>;
}
