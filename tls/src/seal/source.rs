//! Where sealing keys come from: a file, or a program that prints what would be in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::files;

/// A program that takes longer is ended; whoever waits for the key would give up soon after.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 10 });
/// Far more than a person's life of rotations.
const MOST: u64 = 64 * 1024;

/// Where sealing keys are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file that only its owner (and group) may read.
    File(PathBuf),
    /// A program and its arguments; what it prints is read as the file would be. No shell is involved.
    Command(Vec<String>),
}

impl FromStr for Source {
    type Err = anyhow::Error;

    /// Reads a command: a JSON list of the program and its arguments, or the program's path alone.
    fn from_str(text: &str) -> Result<Self> {
        let parts = if text.trim_start().starts_with('[') {
            serde_json::from_str::<Vec<String>>(text).context("not a JSON list of strings")?
        } else {
            vec![text.to_owned()]
        };
        let program = parts.first().context("it names no program")?;
        ensure!(Path::new(program).is_absolute(), "{program} is not an absolute path");
        Ok(Self::Command(parts))
    }
}

impl Source {
    /// A command as [`FromStr`] reads it; none for a file.
    #[must_use]
    pub fn as_argument(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Command(parts) => serde_json::to_string(parts).ok(),
        }
    }

    /// The text with the keys in it.
    pub(super) fn read(&self) -> Result<String> {
        let bytes = match self {
            Self::File(path) => files::read_secret(path)?,
            Self::Command(parts) => run(parts, PATIENCE)?,
        };
        String::from_utf8(bytes).context("the sealing keys are not text")
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // Arguments may hold what is nobody's business.
            Self::Command(parts) => f.write_str(parts.first().map_or("", String::as_str)),
        }
    }
}

/// What the program prints. It does not get our own secrets, which travel in the environment; what it says on its standard
/// error goes to our log.
fn run(parts: &[String], patience: Duration) -> Result<Vec<u8>> {
    let [program, arguments @ ..] = parts else { bail!("no program is named") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).current_dir("/");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PERCLOUD_") {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn().with_context(|| format!("{program} cannot be run"))?;
    let printed = printed(&mut child, patience);
    if printed.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    let (bytes, status) = printed.map(|bytes| (bytes, status)).with_context(|| format!("{program} gave no keys"))?;
    ensure!(status.success(), "{program} ended with {}", said(status));
    Ok(bytes)
}

/// Reads to the end or to the limit, whichever comes first, and waits no longer than it must: a program may leave its output
/// open in the hands of others.
fn printed(child: &mut Child, patience: Duration) -> Result<Vec<u8>> {
    let mut out = child.stdout.take().context("no output")?.take(MOST + 1);
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let outcome = out.read_to_end(&mut bytes).map(|_| bytes);
        let _ = done.send(outcome);
    });
    let began = Instant::now();
    let bytes = read.recv_timeout(patience).ok().context("it took too long")??;
    ensure!(bytes.len() as u64 <= MOST, "it printed too much");
    while child.try_wait()?.is_none() {
        ensure!(began.elapsed() < patience, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(bytes)
}

fn said(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(parts: &[&str]) -> Source {
        Source::Command(parts.iter().map(|&p| p.to_owned()).collect())
    }

    #[test]
    fn a_command_is_a_list_or_a_path_and_never_a_shells() {
        let list = r#"["/usr/bin/printf", "%s", "a b; $c"]"#.parse::<Source>().unwrap();
        assert_eq!(list, command(&["/usr/bin/printf", "%s", "a b; $c"]));
        assert_eq!(list.read().unwrap(), "a b; $c", "as it stands");
        assert_eq!("/usr/bin/give key".parse::<Source>().unwrap(), command(&["/usr/bin/give key"]));
        for odd in ["", "give-key", "[]", "[1]", r#"["give-key"]"#, r#"["/usr/bin/x""#] {
            assert!(odd.parse::<Source>().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_program_that_fails_or_prints_without_end_gives_no_keys() {
        for (parts, words) in [
            (&["/bin/false"][..], "code 1"),
            (&["/bin/cat", "/dev/zero"], "too much"),
            (&["/nowhere/at-all"], "cannot be run"),
        ] {
            let error = format!("{:#}", command(parts).read().unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        let late = run(&["/bin/sleep", "60"].map(ToOwned::to_owned), Duration::from_millis(200));
        assert!(format!("{:#}", late.unwrap_err()).contains("too long"));
    }
}
