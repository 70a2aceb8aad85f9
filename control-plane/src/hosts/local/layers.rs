//! The sandbox's layers: what each is called and what it is good for.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::hosts::Layer;

/// One layer. None stands alone: whoever gets through one is held by the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A user and a group per percloud, never reused. Only root can give them away.
    OwnUser,
    /// Stands in for [`Kind::OwnUser`] where the host is an ordinary user.
    UserNamespace,
    /// Its own mounts.
    MountNamespace,
    /// Its own process numbers.
    PidNamespace,
    /// Its own System V and POSIX queues.
    IpcNamespace,
    /// Its own host name.
    UtsNamespace,
    /// A network with nothing in it, not even loopback.
    NetworkNamespace,
    /// A root folder that holds the data folder only.
    EmptyRoot,
    /// No privileges of root's.
    Capabilities,
    /// No program gives it more rights than it has.
    NoNewPrivileges,
    /// Limits for all of it together.
    ControlGroups,
    /// A share of the disk, where the kernel can limit it.
    Io,
    /// Limits per process.
    Limits,
    /// The kernel's own list of the folders it may use.
    Landlock,
    /// A list of system calls.
    Seccomp,
    /// No descriptors but its own.
    Descriptors,
    /// Killed first when memory runs out.
    OomScore,
}

impl Kind {
    /// All of them, in the order in which they are put on.
    pub(super) const ALL: [Self; 17] = [
        Self::OwnUser,
        Self::UserNamespace,
        Self::ControlGroups,
        Self::Io,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::NetworkNamespace,
        Self::EmptyRoot,
        Self::OomScore,
        Self::Descriptors,
        Self::Limits,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// Its name, as `--allow-missing` takes it.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OwnUser => "own-user",
            Self::UserNamespace => "user-namespace",
            Self::MountNamespace => "mount-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::NetworkNamespace => "network-namespace",
            Self::EmptyRoot => "empty-root",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::ControlGroups => "control-groups",
            Self::Io => "io",
            Self::Limits => "limits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Descriptors => "descriptors",
            Self::OomScore => "oom-score",
        }
    }

    /// What it keeps a percloud from.
    #[must_use]
    pub(super) fn keeps(self) -> &'static str {
        match self {
            Self::OwnUser => "files and processes of others belong to another user",
            Self::UserNamespace => "it has no rights over anything outside, and may have only so many threads",
            Self::MountNamespace => "what it sees of the file system is its own copy, and it can mount nothing",
            Self::PidNamespace => "it sees and signals no process but itself, and dies with the host",
            Self::IpcNamespace => "shared memory and message queues of others do not exist for it",
            Self::UtsNamespace => "it does not learn the machine's name",
            Self::NetworkNamespace => "no interface, no address, no abstract socket of others exists for it",
            Self::EmptyRoot => {
                "there is no file but its own: no /etc, no /proc, no /dev, no other percloud's folder, no socket"
            }
            Self::Capabilities => "it can do nothing that only root may",
            Self::NoNewPrivileges => "no set-user-id program can lift it",
            Self::ControlGroups => {
                "its share of the machine's processor, memory and threads ends somewhere, so that its neighbours keep theirs"
            }
            Self::Io => "what it reads from the disk and writes to it in a second ends somewhere",
            Self::Limits => {
                "threads, open files, memory and file size of its process end somewhere, from its first moment on"
            }
            Self::Landlock => {
                "should the empty root fail, the kernel still opens files of its own folder only, and runs none of them"
            }
            Self::Seccomp => {
                "most of the kernel cannot be called: no new process, no program, no socket, no ptrace, bpf, io_uring or keys"
            }
            Self::Descriptors => "no file or socket of the host's is left open in it",
            Self::OomScore => "when memory runs out, it goes before the database and the front door",
        }
    }

    /// What follows where it is missing and what it needs, of one that many machines cannot have: many file systems are on no disk
    /// that could be shared out.
    #[must_use]
    pub(super) fn without(self) -> Option<&'static str> {
        (self == Self::Io).then_some(
            "while one percloud keeps the disk busy, the others may wait for it. It needs control groups with io (blkio in version 1), \
             and the folder tenants/ on a disk of the machine's: ext4 or XFS, not an overlay",
        )
    }

    /// Those that a host cannot have on many a machine on which somebody tries this out: in a container its files are on an overlay, and
    /// who is not root gives no users away and makes no groups.
    #[must_use]
    pub(crate) fn often_missing(root: bool) -> &'static [Self] {
        if root { &[Self::Io] } else { &[Self::OwnUser, Self::ControlGroups, Self::Io] }
    }

    /// Whether it belongs to a host that runs as root, or to one that does not.
    #[must_use]
    pub(super) fn applies(self, root: bool) -> bool {
        !(self == Self::UserNamespace && root)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No layer has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no layer of the sandbox is called \"{0}\"")]
pub struct Unknown(String);

impl FromStr for Kind {
    type Err = Unknown;
    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| Unknown(text.to_owned()))
    }
}

/// What was found out about one layer on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    /// Which.
    pub(super) kind: Kind,
    /// Why it is not there; none when it is.
    pub(super) missing: Option<String>,
}

/// What this machine has of the layers that come in versions.
#[derive(Clone, Debug, Default)]
pub(super) struct Here {
    /// The kernel's version of Landlock; 0 when it has none.
    pub(super) landlock: i64,
    /// Which control groups, in words.
    pub(super) groups: Option<String>,
    /// What a percloud may do with the disk, in words.
    pub(super) disk: Option<String>,
}

impl Here {
    fn version(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::Landlock if self.landlock > 0 => Some(format!("ABI {}", self.landlock)),
            Kind::ControlGroups => self.groups.clone(),
            Kind::Io => self.disk.clone(),
            _ => None,
        }
    }
}

/// The table that `percloud doctor` prints.
#[must_use]
pub(super) fn table(findings: &[Finding], root: bool, allowed: &BTreeSet<Kind>, here: &Here) -> Vec<Layer> {
    let row = |kind: Kind| {
        let found = findings.iter().find(|finding| finding.kind == kind);
        // A layer that nobody has looked for counts as missing: silence is not a yes.
        let missing = found.map_or_else(|| Some("not looked for".to_owned()), |finding| finding.missing.clone());
        let allowed = missing.is_some() && allowed.contains(&kind);
        let without = kind.without().map(Into::into);
        let (name, keeps) = (kind.name().into(), kind.keeps().into());
        Layer { name, keeps, version: here.version(kind), missing, allowed, without }
    };
    Kind::ALL.into_iter().filter(|kind| kind.applies(root)).map(row).collect()
}

/// An error, when one is missing that may not be: with what to say for them all, should the operator want to do without.
pub(super) fn judge(layers: &[Layer]) -> anyhow::Result<()> {
    let wrong = layers.iter().filter(|layer| !layer.allowed);
    let (names, why): (Vec<_>, Vec<_>) = wrong
        .filter_map(|layer| Some((layer.name.as_str(), format!("{} ({})", layer.name, layer.missing.as_ref()?))))
        .unzip();
    anyhow::ensure!(
        names.is_empty(),
        "this machine lacks layers of the sandbox: {}. Perclouds would be less well separated; to run them all the same, add \
         --allow-missing {}",
        why.join(", "),
        names.join(",")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("".parse::<Kind>().is_err());
    }

    #[test]
    fn a_layer_is_missing_until_it_was_found_and_allowed_only_by_name() {
        let found = |kind, missing: Option<&str>| Finding { kind, missing: missing.map(Into::into) };
        let findings = [found(Kind::Seccomp, None), found(Kind::Landlock, Some("old kernel"))];
        let here = Here { landlock: 1, groups: Some("version 2: cpu".into()), disk: Some("200 MiB/s".into()) };
        let table = table(&findings, true, &BTreeSet::from([Kind::Landlock, Kind::Seccomp]), &here);
        let row = |kind: Kind| table.iter().find(|row| row.name == kind.name()).unwrap().clone();
        assert_eq!((row(Kind::Seccomp).missing, row(Kind::Seccomp).allowed), (None, false));
        let landlock = row(Kind::Landlock);
        assert!(landlock.missing.is_some() && landlock.allowed);
        assert!(row(Kind::OwnUser).missing.is_some() && !row(Kind::OwnUser).allowed);
        let versions: Vec<_> = table.iter().filter_map(|row| row.version.as_deref()).collect();
        assert_eq!(versions, ["version 2: cpu", "200 MiB/s", "ABI 1"]);
    }

    #[test]
    fn no_layer_is_done_without_unsaid_whoever_the_host_is_and_whatever_the_disk() {
        for root in [false, true] {
            let often = Kind::often_missing(root);
            let lacks = |kind| often.contains(&kind).then(|| "not here".to_owned());
            let findings: Vec<_> = Kind::ALL.into_iter().map(|kind| Finding { kind, missing: lacks(kind) }).collect();
            let told =
                |allowed: &[Kind]| judge(&table(&findings, root, &allowed.iter().copied().collect(), &Here::default()));
            let names: Vec<_> = often.iter().map(|kind| kind.name()).collect();
            let error = told(&[]).unwrap_err().to_string();
            assert!(error.ends_with(&format!("--allow-missing {}", names.join(","))), "{error}");
            assert!(told(&often[1..]).is_err(), "one is enough");
            told(often).unwrap();
        }
    }

    #[test]
    fn a_host_does_not_start_without_a_layer_unless_it_was_allowed_by_name() {
        let missing = |kind| Finding { kind, missing: (kind == Kind::Seccomp).then(|| "no".into()) };
        let findings: Vec<_> = Kind::ALL.into_iter().map(missing).collect();
        let told = |allowed: &[Kind]| table(&findings, true, &allowed.iter().copied().collect(), &Here::default());
        let error = judge(&told(&[])).unwrap_err();
        assert!(error.to_string().contains("seccomp (no)"), "{error}");
        assert!(judge(&told(&[Kind::Landlock])).is_err(), "another was allowed");
        judge(&told(&[Kind::Seccomp])).unwrap();
    }
}
