//! A private Postgres cluster in the data folder: system binaries, unix socket only, never as root.

use std::{
    io::Write,
    os::unix::{
        fs::{PermissionsExt, fchown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};
use rustix::fs::OFlags;

use super::{binaries, plain};

/// The superuser of a private cluster: it migrates, and an operator's commands run as it.
pub const OWNER: &str = "percloud_owner";
/// The database in it.
pub const DATABASE: &str = "percloud";
/// The unprivileged system user that runs a private cluster when we are root; Debian's package makes it.
const RUN_AS: &str = "postgres";

/// How an operator's command reaches the database with all rights: the given server, or the data folder's private cluster.
///
/// # Errors
/// When there is no such cluster, or we may not read its password.
pub fn owner_url(common: &crate::config::Common) -> anyhow::Result<String> {
    if let Some(url) = &common.database_url {
        return Ok(url.clone());
    }
    let paths = common.paths();
    let secret = paths.secrets().join("pg-owner");
    let password = std::fs::read_to_string(&secret).with_context(|| {
        format!("no provider of yours is in {}: run infra/up first, or as the user who did", common.data.display())
    })?;
    Ok(connection_string(&std::path::absolute(paths.postgres_socket())?, OWNER, &password, DATABASE))
}

fn connection_string(socket: &Path, user: &str, password: &str, database: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let socket = socket.display().to_string();
    format!("host={} user={} password={} dbname={}", quote(&socket), quote(user), quote(password), quote(database))
}

/// Where a private cluster is and how it is started.
#[derive(Clone, Debug)]
pub struct Cluster {
    bin: PathBuf,
    data: PathBuf,
    socket: PathBuf,
    run_as: Option<User>,
}

impl Cluster {
    /// A cluster with its data in `data` and its socket in the folder `socket`.
    ///
    /// # Errors
    /// When no Postgres is installed, or not the one that made the cluster, when we are root and there is no user `postgres`, or when the socket's path is too long for the kernel.
    pub fn new(data: PathBuf, socket: PathBuf) -> anyhow::Result<Self> {
        let bin = binaries::find(&data)?;
        let length = socket.as_os_str().len() + "/.s.PGSQL.5432.lock".len();
        if length > 107 {
            bail!(
                "{} is too long for a unix socket by {} bytes: choose a shorter --data",
                socket.display(),
                length - 107
            );
        }
        let run_as = if Uid::effective().is_root() {
            let user = User::from_name(RUN_AS)?;
            Some(user.context(
                "Postgres does not run as root, and there is no user \"postgres\": install Debian's package postgresql",
            )?)
        } else {
            None
        };
        Ok(Self { bin, data, socket, run_as })
    }

    /// Makes the folders and the cluster where they are missing. Killed half-way, the next call starts anew.
    ///
    /// # Errors
    /// When a folder cannot be made or `initdb` fails; its own words are in the error.
    pub fn ensure(&self, password: &str) -> anyhow::Result<()> {
        self.own_folder(&self.socket, 0o711)?;
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let fresh = self.data.with_extension("new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
        }
        self.own_folder(&fresh, 0o700)?;
        let password_file = self.password_file(password)?;
        let output = self
            .command("initdb")
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync", "--username", OWNER])
            .arg("--pwfile")
            .arg(password_file.path())
            .arg("--pgdata")
            .arg(&fresh)
            .output()
            .with_context(|| format!("cannot run {}/initdb", self.bin.display()))?;
        if !output.status.success() {
            bail!(
                "initdb failed ({}): {}{}",
                output.status,
                String::from_utf8_lossy(&output.stderr),
                self.reach_hint(&fresh)
            );
        }
        let (new, longer) = (OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, OFlags::WRONLY | OFlags::APPEND);
        write_into(&fresh.join("percloud.conf"), new, 0o644, &self.settings())?;
        write_into(&fresh.join("postgresql.conf"), longer, 0o600, "\ninclude 'percloud.conf'\n")?;
        nix::unistd::sync();
        std::fs::rename(&fresh, &self.data).context("cannot move the new cluster to its place")
    }

    /// The command that runs the server in the foreground; SIGINT shuts it down quickly and cleanly.
    #[must_use]
    pub fn server(&self) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).stdin(Stdio::null());
        command
    }

    /// The connection string for a role of the cluster.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        connection_string(&self.socket, user, password, database)
    }

    /// Waits until the server answers, and makes the database when it is not there.
    ///
    /// # Errors
    /// When it does not answer within `patience`, or refuses.
    pub async fn wait_ready(&self, password: &str, patience: Duration) -> anyhow::Result<()> {
        let url = self.url(OWNER, password, "postgres");
        let deadline = tokio::time::Instant::now() + patience;
        let client = loop {
            match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    break client;
                }
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("Postgres in {} does not answer", self.data.display()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let there = client.query_opt("select 1 from pg_database where datname = $1", &[&DATABASE]).await?.is_some();
        if !there {
            client.batch_execute(&format!("create database {DATABASE} template template0")).await?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").current_dir("/");
        if let Some(user) = &self.run_as {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn own_folder(&self, folder: &Path, mode: u32) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::set_permissions(folder, PermissionsExt::from_mode(mode))?;
        if let Some(user) = &self.run_as {
            nix::unistd::chown(folder, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }

    /// `initdb` reads the password from a file only its user may read.
    fn password_file(&self, password: &str) -> anyhow::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix("pw").tempfile_in(&self.socket)?;
        file.write_all(password.as_bytes())?;
        if let Some(user) = &self.run_as {
            // Its name is in their folder: they may have made something else of it.
            fchown(file.as_file(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(file)
    }

    fn settings(&self) -> String {
        let socket = self.socket.display().to_string().replace('\'', "''");
        format!(
            "# Written by percloud when the cluster was made; edit freely.\n\
             listen_addresses = ''\nunix_socket_directories = '{socket}'\nmax_connections = 100\nshared_buffers = '64MB'\n\
             jit = off\nlog_line_prefix = '%m [%p] '\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n"
        )
    }

    /// The commonest reason for a failing `initdb`: a folder above ours that its user may not pass.
    fn reach_hint(&self, folder: &Path) -> String {
        if self.run_as.is_none() {
            return String::new();
        }
        let closed = folder
            .ancestors()
            .skip(1)
            .find(|above| std::fs::metadata(above).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0));
        closed.map_or_else(String::new, |above| {
            format!(
                "\n{} may not be entered by the user \"{RUN_AS}\": choose another --data (for instance below /var/lib)",
                above.display()
            )
        })
    }
}

/// Writes as root into a folder of its user's, and through nothing that they have put there.
fn write_into(path: &Path, how: OFlags, mode: u32, text: &str) -> anyhow::Result<()> {
    let mut file = plain::open(path, how)?.with_context(|| format!("{} is not what initdb makes", path.display()))?;
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_the_cluster_goes_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (other, conf) = (folder.path().join("passwd"), folder.path().join("postgresql.conf"));
        std::fs::write(&other, "root").unwrap();
        let longer = OFlags::WRONLY | OFlags::APPEND;
        std::os::unix::fs::symlink(&other, &conf).unwrap();
        assert!(write_into(&conf, longer, 0o600, "more").is_err());
        std::fs::remove_file(&conf).unwrap();
        std::fs::hard_link(&other, &conf).unwrap();
        assert!(write_into(&conf, longer, 0o600, "more").is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "root");
        std::fs::remove_file(&conf).unwrap();
        std::fs::write(&conf, "its own, ").unwrap();
        write_into(&conf, longer, 0o600, "more").unwrap();
        assert_eq!(std::fs::read_to_string(&conf).unwrap(), "its own, more");
    }

    #[test]
    fn a_url_quotes_what_a_path_may_hold() {
        let cluster = Cluster { bin: "/".into(), data: "/".into(), socket: "/tmp/o'brien \\ co".into(), run_as: None };
        let config: tokio_postgres::Config = cluster.url("u", "p'w", "d").parse().unwrap();
        assert_eq!(config.get_user(), Some("u"));
        assert_eq!(config.get_password(), Some(&b"p'w"[..]));
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix("/tmp/o'brien \\ co".into())]);
    }
}
