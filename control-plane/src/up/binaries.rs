//! Which of the installed Postgres servers runs a cluster: the version that made it, and for a new one the newest.
//!
//! A server of another major version refuses a cluster's files. Debian installs a new one beside the old (an upgrade of the system does
//! so by itself), and that must not end a provider.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use rustix::fs::OFlags;

/// Where Debian's packages put servers, each in a folder named after its major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder with the programs for the cluster in `data`.
///
/// # Errors
/// When no server is installed, or not the one that made the cluster.
pub(super) fn find(data: &Path) -> anyhow::Result<PathBuf> {
    find_among(made_by(data)?, Path::new(DEBIAN), on_path())
}

fn find_among(made_by: Option<u32>, debian: &Path, on_path: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let servers = fs::read_dir(debian).into_iter().flatten().flatten();
    let found = servers
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(version, bin)| is_server(bin) && made_by.is_none_or(|made_by| made_by == *version))
        .max()
        .map(|(_, bin)| bin);
    let fits = |bin: &PathBuf| made_by.is_none_or(|made_by| version(bin) == Some(made_by));
    match (found.or_else(|| on_path.filter(fits)), made_by) {
        (Some(bin), _) => Ok(bin),
        (None, Some(made_by)) => bail!(
            "the data folder's database was made by Postgres {made_by}, which is not installed: install Debian's package \
             postgresql-{made_by} (no other version can read it)"
        ),
        (None, None) => {
            bail!("no Postgres server was found: install Debian's package postgresql, or pass --database-url")
        }
    }
}

/// The major version whose `initdb` made the cluster, if there is one.
fn made_by(data: &Path) -> anyhow::Result<Option<u32>> {
    let path = data.join("PG_VERSION");
    // Whatever else it is called: a copy of the folder may share it, and nothing but a number is taken from it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        file => std::fs::File::from(file.with_context(|| format!("cannot read {}", path.display()))?),
    };
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    text.trim().parse().map(Some).map_err(|_| anyhow::anyhow!("{} does not hold a version of Postgres", path.display()))
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|bin| is_server(bin))
}

fn is_server(bin: &Path) -> bool {
    bin.join("initdb").exists() && bin.join("postgres").exists()
}

/// The major version of a server that is in no folder named after it.
fn version(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"; a beta is "17beta1".
    let said = String::from_utf8(output.stdout).ok()?;
    let number = said.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn server(bin: &Path, version: &str) -> PathBuf {
        fs::create_dir_all(bin).unwrap();
        fs::write(bin.join("initdb"), "").unwrap();
        fs::write(bin.join("postgres"), format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Debian)'\n"))
            .unwrap();
        fs::set_permissions(bin.join("postgres"), PermissionsExt::from_mode(0o755)).unwrap();
        bin.to_owned()
    }

    #[test]
    fn the_version_that_made_a_cluster_runs_it_however_many_are_installed_later() {
        let folder = tempfile::tempdir().unwrap();
        let (data, debian) = (folder.path().join("pg"), folder.path().join("postgresql"));
        let old = server(&debian.join("15/bin"), "15.8");
        let new = server(&debian.join("17/bin"), "17.2");
        fs::create_dir_all(debian.join("18/bin")).unwrap();
        let choice = |on_path: Option<&Path>| {
            find_among(made_by(&data).unwrap(), &debian, on_path.map(Path::to_owned)).map_err(|error| error.to_string())
        };
        assert_eq!(choice(None), Ok(new.clone()), "the newest makes a new one");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(choice(Some(&new)), Ok(old.clone()));
        fs::remove_dir_all(debian.join("15")).unwrap();
        let refused = choice(Some(&new)).unwrap_err();
        assert!(refused.contains("made by Postgres 15, which is not installed"), "{refused}");
        let own = server(&folder.path().join("local"), "15.9");
        assert_eq!(choice(Some(&own)), Ok(own.clone()));
        fs::write(data.join("PG_VERSION"), "").unwrap();
        assert!(made_by(&data).is_err());
    }
}
