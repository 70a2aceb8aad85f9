//! Whether somebody else has one of our numbers: systemd gives such numbers to services (DynamicUser), Debian to a few packages, and whoever
//! has one may do what the role may.

use std::{fs, io, path::Path};

use nix::unistd::{Gid, Group, Uid, User};

use super::NUMBERS;

/// What our own programs' files begin with, and the names under which somebody may reserve our numbers.
const OURS: &str = "percloud";

/// Who has one of our numbers and is not ours, in words.
#[must_use]
pub fn strangers() -> Vec<String> {
    let mut found = Vec::new();
    for (number, _) in NUMBERS {
        let user = User::from_uid(Uid::from_raw(number)).ok().flatten().map(|user| user.name);
        let group = Group::from_gid(Gid::from_raw(number)).ok().flatten().map(|group| group.name);
        found.extend(named(number, "user", user.as_deref()));
        found.extend(named(number, "group", group.as_deref()));
    }
    found.extend(processes(Path::new("/proc")));
    found
}

/// Whether the machine's lists of users and groups keep all of our numbers for us.
#[must_use]
pub fn reserved() -> bool {
    NUMBERS.iter().all(|(number, _)| Group::from_gid(Gid::from_raw(*number)).is_ok_and(|group| group.is_some()))
}

fn named(number: u32, what: &str, name: Option<&str>) -> Option<String> {
    let name = name.filter(|name| !name.starts_with(OURS))?;
    Some(format!("the {what} {name} has the number {number}"))
}

/// Processes that run with one of them. `proc` is the folder with all processes.
fn processes(proc: &Path) -> Vec<String> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut found: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // One that has ended meanwhile has nothing any more.
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let number = numbers(&status).find(|number| NUMBERS.iter().any(|(ours, _)| ours == number))?;
            let file = match fs::read_link(entry.path().join("exe")) {
                // It is just ending, as the roles of a provider do that was killed: it does nothing any more.
                Err(why) if why.kind() == io::ErrorKind::NotFound => return None,
                file => file.ok(),
            };
            let file = file.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let name = file.unwrap_or_else(|| "a program that cannot be seen".to_owned());
            let stranger = !name.starts_with(OURS);
            stranger.then(|| (pid, format!("process {pid} ({name}) runs with the number {number}")))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, words)| words).collect()
}

/// All users and groups that a process's `status` names.
fn numbers(status: &str) -> impl Iterator<Item = u32> {
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let of_those = lines.filter(|(key, _)| matches!(*key, "Uid" | "Gid" | "Groups"));
    of_those.flat_map(|(_, values)| values.split_whitespace().filter_map(|number| number.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whoever_has_one_of_our_numbers_is_found_unless_it_is_ours() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, exe: Option<&str>, status: &str| {
            let at = proc.path().join(pid);
            fs::create_dir(&at).unwrap();
            fs::write(at.join("status"), status).unwrap();
            match exe {
                Some("") => fs::write(at.join("exe"), "no link").unwrap(),
                Some(exe) => symlink(exe, at.join("exe")).unwrap(),
                None => {}
            }
        };
        let ids = |uid: u32, gid: u32, more: &str| {
            format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t{more}\n")
        };
        process("9", Some("/usr/lib/chosen"), &ids(64003, 61200, ""));
        process("77", Some(""), &ids(1000, 1000, "27 64005 "));
        process("76", None, &ids(64002, 64002, ""));
        process("78", Some("/opt/percloud/bin/percloud (deleted)"), &ids(64001, 64001, "64005 "));
        process("79", Some("/usr/bin/sleep"), &ids(64000, 64006, "6400 640011"));
        fs::create_dir(proc.path().join("sys")).unwrap();
        assert_eq!(
            processes(proc.path()),
            [
                "process 9 (chosen) runs with the number 64003",
                "process 77 (a program that cannot be seen) runs with the number 64005"
            ]
        );
        assert_eq!(named(64001, "user", Some("mysql")).unwrap(), "the user mysql has the number 64001");
        assert_eq!((named(64001, "user", None), named(64001, "user", Some("percloud-edge"))), (None, None));
    }

    #[test]
    fn what_is_shipped_reserves_every_number() {
        let shipped = include_str!("../../../infra/systemd/sysusers.conf");
        let lines: Vec<_> = shipped.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), NUMBERS.len());
        for (number, name) in NUMBERS {
            let reserves = |line: &&str| {
                let words: Vec<_> = line.split_whitespace().collect();
                matches!(words[0], "u" | "g") && words[1] == name && words[2] == number.to_string()
            };
            assert!(lines.iter().any(reserves), "{name}");
        }
    }
}
