//! Where the kernel's control groups are, and where among them this process stands.

use std::path::{Path, PathBuf};

/// What `/proc/self/mountinfo` and `/proc/self/cgroup` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// Version 1: each controller with our own group's folder.
    pub(super) v1: Vec<(String, PathBuf)>,
    /// Version 2.
    pub(super) v2: Option<At>,
}

/// Where version 2 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Its topmost folder, as far as we can see.
    pub(super) top: PathBuf,
    /// Our own group's folder.
    pub(super) own: PathBuf,
}

impl Stand {
    /// Our folder in the hierarchy of a controller of version 1.
    pub(super) fn v1_of(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|(name, _)| name == controller).map(|(_, folder)| folder.as_path())
    }
}

/// Reads both files.
pub(super) fn stand(mounts: &str, groups: &str) -> Stand {
    let mut stand = Stand::default();
    for mount in mounts.lines().filter_map(mount) {
        let own = |path: &str| {
            // Of a container's groups only a part is mounted; our path may be said from the machine's root.
            let path =
                path.strip_prefix(mount.root).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
            PathBuf::from(mount.at).join(path.trim_start_matches('/'))
        };
        match mount.kind {
            "cgroup2" => {
                let found = groups.lines().find_map(|line| line.strip_prefix("0::"));
                stand.v2 = found.map(|path| At { top: mount.at.into(), own: own(path) });
            }
            _ => {
                for controller in mount.controllers.split(',') {
                    if let Some(path) = groups.lines().find_map(|line| path_of(line, controller)) {
                        stand.v1.push((controller.to_owned(), own(path)));
                    }
                }
            }
        }
    }
    stand
}

struct Mount<'a> {
    root: &'a str,
    at: &'a str,
    kind: &'a str,
    controllers: &'a str,
}

/// One line of mountinfo, when it is one of control groups: `36 35 0:31 /root /mount/point rw,… … - kind source rw,memory`.
fn mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, at) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, _, controllers) = (after.next()?, after.next()?, after.next()?);
    let root = if root == "/" { "" } else { root };
    matches!(kind, "cgroup" | "cgroup2").then_some(Mount { root, at, kind, controllers })
}

/// Our path in the hierarchy with `controller`, from a line of `/proc/self/cgroup`: `4:cpu,cpuacct:/path`.
fn path_of<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    controllers.split(',').any(|name| name == controller).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_today_has_version_2_only() {
        let mounts = "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            33 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let stand = stand(mounts, "0::/system.slice/percloud.service\n");
        let top = PathBuf::from("/sys/fs/cgroup");
        assert_eq!(stand.v2, Some(At { own: top.join("system.slice/percloud.service"), top }));
        assert_eq!(stand.v1, []);
    }

    #[test]
    fn an_older_one_has_version_1_with_some_controllers_together_and_both_side_by_side() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            34 23 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            35 23 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let groups = "5:memory:/a/b\n4:cpu,cpuacct:/\n1:name=systemd:/x\n0::/init.scope\n";
        let stand = stand(mounts, groups);
        assert_eq!(stand.v1_of("memory"), Some(Path::new("/sys/fs/cgroup/memory/a/b")));
        assert_eq!(stand.v1_of("cpu"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/")));
        assert_eq!(stand.v1_of("pids"), None);
        assert_eq!(stand.v2.unwrap().own, Path::new("/sys/fs/cgroup/unified/init.scope"));
    }

    #[test]
    fn in_a_container_a_part_is_mounted_and_the_path_may_be_said_from_outside() {
        let mounts = "35 23 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for (said, folder) in
            [("/docker/abc", ""), ("/docker/abc/in", "in"), ("/in", "in"), ("/docker/abcd", "docker/abcd")]
        {
            let stand = stand(mounts, &format!("5:memory:{said}\n"));
            assert_eq!(
                stand.v1_of("memory"),
                Some(Path::new("/sys/fs/cgroup/memory").join(folder).as_path()),
                "{said}"
            );
        }
    }

    #[test]
    fn a_machine_without_any_has_none() {
        assert_eq!(stand("24 1 8:1 / / rw - ext4 /dev/sda1 rw\nnonsense\n", "0::/\n"), Stand::default());
    }
}
