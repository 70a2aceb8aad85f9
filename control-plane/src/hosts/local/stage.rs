//! Where runtimes are put: the spawner's own small file system, and in it the root that all runtimes share, which holds
//! nothing but a place for the data folder and the way out (and, for a program that is not linked statically, its libraries).
//!
//! ```text
//! /          tmpfs, read only once built; only the spawner sees it
//! /tenants   the folder of all perclouds' folders (nosuid, nodev, noexec)
//! /proc      its own processes and nothing else, for oom_score_adj and user maps
//! /root      tmpfs, read only: what becomes / of each runtime, with its folder mounted on /root/data, and on /root/egress,
//!            read only, once for all, the folder that holds the way out's socket, hidden from whoever may not use it; on /root/tmp
//!            a small tmpfs of each one's own
//! ```

use std::{
    ffi::CStr,
    fs,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
        mount_remount, unmount,
    },
    process::{chdir, pivot_root},
};
use sha2::{Digest, Sha256};

use super::wire::Prepare;

/// The folder that a runtime sees as its own.
pub(super) const DATA: &str = "/data";
/// Where the machine's `/proc` is until there is one of our own.
const MACHINE: &str = "/machine";
/// Where it may put what it needs for a moment: in memory, counted as its memory, gone with it.
pub(super) const TMP: &str = "/tmp";

/// The runtime's program, opened, and what it needs to run.
pub(super) struct Program {
    /// Opened for running.
    pub(super) descriptor: OwnedFd,
    /// The loader and libraries, when it is not linked statically.
    pub(super) libraries: Vec<PathBuf>,
    /// The SHA-256 of its file: the value of `PERCLOUD_PROGRAM`.
    pub(super) sha256: String,
}

/// Opens the program.
pub(super) fn open_program(path: &Path) -> anyhow::Result<Program> {
    let descriptor = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("the runtime at {}", path.display()))?;
    let libraries = libraries(path).with_context(|| format!("the libraries of {}", path.display()))?;
    let sha256 = sha256(&descriptor).with_context(|| format!("reading {}", path.display()))?;
    Ok(Program { descriptor, libraries, sha256 })
}

/// Of the very file that will be run, whatever has its name by then.
fn sha256(program: &OwnedFd) -> anyhow::Result<String> {
    let mut file = fs::File::open(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    let mut sum = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(sum.finalize())),
            read => sum.update(&piece[..read]),
        }
    }
}

/// The loader that an ELF program names and the libraries that the loader then finds; nothing for a static one.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Some(loader) = loader(program)? else { return Ok(Vec::new()) };
    let listed = Command::new(&loader).arg("--list").arg(program).env_clear().output()?;
    anyhow::ensure!(listed.status.success(), "the loader cannot list them");
    let text = String::from_utf8(listed.stdout)?;
    let found = |line: &str| line.split_once("=> ")?.1.split_once(" (").map(|(path, _)| PathBuf::from(path));
    let mut all: Vec<PathBuf> = text.lines().filter_map(found).filter(|path| path.is_absolute()).collect();
    all.push(loader);
    Ok(all)
}

/// What the program header PT_INTERP says (ELF-64, this machine's byte order).
fn loader(program: &Path) -> anyhow::Result<Option<PathBuf>> {
    const PT_INTERP: u32 = 3;
    let mut head = Vec::new();
    fs::File::open(program)?.take(64 << 10).read_to_end(&mut head)?;
    let bytes = |at: usize, n: usize| head.get(at..at + n).context("not a whole ELF program");
    anyhow::ensure!(bytes(0, 5)? == b"\x7fELF\x02", "not an ELF-64 program");
    let number = |at: usize| Ok::<_, anyhow::Error>(u64::from_ne_bytes(bytes(at, 8)?.try_into()?) as usize);
    let half = |at: usize| Ok::<_, anyhow::Error>(usize::from(u16::from_ne_bytes(bytes(at, 2)?.try_into()?)));
    let (table, size, count) = (number(32)?, half(54)?, half(56)?);
    for header in (0..count).map(|i| table + i * size) {
        if u32::from_ne_bytes(bytes(header, 4)?.try_into()?) == PT_INTERP {
            let name = CStr::from_bytes_until_nul(bytes(number(header + 8)?, number(header + 32)?)?)?;
            return Ok(Some(PathBuf::from(name.to_str()?)));
        }
    }
    Ok(None)
}

/// Builds the file system described above and moves into it. The process must have a mount namespace of its own.
pub(super) fn build(prepare: &Prepare, program: &Program) -> anyhow::Result<()> {
    let still = MountFlags::NOSUID | MountFlags::NODEV;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).context("making mounts private")?;
    let at = |name: &str| prepare.stage.join(name);
    tmpfs(&prepare.stage)?;
    for name in ["tenants", "proc", "root", "machine"] {
        fs::create_dir(at(name))?;
    }
    mount_bind(&prepare.tenants, at("tenants")).context("binding the perclouds' folders")?;
    mount_remount(at("tenants"), MountFlags::BIND | still | MountFlags::NOEXEC, c"").context("perclouds' folders")?;
    // Where there is none to be seen, an ordinary user may not make one either.
    mount_bind_recursive("/proc", at("machine")).context("binding /proc")?;
    tmpfs(&at("root"))?;
    fs::create_dir(at("root/data"))?;
    fs::create_dir(at("root/egress"))?;
    fs::create_dir(at("root/tmp"))?;
    // The folder, not the socket: the role makes a new one whenever it starts. To connect is no writing.
    mount_bind(&prepare.egress, at("root/egress")).context("binding the way out")?;
    let closed = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOEXEC | still;
    mount_remount(at("root/egress"), closed, c"").context("the way out, read only")?;
    for library in &program.libraries {
        let copy = at("root").join(library.strip_prefix("/")?);
        fs::create_dir_all(copy.parent().context("a library without a folder")?)?;
        fs::copy(library, copy)?;
    }
    let run_nothing = if program.libraries.is_empty() { MountFlags::NOEXEC } else { MountFlags::empty() };
    mount_remount(at("root"), MountFlags::RDONLY | still | run_nothing, c"").context("the shared root, read only")?;
    mount_remount(at("root"), MountFlags::BIND | MountFlags::RDONLY | still | run_nothing, c"").context("its mount")?;
    mount_remount(&prepare.stage, MountFlags::RDONLY | still | MountFlags::NOEXEC, c"").context("the stage")?;
    enter(&prepare.stage).context("moving into the stage")
}

/// Takes the machine's `/proc` away, with all its processes, their roots, and the kernel's settings, and puts one with our own there. To be
/// called by the first process of a process namespace. Where nobody may make one (some containers hide parts of theirs) it stays.
pub(super) fn show_own_processes() -> io::Result<()> {
    let still = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Without settings; kernels before Linux 5.8 know only all of it.
    let made = [c"subset=pid", c""].into_iter().any(|options| mount("proc", "/proc", "proc", still, options).is_ok());
    if !made {
        mount_bind_recursive(MACHINE, "/proc")?;
    }
    // Where this is refused it is seen as before.
    let _ = unmount(MACHINE, UnmountFlags::DETACH);
    Ok(())
}

fn tmpfs(at: &Path) -> anyhow::Result<()> {
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=256m")
        .with_context(|| format!("a tmpfs at {}", at.display()))
}

/// Makes `root` the root and forgets the old one.
fn enter(root: &Path) -> io::Result<()> {
    chdir(root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

/// Moves a runtime's process, which has a mount namespace of its own, into a root with just `/data` in it, a `/tmp` for its user and,
/// if it has one, the way out.
pub(super) fn enter_root(folder: &Path, (user, group): (u32, u32), way_out: bool) -> io::Result<()> {
    // A mount of this namespace's own: those that came from the spawner's cannot become the root.
    // With what is mounted in it: in a user namespace it would be refused without.
    mount_bind_recursive("/root", "/root")?;
    if !way_out {
        // Still an empty folder. To take the other away is not for a user namespace.
        mount_bind("/root/data", "/root/egress")?;
    }
    mount_bind(folder, "/root/data")?;
    let still = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = format!("mode=0700,uid={user},gid={group},size=16m,nr_inodes=1024");
    mount("tmpfs", "/root/tmp", "tmpfs", still, std::ffi::CString::new(options)?.as_c_str())?;
    enter(Path::new("/root"))?;
    Ok(chdir(DATA)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_its_loader_and_the_loader_finds_the_libraries() {
        let found = libraries(&std::env::current_exe().unwrap()).unwrap();
        assert!(found.iter().all(|path| path.is_file()), "{found:?}");
        assert!(found.iter().any(|path| path.to_string_lossy().contains("libc.so")), "{found:?}");
        assert!(libraries(Path::new("/etc/passwd")).is_err());
    }
}
