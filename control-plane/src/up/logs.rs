//! A role's output goes to a file of its own, which is turned over before it fills the disk.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes after which a log file is turned over.
const TURN: u64 = 32 << 20;
/// How many old files are kept: `NAME.log.1` is the youngest.
const KEEP: u32 = 3;

/// A log file that turns itself over.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Log {
    /// Opens `folder/name.log` for appending.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let file = append(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    /// Copies all that comes, until the writer's end is closed.
    pub(super) async fn copy(mut self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            // A full disk must not stop a role: what cannot be written is lost.
            let _ = self.write(&buffer[..n]);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.size > TURN && bytes.ends_with(b"\n") {
            self.turn()?;
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let old = |n: u32| self.path.with_extension(format!("log.{n}"));
        for n in (1..KEEP).rev() {
            if old(n).exists() {
                std::fs::rename(old(n), old(n + 1))?;
            }
        }
        std::fs::rename(&self.path, old(1))?;
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_has_grown_is_turned_over_and_the_oldest_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..6 {
            let mut log = Log::open(folder.path(), "edge").unwrap();
            log.size = TURN + 1;
            log.copy(format!("round {round}\n").as_bytes()).await;
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("edge.log"), "round 5\n");
        assert_eq!(read("edge.log.1"), "round 4\n");
        assert_eq!(read("edge.log.3"), "round 2\n");
        assert!(!folder.path().join("edge.log.4").exists());
    }
}
