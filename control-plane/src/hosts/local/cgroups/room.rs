//! What memory is left where this process stands: a container or a service may have less of it than the machine.

use std::{fs, path::Path};

use super::{field, number, place::stand, text};

/// More than this is no limit: version 1 says "none" by a number that no machine has.
const NONE: u64 = 1 << 62;

/// What a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hosts::local) struct Room {
    /// Bytes that all in it may have together.
    pub(in crate::hosts::local) limit: u64,
    /// Bytes of them that could be had.
    pub(in crate::hosts::local) left: u64,
}

impl Room {
    fn of(limit: u64, used: u64) -> Option<Self> {
        (1..NONE).contains(&limit).then_some(Self { limit, left: limit.saturating_sub(used) })
    }

    /// Percent of it that could be had.
    pub(in crate::hosts::local) fn percent(self) -> f64 {
        self.left as f64 * 100.0 / self.limit as f64
    }
}

/// The tightest of all groups around this process; none where none has a limit. `proc` is where the kernel tells of processes.
pub(in crate::hosts::local) fn room(proc: &Path) -> Option<Room> {
    let read = |name: &str| fs::read_to_string(proc.join(name)).unwrap_or_default();
    let stand = stand(&read("self/mountinfo"), &read("self/cgroup"));
    let (own, look): (_, fn(&Path) -> Option<Room>) = match (stand.v1_of("memory"), &stand.v2) {
        (Some(own), _) => (own, look_v1),
        (None, Some(at)) => (at.own.as_path(), look_v2),
        (None, None) => return None,
    };
    // Above the topmost there are no such files.
    own.ancestors().filter_map(look).min_by(|one, other| one.percent().total_cmp(&other.percent()))
}

fn look_v2(group: &Path) -> Option<Room> {
    let read = |file| text(group, file);
    v2([&read("memory.max"), &read("memory.high")], &read("memory.current"), &read("memory.stat"))
}

/// Above `memory.high` whoever wants more waits; so that is a limit, too.
fn v2(limits: [&str; 2], current: &str, stat: &str) -> Option<Room> {
    let limit = limits.into_iter().filter_map(|limit| limit.trim().parse().ok()).min()?;
    // What the kernel takes back first.
    let spare = field(stat, "inactive_file") + field(stat, "slab_reclaimable");
    Room::of(limit, number(current).saturating_sub(spare))
}

fn look_v1(group: &Path) -> Option<Room> {
    let read = |file| text(group, file);
    v1(&read("memory.limit_in_bytes"), &read("memory.usage_in_bytes"), &read("memory.stat"))
}

fn v1(limit: &str, usage: &str, stat: &str) -> Option<Room> {
    Room::of(limit.trim().parse().ok()?, number(usage).saturating_sub(field(stat, "total_inactive_file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_left_of_a_limit_is_understood_and_no_limit_is_none() {
        let stat = "anon 9\ninactive_file 40\nslab_reclaimable 10\n";
        for (limits, current, room) in [
            (["1000\n", "max\n"], "800\n", Some((1000, 250))),
            (["1000\n", "900\n"], "800\n", Some((900, 150))),
            (["1000\n", ""], "2000\n", Some((1000, 0))),
            (["1000\n", "max\n"], "7\n", Some((1000, 1000))),
            (["max\n", "max\n"], "800\n", None),
            (["0\n", "max\n"], "0\n", None),
            (["", ""], "", None),
        ] {
            assert_eq!(v2(limits, current, stat), room.map(|(limit, left)| Room { limit, left }), "{limits:?}");
        }
        let stat = "inactive_file 1\ntotal_inactive_file 50\n";
        for (limit, usage, room) in [
            ("1000\n", "800\n", Some(Room { limit: 1000, left: 250 })),
            ("9223372036854771712\n", "800\n", None),
            ("", "", None),
        ] {
            assert_eq!(v1(limit, usage, stat), room, "{limit}");
        }
    }

    /// Writes files, and the folders that they are in.
    fn write(folder: &Path, files: &[(&str, String)]) {
        for (name, words) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, words).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_around_us_counts_be_it_the_topmost_of_a_container() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path().join("proc");
        assert_eq!(room(&proc), None);
        let at = folder.path().join("groups");
        let mib = |mib: u64| (mib * MIB).to_string();
        write(
            &proc,
            &[
                ("self/mountinfo", format!("33 23 0:28 / {} rw - cgroup2 cgroup2 rw\n", at.display())),
                ("self/cgroup", "0::/a.slice/percloud.service/percloud-roles\n".into()),
            ],
        );
        assert_eq!(room(&proc), None);
        write(
            &at,
            &[
                ("a.slice/memory.max", mib(400)),
                ("a.slice/memory.current", mib(300)),
                ("a.slice/percloud.service/memory.max", mib(200)),
                ("a.slice/percloud.service/memory.current", mib(190)),
                ("a.slice/percloud.service/memory.stat", format!("inactive_file {}\n", mib(10))),
                ("a.slice/percloud.service/percloud-roles/memory.max", "max\n".into()),
                ("a.slice/percloud.service/percloud-roles/memory.current", mib(50)),
            ],
        );
        assert_eq!(room(&proc), Some(Room { limit: 200 * MIB, left: 20 * MIB }));
        write(&at, &[("memory.max", mib(500)), ("memory.current", mib(480))]);
        assert_eq!(room(&proc), Some(Room { limit: 500 * MIB, left: 20 * MIB }), "of less of which as much is left");

        // A container's of version 1, which says its path as the machine does.
        write(
            &proc,
            &[
                ("self/mountinfo", format!("35 23 0:31 /docker/abc {} ro - cgroup cgroup rw,memory\n", at.display())),
                ("self/cgroup", "5:memory:/docker/abc\n".into()),
            ],
        );
        write(&at, &[("memory.limit_in_bytes", mib(300)), ("memory.usage_in_bytes", mib(100))]);
        assert_eq!(room(&proc), Some(Room { limit: 300 * MIB, left: 200 * MIB }));
    }
}
