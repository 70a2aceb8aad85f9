//! Our own edge: a provider to have a database, that database filled, and edges of their own beside the provider's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::process::on_core;
use crate::provider::{BASE, Provider};

/// A filled database and how an edge is started on it.
pub(crate) struct Known {
    url: String,
}

/// The name of the certificate with this number; `%` stands for the number.
pub(crate) const NAME: &str = "n%.many.test";

impl Known {
    /// Makes a database with `names` names that have a certificate and a route each, all leading to `upstream`.
    ///
    /// # Errors
    /// When the filling program fails; its own words are in the error.
    pub(crate) fn fill(provider: &Provider, names: usize, upstream: &Path) -> anyhow::Result<Self> {
        let mut fill = Command::new(beside("examples/fill")?);
        fill.arg("--data").arg(provider.folder()).args(["--base-domain", BASE]);
        fill.args(["--database", &format!("bench_{names}"), "--names", &names.to_string(), "--host", super::HOST]);
        let output = fill.args(["--pattern", NAME]).arg("--socket").arg(upstream).output()?;
        ensure!(output.status.success(), "{fill:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { url: String::from_utf8(output.stdout)?.trim().to_owned() })
    }

    /// An edge with one worker that reads this database. Its log, with a line for each request, goes where its output goes.
    ///
    /// # Errors
    /// When the program is not there.
    pub(crate) fn edge(&self, provider: &Provider, at: SocketAddr, core: usize) -> anyhow::Result<Command> {
        let mut command = on_core(core, &beside("percloud")?);
        command.arg("edge").arg("--data").arg(provider.folder()).args([
            "--base-domain",
            BASE,
            "--workers",
            "1",
            "--requests-per-second",
            "1000000",
        ]);
        command.args(["--listen", &at.ip().to_string(), "--port", &at.port().to_string()]);
        // It holds a password: command lines are public.
        command.env("PERCLOUD_DATABASE_URL", &self.url);
        Ok(command)
    }
}

fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let path = exe.parent().context("this program is in a folder")?.join(name);
    ensure!(path.exists(), "{} is not built; infra/bench builds it", path.display());
    Ok(path)
}
