//! Giving up root: each role has a user of its own, and only `host` keeps privileges.

mod taken;

pub use taken::{reserved, strangers};

use anyhow::Context;
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Gid, Uid, getppid, setgroups, setresgid, setresuid},
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// The user (and group) of the edge.
pub const EDGE: u32 = 64001;
/// The user (and group) of the web role.
pub const WEB: u32 = 64002;
/// The user (and group) of the reconcile role.
pub const RECONCILE: u32 = 64003;
/// The user (and group) of the way out.
pub const EGRESS: u32 = 64004;
/// The group of those who may read the sealing keys: edge and reconcile.
pub const KEYS: u32 = 64005;

/// All of them, each with what it is called where somebody reserves it (`infra/systemd/sysusers.conf`).
pub const NUMBERS: [(u32, &str); 5] = [
    (EDGE, "percloud-edge"),
    (WEB, "percloud-web"),
    (RECONCILE, "percloud-reconcile"),
    (EGRESS, "percloud-egress"),
    (KEYS, "percloud-keys"),
];

/// Becomes `id` for good; the edge alone keeps the right to listen on ports below 1024. Must run before any thread is started: credentials are the whole process's.
///
/// # Errors
/// When the kernel refuses; the process must then end.
pub fn drop_to(id: u32) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    let kept = if id == EDGE { CapabilitySet::NET_BIND_SERVICE } else { CapabilitySet::empty() };
    prctl::set_keepcaps(true)?;
    let more = if matches!(id, EDGE | RECONCILE) { &[Gid::from_raw(KEYS)][..] } else { &[] };
    setgroups(more).context("cannot drop groups")?;
    setresgid(gid, gid, gid).context("cannot change the group")?;
    setresuid(uid, uid, uid).context("cannot change the user")?;
    prctl::set_keepcaps(false)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("cannot give up capabilities")?;
    prctl::set_no_new_privs().context("cannot give up privileges for good")
}

/// Asks the kernel to end this process with its parent (`percloud up`); a change of user forgets that wish, so it is renewed after [`drop_to`].
/// `parent` is whom it was started by, as far as that was said.
///
/// # Errors
/// When the kernel refuses, or the parent is gone already.
pub fn end_with_parent(parent: Option<i32>) -> anyhow::Result<()> {
    let before = getppid().as_raw();
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    // An orphan has another parent, whose number says nothing: in a container, `percloud up` itself may be the first process.
    let now = getppid().as_raw();
    anyhow::ensure!(now == parent.unwrap_or(before), "percloud up is gone");
    Ok(())
}
