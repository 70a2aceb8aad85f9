//! What can be seen without asking anybody: folders, space, keys.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use chrono::{DateTime, TimeDelta, Utc};
use tls::LocalCa;

use super::Finding;
use crate::{
    config::{Common, SealOptions},
    hosts::local,
    privileges, terminal,
    up::lock,
};

/// Whether there is a provider here, and whether it runs.
pub(super) fn data_folder(common: &Common) -> Vec<Finding> {
    let data = common.data.display();
    if !common.data.is_dir() {
        return vec![Finding::wrong(
            "data folder",
            format!("there is none at {data}"),
            "start a provider there with `infra/up --data DIR`",
        )];
    }
    let about = "provider";
    vec![match lock::holder(&common.paths()) {
        Ok(Some(pid)) => Finding::well(about, format!("runs on {data} (process {pid})")),
        // Roles may be run one by one, by systemd for instance.
        Ok(None) => Finding::warning(
            about,
            format!("`percloud up` does not run on {data}"),
            "start it with `infra/up`, unless its roles are run one by one",
        ),
        Err(error) => Finding::warning(about, format!("{error:#}"), "ask as the user who started it, or as root"),
    }]
}

/// Space for what people upload, and for Postgres, which stops when there is none.
pub(super) fn disk(common: &Common) -> Vec<Finding> {
    const LITTLE: u64 = 2_000_000_000;
    const NONE: u64 = 300_000_000;
    let about = "disk";
    let Ok(stat) = rustix::fs::statvfs(&common.data) else {
        return Vec::new(); // said by data_folder
    };
    let free = stat.f_bavail * stat.f_frsize;
    let share = (stat.f_bavail * 100).checked_div(stat.f_blocks).unwrap_or(100);
    let said = format!("{} free ({share} %)", terminal::bytes(i64::try_from(free).unwrap_or(i64::MAX)));
    let to_do = "make room, or move the data folder to a larger disk: uploads fail when it is full";
    let mut findings = vec![match free {
        0..NONE => Finding::wrong(about, said, to_do),
        NONE..LITTLE => Finding::warning(about, said, to_do),
        _ if share < 5 => Finding::warning(about, said, to_do),
        _ => Finding::well(about, said),
    }];
    // Some file systems count no inodes and say 0 of 0.
    if stat.f_files > 0 && stat.f_favail * 100 / stat.f_files < 3 {
        findings.push(Finding::wrong(
            "disk: inodes",
            format!("{} left", stat.f_favail),
            "the disk takes no more files: use a file system with more inodes",
        ));
    }
    findings
}

/// Whether the numbers of the roles' users are theirs alone. Where an ordinary user started the provider, nobody has them.
pub(super) fn numbers(common: &Common) -> Vec<Finding> {
    let of_root = std::fs::metadata(common.paths().host_state()).is_ok_and(|folder| folder.uid() == 0);
    let own = std::fs::metadata(common.paths().keys()).is_ok_and(|folder| folder.gid() == privileges::KEYS);
    if !(of_root && own) {
        return Vec::new();
    }
    let systemd = std::path::Path::new("/run/systemd/system").is_dir();
    vec![about_numbers(&privileges::strangers(), privileges::reserved() || !systemd)]
}

fn about_numbers(strangers: &[String], safe: bool) -> Finding {
    let (about, reserve) = ("role users", "reserve them: docs/operations.md, \"The roles' users\"");
    match strangers {
        [] if safe => Finding::well(about, "nobody else has their numbers"),
        [] => Finding::warning(about, "systemd may give their numbers to another service", reserve),
        _ => Finding::wrong(
            about,
            strangers.join("; "),
            format!("end that or give it another number, since it may do what the role may; then {reserve}"),
        ),
    }
}

/// Whether nobody else of the machine can be a percloud's user. Only root can see, and only where the host is root there is more than one.
pub(super) fn users(common: &Common) -> Vec<Finding> {
    let about = "perclouds' users";
    let Ok(clashes) = local::clashes(&common.paths()) else { return Vec::new() };
    if clashes.is_empty() {
        return vec![Finding::well(about, "nobody else has their numbers")];
    }
    let words = |clash: local::Clash| {
        let local::Clash { file, who, perclouds } = clash;
        let found = format!("{file} gives {who} the numbers of {perclouds}");
        let to_do =
            format!("whoever is {who} can read those perclouds' files: give it other numbers (man 5 subuid, usermod)");
        Finding::wrong(about, found, to_do)
    };
    clashes.into_iter().map(words).collect()
}

/// The local CA's root and the keys that seal.
pub(super) fn keys(common: &Common, seal: &SealOptions, now: DateTime<Utc>) -> Vec<Finding> {
    let paths = common.paths();
    if !paths.root().is_dir() {
        return Vec::new();
    }
    let restart = "restart the provider; it makes what is missing";
    let ca = match LocalCa::open(&paths.keys()) {
        Ok(Some(ca)) => root(&ca, common, now),
        Ok(None) => Finding::wrong("local CA", "there is none", restart),
        Err(error) => Finding::wrong("local CA", format!("{error:#}"), "mend what it says, then restart the provider"),
    };
    let seal = match seal.open(&paths) {
        Ok(_) => Finding::well("sealing key", "opens"),
        Err(error) => Finding::wrong(
            "sealing key",
            format!("{error:#}"),
            "bring it back from a backup; without it certificates are issued anew when the provider is restarted",
        ),
    };
    vec![ca, seal, secrets(common)]
}

fn root(ca: &LocalCa, common: &Common, now: DateTime<Utc>) -> Finding {
    let about = "local CA";
    let shown = std::fs::read_to_string(common.paths().ca_pem()).unwrap_or_default();
    let ends = ca.not_after().format("%Y-%m-%d");
    if shown != ca.root_pem() {
        return Finding::wrong(
            about,
            "ca.pem is not the root that signs",
            "restart the provider, then have browsers trust ca.pem anew",
        );
    }
    if ca.not_after() < now + TimeDelta::days(365) {
        return Finding::warning(
            about,
            format!("its root ends on {ends}"),
            "restart the provider for a new one, and have browsers trust ca.pem anew",
        );
    }
    Finding::well(about, format!("its root is good until {ends}"))
}

/// Folders with secrets must be closed to others.
fn secrets(common: &Common) -> Finding {
    let paths = common.paths();
    let open: Vec<String> = [paths.keys(), paths.secrets(), paths.host_state()]
        .into_iter()
        .filter(|folder| std::fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0))
        .map(|folder| folder.display().to_string())
        .collect();
    if open.is_empty() {
        return Finding::well("secrets", "closed to others");
    }
    Finding::wrong(
        "secrets",
        format!("everybody on this machine may look into {}", open.join(", ")),
        "chmod o-rwx it, and renew what it holds if others use this machine",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_number_of_a_role_that_another_has_or_may_be_given_is_told() {
        let strangers = ["the user mysql has the number 64001".to_owned()];
        for (strangers, safe, state) in
            [(&[][..], true, State::Well), (&[], false, State::Warning), (&strangers, true, State::Wrong)]
        {
            let finding = about_numbers(strangers, safe);
            assert_eq!(finding.state, state, "{strangers:?}");
            assert_eq!(finding.to_do.is_some_and(|to_do| to_do.contains("operations")), state != State::Well);
        }
    }
}
