//! The spawner: a process with a single thread that does nothing but start, end and bury runtimes for the host.
//!
//! It is the first process of a process namespace, so that the kernel ends all runtimes with it; it ends when the host
//! does. Its network is empty and its file system is [`super::stage`]'s: what a runtime inherits, it inherits from here.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

use anyhow::Context;
use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    confine::{self, Given, NOT_STARTED, Rules},
    layers::{Finding, Kind},
    seccomp,
    stage::{self, Program},
    wire::{self, End, Order, Prepare, Report, Spent, Start},
};

/// Lives until the host is gone; the process's exit code.
pub(super) fn main() -> i32 {
    // `percloud up` starts roles with a narrow one; what is made for the runtimes' root must be passable for their users.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Where signals from the host's terminal do not arrive.
    let _ = rustix::process::setsid();
    match prepare_and_fork() {
        Ok(code) => code,
        Err(error) => {
            let _ = wire::send(host(), &Report::Hopeless(format!("{error:#}")), &[]);
            1
        }
    }
}

/// Makes the namespaces that all runtimes share. The process that then goes on is the first of a new process
/// namespace; the one that waits for it holds the lock until all runtimes are gone.
fn prepare_and_fork() -> anyhow::Result<i32> {
    let (order, mut lock) = wire::receive::<Order>(host())?.context("no host")?;
    let Order::Prepare(prepare) = order else { anyhow::bail!("an order before its time") };
    anyhow::ensure!(!lock.is_empty(), "no lock came along");
    let group = lock.drain(1..).next();
    let root = rustix::process::geteuid().is_root();
    let program = stage::open_program(&prepare.runtime)?;
    let cores_are_told = cores_are_told();
    let mut found = separate(root);
    let has = |found: &[Finding], kind| found.iter().any(|f: &Finding| f.kind == kind && f.missing.is_none());
    let staged = if has(&found, Kind::MountNamespace) {
        stage::build(&prepare, &program)
    } else {
        Err(anyhow::anyhow!("no mount namespace to build it in"))
    };
    // SAFETY: this process has one thread.
    let child = unsafe { nix::unistd::fork() }?;
    if let nix::unistd::ForkResult::Parent { child } = child {
        let _ = wait_for(child);
        drop(lock);
        return Ok(0);
    }
    drop(lock);
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    if staged.is_ok() {
        // Not before: it shows the processes that are born from here on.
        stage::show_own_processes().context("its own /proc")?;
    }
    if let Err(why) = &staged {
        found.push(Finding { kind: Kind::EmptyRoot, missing: Some(format!("{why:#}")) });
    }
    if root && let Err(why) = confine::bound_capabilities() {
        found.push(Finding { kind: Kind::Capabilities, missing: Some(format!("{why:#}")) });
    }
    let mut spawner = Spawner::new(prepare, program, root, &found, cores_are_told)?;
    spawner.probe(&mut found, group)?;
    wire::send(host(), &Report::Ready(found), &[])?;
    spawner.work()?;
    Ok(0)
}

/// Whether the kernel hands cores to a program, or to a socket; so it is taken to be where it does not say.
fn cores_are_told() -> bool {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_else(|_| "|".into());
    pattern.starts_with(['|', '@'])
}

/// Our end of the socket to the host: standard input.
fn host() -> BorrowedFd<'static> {
    // SAFETY: nothing in the spawner closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

fn stderr() -> BorrowedFd<'static> {
    // SAFETY: nothing in the spawner closes it.
    unsafe { BorrowedFd::borrow_raw(2) }
}

fn wait_for(child: Pid) -> nix::Result<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Leaves the machine's namespaces, one after the other, and says which could not be left.
fn separate(root: bool) -> Vec<Finding> {
    use nix::sched::{CloneFlags, unshare};
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let leave = |flag: CloneFlags| unshare(flag).map_err(anyhow::Error::from);
    let mut found = Vec::new();
    let mut note = |kind: Kind, done: anyhow::Result<()>| {
        found.push(Finding { kind, missing: done.err().map(|why| format!("{why:#}")) });
    };
    if !root {
        note(Kind::UserNamespace, leave(CloneFlags::CLONE_NEWUSER).and_then(|()| confine::map_ids(user, group)));
    }
    note(Kind::MountNamespace, leave(CloneFlags::CLONE_NEWNS));
    note(Kind::NetworkNamespace, leave(CloneFlags::CLONE_NEWNET));
    note(Kind::IpcNamespace, leave(CloneFlags::CLONE_NEWIPC));
    note(Kind::PidNamespace, leave(CloneFlags::CLONE_NEWPID));
    let renamed = leave(CloneFlags::CLONE_NEWUTS).and_then(|()| Ok(nix::unistd::sethostname("percloud")?));
    note(Kind::UtsNamespace, renamed);
    found
}

struct Spawner {
    rules: Rules,
    program: OwnedFd,
    /// Flags of clone() for each runtime.
    flags: u64,
    tenants: PathBuf,
    probe: Start,
    probe_folder: String,
    keys: HashMap<i32, u64>,
    pids: HashMap<u64, Pid>,
}

impl Spawner {
    fn new(
        prepare: Prepare,
        program: Program,
        root: bool,
        found: &[Finding],
        cores_are_told: bool,
    ) -> anyhow::Result<Self> {
        let lacks = |kind: &Kind| found.iter().any(|f| f.kind == *kind && f.missing.is_some());
        let without: BTreeSet<Kind> = Kind::ALL.into_iter().filter(lacks).collect();
        let staged = !without.contains(&Kind::EmptyRoot);
        let probe = Start {
            key: 0,
            id: "t-aaaaaaaaaaaaaaaa".parse()?,
            uid: prepare.probe_uid,
            spec: String::new(),
            idle_seconds: 0,
            errand: wire::Errand::Visitors,
            egress: None,
            file_max: 1 << 20,
        };
        Ok(Self {
            flags: flags(root, &without),
            rules: Rules {
                root,
                user: rustix::process::geteuid().as_raw(),
                group: rustix::process::getegid().as_raw(),
                ceilings: prepare.ceilings,
                without,
                seccomp: seccomp::compile()?,
                libraries: program.libraries,
                program: program.sha256,
                cores_are_told,
            },
            program: program.descriptor,
            tenants: if staged { PathBuf::from("/tenants") } else { prepare.tenants },
            probe,
            probe_folder: prepare.probe_folder,
            keys: HashMap::new(),
            pids: HashMap::new(),
        })
    }

    /// Puts on all layers in a process that then ends, and adds what it found. A layer that is missing is left out
    /// from now on; whether that is allowed is for the host to say.
    fn probe(&mut self, found: &mut Vec<Finding>, group: Option<OwnedFd>) -> anyhow::Result<()> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let folder = self.tenants.join(&self.probe_folder);
        let given = self.given(&self.probe, folder, write.as_fd(), write.as_fd());
        let born = match clone(self.flags, group.as_ref().map(AsFd::as_fd)) {
            Err(error) if group.is_some() => {
                let missing = Some(format!("a process cannot be born in one: {error}"));
                found.push(Finding { kind: Kind::ControlGroups, missing });
                clone(self.flags, None)
            }
            born => born,
        };
        let Some((child, _)) = born.context("a trial process")? else {
            let findings = confine::try_on(&self.rules, &given);
            // The listing of calls is on: nothing but writing and leaving.
            let json = serde_json::to_vec(&findings).unwrap_or_default();
            // Its log is its standard error by now, whether or not descriptors could be closed.
            let _ = rustix::io::write(if closed(&findings) { stderr() } else { write.as_fd() }, &json);
            // SAFETY: ends this process without running anything of the spawner's.
            unsafe { libc::_exit(0) }
        };
        drop(write);
        let mut json = Vec::new();
        io::Read::read_to_end(&mut File::from(read), &mut json)?;
        wait_for(child)?;
        let tried: Vec<Finding> = serde_json::from_slice(&json).context("the trial process ended early")?;
        for finding in tried {
            if finding.missing.is_some() {
                self.rules.without.insert(finding.kind);
            }
            // A namespace that was left, but cannot be set up inside, is a missing one.
            found.retain(|known| known.kind != finding.kind || known.missing.is_some());
            if !found.iter().any(|known| known.kind == finding.kind) {
                found.push(finding);
            }
        }
        Ok(())
    }

    fn given<'a>(
        &'a self,
        start: &'a Start,
        folder: PathBuf,
        log: BorrowedFd<'a>,
        listener: BorrowedFd<'a>,
    ) -> Given<'a> {
        Given { folder, start, log, listener, program: self.program.as_fd() }
    }

    fn work(&mut self) -> anyhow::Result<()> {
        let mut child_ended = SigSet::empty();
        child_ended.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&child_ended), None)?;
        let signals = SignalFd::with_flags(&child_ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        loop {
            let host = host();
            let mut events = [PollFd::new(&host, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
            match poll(&mut events, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !events[1].revents().is_empty() {
                while signals.read_signal()?.is_some() {}
                self.bury()?;
            }
            if !events[0].revents().is_empty() {
                match wire::receive(host)? {
                    None => return Ok(()),
                    Some((order, descriptors)) => self.obey(order, descriptors)?,
                }
            }
        }
    }

    fn obey(&mut self, order: Order, descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        let signal = match order {
            Order::Prepare(_) => anyhow::bail!("prepared already"),
            Order::Start(start) => return self.start(&start, &descriptors),
            Order::Hurry(key) => (key, Signal::SIGUSR1),
            Order::Term(key) => (key, Signal::SIGTERM),
            Order::Kill(key) => (key, Signal::SIGKILL),
        };
        // It has not been buried yet, so that its number is still its own.
        if let Some(pid) = self.pids.get(&signal.0) {
            let _ = kill(*pid, signal.1);
        }
        Ok(())
    }

    fn start(&mut self, start: &Start, descriptors: &[OwnedFd]) -> anyhow::Result<()> {
        let [listener, log, group @ ..] = descriptors else { anyhow::bail!("a start without its two descriptors") };
        let given = self.given(start, self.tenants.join(start.id.as_str()), log.as_fd(), listener.as_fd());
        match clone(self.flags, group.first().map(AsFd::as_fd)) {
            Ok(Some((child, process))) => {
                self.keys.insert(child.as_raw(), start.key);
                self.pids.insert(start.key, child);
                Ok(wire::send(host(), &Report::Began(start.key), &[process.as_fd()])?)
            }
            Ok(None) => {
                let why = confine::become_runtime(&self.rules, &given);
                // Standard error may still be the spawner's; both are tried, the log is what the host reads.
                let words = format!("not started: {why}\n");
                let _ = rustix::io::write(stderr(), words.as_bytes());
                // SAFETY: ends this process without running anything of the spawner's.
                unsafe { libc::_exit(NOT_STARTED) }
            }
            Err(error) => report(&Report::Ended(start.key, End::NotStarted(error.to_string()), Spent::default())),
        }
    }

    fn bury(&mut self) -> anyhow::Result<()> {
        loop {
            let (waited, spent) = wait_for_any();
            let (pid, end) = match waited {
                Ok(WaitStatus::Exited(pid, NOT_STARTED)) => (pid, End::NotStarted(String::new())),
                Ok(WaitStatus::Exited(pid, code)) => (pid, End::Left(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Killed(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(key) = self.keys.remove(&pid.as_raw()) {
                self.pids.remove(&key);
                report(&Report::Ended(key, end, spent))?;
            }
        }
    }
}

fn report(report: &Report) -> anyhow::Result<()> {
    Ok(wire::send(host(), report, &[])?)
}

/// Whether standard error is the log by now.
fn closed(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.kind == Kind::Descriptors && finding.missing.is_none())
}

/// The namespaces that each runtime gets for itself; network and host name are shared, since nothing is in them.
fn flags(root: bool, without: &BTreeSet<Kind>) -> u64 {
    let each = [
        (Kind::UserNamespace, libc::CLONE_NEWUSER),
        (Kind::MountNamespace, libc::CLONE_NEWNS),
        (Kind::PidNamespace, libc::CLONE_NEWPID),
        (Kind::IpcNamespace, libc::CLONE_NEWIPC),
    ];
    let chosen = each.into_iter().filter(|(kind, _)| kind.applies(root) && !without.contains(kind));
    chosen.fold(0, |flags, (_, flag)| flags | flag as u64)
}

/// Whoever has ended, and what it used; does not wait.
fn wait_for_any() -> (nix::Result<WaitStatus>, Spent) {
    let mut status = 0;
    // SAFETY: plain data, filled by the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are what the call wants.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let waited = match pid {
        -1 => Err(nix::errno::Errno::last()),
        0 => Ok(WaitStatus::StillAlive),
        pid => WaitStatus::from_raw(Pid::from_raw(pid), status),
    };
    let micros = |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    let most_memory = u64::try_from(usage.ru_maxrss).unwrap_or(0) << 10;
    (waited, Spent { cpu_micros: micros(usage.ru_utime) + micros(usage.ru_stime), most_memory })
}

/// fork() with flags, into a control group where one is given; none in the child.
fn clone(flags: u64, group: Option<BorrowedFd<'_>>) -> io::Result<Option<(Pid, OwnedFd)>> {
    /// `struct clone_args`, of Linux 5.7.
    #[repr(C, align(8))]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut descriptor: RawFd = -1;
    let arguments = Arguments {
        flags: flags | libc::CLONE_PIDFD as u64 | if group.is_some() { INTO_CGROUP } else { 0 },
        pidfd: &raw mut descriptor as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.map_or(0, |group| group.as_raw_fd() as u64),
        ..Arguments::default()
    };
    // SAFETY: as fork(): memory is copied, and this process has one thread.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            // SAFETY: the call has made it, for us alone.
            let process = unsafe { OwnedFd::from_raw_fd(descriptor) };
            Ok(Some((Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX)), process)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::local::process::Process;

    /// Where version 2 is mounted, whatever controllers it has.
    fn groups() -> Option<PathBuf> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        Some(PathBuf::from(line.split(' ').nth(4)?).join(format!("percloud-test-{}", std::process::id())))
    }

    #[test]
    fn a_process_is_born_in_the_group_that_it_was_given() {
        let Some(group) = groups().filter(|group| std::fs::create_dir(group).is_ok()) else {
            return println!("not tried: no control groups of version 2, or none to be made here");
        };
        let door = File::open(&group).unwrap();
        let Some((child, process)) = clone(0, Some(door.as_fd())).unwrap() else {
            // SAFETY: the child waits for its end and runs nothing of the tests'.
            unsafe {
                loop {
                    libc::pause();
                }
            }
        };
        let process = Process::new(process);
        let inside = std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(inside.trim(), child.to_string());
        assert_eq!(process.number(), Some(child.as_raw()));
        kill(child, Signal::SIGKILL).unwrap();
        wait_for(child).unwrap();
        assert!(process.ended());
        std::fs::remove_dir(group).unwrap();
    }
}
