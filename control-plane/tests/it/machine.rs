//! A machine with a real `percloud host` on it, as root or as an ordinary user, whose runtime is the test program `hostile`.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bundle::{TenantId, TenantSpec};
use control_plane::{
    config::Paths,
    hosts::{Host, Unit, client::HostClient},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::postgres::eventually;

/// An ordinary user of any Linux machine, or of none: only the number matters.
const SOMEBODY: u32 = 1000;

/// What perclouds' tokens are signed with.
pub(crate) const EGRESS_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) struct Machine {
    /// Gone before the folder that it is in.
    _disk: Option<Disk>,
    folder: tempfile::TempDir,
    pub(crate) user: Option<u32>,
    idle_seconds: u64,
    more: Vec<String>,
    child: Option<Child>,
    pub(crate) host: HostClient,
}

impl Machine {
    /// As root and as an ordinary user, when the tests run as root; else only as the user who runs them.
    pub(crate) fn kinds() -> Vec<Option<u32>> {
        if rustix::process::geteuid().is_root() { vec![None, Some(SOMEBODY)] } else { vec![None] }
    }

    /// Starts a host; `user` is whom it runs as, when that is somebody else.
    pub(crate) async fn start(user: Option<u32>, idle_seconds: u64) -> Self {
        Self::start_with(user, idle_seconds, &[]).await
    }

    /// With more words on its command line.
    pub(crate) async fn start_with(user: Option<u32>, idle_seconds: u64, more: &[&str]) -> Self {
        Self::with_runtime(user, idle_seconds, more, &hostile()).await
    }

    /// Whose perclouds have a small disk of their own, which only root can make.
    pub(crate) async fn with_disk(user: Option<u32>, mib: u32) -> Self {
        Self::begin(user, 300, &[], &hostile(), Some(mib)).await
    }

    /// With another program as its runtime.
    pub(crate) async fn with_runtime(user: Option<u32>, idle_seconds: u64, more: &[&str], runtime: &Path) -> Self {
        Self::begin(user, idle_seconds, more, runtime, None).await
    }

    async fn begin(user: Option<u32>, idle_seconds: u64, more: &[&str], runtime: &Path, disk: Option<u32>) -> Self {
        let folder = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::create_dir_all(data.join("run/metrics")).unwrap();
        fs::create_dir(data.join("secrets")).unwrap();
        fs::write(Paths(data.clone()).egress_key(), EGRESS_KEY).unwrap();
        let disk = disk.map(|mib| Disk::mount(&Paths(data.clone()).tenants(), mib, user.unwrap_or(0)));
        for folder in [data.clone(), data.join("run"), data.join("run/metrics"), data.join("secrets")] {
            std::os::unix::fs::chown(folder, user, user).unwrap();
        }
        // Where an ordinary user can read them, wherever this was built.
        for (name, from) in [("percloud", Path::new(env!("CARGO_BIN_EXE_percloud"))), ("runtime", runtime)] {
            fs::copy(from, folder.path().join(name)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
        fs::create_dir(folder.path().join("memory")).unwrap();
        let host = HostClient::new(Paths(data).host_socket());
        let more = more.iter().map(|&word| word.to_owned()).collect();
        let mut machine = Self { folder, user, idle_seconds, more, child: None, host, _disk: disk };
        machine.memory_left(50);
        machine.restart().await;
        machine
    }

    /// What the host is told of the machine's memory.
    pub(crate) fn memory_left(&self, percent: u32) {
        let told = format!("MemTotal: 1000000 kB\nMemAvailable: {} kB\n", percent * 10_000);
        let folder = self.folder.path().join("memory");
        fs::write(folder.join("new"), told).unwrap();
        fs::rename(folder.join("new"), folder.join("meminfo")).unwrap();
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths(self.folder.path().join("data"))
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The layers of the sandbox that the machine of the tests may lack.
    pub(crate) fn lacks(&self) -> &'static str {
        let root = self.user.is_none() && rustix::process::geteuid().is_root();
        if root { "io" } else { "own-user,control-groups,io" }
    }

    /// Starts the host and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = self.command(&self.folder.path().join("percloud"));
        command.arg("host").arg("--data").arg(self.paths().root());
        command.arg("--runtime").arg(self.folder.path().join("runtime"));
        command.arg("--idle-seconds").arg(self.idle_seconds.to_string()).args(&self.more);
        command.arg("--memory-from").arg(self.folder.path().join("memory"));
        command.args(["--wake-spread-seconds", "0"]);
        command.args(["--allow-missing", self.lacks()]);
        let child = self.child.insert(command.stdin(Stdio::null()).spawn().unwrap());
        eventually("a host that answers", async || {
            assert_eq!(child.try_wait().unwrap(), None, "the host has ended");
            self.host.list().await.ok()
        })
        .await;
    }

    /// Without a warning, as a crash would.
    pub(crate) fn kill_host(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The number of the host's process.
    pub(crate) fn host_process(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// As `percloud up` does it.
    pub(crate) async fn stop_host(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = eventually("the host's end", async || child.try_wait().unwrap()).await;
        assert!(status.success());
    }

    /// The process of the host that runs.
    pub(crate) fn host_pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A new percloud of this name.
    pub(crate) fn spec(name: &str) -> TenantSpec {
        TenantSpec {
            id: TenantId::random(),
            domain: format!("{name}.percloud.localhost").parse().unwrap(),
            also: Vec::new(),
            port: 8443,
            quota_bytes: 64 << 20,
            language: "en".into(),
            setup_sha256: None,
            suspended: None,
            provider: None,
        }
    }

    pub(crate) async fn place(&self, name: &str) -> (TenantSpec, Unit) {
        let spec = Self::spec(name);
        let unit = self.host.place(&spec).await.unwrap();
        (spec, unit)
    }

    /// The folder as it is called outside.
    pub(crate) fn folder(&self, id: &TenantId) -> PathBuf {
        self.paths().tenants().join(id.as_str())
    }

    /// The control groups of all perclouds together, one a hierarchy; none where the host may not make them.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        self.noted_groups().into_iter().filter(|group| !is_last(group)).collect()
    }

    /// Whether a percloud comes last where processors are given out; none where nobody can.
    pub(crate) fn comes_last(&self, id: &TenantId) -> Option<bool> {
        let read = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
        if let Some(last) = self.noted_groups().into_iter().find(|group| is_last(group)) {
            return Some(!read(last.join(id.as_str()).join("cgroup.procs")).is_empty());
        }
        let mut groups = self.groups().into_iter();
        let says = groups.find(|group| group.join("cpu.idle").exists() && group.join("cgroup.controllers").exists())?;
        Some(read(says.join(id.as_str()).join("cpu.idle")).trim() == "1")
    }

    fn noted_groups(&self) -> Vec<PathBuf> {
        let notes = fs::read_to_string(self.paths().host_state().join("control-groups")).unwrap_or_default();
        notes.lines().map(PathBuf::from).collect()
    }

    /// Of a percloud's control groups, those in which its runtime is.
    pub(crate) fn joined(&self, id: &TenantId) -> usize {
        let procs =
            |group: &PathBuf| fs::read_to_string(group.join(id.as_str()).join("cgroup.procs")).unwrap_or_default();
        self.groups().iter().filter(|group| procs(group).lines().count() == 1).count()
    }

    /// Process numbers of a percloud's runtimes, whoever their parent is.
    pub(crate) fn runtimes(&self, id: &TenantId) -> Vec<i32> {
        let ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&format!("\"id\":\"{id}\""))
        };
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(ours).collect()
    }
}

fn is_last(group: &Path) -> bool {
    group.to_string_lossy().ends_with("-last")
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A host that was killed leaves them for the next one, and there is none.
        for group in self.noted_groups() {
            let gone = |folder: &Path| (0..500).any(|_| fs::remove_dir(folder).is_ok() || !folder.exists() || !pause());
            for inside in fs::read_dir(&group).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
                gone(&inside.path());
            }
            gone(&group);
        }
    }
}

/// A disk in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, mib: u32, user: u32) -> Self {
        fs::create_dir(at).unwrap();
        let options = std::ffi::CString::new(format!("size={mib}m,mode=0700,uid={user},gid={user}")).unwrap();
        rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::empty(), options.as_c_str()).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// The real runtime, beside the program under test.
pub(crate) fn runtime() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_percloud")).with_file_name("percloud-runtime");
    assert!(path.exists(), "this test needs the runtime; build it with: cargo build --package tenant-runtime");
    path
}

/// Its runtimes end with the host, a moment later.
fn pause() -> bool {
    std::thread::sleep(Duration::from_millis(2));
    true
}

/// The test program; cargo builds it before the tests, since it is an example.
fn hostile() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/hostile")
}

/// The body of the answer.
pub(crate) async fn get(socket: &Path, path: &str) -> std::io::Result<String> {
    tokio::time::timeout(Duration::from_secs(60), ask(socket, path)).await?
}

async fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("not an answer: {answer:?}"))),
    }
}
