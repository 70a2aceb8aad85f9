//! Ways to use the machine up.

use std::{
    fs,
    io::Write,
    mem::zeroed,
    os::{
        fd::{AsRawFd, IntoRawFd},
        unix::fs::PermissionsExt,
    },
    time::{Duration, Instant},
};

use libc::{EFAULT, EFBIG, EMFILE, ENOMEM, syscall};

use super::attacks::{Attacks, Outcome, Target, io, stopped, unlisted};

pub(crate) fn resources(target: &Target) -> Attacks {
    vec![
        ("fork bomb", forks()),
        ("thread bomb", threads()),
        ("descriptor bomb", descriptors()),
        ("memory bomb", memory()),
        ("a file beyond its quota", {
            let file = fs::File::create("/data/large");
            let outcome = io(file.and_then(|file| file.set_len((target.quota + (300 << 20)) as u64)), &[EFBIG]);
            let _ = fs::remove_file("/data/large");
            outcome
        }),
        ("the whole disk, without writing anything", {
            let file = fs::File::create("/data/taken");
            let fd = file.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let outcome = unlisted(libc::SYS_fallocate, [fd as usize, 0, 0, 1 << 20, 0]);
            let _ = fs::remove_file("/data/taken");
            outcome
        }),
        ("a core file", {
            // SAFETY: plain data, filled by the call.
            let mut limit: libc::rlimit = unsafe { zeroed() };
            // SAFETY: `limit` is what the call wants.
            unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
            // Not 0: at that a program of root's would still get one.
            match (limit.rlim_cur, limit.rlim_max) {
                (1, 1) => Ok("none is written, and none is told".into()),
                (soft, hard) => Err(format!("{soft} of {hard} bytes")),
            }
        }),
        ("a wrong pointer tells where the kernel is", {
            // SAFETY: the kernel checks the pointer.
            stopped(unsafe { syscall(libc::SYS_write, 1, usize::MAX << 12, 8) }, &[EFAULT])
        }),
    ]
}

fn forks() -> Outcome {
    let fork = || {
        // SAFETY: no memory is passed; a child, should there be one, leaves at once.
        unsafe {
            let child = syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            if child == 0 {
                libc::_exit(0);
            }
            child > 0
        }
    };
    let forked = (0..1000).filter(|_| fork()).count();
    if forked == 0 { Ok("not one in a thousand".into()) } else { Err(format!("{forked} children")) }
}

/// Threads that wait, until no more can be made.
pub(crate) fn threads() -> Outcome {
    let held = std::sync::Arc::new(std::sync::Mutex::new(()));
    let guard = held.lock();
    let mut made = Vec::new();
    let why = loop {
        if made.len() > 1000 {
            break None;
        }
        let waits = held.clone();
        match std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(waits.lock())) {
            Ok(thread) => made.push(thread),
            Err(error) => break Some(error),
        }
    };
    drop(guard);
    let count = made.len();
    for thread in made {
        let _ = thread.join();
    }
    match why {
        Some(error) => Ok(format!("{count} threads, then: {error}")),
        None => Err(format!("{count} threads")),
    }
}

fn descriptors() -> Outcome {
    let mut made = Vec::new();
    let outcome = loop {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::dup(2) };
        if fd < 0 {
            break stopped(-1, &[EMFILE]);
        }
        made.push(fd);
        if made.len() > 5000 {
            break Err("5,000 descriptors".into());
        }
    };
    for fd in made {
        // SAFETY: made above.
        unsafe { libc::close(fd) };
    }
    outcome
}

/// Memory that is not only asked for; whoever comes to the end of it says how far that was.
pub(crate) fn touch(mib: i32) -> String {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for done in 0..mib {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            return format!("refused after {done} MiB");
        }
        piece.resize(1 << 20, 1);
        held.push(piece);
    }
    format!("ESCAPED with {mib} MiB")
}

/// Uses the processor for so long, on four threads.
pub(crate) fn spin(long: Duration) -> String {
    let end = Instant::now() + long;
    let busy = || while Instant::now() < end {};
    std::thread::scope(|threads| (0..4).for_each(|_| drop(threads.spawn(busy))));
    "dizzy".into()
}

/// The same; how many milliseconds of processor time it got for itself in how many.
pub(crate) fn busy(long: Duration) -> String {
    let began = Instant::now();
    let before = processor_time();
    spin(long);
    format!("{} ms in {} ms", (processor_time() - before).as_millis(), began.elapsed().as_millis())
}

fn processor_time() -> Duration {
    // SAFETY: plain data, filled by the call.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: `time` is what the call wants.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Writes so many MiB until they are on the disk; how many milliseconds that takes.
pub(crate) fn sync(mib: i32) -> String {
    let began = Instant::now();
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create("/data/synced")?;
        (0..mib).try_for_each(|_| std::io::Write::write_all(&mut file, &[1; 1 << 20]))?;
        file.sync_all()
    };
    write().map_or_else(|error| format!("stopped: {error}"), |()| began.elapsed().as_millis().to_string())
}

/// So many MiB of the disk, none of its files larger than allowed, and so many files with nothing in them; `hidden` from whoever looks
/// by being open, mapped or locked only.
pub(crate) fn fill(mib: i32, files: i32, hidden: &str) -> String {
    let folder = if hidden == "locked" { "/data/locked" } else { "/data" };
    let large = |i: i32| -> std::io::Result<()> {
        let path = format!("{folder}/large-{i}");
        let mut file = fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        (0..32).try_for_each(|_| file.write_all(&[1; 1 << 20]))?;
        match hidden {
            "open" => drop(file.into_raw_fd()),
            "mapped" => map(&file)?,
            _ => return Ok(()),
        }
        fs::remove_file(path)
    };
    let small = |i: i32| fs::File::create(format!("{folder}/small-{i}")).map(drop);
    let lock = |path: &str| fs::set_permissions(path, PermissionsExt::from_mode(0o000));
    let done = fs::create_dir_all(folder)
        .and_then(|()| (0..mib / 32).try_for_each(large))
        .and_then(|()| (0..files).try_for_each(small))
        .and_then(|()| if hidden == "locked" { lock(folder).and_then(|()| lock("/data")) } else { Ok(()) });
    done.map_or_else(|error| format!("stopped: {error}"), |()| "filled".into())
}

/// A page of it, for as long as the process lives.
fn map(file: &fs::File) -> std::io::Result<()> {
    let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping, which nobody uses.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), 4096, read, shared, file.as_raw_fd(), 0) };
    if memory == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Asked for, not touched: the test's machine must not suffer where the limit does not work.
fn memory() -> Outcome {
    // SAFETY: a new mapping, given back at once.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        libc::mmap(std::ptr::null_mut(), 2 << 30, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED { stopped(-1, &[ENOMEM]) } else { Err("2 GiB".into()) }
}

/// Writes lines as short as lines can be, as fast as they are taken; how many.
pub(crate) fn chatter(time: Duration) -> String {
    let (begun, mut lines) = (Instant::now(), 0_u64);
    let mut log = std::io::stderr();
    while begun.elapsed() < time {
        if log.write_all(b"x\n").is_err() {
            break;
        }
        lines += 1;
    }
    lines.to_string()
}
