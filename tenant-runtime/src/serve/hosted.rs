//! Under a host: the listening socket is handed over, everything else comes from the environment.

mod log;

use std::{
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixListener as StdListener,
    },
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use bundle::{Clock, TenantSpec};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::net::UnixListener;

use super::{
    connections::{Accept, Connection, Version},
    sleep::Sleep,
};
use crate::runtime::{Place, Runtime};

/// How long a predecessor that is still draining is waited for.
const PREDECESSOR: Duration = Duration::from_secs(15);

/// Serves until told to stop or idle.
///
/// # Errors
/// When the environment is not as a host makes it, or the data folder cannot be used.
pub fn run() -> anyhow::Result<()> {
    log::start().context("standard error is not open")?;
    let listener = listener()?;
    let spec = spec()?;
    let folder = PathBuf::from(std::env::var_os("PERCLOUD_DATA").unwrap_or_else(|| "/data".into()));
    let _lock = super::lock::take(&folder, PREDECESSOR)?;
    let rt = match std::env::var("PERCLOUD_PROGRAM") {
        Ok(program) => Runtime::wake(&folder, spec, Clock::system(), &program)?,
        Err(_) => Runtime::open(&folder, spec, Place::Hosted, Clock::system())?,
    };
    super::run(async {
        let listener: Box<dyn Accept> = Box::new(Unix(UnixListener::from_std(listener)?));
        super::until_the_end(&rt, vec![listener], Some(Sleep::from_environment()?)).await
    })?;
    Ok(())
}

fn spec() -> anyhow::Result<TenantSpec> {
    let json = std::env::var("PERCLOUD_SPEC").context("PERCLOUD_SPEC does not say which percloud this is")?;
    serde_json::from_str(&json).context("PERCLOUD_SPEC cannot be understood")
}

/// Takes over descriptor 3 as systemd's socket activation says, and makes sure that it is what it should be.
fn listener() -> anyhow::Result<StdListener> {
    let count = std::env::var("LISTEN_FDS").context("no listening socket was handed over (LISTEN_FDS is not set)")?;
    ensure!(count == "1", "one listening socket is expected, not {count}");
    // SAFETY: nothing in this process has opened a descriptor by number; if 3 is not open, the next call fails.
    let fd = unsafe { OwnedFd::from_raw_fd(3) };
    let accepting = rustix::net::sockopt::socket_acceptconn(&fd).context("descriptor 3 is not a socket")?;
    let domain = rustix::net::sockopt::socket_domain(&fd)?;
    ensure!(accepting && domain == rustix::net::AddressFamily::UNIX, "descriptor 3 is not a listening unix socket");
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    let listener = StdListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The edge's connections.
struct Unix(UnixListener);

impl Accept for Unix {
    fn accept(&mut self) -> BoxFuture<'_, std::io::Result<BoxFuture<'static, Option<Connection>>>> {
        async {
            let (stream, _) = self.0.accept().await?;
            let connection = Connection { stream: Box::new(stream), client: None, version: Version::Guess };
            Ok(std::future::ready(Some(connection)).boxed())
        }
        .boxed()
    }
}
