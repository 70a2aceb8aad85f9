//! What a process holds of the disk that has no name any more: a file that was taken out of its folder is there as long as somebody has it
//! open or mapped, and no count of folders finds it. What nobody finds at all shows in what the disk has lost ([`Account`]).

use std::{
    collections::HashSet,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use tokio::time::Instant;

use super::{disk::Stored, process::Process};

/// What a mapped file that has no name is called at the end.
const NAMELESS: &[u8] = b" (deleted)";

/// What a process alone keeps on a disk.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes and files, as far as they were seen.
    pub(super) stored: Stored,
    /// Why there may be more; none when all was seen.
    pub(super) unseen: Option<String>,
}

/// Bytes and files that this process alone keeps on the disk of `folder`; nothing once it has ended.
///
/// What is open the kernel tells whoever is the process's user. What is mapped only root may look at; others hear how much of it is
/// mapped, which is less than it may be.
pub(super) fn held(process: &Process, folder: &Path) -> Held {
    let Some(number) = process.number() else { return Held::default() };
    let mut look = Look { disk: 0, seen: HashSet::new(), held: Held::default() };
    let thread = thread_of(number);
    let done = fs::metadata(folder).and_then(|found| {
        look.disk = found.dev();
        // One that fails keeps nothing from the other.
        let parts = [look.open(number, thread), look.mapped(number, thread)];
        parts.into_iter().collect::<io::Result<()>>()
    });
    match done {
        Err(why) => look.held.unseen = Some(why.to_string()),
        Ok(()) if !lives(number, thread) => look.held.unseen = Some("the thread that was asked has ended".into()),
        Ok(()) => {}
    }
    // By now the number may be another's.
    if process.ended() { Held::default() } else { look.held }
}

/// Which of its threads to ask: one that has ended tells nothing, be it the first, and each tells of all that the process has.
fn thread_of(process: i32) -> i32 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut threads = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    threads.find(|thread| lives(process, *thread)).unwrap_or(process)
}

fn lives(process: i32, thread: i32) -> bool {
    let maps = File::open(format!("/proc/{process}/task/{thread}/maps"));
    maps.and_then(|mut maps| maps.read(&mut [0])).is_ok_and(|bytes| bytes > 0)
}

struct Look {
    disk: u64,
    /// A file of several descriptors is there once.
    seen: HashSet<u64>,
    held: Held,
}

impl Look {
    fn open(&mut self, process: i32, thread: i32) -> io::Result<()> {
        for descriptor in fs::read_dir(format!("/proc/{process}/task/{thread}/fd"))? {
            // The link leads to the file itself, whatever its name is. What was closed meanwhile is not counted.
            if let Ok(found) = fs::metadata(descriptor?.path()) {
                self.add(&found);
            }
        }
        Ok(())
    }

    fn mapped(&mut self, process: i32, thread: i32) -> io::Result<()> {
        let maps = fs::read(format!("/proc/{process}/task/{thread}/maps"))?;
        let disk = self.disk;
        for mapping in maps.split(|byte| *byte == b'\n').filter_map(|line| Mapping::of(line, disk)) {
            if self.seen.contains(&mapping.file) {
                continue;
            }
            // A thread has this where a process has it, and nowhere else.
            match fs::metadata(format!("/proc/{thread}/map_files/{}", mapping.range)) {
                Ok(found) => self.add(&found),
                Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                    self.seen.insert(mapping.file);
                    self.held.stored.bytes += mapping.bytes;
                    self.held.stored.files += 1;
                    self.held.unseen = Some("only root may look how large mapped files without a name are".into());
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, found: &Metadata) {
        if found.dev() == self.disk && found.nlink() == 0 && self.seen.insert(found.ino()) {
            self.held.stored.bytes += found.blocks() * 512;
            self.held.stored.files += 1;
        }
    }
}

/// One line of a process's `maps`, of a file without a name.
struct Mapping<'a> {
    range: &'a str,
    bytes: u64,
    file: u64,
}

impl<'a> Mapping<'a> {
    /// Only the name, which comes last, is another's to choose: of any bytes, but for the end of a line, which the kernel writes as `\012`.
    fn of(line: &'a [u8], disk: u64) -> Option<Self> {
        let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let mut words = words.map_while(|word| std::str::from_utf8(word).ok());
        let range = words.next()?;
        let (device, file) = (words.nth(2)?, words.next()?.parse().ok()?);
        let (from, to) = range.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let (major, minor) = device.split_once(':')?;
        let there = (u64::from(libc::major(disk)), u64::from(libc::minor(disk)));
        let is_there = line.ends_with(NAMELESS) && there == (number(major)?, number(minor)?);
        let bytes = number(to)?.checked_sub(number(from)?)?;
        is_there.then_some(Self { range, bytes, file })
    }
}

/// So much may go from the disk unexplained: a copy that the operator makes on the same disk is nobody's fault.
const LEAST: u64 = 256 << 20;
/// And this part of what is left: when that goes on, the disk is full in a while.
const PART: u64 = 4;
/// What went is put beside what was found for so long.
const WINDOW: Duration = Duration::from_secs(600);
/// Counting takes this long at most before it is asked what it found.
const COUNTING: Duration = Duration::from_secs(120);
/// All are put to sleep so often at most, and those who hide something when nothing came back from them: something else fills the disk.
const REST: Duration = Duration::from_secs(3600);

/// What went from the disk within some minutes, and what of it was found.
#[derive(Debug, Default)]
pub(super) struct Account {
    went: u64,
    found: u64,
    /// When the first of it went, and when the last did.
    since: Option<(Instant, Instant)>,
    /// Those who hide something were put to sleep then, and so much free shows that it was one of them.
    hiding_slept: Option<(Instant, u64)>,
    /// All were.
    all_slept: Option<Instant>,
}

/// Who has to sleep for what nobody is found to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Those who are awake and hold what cannot all be seen.
    Hiding,
    /// All who are awake.
    All,
}

impl Account {
    /// So many bytes went.
    pub(super) fn went(&mut self, bytes: u64, now: Instant) {
        if self.since.is_some_and(|(first, _)| now.duration_since(first) > WINDOW) {
            (self.went, self.found, self.since) = (0, 0, None);
        }
        self.went += bytes;
        self.since = Some((self.since.map_or(now, |(first, _)| first), now));
    }

    /// So many bytes more than before were found with somebody.
    pub(super) fn found(&mut self, bytes: u64) {
        self.found += bytes;
    }

    /// Bytes that nobody has by what can be counted, when that is so much that somebody has to sleep for it; and who. `counting` goes on;
    /// somebody is known who `hides` something; `free` is what the disk has left.
    pub(super) fn unexplained(&mut self, free: u64, counting: bool, hides: bool, now: Instant) -> Option<(u64, Whom)> {
        let rests = |when: Instant| now.duration_since(when) < REST;
        self.hiding_slept = self.hiding_slept.filter(|(when, enough)| free < *enough && rests(*when));
        // What went long ago, and nobody was asked for, is not asked for later.
        let (_, last) = self.since.filter(|(_, last)| now.duration_since(*last) <= WINDOW)?;
        if counting && now.duration_since(last) < COUNTING {
            return None;
        }
        let missing = self.went.saturating_sub(self.found);
        if missing < LEAST.max(free / PART) || missing < self.went / 2 {
            return None;
        }
        let whom = if hides && self.hiding_slept.is_none() {
            self.hiding_slept = Some((now, free + missing / 2));
            Whom::Hiding
        } else if !self.all_slept.is_some_and(rests) {
            self.all_slept = Some(now);
            Whom::All
        } else {
            return None;
        };
        (self.went, self.found, self.since) = (0, 0, None);
        Some((missing, whom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, io::Write, ops::Range, os::unix::ffi::OsStrExt, path::PathBuf};

    /// A process as the host sees it.
    fn process(number: i32) -> Process {
        let pid = rustix::process::Pid::from_raw(number).unwrap();
        Process::new(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap())
    }

    fn file(folder: &Path, name: &[u8], mib: usize) -> (PathBuf, File) {
        let path = folder.join(OsStr::from_bytes(name));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all(&vec![1; mib << 20]).unwrap();
        file.sync_all().unwrap();
        (path, file)
    }

    /// Maps a page of it.
    fn map(file: &File) -> *mut libc::c_void {
        let (shared, fd) = (libc::MAP_SHARED, std::os::fd::AsRawFd::as_raw_fd(file));
        // SAFETY: a new mapping; nobody writes to it.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, shared, fd, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        memory
    }

    /// What is found of a file of eight MiB that is open and one of sixteen that is mapped: root sees it all.
    fn both() -> Range<u64> {
        if rustix::process::geteuid().is_root() { 24 << 20..25 << 20 } else { (8 << 20) + 4096..25 << 20 }
    }

    #[test]
    fn what_has_no_name_any_more_is_found_once_open_or_mapped_whatever_it_was_called() {
        let folder = tempfile::tempdir().unwrap();
        let process = process(rustix::process::getpid().as_raw_nonzero().get());
        let count = || held(&process, folder.path());
        // Other tests of this process have files of theirs.
        let before = count().stored;
        let file = |name: &[u8], mib: usize| file(folder.path(), name, mib);
        let ((open, one), (mapped, two)) = (file(b"open", 8), file(b"map\xffped \n(deleted)\\012 \r", 16));
        let (_, _named) = file(b"named", 32);
        let _again = one.try_clone().unwrap();
        fs::remove_file(open).unwrap();
        let more = count().stored.bytes - before.bytes;
        assert!((8 << 20..9 << 20).contains(&more), "{more}");
        let memory = map(&two);
        fs::remove_file(mapped).unwrap();
        drop(two);
        let found = count();
        assert!(both().contains(&(found.stored.bytes - before.bytes)), "{found:?}");
        assert_eq!(found.unseen.is_none(), rustix::process::geteuid().is_root(), "{found:?}");
        // SAFETY: mapped above.
        unsafe { libc::munmap(memory, 4096) };
        drop((one, _again));
        assert!(count().stored.bytes <= before.bytes + (1 << 20));
    }

    extern "C" fn rest(nothing: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: waits, and no more.
        unsafe { libc::pause() };
        nothing
    }

    #[test]
    fn who_ends_its_first_thread_hides_nothing_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (open, mapped) = (file(folder.path(), b"open", 8), file(folder.path(), b"mapped", 16));
        let memory = map(&mapped.1);
        for (path, _) in [&open, &mapped] {
            fs::remove_file(path).unwrap();
        }
        drop(mapped);
        // SAFETY: the child calls the kernel and makes a thread, and uses nothing that another thread may have locked.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the thread is handed nothing, and this one ends alone.
            unsafe {
                let mut thread = std::mem::zeroed();
                libc::pthread_create(&raw mut thread, std::ptr::null(), rest, std::ptr::null_mut());
                libc::syscall(libc::SYS_exit, 0);
            }
        }
        // SAFETY: mapped above.
        unsafe { libc::munmap(memory, 4096) };
        drop(open);
        let process = process(child);
        let state = || fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
        while !state().contains(") Z ") {
            std::thread::yield_now();
        }
        let found = held(&process, folder.path());
        let ended = process.ended();
        process.kill();
        // SAFETY: it is our child, and nobody wants to know how it ended.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert!(!ended && both().contains(&found.stored.bytes), "{found:?}");
        assert_eq!(held(&process, folder.path()).stored, Stored::default());
    }

    #[test]
    fn what_cannot_be_looked_at_is_said_and_takes_nothing_from_what_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _open) = file(folder.path(), b"open", 8);
        fs::remove_file(path).unwrap();
        let process = process(rustix::process::getpid().as_raw_nonzero().get());
        assert!(held(&process, &folder.path().join("no")).unseen.is_some());
        let number = process.number().unwrap();
        let disk = fs::metadata(folder.path()).unwrap().dev();
        let mut look = Look { disk, seen: HashSet::new(), held: Held::default() };
        assert!(look.open(number, number).is_ok() && look.mapped(number, 0).is_err());
        assert!(look.held.stored.bytes >= 8 << 20);
    }

    #[test]
    fn a_mapping_is_read_from_its_line_and_other_disks_are_none_of_it() {
        let disk = libc::makedev(0xfe, 1);
        for name in [&b"a b"[..], b"a\\012b", b"\xff\xfe", b"", b"x (deleted) 00:01 9", b"\r"] {
            let begins = b"7f00a000-7f00c000 rw-s 00001000 fe:01 77                         /data/";
            let line = [&begins[..], name, b" (deleted)"].concat();
            let found = Mapping::of(&line, disk).unwrap();
            assert_eq!((found.range, found.bytes, found.file), ("7f00a000-7f00c000", 0x2000, 77));
        }
        for other in [
            "7f00a000-7f00c000 rw-s 00001000 fe:01 77                         /data/a",
            "7f00a000-7f00c000 rw-s 00001000 00:01 77                         /dev/zero (deleted)",
            "7f00a000-7f00c000 rw-p 00000000 00:00 0",
            "",
        ] {
            assert!(Mapping::of(other.as_bytes(), disk).is_none(), "{other}");
        }
    }

    #[test]
    fn what_nobody_has_is_asked_of_those_who_hide_something_and_of_all_only_once_an_hour() {
        const GIB: u64 = 1 << 30;
        let now = Instant::now();
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        let account = |went: u64, found: u64| {
            let mut account = Account::default();
            account.went(went, now);
            account.found(found);
            account
        };
        // What went, what was found, what is left, whether somebody is still counted; what is missing.
        for (went, found, free, counting, missing) in [
            (2 * GIB, 0, 8 * GIB, false, Some(2 * GIB)),
            (2 * GIB, 0, 8 * GIB, true, None),
            (2 * GIB, 2 * GIB, 8 * GIB, false, None),
            (3 * GIB, 2 * GIB, 2 * GIB, false, None),
            (GIB / 8, 0, 0, false, None),
            (2 * GIB, 0, 9 * GIB, false, None),
        ] {
            for (hides, whom) in [(true, Whom::Hiding), (false, Whom::All)] {
                let told = account(went, found).unexplained(free, counting, hides, now);
                assert_eq!(told, missing.map(|missing| (missing, whom)), "{went} {found} {free} {counting}");
            }
        }
        assert!(account(2 * GIB, 0).unexplained(GIB, true, false, after(121)).is_some(), "some are slow to count");
        let mut slow = account(GIB / 5, 0);
        slow.went(GIB / 5, after(601));
        assert_eq!(slow.unexplained(GIB, false, false, after(601)), None, "a little every ten minutes");

        let (hiding, all) = (Some((2 * GIB, Whom::Hiding)), Some((2 * GIB, Whom::All)));
        let mut account = account(2 * GIB, 0);
        // When as much went again, what came back before, whether somebody hides something; who sleeps for it.
        for (seconds, came_back, hides, whom) in [
            (0, 0, false, all),
            (90, 2 * GIB, false, None),
            (180, 2 * GIB, true, hiding),
            (270, 2 * GIB, true, hiding),
            (360, 0, true, None),
            (3600, 0, true, all),
            (3900, 0, true, hiding),
            (4000, 0, false, None),
            (7200, 0, false, all),
        ] {
            // Of what went before nothing is asked any more.
            assert_eq!(account.unexplained(4 * GIB + came_back, true, hides, after(seconds)), None, "{seconds}");
            account = Account { went: 2 * GIB, found: 0, since: Some((after(seconds), after(seconds))), ..account };
            assert_eq!(account.unexplained(4 * GIB, false, hides, after(seconds)), whom, "{seconds}");
        }
    }
}
