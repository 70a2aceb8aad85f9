//! The system calls that a runtime may make, and why. Everything else fails with EPERM (`clone3` with ENOSYS, so that
//! the C library falls back to `clone`, whose flags can be looked at).

use std::collections::BTreeMap;

use anyhow::Context;
use libc::{AF_UNIX, AT_EMPTY_PATH, PROT_EXEC, PROT_WRITE, SOCK_STREAM, SOL_SOCKET};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

/// The descriptor of the listening socket, which is the host's as well.
pub(super) const LISTENER: i32 = 3;
/// The descriptor of the runtime's program while it is started; closed by the start.
pub(super) const PROGRAM: i32 = 4;

/// Calls that may be made with any arguments.
const ALLOWED: &[(&str, &[i64])] = &[
    (
        "read and write what is open: files of its folder, its connections, its log",
        &[
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_pread64,
            libc::SYS_preadv,
            libc::SYS_preadv2,
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_pwrite64,
            libc::SYS_pwritev,
            libc::SYS_pwritev2,
            libc::SYS_lseek,
            libc::SYS_close,
            libc::SYS_sendfile,
            libc::SYS_copy_file_range,
        ],
    ),
    (
        "files of its folder (Landlock and the empty root say which): SQLite, blobs, uploads; no fallocate, which takes a whole disk in a \
         moment and writes nothing that a ceiling would hold back",
        &[
            libc::SYS_newfstatat,
            libc::SYS_fstat,
            libc::SYS_statx,
            libc::SYS_statfs,
            libc::SYS_fstatfs,
            libc::SYS_faccessat,
            libc::SYS_faccessat2,
            libc::SYS_getdents64,
            libc::SYS_getcwd,
            libc::SYS_readlinkat,
            libc::SYS_mkdirat,
            libc::SYS_unlinkat,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_linkat,
            libc::SYS_truncate,
            libc::SYS_ftruncate,
            libc::SYS_fadvise64,
            libc::SYS_readahead,
            libc::SYS_utimensat,
            libc::SYS_umask,
            libc::SYS_flock,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_sync_file_range,
            libc::SYS_msync,
        ],
    ),
    ("memory", &[libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_membarrier]),
    (
        "threads and waiting",
        &[
            libc::SYS_futex,
            libc::SYS_set_robust_list,
            libc::SYS_set_tid_address,
            libc::SYS_rseq,
            libc::SYS_sched_yield,
            libc::SYS_sched_getaffinity,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_restart_syscall,
            libc::SYS_epoll_create1,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_ppoll,
            libc::SYS_pselect6,
            libc::SYS_eventfd2,
            libc::SYS_pipe2,
            libc::SYS_nanosleep,
            libc::SYS_clock_nanosleep,
        ],
    ),
    (
        "signals to itself; others do not exist in its process namespace, and kill() is not here",
        &[
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigtimedwait,
            libc::SYS_sigaltstack,
            libc::SYS_tgkill,
        ],
    ),
    (
        "who, when, how much, and chance",
        &[
            libc::SYS_getpid,
            libc::SYS_getppid,
            libc::SYS_gettid,
            libc::SYS_getuid,
            libc::SYS_geteuid,
            libc::SYS_getgid,
            libc::SYS_getegid,
            libc::SYS_clock_gettime,
            libc::SYS_clock_getres,
            libc::SYS_gettimeofday,
            libc::SYS_getrusage,
            libc::SYS_sysinfo,
            libc::SYS_uname,
            libc::SYS_getrandom,
        ],
    ),
    (
        "the connections that come to its listening socket; no messages, which could carry descriptors: what lies in a socket \
         is open, and nobody sees it",
        &[libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_getsockname, libc::SYS_getpeername],
    ),
    ("connect such a socket, and no other exists, to the way out (see socket, below)", &[libc::SYS_connect]),
    (
        "older forms of the above, which the C library still uses on this machine",
        #[cfg(target_arch = "x86_64")]
        &[
            libc::SYS_stat,
            libc::SYS_lstat,
            libc::SYS_access,
            libc::SYS_readlink,
            libc::SYS_mkdir,
            libc::SYS_rmdir,
            libc::SYS_unlink,
            libc::SYS_rename,
            libc::SYS_link,
            libc::SYS_poll,
            libc::SYS_select,
            libc::SYS_epoll_wait,
            libc::SYS_arch_prctl,
            libc::SYS_time,
        ],
        #[cfg(not(target_arch = "x86_64"))]
        &[],
    ),
];

/// One condition: the argument at `.0`, masked by `.1`, equals `.2`; with [`NOT`] for a mask it is anything else.
type Equals = (u8, u64, u64);
const ANY_BIT: u64 = u64::MAX;
const NOT: u64 = 0;

/// All flags of clone() that make a namespace.
const NAMESPACES: u64 = 0x0000_0080 | 0x7e02_0000;
/// A thread; and what it has open all have open, so that there are not as many tables of descriptors as threads.
const THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_FILES) as u64;
const EXEC: u64 = PROT_EXEC as u64;
const WRITE: u64 = PROT_WRITE as u64;

/// What kind of mapping it is.
const MAPPING: u64 = (libc::MAP_TYPE | libc::MAP_ANONYMOUS) as u64;
const OF_A_FILE: u64 = libc::MAP_PRIVATE as u64;
const UNSHARE: u64 = libc::CLOSE_RANGE_UNSHARE as u64;
const NOT_THE_LISTENER: Equals = (0, NOT, LISTENER as u64);

const SOCKET_FLAGS: u64 = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;

/// Calls that may be made with these arguments: any of the lines, and all conditions of a line.
const ALLOWED_IF: &[(&str, i64, &[&[Equals]])] = &[
    ("a thread, never a process, never a namespace", libc::SYS_clone, &[&[(0, THREAD | NAMESPACES, THREAD)]]),
    (
        "memory that is written or run, never both: to run is for its own view of a file only, since memory that can be had twice \
         is written in one place and run in the other",
        libc::SYS_mmap,
        &[&[(2, EXEC | WRITE, 0)], &[(2, EXEC | WRITE, WRITE)], &[(2, EXEC | WRITE, EXEC), (3, MAPPING, OF_A_FILE)]],
    ),
    ("what was written is never run later", libc::SYS_mprotect, &[&[(2, EXEC, 0)]]),
    (
        "the start itself, on the program that was opened for it; afterwards nothing can be run: the descriptor is closed, \
         its folder runs nothing (noexec, Landlock), and memory files cannot be made",
        libc::SYS_execveat,
        &[&[(0, 0xffff_ffff, PROGRAM as u64), (4, 0xffff_ffff, AT_EMPTY_PATH as u64)]],
    ),
    (
        "a pair of connected sockets, by which tokio hears of signals; no datagrams, which could be sent elsewhere",
        libc::SYS_socketpair,
        &[&[(0, 0xffff_ffff, AF_UNIX as u64), (1, 0xf, SOCK_STREAM as u64)]],
    ),
    (
        "one way out: the only kind of socket that can be made is a unix stream, and the only one that its root holds is \
         /egress/sock; abstract ones of others are in other network namespaces, and Landlock keeps it from them too",
        libc::SYS_socket,
        &[&[
            (0, 0xffff_ffff, AF_UNIX as u64),
            (1, 0xffff_ffff & !SOCKET_FLAGS, SOCK_STREAM as u64),
            (2, 0xffff_ffff, 0),
        ]],
    ),
    ("close many, in the table that all threads have", libc::SYS_close_range, &[&[(2, UNSHARE, 0)]]),
    (
        "end one way of a connection; the listening socket is the host's, too, and one that was shut hears nobody any more",
        libc::SYS_shutdown,
        &[&[NOT_THE_LISTENER]],
    ),
    (
        "copies of descriptors, but not of the listening one, which could be shut by another number",
        libc::SYS_dup,
        &[&[NOT_THE_LISTENER]],
    ),
    ("the same", libc::SYS_dup3, &[&[NOT_THE_LISTENER]]),
    #[cfg(target_arch = "x86_64")]
    ("the same", libc::SYS_dup2, &[&[NOT_THE_LISTENER]]),
    ("send to whom it is connected", libc::SYS_sendto, &[&[(4, ANY_BIT, 0)]]),
    ("who is at the other end", libc::SYS_getsockopt, &[&[(1, 0xffff_ffff, SOL_SOCKET as u64)]]),
    (
        "not to block, to close on start, how much is there, is it a terminal; nothing that pushes input to one",
        libc::SYS_ioctl,
        &[
            &[(1, 0xffff_ffff, libc::FIONBIO)],
            &[(1, 0xffff_ffff, libc::FIOCLEX)],
            &[(1, 0xffff_ffff, libc::FIONREAD)],
            &[(1, 0xffff_ffff, libc::TCGETS)],
        ],
    ),
    (
        "copies of descriptors, their flags, and locks on files",
        libc::SYS_fcntl,
        &[
            &[(1, 0xffff_ffff, libc::F_DUPFD as u64), NOT_THE_LISTENER],
            &[(1, 0xffff_ffff, libc::F_DUPFD_CLOEXEC as u64), NOT_THE_LISTENER],
            &[(1, 0xffff_ffff, libc::F_GETFD as u64)],
            &[(1, 0xffff_ffff, libc::F_SETFD as u64)],
            &[(1, 0xffff_ffff, libc::F_GETFL as u64)],
            &[(1, 0xffff_ffff, libc::F_SETFL as u64)],
            &[(1, 0xffff_ffff, libc::F_GETLK as u64)],
            &[(1, 0xffff_ffff, libc::F_SETLK as u64)],
            &[(1, 0xffff_ffff, libc::F_SETLKW as u64)],
            &[(1, 0xffff_ffff, libc::F_OFD_GETLK as u64)],
            &[(1, 0xffff_ffff, libc::F_OFD_SETLK as u64)],
            &[(1, 0xffff_ffff, libc::F_OFD_SETLKW as u64)],
        ],
    ),
    ("a thread's name", libc::SYS_prctl, &[&[(0, 0xffff_ffff, libc::PR_SET_NAME as u64)]]),
    ("read its own limits, not change them", libc::SYS_prlimit64, &[&[(0, 0xffff_ffff, 0), (2, ANY_BIT, 0)]]),
    ("files of its folder, made without set-user-id and set-group-id", libc::SYS_openat, &[&[(3, 0o6000, 0)]]),
    #[cfg(target_arch = "x86_64")]
    ("files of its folder, made without set-user-id and set-group-id", libc::SYS_open, &[&[(2, 0o6000, 0)]]),
    ("modes without set-user-id and set-group-id", libc::SYS_fchmod, &[&[(1, 0o6000, 0)]]),
    ("modes without set-user-id and set-group-id", libc::SYS_fchmodat, &[&[(2, 0o6000, 0)]]),
    #[cfg(target_arch = "x86_64")]
    ("modes without set-user-id and set-group-id", libc::SYS_chmod, &[&[(1, 0o6000, 0)]]),
];

/// The table as the kernel wants it.
pub(super) fn compile() -> anyhow::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (_, calls) in ALLOWED {
        rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    }
    for (_, call, lines) in ALLOWED_IF {
        let line = |line: &&[Equals]| SeccompRule::new(line.iter().map(condition).collect::<Result<_, _>>()?);
        let made = lines.iter().map(line).collect::<Result<Vec<_>, seccompiler::BackendError>>();
        rules.insert(*call, made.context("the seccomp table")?);
    }
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into().context("seccomp knows not this processor")?;
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch).context("the seccomp table")?;
    let mut program = BpfProgram::from(no_clone3());
    program.extend(BpfProgram::try_from(filter).context("the seccomp table")?);
    Ok(program)
}

fn condition((argument, mask, value): &Equals) -> Result<SeccompCondition, seccompiler::BackendError> {
    let length = if *mask > u64::from(u32::MAX) { Len::Qword } else { Len::Dword };
    let operation = if *mask == NOT { Op::Ne } else { Op::MaskedEq(*mask) };
    SeccompCondition::new(*argument, length, operation, *value)
}

/// `clone3` hides its flags in memory, where a filter cannot look: "no such call" makes the C library use `clone`.
fn no_clone3() -> [sock_filter; 3] {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    [
        sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        sock_filter { code: equal, jt: 0, jf: 1, k: libc::SYS_clone3 as u32 },
        sock_filter { code: answer, jt: 0, jf: 0, k: no_such_call },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compiles_and_is_short_enough_for_the_kernel() {
        let program = compile().unwrap();
        assert!(program.len() < 4096, "{}", program.len());
    }

    #[test]
    fn no_call_is_listed_twice() {
        let plain = ALLOWED.iter().flat_map(|(_, calls)| calls.iter());
        let mut all: Vec<_> = plain.chain(ALLOWED_IF.iter().map(|(_, call, _)| call)).collect();
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
