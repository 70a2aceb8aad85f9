//! A runtime's process, as the host sees it: by a descriptor that stands for this one process and for no later one.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The spawner reports it; its number differs from the one that the spawner knows.
#[derive(Debug)]
pub(super) struct Process(OwnedFd);

impl Process {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Its number among the host's processes; none once it has ended. It may have ended, and the number may be another's,
    /// by the time that somebody uses it: ask [`Process::ended`] afterwards.
    pub(super) fn number(&self) -> Option<i32> {
        number(&fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0.as_raw_fd())).ok()?)
    }

    /// Whether it has ended.
    pub(super) fn ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)) != Ok(0)
    }

    /// Ends it; one that has ended already is no error.
    pub(super) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.0, rustix::process::Signal::KILL);
    }

    /// The processor time that it has used.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let time = self.clock()?.read();
        time.filter(|_| !self.ended())
    }

    /// What its processor time is read from, cheaply and again and again.
    pub(super) fn clock(&self) -> Option<Clock> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: the call writes where it is told to.
        (unsafe { libc::clock_getcpuclockid(self.number()?, &raw mut clock) } == 0).then_some(Clock(clock))
    }

    /// Bytes in memory that are its own; the program and other files are not among them.
    pub(super) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.number()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        (!self.ended()).then_some(kib << 10)
    }

    /// Bytes that it has had written to disks. Where the kernel tells nobody, or not us, there are none.
    pub(super) fn written(&self) -> Option<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.number()?)).ok()?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()?;
        (!self.ended()).then_some(bytes)
    }
}

/// A process's processor time. Once the process has ended it may become that of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(libc::clockid_t);

impl Clock {
    pub(super) fn read(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes where it is told to.
        let told = unsafe { libc::clock_gettime(self.0, &raw mut time) == 0 };
        told.then_some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
    }
}

/// The line `Pid:` of a process's descriptor; it is 0 or -1 when there is nobody.
fn number(text: &str) -> Option<i32> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    #[test]
    fn a_process_is_seen_until_it_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::new(pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap());
        assert_eq!(process.number(), i32::try_from(child.id()).ok());
        assert!(!process.ended() && process.cpu().is_some() && process.memory().unwrap() > 0);
        process.kill();
        child.wait().unwrap();
        process.kill();
        assert!(process.ended());
        assert_eq!((process.number(), process.cpu(), process.memory()), (None, None, None));
        assert_eq!(process.written(), None);
    }

    #[test]
    fn nobody_has_no_number() {
        for (text, expected) in
            [("pos:\t0\nPid:\t42\nNSpid:\t42\n", Some(42)), ("Pid:\t0\n", None), ("Pid:\t-1\n", None), ("", None)]
        {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
