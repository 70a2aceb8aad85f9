//! Which users perclouds are. Nobody else may ever be one of them: not a person, not a service, and not what people and containers of this
//! machine run in user namespaces of theirs. So it is not enough to look who is there: the next range is given out tomorrow.

use std::{collections::BTreeSet, fs, io, ops::Range, os::unix::fs::MetadataExt, path::Path};

use super::folders;
use crate::config::Paths;

/// No percloud has a lower one. Older hosts began here, and who has such a number keeps it.
pub(crate) const FIRST_UID: u32 = 200_000;
/// New ones begin here: above what `useradd` gives out by default for user namespaces (600,100,000), what systemd does for containers
/// (1,879,048,191) and what SSSD does for a directory's people (2,000,200,000).
const NEW: u32 = 2_001_000_000;
/// From here on systemd has the files of foreign images.
pub(super) const END: u32 = 2_147_352_576;
/// So many must be there for a beginning to be one: in a container only some numbers may exist.
const ROOM: u32 = 1 << 16;

/// Above all numbers that are in use or that may be given out: those of the folders' owners, should the counter be lost, and those that
/// people of this machine have or may get in user namespaces.
pub(super) fn first_free(tenants: &Path) -> io::Result<u32> {
    let given = RANGES.map(|file| (file, text(file)));
    let ends = given.iter().flat_map(|(file, text)| ranges(file, text)).map(|(_, range)| range.end);
    let owners = fs::read_dir(tenants)?.flatten().filter_map(|entry| folders::owner(&entry.path()));
    // What nothing can be above of is the doctor's matter.
    let taken = ends.chain(owners.map(|owner| u64::from(owner) + 1)).filter_map(|end| u32::try_from(end).ok());
    Ok(taken.filter(|end| *end < END).fold(beginning(), u32::max))
}

/// Whom a trial of the sandbox is run as: no percloud, and nobody else either.
pub(super) fn trial() -> u32 {
    beginning() - 1
}

/// The first number of a new percloud's on this machine.
fn beginning() -> u32 {
    first(&text("/etc/login.defs"), &["/proc/self/uid_map", "/proc/self/gid_map"].map(text))
}

fn text(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The first number of a new percloud's on a machine with this `login.defs`, in which these numbers exist.
fn first(defs: &str, maps: &[String]) -> u32 {
    let max = |name: &str| {
        let lines = defs.lines().filter_map(|line| line.trim().strip_prefix(name));
        lines.filter_map(|rest| rest.strip_prefix([' ', '\t'])?.trim().parse::<u32>().ok()).next_back()
    };
    let given = ["SUB_UID_MAX", "SUB_GID_MAX"].map(|name| max(name).unwrap_or(600_100_000).saturating_add(1));
    let above = given[0].max(given[1]);
    let there = |number: &u32| *number < END - ROOM && maps.iter().all(|map| exists(map, *number));
    [NEW.max(above), above, NEW].into_iter().find(there).unwrap_or(FIRST_UID)
}

/// Whether a namespace with such a map (user_namespaces(7)) has this number and some more.
fn exists(map: &str, number: u32) -> bool {
    let has = |line: &str| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [first, _, count] = numbers[..] else { return false };
        (first..first + count).contains(&number.into()) && u64::from(number + ROOM) <= first + count
    };
    map.lines().any(has)
}

/// Where ranges of numbers are given out, and where single ones are.
const RANGES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
const SINGLE: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// Who has which numbers by one of these files. What cannot be understood gives nobody anything.
fn ranges<'a>(file: &str, text: &'a str) -> Vec<(&'a str, Range<u64>)> {
    let number = |text: Option<&&str>| text?.trim().parse::<u32>().ok().map(u64::from);
    let line = |line: &'a str| {
        let words: Vec<&str> = line.split(':').collect();
        let first = if RANGES.contains(&file) { words.get(1) } else { words.get(2) };
        let first = number(first)?;
        let count = if RANGES.contains(&file) { number(words.get(2))? } else { 1 };
        Some((words[0], first..first + count))
    };
    text.lines().filter_map(line).collect()
}

/// Somebody who may be perclouds' user on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    /// What says so.
    pub(crate) file: &'static str,
    /// Who.
    pub(crate) who: String,
    /// Of so many perclouds.
    pub(crate) perclouds: usize,
}

/// All of them. Where the host is not root, perclouds have one user, who is somebody.
pub(crate) fn clashes(paths: &Paths) -> io::Result<Vec<Clash>> {
    if fs::metadata(paths.tenants())?.uid() != 0 {
        return Ok(Vec::new());
    }
    let mut ours = BTreeSet::new();
    for entry in fs::read_dir(paths.tenants())?.flatten() {
        let found = fs::symlink_metadata(entry.path())?;
        ours.extend([found.uid(), found.gid()].into_iter().filter(|number| *number >= FIRST_UID));
    }
    let files = RANGES.into_iter().chain(SINGLE);
    Ok(files.flat_map(|file| of_file(file, &text(file), &ours)).collect())
}

fn of_file(file: &'static str, text: &str, ours: &BTreeSet<u32>) -> Vec<Clash> {
    let clash = |(who, range): (&str, Range<u64>)| {
        let perclouds = ours.iter().filter(|number| range.contains(&u64::from(**number))).count();
        (perclouds > 0).then(|| Clash { file, who: who.to_owned(), perclouds })
    };
    ranges(file, text).into_iter().filter_map(clash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_users_are_above_all_that_may_be_given_out_later_and_exist() {
        let all = "         0          0 4294967295\n";
        let first = |defs: &str, map: &str| first(defs, &[map.to_owned(), all.to_owned()]);
        for (defs, map, expected) in [
            ("", all, NEW),
            ("SUB_UID_MAX\t\t   600100000\nSUB_GID_MAX 700\n", all, NEW),
            ("# SUB_UID_MAX 2100000000\n", all, NEW),
            ("SUB_UID_MAX 2100000000\n", all, 2_100_000_001),
            ("SUB_GID_MAX 2100000000\n", all, 2_100_000_001),
            // Nothing is above of what all may have: that is told, and the place stays.
            ("SUB_UID_MAX 4294967295\n", all, NEW),
            // Containers: of a thousand million numbers, of few, and in pieces.
            ("", "0 1000000 1000000000\n", 600_100_001),
            ("", "0 100000 500000\n", FIRST_UID),
            ("", "0 100000 65536\n2000900000 5 1000000\n", NEW),
            ("", "", FIRST_UID),
        ] {
            assert_eq!(first(defs, map), expected, "{defs} {map}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(first_free(folder.path()).unwrap() > trial());
    }

    #[test]
    fn a_range_is_where_it_is_and_nonsense_is_none() {
        assert_eq!(ranges("/etc/subuid", "ada:165536:65536\n"), [("ada", 165_536..231_072)]);
        assert_eq!(ranges("/etc/passwd", "ada:x:1000:1001:Ada:/home/ada:/bin/sh"), [("ada", 1000..1001)]);
        for nonsense in ["", "ada", "ada:1", "ada:x:1", "ada:1:x", "ada:4294967296:1"] {
            assert!(ranges("/etc/subuid", nonsense).is_empty(), "{nonsense}");
        }
    }

    #[test]
    fn whoever_may_be_a_perclouds_user_is_told() {
        let ours = BTreeSet::from([200_000, 200_001, NEW]);
        let told = |file, text| {
            of_file(file, text, &ours).into_iter().map(|clash| (clash.who, clash.perclouds)).collect::<Vec<_>>()
        };
        assert_eq!(told("/etc/subuid", "ada:100000:65536\nbob:165536:65536\n"), [("bob".to_owned(), 2)]);
        assert_eq!(told("/etc/passwd", "eve:x:2001000000:1::/:\n"), [("eve".to_owned(), 1)]);
        assert_eq!(told("/etc/group", "people:x:1000:\n"), []);
    }
}
