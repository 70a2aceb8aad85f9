//! A private Postgres for tests: one cluster for all test processes of a run, a database per test, cloned from a migrated template.
//!
//! nextest gives every test its own process, so the first one that comes starts the cluster and leaves a keeper behind: a small shell loop
//! that stops the cluster and wipes it when no test has used it for half a minute. Test processes hold a shared lock meanwhile.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use control_plane::db::{self, roles};
use tokio_postgres::NoTls;

/// Where Postgres's own programs are: on the path, or where Debian keeps them.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// Postgres refuses root: as root it runs as the user `postgres` (or `nobody`).
fn unprivileged(program_name: &str) -> Command {
    let path = program(program_name);
    match service_user() {
        None => Command::new(path),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]).arg(path);
            command
        }
    }
}

fn service_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let ids = passwd.lines().find_map(|line| {
        let parts: Vec<&str> = line.split(':').collect();
        (parts[0] == "postgres").then(|| (parts[2].parse().unwrap(), parts[3].parse().unwrap()))
    });
    Some(ids.unwrap_or((65534, 65534)))
}

/// A running cluster in a folder.
pub(crate) struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A cluster of one's own, to be killed and restarted at will; stopped when dropped.
    pub(crate) fn own(folder: &Path) -> OwnCluster {
        let cluster = Self::at(folder);
        cluster.init();
        cluster.start();
        OwnCluster(cluster)
    }

    /// The URL of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("host={} user=percloud_owner dbname={database}", self.folder.display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    fn init(&self) {
        fs::create_dir_all(&self.folder).unwrap();
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = service_user() {
            chown(&self.folder, Some(uid), Some(gid)).unwrap();
        }
        let mut initdb = unprivileged("initdb");
        initdb.arg("-D").arg(self.folder.join("data"));
        initdb.args(["-U", "percloud_owner", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        run(initdb);
    }

    pub(crate) fn start(&self) {
        let mut start = unprivileged("pg_ctl");
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c fsync=off -c max_connections=400 -c shared_buffers=64MB",
            self.folder.display()
        );
        start
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-l")
            .arg(self.folder.join("log"))
            .args(["-w", "-t", "60", "-o", &options, "start"]);
        run(start);
    }

    /// Stops it as a crash would.
    pub(crate) fn kill(&self) {
        let mut stop = unprivileged("pg_ctl");
        stop.arg("-D").arg(self.folder.join("data")).args(["-m", "immediate", "-w", "stop"]);
        run(stop);
    }

    fn lives(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
    }
}

/// Stops the cluster when dropped.
pub(crate) struct OwnCluster(Cluster);

impl std::ops::Deref for OwnCluster {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        if self.lives() {
            self.kill();
        }
    }
}

fn run(mut command: Command) {
    // pg_ctl leaves the server behind with our pipes in its hands: nothing may wait for their end.
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = command
        .stdin(Stdio::null())
        .stdout(log.reopen().unwrap())
        .stderr(log.reopen().unwrap())
        .current_dir("/")
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}: {}", fs::read_to_string(log.path()).unwrap());
}

/// The cluster of this test run, started if it is not there.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<(Cluster, File)> = OnceLock::new();
    &SHARED
        .get_or_init(|| {
            // One per checkout, so that two working trees do not meet; short, since a socket's path takes 107 bytes.
            let place = format!("{:08x}", crc(env!("CARGO_MANIFEST_DIR")) ^ rustix::process::geteuid().as_raw());
            let folder = PathBuf::from(format!("/tmp/percloud-test-{place}"));
            let locks = PathBuf::from(format!("/tmp/percloud-test-{place}.locks"));
            fs::create_dir_all(&locks).unwrap();
            let users = File::create(locks.join("users")).unwrap();
            users.lock_shared().unwrap();
            let start = File::create(locks.join("start")).unwrap();
            start.lock().unwrap();
            let cluster = Cluster::at(&folder);
            if !cluster.lives() {
                let _ = fs::remove_dir_all(&folder);
                cluster.init();
                cluster.start();
                keep(&folder, &locks);
            }
            start.unlock().unwrap();
            (cluster, users)
        })
        .0
}

fn crc(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Leaves the keeper behind.
fn keep(folder: &Path, locks: &Path) {
    const KEEPER: &str = r#"
        exec 9>"$2/users" 8>"$2/start"
        idle=0
        while [ $idle -lt 3 ]; do
            sleep 10
            if flock -n -x 9; then flock -u 9; idle=$((idle + 1)); else idle=0; fi
            if [ $idle -ge 3 ]; then
                flock -x 8
                if flock -n -x 9; then kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; rm -rf "$1"; else idle=0; flock -u 8; fi
            fi
        done"#;
    let mut keeper = Command::new("setsid");
    keeper.args(["--fork", "sh", "-c", KEEPER, "keeper"]).arg(folder).arg(locks);
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").status().unwrap();
}

/// A fresh database with the whole schema, for one test; its URL.
pub(crate) async fn database() -> String {
    let cluster = shared();
    let template = template(cluster).await;
    let name = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
    execute(&cluster.url("postgres"), &format!("create database {name} template {template}")).await;
    cluster.url(&name)
}

/// The migrated template; named after the migrations, so that a changed one makes a new template.
async fn template(cluster: &Cluster) -> String {
    let name = format!("template_{:08x}", crc(&db::migrate::sql()));
    let (client, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.execute("select pg_advisory_lock(1)", &[]).await.unwrap();
    let there =
        client.query_opt("select 1 from pg_database where datname = $1 and datistemplate", &[&name]).await.unwrap();
    if there.is_none() {
        client.batch_execute(&format!("drop database if exists {name}")).await.unwrap();
        client.batch_execute(&format!("create database {name}")).await.unwrap();
        prepare(&cluster.url(&name)).await;
        client.batch_execute(&format!("alter database {name} is_template true")).await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
    name
}

/// The schema, and the roles' users. Trust is the way in here; what they may do is as in earnest.
pub(crate) async fn prepare(url: &str) {
    db::migrate::run(url).await.unwrap();
    let password = || hex::encode(rand::random::<[u8; 16]>());
    let passwords = roles::Passwords { web: password(), edge: password(), reconcile: password(), egress: password() };
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    roles::ensure(&client, &passwords).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap(); // nobody may be in a template that is copied
}

/// Runs SQL over a connection of its own.
pub(crate) async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

/// A connection whose messages somebody reads.
pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits for something to become true; ten seconds are enough for anything here.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
