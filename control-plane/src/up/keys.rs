//! Keys of our own: made, and given to read to who needs them.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, fchown},
    path::Path,
};

use anyhow::Context;
use bundle::Clock;
use nix::unistd::Uid;
use rustix::fs::OFlags;

use super::{Options, plain, say};
use crate::{
    config::{Paths, Remembered, SealOptions},
    privileges,
};

/// The local CA and the sealing key, unless that comes from elsewhere. Only reconcile may read the CA's key, edge and reconcile the sealing key, and neither may change anything.
pub(super) fn ensure(options: &Options, paths: &Paths) -> anyhow::Result<()> {
    let common = &options.common;
    let now = Clock::system().now();
    let name = format!("{} ({})", common.provider_name, common.base_domain);
    tls::LocalCa::open_or_create(&paths.keys(), &name, &[common.base_domain.as_str()], now)?
        .write_root(&paths.ca_pem())?;
    sealing_keys(&options.seal, paths)?;
    let root = Uid::effective().is_root();
    for entry in std::fs::read_dir(paths.keys())? {
        let entry = entry?;
        let all = entry.file_name().to_string_lossy().starts_with("seal");
        let group = if all { privileges::KEYS } else { privileges::RECONCILE };
        if !let_read(&entry.path(), root.then_some(group))? {
            say(format_args!("{} is no file of ours: who may read it is not changed.", entry.path().display()));
        }
    }
    Ok(())
}

/// Makes a file root's and lets a group read it. False for what is no file, or a file that has another name besides: in earlier
/// versions a role could put such things here, and elsewhere they may be what nobody must read.
fn let_read(path: &Path, group: Option<u32>) -> anyhow::Result<bool> {
    let Some(file) = plain::open(path, OFlags::RDONLY).with_context(|| format!("cannot open {}", path.display()))?
    else {
        return Ok(false);
    };
    if let Some(group) = group {
        fchown(&file, Some(0), Some(group)).with_context(|| format!("cannot give {} away", path.display()))?;
    }
    file.set_permissions(Permissions::from_mode(if group.is_some() { 0o640 } else { 0o600 }))?;
    Ok(true)
}

/// The key file, unless a program prints what would be in it. Where one did so until now, a new key would open nothing of what is sealed.
fn sealing_keys(options: &SealOptions, paths: &Paths) -> anyhow::Result<()> {
    if options.program().is_some() {
        return Ok(());
    }
    let file = paths.seal_key();
    let by_program = Remembered::read(paths).is_some_and(|before| before.sealed_by_program());
    anyhow::ensure!(
        file.exists() || !by_program,
        "first write what the program prints that gave the sealing keys until now into {}",
        file.display()
    );
    tls::Seal::open_or_create(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::{config::SealCommand, up::prepare};

    #[test]
    fn going_back_to_the_key_file_never_makes_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(folder.path().to_owned());
        tls::files::private_folder(&paths.keys()).unwrap();
        let said = |text: &str| SealOptions { seal_key_command: Some(text.parse().unwrap()) };
        sealing_keys(&said("/usr/bin/keys"), &paths).unwrap();
        assert!(!paths.seal_key().exists(), "the program has the keys");
        let remembered = r#"{"base_domain":"percloud.localhost","port":8443,"provider_name":"","database_url":null,
            "seal_key_command":"[\"/usr/bin/keys\"]"}"#;
        std::fs::write(paths.remembered(), remembered).unwrap();
        assert_eq!(said("none").seal_key_command, Some(SealCommand::None));
        let refused = sealing_keys(&said("none"), &paths).unwrap_err().to_string();
        assert!(refused.contains("first write") && !paths.seal_key().exists(), "{refused}");
        let key = tempfile::tempdir().unwrap();
        tls::Seal::open_or_create(&key.path().join("key")).unwrap();
        std::fs::copy(key.path().join("key"), paths.seal_key()).unwrap();
        sealing_keys(&said("none"), &paths).unwrap();
        std::fs::remove_file(paths.remembered()).unwrap();
        std::fs::remove_file(paths.seal_key()).unwrap();
        sealing_keys(&SealOptions::default(), &paths).unwrap();
        assert!(paths.seal_key().exists(), "a new provider gets one");
    }

    #[test]
    fn what_a_role_left_among_the_keys_gives_nobody_a_file_of_the_machines() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let of = |name: &str| {
            let seen = std::fs::symlink_metadata(at(name)).unwrap();
            (seen.uid(), seen.gid(), seen.mode() & 0o7777)
        };
        for name in ["passwd", "shadow", "ca.key"] {
            std::fs::write(at(name), "secret").unwrap();
            std::fs::set_permissions(at(name), Permissions::from_mode(0o604)).unwrap();
        }
        let before = of("passwd");
        std::os::unix::fs::symlink(at("passwd"), at("seal-x")).unwrap();
        std::fs::hard_link(at("shadow"), at("seal-y")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("seal-z"), rustix::fs::Mode::RWXU).unwrap();
        // Only root can give anything away.
        let group = Uid::effective().is_root().then_some(privileges::KEYS);
        for trap in ["seal-x", "seal-y", "seal-z"] {
            assert!(!let_read(&at(trap), group).unwrap(), "{trap}");
        }
        assert_eq!((of("passwd"), of("shadow")), (before, before));
        assert!(let_read(&at("ca.key"), group).unwrap());
        let expected = if group.is_some() { (0, privileges::KEYS, 0o640) } else { (before.0, before.1, 0o600) };
        assert_eq!(of("ca.key"), expected);
    }

    /// Done by a thread that has become a role's user.
    fn as_role<T: Send + 'static>(uid: u32, work: impl FnOnce() -> T + Send + 'static) -> T {
        use rustix::{
            fs::{Gid, Uid},
            thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
        };
        let thread = std::thread::spawn(move || {
            let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
            set_thread_groups(&[Gid::from_raw(privileges::KEYS)]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            work()
        });
        thread.join().unwrap()
    }

    /// Whether a role reads the CA's key, and the sealing key; and whether it can change anything.
    fn can(uid: u32, paths: &Paths) -> (bool, bool, bool) {
        let (ca, seal, new) = (paths.keys().join("ca.key"), paths.seal_key(), paths.keys().join("new"));
        as_role(uid, move || {
            let reads = |path: &Path| std::fs::read(path).is_ok();
            let writes = |path: &Path| std::fs::File::options().append(true).open(path).is_ok();
            let makes = std::fs::write(new, "").is_ok() || std::fs::remove_file(&seal).is_ok();
            (reads(&ca), reads(&seal), makes || writes(&ca) || writes(&seal))
        })
    }

    #[test]
    fn a_role_reads_the_keys_that_it_needs_and_changes_none() {
        if !Uid::effective().is_root() {
            return; // all are one user then
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let data = folder.path().to_str().unwrap();
        let options = <Told as clap::Parser>::parse_from(["up", "--data", data]).options;
        let paths = options.common.paths();
        // As earlier versions left it.
        std::fs::create_dir(paths.keys()).unwrap();
        tls::Seal::open_or_create(&paths.seal_key()).unwrap();
        let reconcile = Some(privileges::RECONCILE);
        for path in [paths.keys(), paths.seal_key()] {
            std::os::unix::fs::chown(path, reconcile, Some(privileges::EDGE)).unwrap();
        }
        prepare::folders(&paths).unwrap();
        ensure(&options, &paths).unwrap();
        assert_eq!(can(privileges::RECONCILE, &paths), (true, true, false));
        assert_eq!(can(privileges::EDGE, &paths), (false, true, false));
        tls::Seal::rotate(&paths.seal_key()).unwrap();
        assert_eq!(can(privileges::EDGE, &paths), (false, true, false), "the new key is read as the old one was");
        let issues = |years: i64| {
            let (keys, now) = (paths.keys(), Clock::system().now() + chrono::TimeDelta::days(365 * years));
            as_role(privileges::RECONCILE, move || {
                tls::LocalCa::open_or_create(&keys, "x", &["percloud.localhost"], now).is_ok()
            })
        };
        assert!(issues(1) && issues(9), "it issues to the end of its CA, and the next start of `up` makes another");
        assert!(!issues(11));
    }

    #[derive(clap::Parser)]
    struct Told {
        #[command(flatten)]
        options: Options,
    }
}
