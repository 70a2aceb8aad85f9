//! A way to Postgres that can be cut, and mended, and fall silent.

use std::path::{Path, PathBuf};

use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// What the way does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections end, new ones end at once.
    Cut,
}

pub(crate) struct ChaosProxy {
    folder: tempfile::TempDir,
    way: watch::Sender<Way>,
    silence: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl ChaosProxy {
    /// Stands before the Postgres that listens at `socket`.
    pub(crate) fn before(socket: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (way, watched) = watch::channel(Way::Open);
        let (silence, _) = watch::channel(());
        let task = tokio::spawn(pass(listener, socket.to_owned(), watched, silence.clone()));
        Self { folder, way, silence, task }
    }

    /// A database's URL, through here.
    pub(crate) fn url(&self, direct: &str) -> String {
        let rest = direct.split_once(' ').unwrap().1;
        format!("host={} {rest}", self.folder.path().display())
    }

    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// All connections that there are stay open and nothing passes any more, as when the other machine is gone; new ones are good.
    pub(crate) fn silence(&self) {
        self.silence.send_replace(());
    }

    pub(crate) fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(listener: UnixListener, to: PathBuf, watched: watch::Receiver<Way>, silence: watch::Sender<()>) {
    while let Ok((mut from, _)) = listener.accept().await {
        let (to, mut watched, mut silent) = (to.clone(), watched.clone(), silence.subscribe());
        tokio::spawn(async move {
            if *watched.borrow() == Way::Cut {
                return;
            }
            let Ok(mut to) = UnixStream::connect(&to).await else { return };
            let silent = tokio::select! {
                _ = copy_bidirectional(&mut from, &mut to) => false,
                _ = watched.wait_for(|way| *way == Way::Cut) => false,
                Ok(()) = silent.changed() => true,
            };
            if silent {
                let _ = watched.wait_for(|way| *way == Way::Cut).await;
            }
        });
    }
}
