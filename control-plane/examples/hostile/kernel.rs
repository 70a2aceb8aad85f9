//! Ways through the kernel: its privileges, its rarer calls, its old doors.

use libc::EPERM;

use super::attacks::{Attacks, Outcome, Target, at, c, stopped, unlisted};

pub(crate) fn privileges(_: &Target) -> Attacks {
    let (root, data, tmpfs, name) = (c("/"), c("/data"), c("tmpfs"), c("owned"));
    let (cgroup, cgroup2, memory, proc) = (c("cgroup"), c("cgroup2"), c("memory"), c("proc"));
    let zeroes = [0u64; 16];
    let zero = zeroes.as_ptr() as usize;
    vec![
        ("mount a tmpfs", unlisted(libc::SYS_mount, [at(&tmpfs), at(&data), at(&tmpfs), 0, 0])),
        ("mount by the new calls", unlisted(libc::SYS_fsopen, [at(&tmpfs), 0, 0, 0, 0])),
        ("copy a mount", unlisted(libc::SYS_open_tree, [usize::MAX, at(&root), 1, 0, 0])),
        ("change a mount", unlisted(libc::SYS_mount_setattr, [usize::MAX, at(&root), 0, zero, 32])),
        ("unmount its root", unlisted(libc::SYS_umount2, [at(&root), 2, 0, 0, 0])),
        ("change its root", unlisted(libc::SYS_pivot_root, [at(&data), at(&data), 0, 0, 0])),
        ("chroot", unlisted(libc::SYS_chroot, [at(&data), 0, 0, 0, 0])),
        ("unshare a user namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0])),
        ("unshare a mount namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWNS as usize, 0, 0, 0, 0])),
        (
            "unshare a control group namespace",
            unlisted(libc::SYS_unshare, [libc::CLONE_NEWCGROUP as usize, 0, 0, 0, 0]),
        ),
        ("unshare a process namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWPID as usize, 0, 0, 0, 0])),
        ("unshare an IPC namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWIPC as usize, 0, 0, 0, 0])),
        ("unshare a host name namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWUTS as usize, 0, 0, 0, 0])),
        ("unshare a time namespace", unlisted(libc::SYS_unshare, [0x80, 0, 0, 0, 0])),
        ("clone into another control group", {
            let arguments = [0x2_0000_0000_u64, 0, 0, 0, 17, 0, 0, 0, 0, 0, 3];
            unlisted(libc::SYS_clone3, [arguments.as_ptr() as usize, 88, 0, 0, 0])
        }),
        (
            "mount control groups, version 1",
            unlisted(libc::SYS_mount, [at(&name), at(&data), at(&cgroup), 0, at(&memory)]),
        ),
        ("mount control groups, version 2", unlisted(libc::SYS_mount, [at(&name), at(&data), at(&cgroup2), 0, 0])),
        ("mount /proc", unlisted(libc::SYS_mount, [at(&proc), at(&data), at(&proc), 0, 0])),
        ("move a mount", unlisted(libc::SYS_move_mount, [usize::MAX, at(&root), usize::MAX, at(&data), 0])),
        ("unshare a network namespace", unlisted(libc::SYS_unshare, [libc::CLONE_NEWNET as usize, 0, 0, 0, 0])),
        ("join a namespace", unlisted(libc::SYS_setns, [3, 0, 0, 0, 0])),
        ("take capabilities", unlisted(libc::SYS_capset, [zero, zero, 0, 0, 0])),
        ("change the host name", unlisted(libc::SYS_sethostname, [at(&name), 5, 0, 0, 0])),
        ("change the clock", unlisted(libc::SYS_clock_settime, [0, zero, 0, 0, 0])),
        ("change the clock by settimeofday", unlisted(libc::SYS_settimeofday, [zero, 0, 0, 0, 0])),
        ("tune the clock", unlisted(libc::SYS_adjtimex, [zero, 0, 0, 0, 0])),
        // With wrong magic numbers, so that it would not even work for root.
        ("reboot", unlisted(libc::SYS_reboot, [1, 2, 3, 0, 0])),
        ("load a kernel module", unlisted(libc::SYS_finit_module, [3, at(&name), 0, 0, 0])),
        ("unload a kernel module", unlisted(libc::SYS_delete_module, [at(&name), 0, 0, 0, 0])),
        ("load another kernel", unlisted(libc::SYS_kexec_load, [0, 0, 0, 0, 0])),
        ("swap on a file of its own", unlisted(libc::SYS_swapon, [at(&data), 0, 0, 0, 0])),
        ("process accounting", unlisted(libc::SYS_acct, [at(&data), 0, 0, 0, 0])),
        ("disk quotas", unlisted(libc::SYS_quotactl, [0, at(&data), 0, 0, 0])),
        ("the kernel's log", unlisted(libc::SYS_syslog, [3, zero, 8, 0, 0])),
        ("another personality", unlisted(libc::SYS_personality, [0x004_0000, 0, 0, 0, 0])),
        ("hang up a terminal", unlisted(libc::SYS_vhangup, [0, 0, 0, 0, 0])),
    ]
}

pub(crate) fn kernel(_: &Target) -> Attacks {
    let zeroes = [0u64; 32];
    let zero = zeroes.as_ptr() as usize;
    let (key, name) = (c("user"), c("percloud"));
    let mut all = vec![
        ("bpf", unlisted(libc::SYS_bpf, [0, zero, 72, 0, 0])),
        ("perf events", unlisted(libc::SYS_perf_event_open, [zero, 0, usize::MAX, usize::MAX, 0])),
        ("io_uring", unlisted(libc::SYS_io_uring_setup, [1, zero, 0, 0, 0])),
        ("io_uring without setting up", unlisted(libc::SYS_io_uring_enter, [3, 1, 0, 0, 0])),
        ("asynchronous I/O", unlisted(libc::SYS_io_setup, [1, zero, 0, 0, 0])),
        ("userfaultfd", unlisted(libc::SYS_userfaultfd, [0, 0, 0, 0, 0])),
        ("kernel keys", unlisted(libc::SYS_keyctl, [0, usize::MAX - 3, 0, 0, 0])),
        ("add a kernel key", unlisted(libc::SYS_add_key, [at(&key), at(&name), zero, 8, usize::MAX - 3])),
        ("watch the file system", unlisted(libc::SYS_fanotify_init, [0, 0, 0, 0, 0])),
        ("System V shared memory", unlisted(libc::SYS_shmget, [1, 4096, 0o1666, 0, 0])),
        ("System V messages", unlisted(libc::SYS_msgget, [1, 0o1666, 0, 0, 0])),
        ("POSIX message queue", unlisted(libc::SYS_mq_open, [at(&name), 0o102, 0o666, 0, 0])),
        ("its own system call filter", unlisted(libc::SYS_seccomp, [1, 0, zero, 0, 0])),
        ("its own Landlock", unlisted(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0])),
        ("move memory of others", unlisted(libc::SYS_move_pages, [0, 0, 0, 0, 0])),
        ("lock all memory", unlisted(libc::SYS_mlockall, [3, 0, 0, 0, 0])),
        ("splice pipes", unlisted(libc::SYS_vmsplice, [1, zero, 0, 0, 0])),
        ("push input to a terminal", {
            let byte = b'x';
            unlisted(libc::SYS_ioctl, [0, libc::TIOCSTI as usize, (&raw const byte) as usize, 0, 0])
        }),
        ("survive its parent", unlisted(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0])),
        ("memory to write and run", mapped(WRITE_AND_RUN, libc::MAP_PRIVATE)),
        ("memory to run, and to write in a second place", written_elsewhere()),
        ("shared memory to run, said otherwise", mapped(RUN, libc::MAP_SHARED_VALIDATE)),
        ("memory of no file to run", mapped(RUN, libc::MAP_PRIVATE)),
        ("run what was written", {
            let page = vec![0u8; 8192];
            let aligned = (page.as_ptr() as usize + 4095) & !4095;
            unlisted(libc::SYS_mprotect, [aligned, 4096, 5, 0, 0])
        }),
    ];
    #[cfg(target_arch = "x86_64")]
    all.extend([
        ("ports of the machine", unlisted(libc::SYS_iopl, [3, 0, 0, 0, 0])),
        ("a local descriptor table", unlisted(libc::SYS_modify_ldt, [0, zero, 8, 0, 0])),
        ("system calls of the x32 kind", unlisted(0x4000_0000 | libc::SYS_kill, [1, 0, 0, 0, 0])),
    ]);
    all
}

const RUN: i32 = libc::PROT_READ | libc::PROT_EXEC;
const WRITE_AND_RUN: i32 = RUN | libc::PROT_WRITE;

fn map(protection: i32, kind: i32) -> *mut libc::c_void {
    // SAFETY: a new mapping; nothing is put there.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, kind | libc::MAP_ANONYMOUS, -1, 0) }
}

fn mapped(protection: i32, kind: i32) -> Outcome {
    if map(protection, kind) == libc::MAP_FAILED { stopped(-1, &[EPERM]) } else { Err("mapped".into()) }
}

/// Memory that is shared can be had twice: one view is run, and the other is written.
fn written_elsewhere() -> Outcome {
    let memory = map(RUN, libc::MAP_SHARED);
    if memory == libc::MAP_FAILED {
        return stopped(-1, &[EPERM]);
    }
    // SAFETY: both are views of the mapping made above.
    unsafe {
        let view = libc::mremap(memory, 0, 4096, libc::MREMAP_MAYMOVE);
        if view == libc::MAP_FAILED || libc::mprotect(view, 4096, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return stopped(-1, &[EPERM]);
        }
    }
    Err("written in one place and run in another".into())
}

/// The door of 32-bit programs, which the filter does not know: it ends the process.
#[cfg(target_arch = "x86_64")]
pub(crate) fn old_system_calls() -> String {
    let result: i32;
    // SAFETY: getpid() of the old table; no memory is touched.
    unsafe {
        std::arch::asm!("int 0x80", inout("eax") 20 => result);
    }
    format!("ESCAPED {result}")
}

/// There is no such door.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn old_system_calls() -> String {
    std::process::abort()
}
