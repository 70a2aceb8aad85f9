//! Giving up root: each role has a user of its own, and only `host` keeps privileges.

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

/// Becomes `id` for good; the edge alone keeps the right to listen on ports below 1024. Must run before any thread is started: credentials are the whole process's.
///
/// # Errors
/// When the kernel refuses; the process must then end.
pub fn drop_to(id: u32) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    let kept = if id == EDGE { CapabilitySet::NET_BIND_SERVICE } else { CapabilitySet::empty() };
    prctl::set_keepcaps(true)?;
    setgroups(&[]).context("cannot drop groups")?;
    setresgid(gid, gid, gid).context("cannot change the group")?;
    setresuid(uid, uid, uid).context("cannot change the user")?;
    prctl::set_keepcaps(false)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("cannot give up capabilities")?;
    prctl::set_no_new_privs().context("cannot give up privileges for good")
}

/// Asks the kernel to end this process with its parent (`percloud up`); a change of user forgets that wish, so it is renewed after [`drop_to`].
///
/// # Errors
/// When the kernel refuses, or the parent is gone already.
pub fn end_with_parent() -> anyhow::Result<()> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    anyhow::ensure!(getppid() == parent && parent.as_raw() != 1, "percloud up is gone");
    Ok(())
}
