//! The data folder: who owns what in it, passwords, keys, and what is remembered for the next start.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use nix::unistd::{Gid, Uid, chown};

use super::Options;
use crate::{
    config::{Paths, Remembered},
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
    // Of a folder that a role may write to, root could not believe a single name.
    folder(&paths.keys(), 0o750, Some(0), Some(privileges::KEYS))?;
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

/// Puts the public CAs' private root, if any, where whoever looks at the portal from this machine finds it.
pub(super) fn acme_root(options: &Options, paths: &Paths) -> anyhow::Result<()> {
    let path = paths.acme_root();
    if options.certificates.is_public() {
        let pem = options.certificates.root_pem()?.unwrap_or_default();
        return tls::files::write(&path, pem.as_bytes(), 0o644);
    }
    Ok(tls::files::remove(&path)?)
}

/// Keeps name, port, balancers, public CAs and the command for the sealing keys for the next start, and for the commands that are given only the data folder.
pub(super) fn remember(options: &Options) -> anyhow::Result<()> {
    let common = &options.common;
    let remembered = Remembered::of(common, &options.certificates, &options.seal).behind(&options.proxy_protocol);
    // It may hold the address of a database with its password.
    tls::files::write(&common.paths().remembered(), &serde_json::to_vec_pretty(&remembered)?, 0o600)
}
