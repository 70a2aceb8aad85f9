//! A program under test: started, listened to, killed.

use std::ffi::OsStr;
use std::net::SocketAddr as InetAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take that ought to take a moment, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a program is: on the path, or where Debian keeps those for administrators. `package` is what to install.
pub(super) fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin"].map(PathBuf::from);
    let mut folders = std::env::split_paths(&path).chain(more);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|p| p.is_file()));
    found.with_context(|| format!("this test needs the program {name}: apt-get install {package}"))
}

/// A port that is free on IPv4's loopback, for TCP and UDP, and that no other test is given while this process lives. It is below those
/// that the kernel gives to whoever connects somewhere: another test's client may have one of these before it is used.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let any = std::iter::repeat_with(|| rand::random_range(20_000..30_000));
    let at = |port: u16| (std::net::Ipv4Addr::LOCALHOST, port);
    let is_free = |port: &u16| {
        reserve(*port) && std::net::TcpListener::bind(at(*port)).is_ok() && std::net::UdpSocket::bind(at(*port)).is_ok()
    };
    any.take(100).find(is_free).context("no port is free")
}

/// Takes a port among tests, by a name that the kernel gives to one only and takes back when this process ends.
fn reserve(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("percloud-test-port-{port}"));
    name.and_then(|name| UnixDatagram::bind_addr(&name)).map(std::mem::forget).is_ok()
}

/// Waits until `condition` gives something; looks often. `what` is for the message when it never does.
///
/// # Errors
/// After a minute without.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let looking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.with_context(|| format!("waited in vain: {what}"))
}

/// A running program and what it has said so far.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it. It dies with this value, and with the thread that started it: nothing outlives a test that is killed.
    pub(super) fn start<A: AsRef<OsStr>>(
        name: &str,
        package: &str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = Command::new(program("setpriv", "util-linux")?);
        command.arg("--pdeathsig=KILL").arg(program(name, package)?).args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = Arc::default();
        listen(child.stdout.take(), &log);
        listen(child.stderr.take(), &log);
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// How many lines of its log hold `text`.
    pub(super) fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// All that it said.
    pub(super) fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it takes connections; an end before that is an error with its last words.
    pub(super) async fn listens(&mut self, at: InetAddr) -> Result<()> {
        let what = format!("{} listens on {at}", self.name);
        let child = &mut self.child;
        let up = wait_for(&what, async || match child.try_wait() {
            Ok(None) => tokio::net::TcpStream::connect(at).await.is_ok().then_some(true),
            _ => Some(false),
        });
        if up.await? {
            return Ok(());
        }
        bail!("{} ended at once:\n{}", self.name, self.lines().join("\n"))
    }

    /// Kills it and waits until its ports are free.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot stop {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines();
            let last = lines.len().saturating_sub(60);
            eprintln!("--- {} said last:\n{}", self.name, lines[last..].join("\n"));
        }
    }
}

fn listen(stream: Option<impl AsyncRead + Unpin + Send + 'static>, log: &Arc<Mutex<Vec<String>>>) {
    let Some(stream) = stream else { return };
    let log = log.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
