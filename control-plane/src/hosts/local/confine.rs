//! What a runtime's process does to itself between its birth and the start of its program, layer by layer.
//!
//! It was cloned from a process with one thread, so that ordinary code may run here. The order matters: what needs
//! rights comes before what takes them away, and the list of system calls comes last.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::{
    process::{Resource, Rlimit, Signal, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs},
};
use seccompiler::BpfProgram;

use super::{
    layers::{Finding, Kind},
    seccomp::{LISTENER, PROGRAM},
    stage,
    wire::{Ceilings, Errand, Start},
};

/// The kernel must have at least this version of Landlock (2: Linux 5.19; Debian 12 has it). Newer ones are used.
pub(super) const LANDLOCK_MIN: i64 = 2;
/// The exit code of a process that could not be confined or could not start its program.
pub(super) const NOT_STARTED: i32 = 125;

/// What is the same for all runtimes.
pub(super) struct Rules {
    /// The host is root.
    pub(super) root: bool,
    /// Whom the host runs as.
    pub(super) user: u32,
    /// And its group.
    pub(super) group: u32,
    /// What each process may use.
    pub(super) ceilings: Ceilings,
    /// Layers that this machine lacks and the operator allowed to be missing.
    pub(super) without: BTreeSet<Kind>,
    /// The compiled table of system calls.
    pub(super) seccomp: BpfProgram,
    /// Files that the program needs besides itself; none when it is linked statically.
    pub(super) libraries: Vec<PathBuf>,
    /// The value of `PERCLOUD_PROGRAM`.
    pub(super) program: String,
    /// On this machine cores go to a program of root's, not to files.
    pub(super) cores_are_told: bool,
}

/// What one process gets.
pub(super) struct Given<'a> {
    /// Where its folder is.
    pub(super) folder: PathBuf,
    /// What was ordered.
    pub(super) start: &'a Start,
    /// Where its standard output and error go.
    pub(super) log: BorrowedFd<'a>,
    /// Its listening socket.
    pub(super) listener: BorrowedFd<'a>,
    /// The program.
    pub(super) program: BorrowedFd<'a>,
}

/// Puts on all layers and starts the program; comes back only to say what failed.
pub(super) fn become_runtime(rules: &Rules, given: &Given<'_>) -> String {
    let failed = |kind: Kind, why: anyhow::Error| format!("{kind}: {why:#}");
    let mut end = None;
    put_on(rules, given, &mut |kind, done| {
        if let (Err(why), None) = (done, &end) {
            end = Some(failed(kind, why));
        }
        end.is_none()
    });
    end.unwrap_or_else(|| format!("its program: {}", start_program(rules, given)))
}

/// Puts on all layers in a trial, and says which could be put on.
pub(super) fn try_on(rules: &Rules, given: &Given<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    put_on(rules, given, &mut |kind, done| {
        findings.push(Finding { kind, missing: done.err().map(|why| format!("{why:#}")) });
        true
    });
    findings
}

/// Goes on while `note` says so.
fn put_on(rules: &Rules, given: &Given<'_>, note: &mut dyn FnMut(Kind, anyhow::Result<()>) -> bool) {
    type Layer = fn(&Rules, &Given<'_>) -> anyhow::Result<()>;
    let layers: [(Kind, Layer); 10] = [
        // In its own user namespace it is the user it was, and no other user exists.
        (Kind::UserNamespace, |rules, _| map_ids(rules.user, rules.group)),
        (Kind::OomScore, |_, _| Ok(fs::write("/proc/self/oom_score_adj", "500")?)),
        (Kind::Descriptors, |_, given| close_all_but(given)),
        (Kind::Limits, |rules, given| limit(rules, given.start.file_max)),
        (Kind::EmptyRoot, |rules, given| enter_root(rules, given)),
        (Kind::OwnUser, become_user),
        (Kind::Capabilities, |_, _| Ok(set_capabilities(None, none())?)),
        (Kind::NoNewPrivileges, |_, _| Ok(set_no_new_privs(true)?)),
        (Kind::Landlock, landlock_folder),
        (Kind::Seccomp, |rules, _| Ok(seccompiler::apply_filter(&rules.seccomp)?)),
    ];
    start_afresh(given);
    for (kind, layer) in layers {
        if !kind.applies(rules.root) || rules.without.contains(&kind) {
            continue;
        }
        if !note(kind, layer(rules, given)) {
            return;
        }
    }
}

/// Undoes what the spawner did to itself for its own work.
fn start_afresh(given: &Given<'_>) {
    let _ = rustix::process::chdir(&given.folder);
    let _ = rustix::process::setsid();
    // Where there is a process namespace the spawner's end ends us anyway; this is for where there is none.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
    // A file that becomes too large is an error that a program can handle, not its death.
    // SAFETY: sets a disposition; no handler is installed.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Writes the maps of a user namespace that this process has just entered. `user` and `group` are those outside.
pub(super) fn map_ids(user: u32, group: u32) -> anyhow::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    Ok(fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?)
}

/// Standard input is empty, and nobody else's: modes and locks of what two have would be seen by both. Output and error are the log, 3 is the listening socket, 4 the program; nothing else.
fn close_all_but(given: &Given<'_>) -> anyhow::Result<()> {
    let aside = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 16);
    let empty = {
        let (read, _nobody_writes) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        aside(read.as_fd())?
    };
    let log = aside(given.log)?;
    let (listener, program) = (aside(given.listener)?, aside(given.program)?);
    put(&empty, 0, 0)?;
    put(&log, 1, 0)?;
    put(&log, 2, 0)?;
    put(&listener, LISTENER, 0)?;
    put(&program, PROGRAM, libc::O_CLOEXEC)?;
    // SAFETY: closes descriptors that nothing uses any more; the owners above are forgotten.
    let closed = unsafe { libc::close_range(PROGRAM as u32 + 1, u32::MAX, 0) };
    let _ = [empty, log, listener, program].map(std::mem::forget);
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

fn put(fd: &OwnedFd, at: i32, flags: i32) -> io::Result<()> {
    // SAFETY: whatever was open at that number belonged to the spawner, not to this process.
    match unsafe { libc::dup3(fd.as_raw_fd(), at, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Nothing of its memory is left behind when it crashes. One byte is too little for a file; and it is the one limit at which the kernel
/// hands no core to a program either, which would run as root among all processes: with 0 it does.
fn no_core(told: bool) -> anyhow::Result<()> {
    let most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    if setrlimit(Resource::Core, most(1)).is_err() {
        // Only root can raise one that was 0 before.
        setrlimit(Resource::Core, most(0))?;
        anyhow::ensure!(
            !told,
            "cores go to a program here (kernel.core_pattern), and the host was started with a hard limit of 0 for them, which does not \
             keep them from it: give it 1 (LimitCORE=1)"
        );
    }
    Ok(())
}

/// What one process may use.
fn limit(rules: &Rules, file_max: u64) -> anyhow::Result<()> {
    let ceilings = rules.ceilings;
    no_core(rules.cores_are_told)?;
    let limits = [
        (Resource::Nproc, ceilings.threads),
        (Resource::Nofile, 4096),
        (Resource::Data, ceilings.data),
        (Resource::As, ceilings.addresses),
        (Resource::Fsize, file_max),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Sigpending, 256),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
    ];
    for (resource, most) in limits {
        // An ordinary user may only lower what was set for it.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |ceiling| ceiling.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// What is never to come back by starting a program. The spawner does it once for all its runtimes: its own rights stay.
pub(super) fn bound_capabilities() -> anyhow::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A kernel that does not know this capability cannot give it either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn enter_root(rules: &Rules, given: &Given<'_>) -> anyhow::Result<()> {
    let own = rules.root && !rules.without.contains(&Kind::OwnUser);
    Ok(stage::enter_root(
        &given.folder,
        if own { (given.start.uid, given.start.uid) } else { (rules.user, rules.group) },
        given.start.egress.is_some(),
    )?)
}

/// Its own user and group, for good.
fn become_user(rules: &Rules, given: &Given<'_>) -> anyhow::Result<()> {
    anyhow::ensure!(rules.root, "only root can give users away; all perclouds run as this user");
    let id = given.start.uid;
    anyhow::ensure!(id >= super::uids::FIRST_UID - 1, "{id} is not a percloud's user");
    let (user, group) = (nix::unistd::Uid::from_raw(id), nix::unistd::Gid::from_raw(id));
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(user, user, user)?;
    // The change of user has cleared it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

fn none() -> CapabilitySets {
    CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    }
}

/// The kernel's version of Landlock; 0 when it has none.
pub(super) fn landlock_version() -> i64 {
    let version: libc::c_ulong = 1;
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call takes no memory and makes no descriptor.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0usize, version) }.max(0)
}

/// Its folder and its `/tmp`, without running anything in them; the program itself may be run, and with it the libraries of the root.
fn landlock_folder(rules: &Rules, given: &Given<'_>) -> anyhow::Result<()> {
    let version = landlock_version();
    anyhow::ensure!(version >= LANDLOCK_MIN, "the kernel has version {version} of it, {LANDLOCK_MIN} is needed");
    let newest = ABI::V6;
    let no_devices =
        AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSym | AccessFs::MakeSock | AccessFs::MakeFifo;
    let own = AccessFs::from_all(newest) & !(AccessFs::Execute | AccessFs::IoctlDev | no_devices);
    let run = AccessFs::Execute | AccessFs::ReadFile;
    let rooted = !rules.without.contains(&Kind::EmptyRoot);
    let folder = if rooted { stage::DATA.into() } else { given.folder.clone() };
    // SAFETY: the descriptor stays open until the program starts.
    let program = unsafe { BorrowedFd::borrow_raw(PROGRAM) };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(folder)?, own))?
        .add_rule(PathBeneath::new(program, run))?;
    if rooted {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(stage::TMP)?, own))?;
    }
    for library in &rules.libraries {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(library)?, run))?;
    }
    ruleset.set_compatibility(CompatLevel::BestEffort).restrict_self()?;
    Ok(())
}

/// Replaces this process by the program; comes back only to say why it could not.
fn start_program(rules: &Rules, given: &Given<'_>) -> String {
    let words = |list: &[String]| list.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>();
    let inside = if rules.without.contains(&Kind::EmptyRoot) {
        given.folder.display().to_string()
    } else {
        stage::DATA.to_owned()
    };
    let mut environment = vec![
        "LISTEN_FDS=1".to_owned(),
        "LISTEN_FDNAMES=http".to_owned(),
        format!("LISTEN_PID={}", std::process::id()),
        format!("PERCLOUD_DATA={inside}"),
        // SQLite would take /tmp for what it puts aside, and a large one has no room there.
        format!("SQLITE_TMPDIR={inside}"),
        format!("PERCLOUD_SPEC={}", given.start.spec),
        format!("PERCLOUD_IDLE_SECONDS={}", given.start.idle_seconds),
        // What it kept is to be believed only by the same program.
        format!("PERCLOUD_PROGRAM={}", rules.program),
        // One heap for all threads: a second one would keep memory of its own, and there is one processor's worth of work.
        "GLIBC_TUNABLES=glibc.malloc.arena_max=1".to_owned(),
    ];
    if given.start.errand == Errand::Schedule {
        environment.push("PERCLOUD_WOKEN=schedule".to_owned());
    }
    // The way out is in the shared root; without one its place is none that a runtime knows.
    let egress = given.start.egress.iter().filter(|_| !rules.without.contains(&Kind::EmptyRoot));
    environment.extend(egress.map(|token| format!("PERCLOUD_EGRESS={token}")));
    let arguments: &[&str] = match given.start.errand {
        Errand::Visitors | Errand::Schedule => &["percloud-runtime", "serve", "--activated"],
        Errand::Prepare => &["percloud-runtime", "prepare"],
    };
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let (Ok(arguments), Ok(environment)) = (words(&arguments), words(&environment)) else {
        return "a zero byte in its environment".into();
    };
    // SAFETY: descriptor 4 was put there by `close_all_but`; where that layer is missing, this is its owner.
    let program = unsafe { OwnedFd::from_raw_fd(PROGRAM) };
    let empty: &CStr = c"";
    let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    match nix::unistd::execveat(program.as_fd(), empty, &arguments, &environment, flags) {
        Ok(never) => match never {},
        Err(error) => error.to_string(),
    }
}
