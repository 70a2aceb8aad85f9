//! What all units of a host share, and what they do with a percloud's folder, socket and groups.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use bundle::{TenantId, TenantSpec};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    cgroups::Groups,
    folders,
    gate::Gate,
    lane::Lane,
    schedule::Timetable,
    spawn::Spawner,
    state::{Known, Memory},
};
use crate::{config::Paths, egress, sockets};

/// What all units of a host share.
pub(super) struct Shared {
    /// Starts runtimes.
    pub(super) spawner: Arc<Spawner>,
    /// Limits them, where the machine can.
    pub(super) groups: Option<Arc<Groups>>,
    /// Keeps who is busy off some processors.
    pub(super) lane: Option<Arc<Lane>>,
    /// Remembers perclouds.
    pub(super) memory: Memory,
    /// Where things are.
    pub(super) paths: Paths,
    /// The host is root.
    pub(super) root: bool,
    /// The group that may connect to perclouds' sockets.
    pub(super) edge: Option<u32>,
    /// After so long unused, a runtime leaves.
    pub(super) idle_seconds: u64,
    /// A suspended percloud runs for so long at most.
    pub(super) suspended: Duration,
    /// The database that a new percloud begins with; without one its runtime makes it.
    pub(super) ready: Option<Vec<u8>>,
    /// When runtimes are started that nobody visits.
    pub(super) timetable: Timetable,
    /// Where whoever wakes comes by.
    pub(super) gate: Gate,
    /// What perclouds show at the way out is signed with it.
    pub(super) egress: Option<egress::Key>,
    /// The host ends.
    pub(super) stop: CancellationToken,
    /// The units' tasks.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn folder(&self, id: &TenantId) -> PathBuf {
        self.paths.tenants().join(id.as_str())
    }

    pub(super) fn log(&self, id: &TenantId) -> PathBuf {
        self.paths.logs().join("tenants").join(format!("{id}.log"))
    }

    /// Folder and socket, as they shall be.
    pub(super) fn prepare(&self, known: &Known) -> anyhow::Result<OwnedFd> {
        let id = &known.spec.id;
        folders::ensure(&self.folder(id), known.uid, self.ready.as_deref())?;
        Ok(sockets::listen_for(&self.paths.tenant_socket(id), self.edge)?.into())
    }

    /// What shall be, written down; the user that its folder belongs to already stays.
    pub(super) fn settle(&self, spec: TenantSpec, before: Option<&Known>) -> anyhow::Result<Known> {
        let there = || folders::owner(&self.folder(&spec.id));
        let (uid, adopted) = match before {
            Some(known) => (known.uid, false),
            None if !self.root => (rustix::process::geteuid().as_raw(), false),
            None => there().map_or_else(|| anyhow::Ok((self.memory.new_uid()?, false)), |uid| Ok((uid, true)))?,
        };
        let known = match before {
            Some(before) => before.becomes(spec),
            None => Known { uid, spec, leaving: false, filled: None },
        };
        if adopted {
            self.memory.adopt(&known)?;
        } else {
            self.memory.remember(&known)?;
        }
        if let (Some(groups), None) = (&self.groups, before) {
            groups.prepare(&known.spec.id).context("its control group")?;
        }
        Ok(known)
    }

    /// Nothing of it is left.
    pub(super) fn wipe(&self, id: &TenantId) -> anyhow::Result<()> {
        tls::files::remove(&self.paths.tenant_socket(id))?;
        folders::wipe(&self.folder(id)).context("wiping its folder")?;
        super::logs::remove(&self.log(id))?;
        if let Some(groups) = &self.groups {
            groups.remove(id).context("its control group")?;
        }
        self.memory.forget(id)
    }
}
