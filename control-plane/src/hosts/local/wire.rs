//! What host and spawner say to each other over a pair of sockets, in [`crate::packets`].

use std::{collections::BTreeSet, path::PathBuf};

use bundle::TenantId;
use serde::{Deserialize, Serialize};

use super::layers::{Finding, Kind};
pub(super) use crate::packets::{receive, receive_what_fits, send};

/// What the host tells the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// First of all. Comes with the descriptor of the lock that says a host is running, and with a control group in which
    /// the trial run is born, where there is one.
    Prepare(Prepare),
    /// Start a runtime. Comes with its listening socket and the writing end of its log, and with its control group where it
    /// can be born in one.
    Start(Box<Start>),
    /// Ask a runtime to end when nothing is going on.
    Hurry(u64),
    /// Ask a runtime to end.
    Term(u64),
    /// End a runtime.
    Kill(u64),
}

/// What the spawner must know once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepare {
    /// The folder of all perclouds' folders.
    pub(super) tenants: PathBuf,
    /// The folder that runtimes see as `/egress`.
    pub(super) egress: PathBuf,
    /// An empty folder to mount things on.
    pub(super) stage: PathBuf,
    /// The runtime's program.
    pub(super) runtime: PathBuf,
    /// What each process may use.
    pub(super) ceilings: Ceilings,
    /// Layers that may be missing.
    pub(super) allow_missing: BTreeSet<Kind>,
    /// The user (and group) that the trial run of the sandbox uses, when the host is root.
    pub(super) probe_uid: u32,
    /// The folder in `tenants` that the trial run uses.
    pub(super) probe_folder: String,
}

/// What a runtime's process may use, from its first moment on and whether or not there are control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ceilings {
    /// Bytes of memory of its own, stacks included.
    pub(super) data: u64,
    /// Bytes of address space: threads and allocators reserve much and use little.
    pub(super) addresses: u64,
    /// Threads.
    pub(super) threads: u64,
}

/// One start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The host's number for it, never reused.
    pub(super) key: u64,
    /// Whose.
    pub(super) id: TenantId,
    /// Its user and group, when the host is root.
    pub(super) uid: u32,
    /// The value of `PERCLOUD_SPEC`.
    pub(super) spec: String,
    /// The value of `PERCLOUD_IDLE_SECONDS`.
    pub(super) idle_seconds: u64,
    /// What for.
    pub(super) errand: Errand,
    /// The value of `PERCLOUD_EGRESS`; with none, the way out is not in its root either.
    pub(super) egress: Option<String>,
    /// No file of its may become larger.
    pub(super) file_max: u64,
}

/// What a runtime is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Somebody has come.
    Visitors,
    /// Nobody has: it is its own time (`PERCLOUD_WOKEN=schedule`).
    Schedule,
    /// To make what a new percloud begins with, and to leave.
    Prepare,
}

/// What the spawner tells the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is ready; this is what it found.
    Ready(Vec<Finding>),
    /// It cannot do its work.
    Hopeless(String),
    /// A runtime has begun. Comes with the descriptor of its process.
    Began(u64),
    /// A runtime has ended.
    Ended(u64, End, Spent),
}

/// What a runtime's process used in its whole life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    /// Microseconds of processor time.
    pub(super) cpu_micros: u64,
    /// The most memory that it had, in bytes.
    pub(super) most_memory: u64,
}

/// How a runtime ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// By itself, with this code.
    Left(i32),
    /// By this signal.
    Killed(i32),
    /// It never began.
    NotStarted(String),
}
