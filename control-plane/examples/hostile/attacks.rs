//! Every way out that we know, tried by name.
//!
//! An attack says how it was stopped, or that it was not. Being stopped by the wrong thing (a typing mistake in the
//! attack, say) must not count: where the refusal is known it is asked for by its error number.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    io::{Error, Write},
    mem::zeroed,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use libc::{EACCES, ECONNREFUSED, EINVAL, ENOENT, ENOSYS, EPERM, EROFS, ESRCH, c_long, syscall};

use super::{bombs, descriptors, kernel};

/// `Ok`: how it was stopped. `Err`: what it reached.
pub(crate) type Outcome = Result<String, String>;

pub(crate) struct Target {
    /// The provider's data folder, as it is called outside.
    data: PathBuf,
    bob: String,
    tcp: u16,
    udp: u16,
    pid: i32,
    pub(crate) quota: i64,
    secret: String,
}

/// Tries all of them; a line each: name, tab, `stopped` or `ESCAPED`, tab, how.
pub(crate) fn table(query: &BTreeMap<&str, &str>) -> String {
    let text = |key: &str| query.get(key).map(|text| (*text).to_owned()).unwrap_or_default();
    let number = |key: &str| text(key).parse::<i64>().unwrap_or(0);
    let target = Target {
        data: PathBuf::from(text("data")),
        bob: text("bob"),
        tcp: number("tcp") as u16,
        udp: number("udp") as u16,
        pid: number("pid") as i32,
        quota: number("quota"),
        secret: text("secret"),
    };
    let mut lines = String::new();
    for group in [
        files,
        sockets,
        descriptors::its_listening_socket,
        processes,
        kernel::privileges,
        kernel::kernel,
        bombs::resources,
    ] {
        for (name, outcome) in group(&target) {
            let (verdict, how) = match &outcome {
                Ok(how) => ("stopped", how),
                Err(how) => ("ESCAPED", how),
            };
            lines.push_str(&format!("{name}\t{verdict}\t{}\n", how.replace(['\n', '\t'], " ")));
        }
    }
    lines
}

pub(crate) type Attacks = Vec<(&'static str, Outcome)>;

/// Stopped with one of these errors, and no other.
pub(crate) fn stopped(result: c_long, by: &[i32]) -> Outcome {
    let error = Error::last_os_error();
    match error.raw_os_error() {
        _ if result >= 0 => Err(format!("returned {result}")),
        Some(number) if by.contains(&number) => Ok(error.to_string()),
        _ => Err(format!("got as far as \"{error}\"")),
    }
}

/// A system call that is not on the list.
pub(crate) fn unlisted(number: c_long, arguments: [usize; 5]) -> Outcome {
    let [a, b, c, d, e] = arguments;
    // SAFETY: pointers among the arguments are null or outlive the call; the kernel checks the rest.
    let result = unsafe { syscall(number, a, b, c, d, e, 0usize) };
    if result == 0 && [libc::SYS_clone, libc::SYS_clone3].contains(&number) {
        // SAFETY: a child that should not be; it must not go on with the list.
        unsafe { libc::_exit(0) }
    }
    if number == libc::SYS_clone3 { stopped(result, &[ENOSYS]) } else { stopped(result, &[EPERM]) }
}

pub(crate) fn io<T>(result: std::io::Result<T>, by: &[i32]) -> Outcome {
    match result {
        Ok(_) => Err("worked".into()),
        Err(error) if error.raw_os_error().is_some_and(|number| by.contains(&number)) => Ok(error.to_string()),
        Err(error) => Err(format!("got as far as \"{error}\"")),
    }
}

fn read(path: impl AsRef<Path>) -> Outcome {
    io(fs::read(path), &[ENOENT, EACCES])
}

fn list(path: impl AsRef<Path>) -> Outcome {
    io(fs::read_dir(path), &[ENOENT, EACCES])
}

pub(crate) fn c(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap_or_default()
}

pub(crate) fn at(text: &CString) -> usize {
    text.as_ptr() as usize
}

fn files(target: &Target) -> Attacks {
    let bob = target.data.join("tenants").join(&target.bob);
    let secret = bob.join(&target.secret);
    let up = Path::new("/data/../../../../../../..").join(secret.strip_prefix("/").unwrap_or(&secret));
    let (outside, inside) = (c(&secret), c("/data/stolen"));
    let node = c("/data/node");
    let tmp_node = c("/tmp/sda");
    let mut handle = [0u8; 136];
    handle[0] = 128;
    vec![
        ("read /etc/shadow", read("/etc/shadow")),
        ("read /etc/passwd", read("/etc/passwd")),
        ("see more of / than its folder", only_its_folder()),
        ("write to /", io(fs::write("/x", "x"), &[EACCES, libc::EROFS])),
        ("list /proc", list("/proc")),
        ("read another process's environment", read(format!("/proc/{}/environ", target.pid))),
        ("escape by /proc/self/root", list("/proc/self/root")),
        ("escape by /proc/1/cwd", list("/proc/1/cwd")),
        ("read kernel memory by /proc/kcore", read("/proc/kcore")),
        ("list /dev", list("/dev")),
        ("open /dev/mem", read("/dev/mem")),
        ("open the disk", read("/dev/vda")),
        ("list /sys", list("/sys")),
        ("write the core pattern", io(fs::write("/proc/sys/kernel/core_pattern", "|/data/x"), &[ENOENT, EACCES])),
        (
            "leave its control group by release_agent",
            io(fs::write("/sys/fs/cgroup/release_agent", "x"), &[ENOENT, EACCES]),
        ),
        (
            "leave its control group by cgroup.procs",
            io(fs::write("/sys/fs/cgroup/cgroup.procs", "0"), &[ENOENT, EACCES]),
        ),
        (
            "leave its memory group by cgroup.procs",
            io(fs::write("/sys/fs/cgroup/memory/cgroup.procs", "0"), &[ENOENT, EACCES]),
        ),
        ("lift its memory limit", io(fs::write("/sys/fs/cgroup/memory.max", "max"), &[ENOENT, EACCES])),
        (
            "forgive itself a killing by oom_score_adj",
            io(fs::write("/proc/self/oom_score_adj", "-1000"), &[ENOENT, EACCES]),
        ),
        ("list all perclouds", list(target.data.join("tenants"))),
        ("read Bob's file by its path", read(&secret)),
        ("read Bob's file by ..", read(&up)),
        (
            "read Bob's file by a symbolic link",
            unlisted(libc::SYS_symlinkat, [at(&outside), usize::MAX, at(&inside), 0, 0]),
        ),
        ("read Bob's file by a hard link", io(fs::hard_link(&secret, "/data/stolen"), &[ENOENT, EACCES])),
        (
            "move its folder's parent",
            io(fs::rename("/data/..", "/data/up"), &[ENOENT, EACCES, libc::EBUSY, libc::EXDEV]),
        ),
        ("read what Bob put into /tmp", read("/tmp/secret")),
        ("list what the machine has in /tmp", list(&target.data)),
        ("find anything in /tmp", empty("/tmp")),
        ("write to /tmp without end", filled("/tmp/endless")),
        ("make files in /tmp without end", crowded("/tmp")),
        ("make a device node in /tmp", unlisted(libc::SYS_mknodat, [usize::MAX, at(&tmp_node), 0o60666, 0x0801, 0])),
        ("find a folder among its descriptors", no_strange_descriptors()),
        ("read the provider's database password", list(target.data.join("secrets"))),
        ("read the provider's keys", list(target.data.join("keys"))),
        ("read the host's notes", list(target.data.join("host"))),
        ("open a file by handle", unlisted(libc::SYS_open_by_handle_at, [3, handle.as_ptr() as usize, 0, 0, 0])),
        ("make a device node", unlisted(libc::SYS_mknodat, [usize::MAX, at(&node), 0o60666, 0x0801, 0])),
        ("make a set-user-id program", set_user_id()),
        ("make one by the mode of a new file", {
            let path = c("/data/lifted");
            let flags = libc::O_CREAT | libc::O_WRONLY;
            // SAFETY: the path outlives the call.
            stopped(unsafe { syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o6755) }, &[EPERM])
        }),
        ("open a folder without following rules", {
            let how = [0u64; 3];
            unlisted(libc::SYS_openat2, [libc::AT_FDCWD as usize, at(&outside), how.as_ptr() as usize, 24, 0])
        }),
    ]
}

/// Nothing of others', and nothing of the attacks before.
fn empty(folder: &str) -> Outcome {
    let names: Vec<_> = match fs::read_dir(folder) {
        Err(error) => return Err(error.to_string()),
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
    };
    if names.is_empty() { Ok("it is empty".into()) } else { Err(names.join(" ")) }
}

/// Writes where only little has room.
fn filled(path: &str) -> Outcome {
    let piece = [1; 1 << 20];
    let filling = fs::File::create(path).and_then(|mut file| (0..64).try_for_each(|_| file.write_all(&piece)));
    let outcome = io(filling, &[libc::ENOSPC]);
    let _ = fs::remove_file(path);
    outcome
}

/// Makes files where only few have room.
fn crowded(folder: &str) -> Outcome {
    let name = |n: u32| Path::new(folder).join(n.to_string());
    let outcome = io((0..5000).try_for_each(|n| fs::File::create(name(n)).map(drop)), &[libc::ENOSPC]);
    (0..5000).for_each(|n| drop(fs::remove_file(name(n))));
    outcome
}

fn only_its_folder() -> Outcome {
    // A program that is linked dynamically has its libraries there.
    let known = ["data", "tmp", "egress", "lib", "lib64", "usr"];
    let names = match fs::read_dir("/") {
        Err(error) => return Ok(error.to_string()),
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
    };
    let strange: Vec<_> = names.filter(|name| !known.contains(&name.as_str())).collect();
    if strange.is_empty() { Ok("nothing but its folder".into()) } else { Err(strange.join(" ")) }
}

/// Standard input, output, error and the listening socket; connections are sockets too. Nothing else may be open.
fn no_strange_descriptors() -> Outcome {
    let mut strange = Vec::new();
    for fd in 0..4096 {
        // SAFETY: plain data.
        let mut found: libc::stat = unsafe { zeroed() };
        // SAFETY: `found` is as large as the call wants.
        if unsafe { libc::fstat(fd, &raw mut found) } == 0 {
            let kind = found.st_mode & libc::S_IFMT;
            let expected = match fd {
                0..=2 => kind == libc::S_IFIFO,
                _ => kind == libc::S_IFSOCK,
            };
            if !expected {
                strange.push(format!("{fd}: {kind:o}"));
            }
        }
    }
    if strange.is_empty() { Ok("none".into()) } else { Err(strange.join(", ")) }
}

fn set_user_id() -> Outcome {
    let _ = fs::write("/data/program", "x");
    io(fs::set_permissions("/data/program", PermissionsExt::from_mode(0o4755)), &[EPERM])
}

fn sockets(target: &Target) -> Attacks {
    let socket = |family: i32, kind: i32, protocol: i32| {
        // SAFETY: no memory is passed.
        stopped(unsafe { syscall(libc::SYS_socket, family, kind, protocol) }, &[EPERM])
    };
    // A unix stream can be made and connected; what is not in its root cannot be connected to.
    let by_path = |path: PathBuf| io(UnixStream::connect(path), &[ENOENT, EACCES]);
    let mut pair = [0i32; 2];
    vec![
        ("put a descriptor aside in a message", descriptors::pass_one()),
        ("connect to Bob's socket", by_path(target.data.join("run/t").join(format!("{}.sock", target.bob)))),
        ("connect to the host's socket", by_path(target.data.join("run/host/host.sock"))),
        ("connect to Postgres", by_path(target.data.join("run/pg/.s.PGSQL.5432"))),
        ("connect to an abstract socket", {
            let address = SocketAddr::from_abstract_name(format!("percloud-{}", target.pid));
            io(address.and_then(|address| UnixStream::connect_addr(&address)), &[EPERM, ECONNREFUSED])
        }),
        ("listen on a socket of its own", io(UnixListener::bind("/data/own.sock"), &[EPERM])),
        ("connect its listening socket elsewhere", {
            let address = [0u8; 16];
            // SAFETY: the address outlives the call.
            stopped(unsafe { syscall(libc::SYS_connect, 3, address.as_ptr(), 16) }, &[EPERM, EINVAL])
        }),
        ("TCP to 127.0.0.1", io(std::net::TcpStream::connect(("127.0.0.1", target.tcp)), &[EPERM])),
        ("TCP to ::1", io(std::net::TcpStream::connect(("::1", target.tcp)), &[EPERM])),
        ("TCP listener", io(std::net::TcpListener::bind("0.0.0.0:0"), &[EPERM])),
        (
            "UDP",
            io(
                std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", ("127.0.0.1", target.udp))),
                &[EPERM],
            ),
        ),
        ("raw ICMP socket", socket(libc::AF_INET, libc::SOCK_RAW, 1)),
        ("ping socket", socket(libc::AF_INET, libc::SOCK_DGRAM, 1)),
        ("netlink route socket", socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)),
        ("netlink audit socket", socket(libc::AF_NETLINK, libc::SOCK_RAW, 9)),
        ("packet socket", socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300)),
        ("vsock socket", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        ("kernel crypto socket", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
        ("Bluetooth socket", socket(31, libc::SOCK_RAW, 1)),
        ("XDP socket", socket(44, libc::SOCK_RAW, 0)),
        (
            "datagrams to unix sockets of others",
            unlisted(libc::SYS_socketpair, [1, libc::SOCK_DGRAM as usize, 0, pair.as_mut_ptr() as usize, 0]),
        ),
        ("unix datagram socket", socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)),
        ("unix packet socket", socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0)),
        ("another's socket beside the way out", by_path(format!("/egress/../run/t/{}.sock", target.bob).into())),
        ("the folder behind the way out", by_path("/egress/../../host/host.sock".into())),
        ("what else is beside the way out", list("/egress")),
        ("take the way out away", io(fs::remove_file("/egress/sock"), &[EACCES, EROFS, EPERM])),
        ("put another in its place", io(UnixListener::bind("/egress/sock"), &[EPERM])),
        ("write beside the way out", io(fs::write("/egress/x", "x"), &[EACCES, EROFS])),
    ]
}

fn processes(target: &Target) -> Attacks {
    let pid = target.pid as usize;
    let shell = c("/bin/sh");
    let mut bytes = [0u8; 8];
    let own = [bytes.as_mut_ptr() as usize, 8];
    let theirs = [0x40_0000usize, 8];
    let arguments = [0u64; 11];
    vec![
        ("ptrace a process outside", unlisted(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, pid, 0, 0, 0])),
        ("be traced", unlisted(libc::SYS_ptrace, [libc::PTRACE_TRACEME as usize, 0, 0, 0, 0])),
        ("kill a process outside", unlisted(libc::SYS_kill, [pid, libc::SIGTERM as usize, 0, 0, 0])),
        ("kill a thread outside", {
            // SAFETY: no memory is passed; should it work, it is the test's own child that ends.
            stopped(unsafe { syscall(libc::SYS_tgkill, pid, pid, libc::SIGTERM) }, &[ESRCH, EPERM])
        }),
        ("send a signal by descriptor", unlisted(libc::SYS_pidfd_send_signal, [3, 15, 0, 0, 0])),
        ("queue a signal", unlisted(libc::SYS_rt_sigqueueinfo, [pid, 15, bytes.as_ptr() as usize, 0, 0])),
        (
            "read memory of a process outside",
            unlisted(libc::SYS_process_vm_readv, [pid, own.as_ptr() as usize, 1, theirs.as_ptr() as usize, 1]),
        ),
        (
            "write memory of a process outside",
            unlisted(libc::SYS_process_vm_writev, [pid, own.as_ptr() as usize, 1, theirs.as_ptr() as usize, 1]),
        ),
        ("open a process", unlisted(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0])),
        ("take a descriptor of another process", unlisted(libc::SYS_pidfd_getfd, [3, 0, 0, 0, 0])),
        ("compare with another process", unlisted(libc::SYS_kcmp, [1, pid, 0, 0, 0])),
        ("fork", unlisted(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0])),
        ("clone3", unlisted(libc::SYS_clone3, [arguments.as_ptr() as usize, 88, 0, 0, 0])),
        (
            "a thread with descriptors of its own",
            unlisted(
                libc::SYS_clone,
                [(libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM) as usize, 0, 0, 0, 0],
            ),
        ),
        (
            "descriptors of its own for a thread",
            unlisted(libc::SYS_close_range, [4000, 4001, libc::CLOSE_RANGE_UNSHARE as usize, 0, 0]),
        ),
        ("clone into a new user namespace", unlisted(libc::SYS_clone, [0x1000_0011, 0, 0, 0, 0])),
        ("run a shell", io(Command::new("/bin/sh").status(), &[EPERM, ENOSYS])),
        ("become a shell", unlisted(libc::SYS_execve, [at(&shell), 0, 0, 0, 0])),
        (
            "run its own program again",
            unlisted(libc::SYS_execveat, [3, at(&shell), 0, 0, libc::AT_EMPTY_PATH as usize]),
        ),
        ("run a program from its folder", run_from_folder()),
        ("a program in memory", unlisted(libc::SYS_memfd_create, [at(&shell), 0, 0, 0, 0])),
        ("a secret piece of memory", unlisted(447, [0, 0, 0, 0, 0])),
        ("become root", unlisted(libc::SYS_setuid, [0, 0, 0, 0, 0])),
        ("become root by setresuid", unlisted(libc::SYS_setresuid, [0, 0, 0, 0, 0])),
        ("join root's group", unlisted(libc::SYS_setgroups, [1, bytes.as_ptr() as usize, 0, 0, 0])),
        ("a better place in the queue", unlisted(libc::SYS_setpriority, [0, 0, usize::MAX - 19, 0, 0])),
        ("real-time priority", unlisted(libc::SYS_sched_setscheduler, [0, 1, bytes.as_ptr() as usize, 0, 0])),
        ("higher limits", {
            let limit = [1u64 << 40; 2];
            unlisted(libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE as usize, limit.as_ptr() as usize, 0, 0])
        }),
    ]
}

/// The descriptor number that the start itself uses, now with a file of ours.
fn run_from_folder() -> Outcome {
    let _ = fs::write("/data/program", b"\x7fELF");
    let _ = fs::set_permissions("/data/program", PermissionsExt::from_mode(0o755));
    let path = c("/data/program");
    let empty = c("");
    // SAFETY: descriptor 4 is free or the test's connection, which is then lost; pointers outlive the call.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY);
        if file != 4 {
            let kept = libc::dup(4);
            libc::dup2(file, 4);
            let result = syscall(libc::SYS_execveat, 4, empty.as_ptr(), 0usize, 0usize, libc::AT_EMPTY_PATH);
            let outcome = stopped(result, &[EACCES, EPERM]);
            libc::dup2(kept, 4);
            libc::close(kept);
            libc::close(file);
            return outcome;
        }
        stopped(syscall(libc::SYS_execveat, 4, empty.as_ptr(), 0usize, 0usize, libc::AT_EMPTY_PATH), &[EACCES, EPERM])
    }
}
