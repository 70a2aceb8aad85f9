//! The data folder: who owns what in it, passwords, keys, and what is remembered for the next start.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use bundle::Clock;
use nix::unistd::{Gid, Uid, chown};

use super::Options;
use crate::{
    config::{Paths, Remembered, SealOptions},
    db, egress, privileges,
};

/// Makes paths absolute: roles run in `/`.
pub(super) fn absolute(mut options: Options) -> anyhow::Result<Options> {
    options.common.data = std::path::absolute(&options.common.data)?;
    options.runtime = options.runtime.map(std::path::absolute).transpose()?;
    options.certificates = options.certificates.absolute()?;
    Ok(options)
}

/// Makes the data folder. Others may pass through it (each part says for itself who may enter) but not list it.
pub(super) fn data_folder(paths: &Paths) -> anyhow::Result<()> {
    folder(paths.root(), 0o711, None, None)
}

/// Makes every folder that a role needs, with the owner it needs.
pub(super) fn folders(paths: &Paths) -> anyhow::Result<()> {
    let parent = |path: PathBuf| path.parent().map(Path::to_owned).context("a socket is in a folder");
    let run = paths.root().join("run");
    let tenants_sockets = run.join("t");
    folder(&run, 0o711, None, None)?;
    // The setgid bit gives each socket the group of whoever connects to it.
    folder(&parent(paths.web_socket())?, 0o2710, Some(privileges::WEB), Some(privileges::EDGE))?;
    folder(&parent(paths.host_socket())?, 0o2710, None, Some(privileges::RECONCILE))?;
    folder(&paths.handover(), 0o700, Some(privileges::EDGE), None)?;
    folder(&paths.egress_folder(), 0o711, Some(privileges::EGRESS), Some(privileges::EGRESS))?;
    folder(&tenants_sockets, 0o2710, None, Some(privileges::EDGE))?;
    folder(&parent(paths.metrics_socket("edge"))?, 0o1733, None, None)?;
    folder(&paths.keys(), 0o2750, Some(privileges::RECONCILE), Some(privileges::EDGE))?;
    folder(&paths.secrets(), 0o700, None, None)?;
    folder(&paths.host_state(), 0o700, None, None)?;
    folder(&paths.tenants(), 0o711, None, None)?;
    folder(&paths.logs(), 0o700, None, None)
}

/// Makes a folder with just this mode; the owner is set only when we are root and may give things away.
fn folder(path: &Path, mode: u32, uid: Option<u32>, gid: Option<u32>) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    give(path, uid, gid)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("{} is not ours", path.display()))
}

fn give(path: &Path, uid: Option<u32>, gid: Option<u32>) -> anyhow::Result<()> {
    if Uid::effective().is_root() && (uid.is_some() || gid.is_some()) {
        chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
            .with_context(|| format!("cannot give {} away", path.display()))?;
    }
    Ok(())
}

/// The passwords of the database's users and the key of the way out, one file each, for nobody but us.
pub(super) struct Secrets {
    pub(super) owner: String,
    pub(super) edge: String,
    pub(super) web: String,
    pub(super) reconcile: String,
    /// What host and egress know perclouds by.
    pub(super) egress_key: String,
    pub(super) egress: String,
}

impl Secrets {
    /// Reads them; makes those that are missing.
    pub(super) fn ensure(paths: &Paths) -> anyhow::Result<Self> {
        let secret = |name| ensure_secret(&paths.secrets().join(name));
        Ok(Self {
            owner: secret("pg-owner")?,
            edge: secret("pg-edge")?,
            web: secret("pg-web")?,
            reconcile: secret("pg-reconcile")?,
            egress_key: egress::Key::ensure(&paths.egress_key())?,
            egress: secret("pg-egress")?,
        })
    }

    /// Makes the database's users, each with what it needs and no more.
    pub(super) async fn make_roles(&self, owner_url: &str) -> anyhow::Result<()> {
        let (client, connection) = tokio_postgres::connect(owner_url, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let passwords = db::roles::Passwords {
            edge: self.edge.clone(),
            web: self.web.clone(),
            reconcile: self.reconcile.clone(),
            egress: self.egress.clone(),
        };
        db::roles::ensure(&client, &passwords).await.context("the database's users could not be made")?;
        drop(client);
        connection.await??;
        Ok(())
    }
}

fn ensure_secret(path: &Path) -> anyhow::Result<String> {
    if path.exists() {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let secret = hex::encode(rand::random::<[u8; 24]>());
    tls::files::write(path, secret.as_bytes(), 0o600)?;
    Ok(secret)
}

/// The local CA and the sealing key, unless that comes from elsewhere. Only reconcile may read the CA's key; the edge may read the sealing key.
pub(super) fn keys(options: &Options, paths: &Paths) -> anyhow::Result<()> {
    let common = &options.common;
    let now = Clock::system().now();
    let name = format!("{} ({})", common.provider_name, common.base_domain);
    tls::LocalCa::open_or_create(&paths.keys(), &name, &[common.base_domain.as_str()], now)?
        .write_root(&paths.ca_pem())?;
    sealing_keys(&options.seal, paths)?;
    for entry in std::fs::read_dir(paths.keys())? {
        let path = entry?.path();
        let sealing = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seal"));
        give(&path, Some(privileges::RECONCILE), Some(privileges::EDGE))?;
        std::fs::set_permissions(&path, Permissions::from_mode(if sealing { 0o640 } else { 0o600 }))?;
    }
    Ok(())
}

/// The key file, unless a program prints what would be in it. Where one did so until now, a new key would open nothing of what is sealed.
fn sealing_keys(options: &SealOptions, paths: &Paths) -> anyhow::Result<()> {
    if options.program().is_some() {
        return Ok(());
    }
    let file = paths.seal_key();
    let by_program = Remembered::read(paths).is_some_and(|before| before.sealed_by_program());
    ensure!(
        file.exists() || !by_program,
        "first write what the program prints that gave the sealing keys until now into {}",
        file.display()
    );
    tls::Seal::open_or_create(&file)?;
    Ok(())
}

/// Puts the public CAs' private root, if any, where whoever looks at the portal from this machine finds it.
pub(super) fn acme_root(options: &Options, paths: &Paths) -> anyhow::Result<()> {
    let path = paths.acme_root();
    if options.certificates.is_public() {
        let pem = options.certificates.root_pem()?.unwrap_or_default();
        return tls::files::write(&path, pem.as_bytes(), 0o644);
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Keeps name, port, public CAs and the command for the sealing keys for the next start, and for the commands that are given only the data folder.
pub(super) fn remember(options: &Options) -> anyhow::Result<()> {
    let common = &options.common;
    let remembered = Remembered::of(common, &options.certificates, &options.seal);
    // It may hold the address of a database with its password.
    tls::files::write(&common.paths().remembered(), &serde_json::to_vec_pretty(&remembered)?, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SealCommand;

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
}
