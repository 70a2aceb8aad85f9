//! Runs perclouds as confined processes of this machine.
//!
//! The life of a wake:
//!
//! 1. The edge connects to the percloud's socket. It is ours ([`mod@unit`]), so that this succeeds at once and waits in its queue.
//! 2. The unit's task sees that the socket is readable and sends the [`spawner`] the socket and a pipe for the log.
//! 3. The spawner, a process with one thread, clones itself into new namespaces; the child puts on one layer of the
//!    sandbox after the other ([`confine`]) and becomes the runtime, which finds the socket at descriptor 3.
//! 4. The runtime accepts. The host does not look at the socket again until the runtime has ended, of which the spawner
//!    tells it; a connection that came too late for that one is still in the queue, and starts the next one at once.

mod cgroups;
mod confine;
mod desk;
mod disk;
mod folders;
mod found;
mod gate;
mod held;
mod kept;
mod lane;
mod layers;
mod logs;
mod naps;
mod prepare;
mod pressure;
mod process;
mod queue;
mod reasons;
mod restart;
mod schedule;
mod seccomp;
mod shared;
mod spawn;
mod spawner;
mod stage;
mod start;
mod starts;
mod state;
mod tend;
mod uids;
mod unit;
mod used;
mod waiting;
mod wire;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use bundle::{Clock, TenantId, TenantSpec};
use futures_util::future::BoxFuture;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::uids::{Clash, FIRST_UID, clashes};
pub use self::{
    cgroups::Limits,
    found::{Found, last_found, refused},
    layers::Kind,
    naps::Naps,
};
use self::{
    desk::{Order, Seen},
    kept::Left,
    layers::Here,
    schedule::Timetable,
    shared::Shared,
    spawn::Spawner,
    state::Memory,
    unit::Handle,
    used::Counters,
    wire::Prepare,
};
use super::{Error, Host, Layer, Unit, Usage, server};
use crate::{
    config::{Common, Paths},
    egress,
    privileges::{EDGE, EGRESS, RECONCILE},
};

/// A host that was killed may have left runtimes that are still ending.
const PREDECESSOR: Duration = Duration::from_secs(15);
/// In the folder of all perclouds: what the trial of the sandbox uses.
const PROBE: &str = ".probe";

/// Options of `percloud host`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// The runtime's program; the default is `percloud-runtime` beside this one.
    #[arg(long, env = "PERCLOUD_RUNTIME", value_name = "PATH")]
    pub runtime: Option<PathBuf>,
    /// A percloud that nobody uses for so long goes to sleep.
    #[arg(long, env = "PERCLOUD_IDLE_SECONDS", default_value_t = 300, value_name = "N")]
    pub idle_seconds: u64,
    /// When perclouds sleep and wake besides.
    #[command(flatten)]
    pub naps: Naps,
    /// Run perclouds although this machine lacks these layers of the sandbox (`percloud doctor` names them).
    #[arg(long, env = "PERCLOUD_ALLOW_MISSING", value_name = "LAYER", value_delimiter = ',')]
    pub allow_missing: Vec<Kind>,
    /// What each percloud may take of the machine.
    #[command(flatten)]
    pub limits: Limits,
}

/// Becomes the host's spawner when this process was started as one, and then does not return. The first thing that
/// `main` calls: the spawner must have one thread only.
pub fn become_spawner_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == spawn::NAME) {
        std::process::exit(spawner::main());
    }
}

/// Runs the host role until SIGTERM.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let root = rustix::process::geteuid().is_root();
    let paths = Paths(fs::canonicalize(&options.common.data).context("the data folder")?);
    let stop = CancellationToken::new();
    let local = Local::start(&options, paths.clone(), root, stop.clone()).await?;
    let group = root.then_some(RECONCILE);
    let listener = server::listen(&paths.host_socket(), group)?;
    tracing::info!(perclouds = local.units().len(), "the host is ready");
    let memory = pressure::Kernel(options.naps.memory_from.clone());
    tokio::spawn(pressure::watch(local.clone(), memory, options.naps.memory_low_percent));
    let mut serving = tokio::spawn(server::serve(listener, local.clone(), group, stop.clone()));
    let lost = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = local.shared.spawner.gone() => true,
        _ = &mut serving => true,
    };
    stop.cancel();
    local.shared.tasks.close();
    local.shared.tasks.wait().await;
    if let Err(error) = local.leave_last_counts() {
        tracing::warn!(%error, "what was counted in the last minute is lost");
    }
    if let Some(groups) = &local.shared.groups {
        groups.close();
    }
    anyhow::ensure!(!lost, "the spawner is gone, and all runtimes with it");
    Ok(())
}

/// The host on this machine.
pub struct Local {
    shared: Arc<Shared>,
    units: Mutex<HashMap<TenantId, Handle>>,
    layers: Vec<Layer>,
    /// [`Usage::epoch`]
    epoch: String,
    keeper: kept::Keeper,
}

impl Local {
    /// Prepares everything; all perclouds that were known listen again.
    async fn start(options: &Options, paths: Paths, root: bool, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        more_descriptors();
        make_folders(&paths, root)?;
        let lock = lock(&paths.host_state().join("lock")).await?;
        let memory = Memory::open(paths.host_state(), uids::first_free(&paths.tenants())?)?;
        let allowed: BTreeSet<Kind> = options.allow_missing.iter().copied().collect();
        let prepare = Prepare {
            tenants: paths.tenants(),
            egress: paths.egress_folder(),
            stage: paths.host_state().join("stage"),
            runtime: runtime(options)?,
            ceilings: options.limits.of_process(),
            allow_missing: allowed.clone(),
            probe_uid: uids::trial(),
            probe_folder: PROBE.into(),
        };
        let found =
            cgroups::open(paths.root(), &paths.tenants(), &paths.host_state().join("control-groups"), options.limits);
        let trial = found.groups.as_ref().and_then(cgroups::Groups::trial);
        let (spawner, mut findings) = Spawner::launch(prepare, lock, trial).await?;
        let groups = found.into_groups(&mut findings, allowed.contains(&Kind::ControlGroups)).map(Arc::new);
        let here = Here {
            landlock: confine::landlock_version(),
            groups: groups.as_ref().map(|groups| groups.words()),
            disk: groups.as_ref().and_then(|groups| groups.ceiling()),
        };
        let layers = layers::table(&findings, root, &allowed, &here);
        // Before it refuses to start: whoever asks why has nobody else to ask.
        if let Err(error) = found::note(&paths.host_state(), &layers, Clock::system().now()) {
            tracing::warn!(%error, "what was found of the sandbox cannot be written down");
        }
        for layer in layers.iter().filter(|layer| layer.allowed) {
            tracing::warn!(layer = layer.name, why = layer.missing, "the sandbox lacks a layer");
        }
        layers::judge(&layers)?;
        let known = memory.all()?;
        let edge = root.then_some(EDGE);
        let idle_seconds = options.idle_seconds;
        let ready = prepare::database(&spawner, &paths.tenants(), root).await;
        let timetable = Timetable::new(Clock::system(), Duration::from_secs(options.naps.wake_spread_seconds));
        let tasks = TaskTracker::new();
        let egress = egress::Key::open(&paths.egress_key())?;
        if egress.is_none() {
            tracing::warn!("there is no egress key: perclouds reach nothing outside; percloud up makes one");
        }
        let shared = Arc::new(Shared {
            spawner,
            lane: lane::Lane::new(options.limits.lane(), groups.clone()),
            groups,
            memory,
            paths,
            root,
            edge,
            idle_seconds,
            suspended: Duration::from_secs(options.naps.suspended_seconds),
            ready,
            timetable,
            gate: gate::Gate::new(),
            egress,
            stop,
            tasks,
        });
        let live =
            |known: state::Known| (known.spec.id.clone(), unit::live(&shared, known.spec.id.clone(), Some(known)));
        let units = known.into_iter().map(live).collect();
        let before = kept::take(&shared.paths.host_state())?;
        let (units, keeper) = (Mutex::new(units), kept::Keeper::default());
        let epoch = before.usage.epoch.clone();
        let local = Arc::new(Self { shared: shared.clone(), units, layers, epoch, keeper });
        local.go_on(&before);
        tend::start(&local);
        Ok(local)
    }

    fn units(&self) -> MutexGuard<'_, HashMap<TenantId, Handle>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of all perclouds that are placed.
    fn counters(&self) -> Vec<Arc<Counters>> {
        let units = self.units();
        units.values().filter(|handle| handle.desk.is_placed()).map(|handle| handle.used.clone()).collect()
    }

    /// From what the last host has left.
    fn go_on(&self, before: &Left) {
        let units = self.units();
        for used in &before.usage.of {
            if let Some(handle) = units.get(&used.id) {
                handle.used.go_on(used);
            }
        }
        for (id, stored) in &before.folders {
            if let Some(handle) = units.get(id) {
                handle.used.held_before(*stored);
            }
        }
    }

    /// Leaves what was counted for the next host.
    fn leave_counts(&self) -> anyhow::Result<()> {
        let left = || {
            let all: Vec<_> = self.units().values().map(|handle| handle.used.clone()).collect();
            Left {
                usage: Usage { epoch: self.epoch.clone(), of: all.iter().map(|counters| counters.used()).collect() },
                folders: all.iter().filter_map(|one| Some((one.id().clone(), one.holds()?))).collect(),
            }
        };
        self.keeper.leave(&self.shared.paths.host_state(), left)
    }

    /// The same, once nothing runs any more.
    fn leave_last_counts(&self) -> anyhow::Result<()> {
        self.units().values().for_each(|handle| handle.used.look_at_group());
        self.leave_counts()
    }

    /// Puts one to sleep that fills the disk; whether it has heard it. Should it be too busy for that, it is told again when it is next
    /// counted.
    fn stop_filling(&self, id: &TenantId, why: String) -> bool {
        let desk = self.units().get(id).map(|handle| handle.desk.clone());
        desk.is_some_and(|desk| desk.offer(Order::StopFilling(why)))
    }

    /// Gives a unit an order. One that is just being removed is waited for, and followed by a new one.
    async fn order<T>(
        &self,
        id: &TenantId,
        order: impl Fn(oneshot::Sender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        for _ in 0..3 {
            let desk = {
                let mut units = self.units();
                forget_closed(&mut units, id);
                let unit = units.entry(id.clone()).or_insert_with(|| unit::live(&self.shared, id.clone(), None));
                unit.desk.clone()
            };
            let (answer, answered) = oneshot::channel();
            desk.put(order(answer));
            if let Ok(done) = answered.await {
                return done;
            }
        }
        Err(Error::Unavailable("it is ending".into()))
    }

    fn unit(&self, id: &TenantId, seen: Seen, status: super::Status) -> Unit {
        let socket = self.shared.paths.tenant_socket(id);
        let filled = seen.filled_until.is_some_and(|until| tokio::time::Instant::now() < until);
        Unit { spec_hash: seen.known.spec.hash(), socket, state: seen.state, status, filled }
    }

    async fn status(&self, id: &TenantId) -> super::Status {
        let folder = self.shared.paths.tenants().join(id.as_str());
        tokio::task::spawn_blocking(move || folders::status(&folder)).await.unwrap_or_default()
    }
}

impl Host for Local {
    fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        Box::pin(async move {
            let seen = self.units().get(id).and_then(|handle| handle.desk.seen());
            let Some(seen) = seen else { return Ok(None) };
            let status = self.status(id).await;
            Ok(Some(self.unit(id, seen, status)))
        })
    }

    fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>> {
        Box::pin(async move {
            let seen = self.order(&spec.id, |answer| Order::Place(Box::new(spec.clone()), answer)).await?;
            let status = self.status(&spec.id).await;
            Ok(self.unit(&spec.id, seen, status))
        })
    }

    fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        Box::pin(async move {
            let placed = self.units().get(id).is_some_and(|handle| handle.desk.is_placed());
            let seen = if placed { self.order(id, Order::Retry).await? } else { None };
            let Some(seen) = seen else { return Ok(None) };
            let status = self.status(id).await;
            Ok(Some(self.unit(id, seen, status)))
        })
    }

    fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.order(id, Order::Remove).await?;
            forget_closed(&mut self.units(), id);
            Ok(())
        })
    }

    fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>> {
        Box::pin(std::future::ready(Ok(self.layers.clone())))
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>> {
        Box::pin(async move {
            let all = self.counters();
            tend::look_at(all.clone()).await;
            Ok(Usage { epoch: self.epoch.clone(), of: all.iter().map(|counters| counters.used()).collect() })
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>> {
        let ids = self.units().iter().filter(|(_, handle)| handle.desk.is_placed()).map(|(id, _)| id.clone()).collect();
        Box::pin(std::future::ready(Ok(ids)))
    }
}

/// One that is removed makes room for another of the same name.
fn forget_closed(units: &mut HashMap<TenantId, Handle>, id: &TenantId) {
    if units.get(id).is_some_and(|handle| handle.desk.is_closed()) {
        units.remove(id);
    }
}

/// The runtime's program, beside our own unless said otherwise.
fn runtime(options: &Options) -> anyhow::Result<PathBuf> {
    let path = match &options.runtime {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("percloud-runtime"),
    };
    fs::canonicalize(&path).with_context(|| format!("the runtime at {}", path.display()))
}

/// A listening socket for each percloud, and a pipe for each that is awake.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile).maximum;
    // Root may go up to the kernel's own default ceiling.
    for most in [Some(1 << 20), allowed] {
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_ok() {
            return;
        }
    }
}

fn make_folders(paths: &Paths, root: bool) -> anyhow::Result<()> {
    let sockets = paths.root().join("run/t");
    let make = |path: &Path, mode: u32, group: Option<u32>| -> anyhow::Result<()> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        std::os::unix::fs::chown(path, None, group)?;
        Ok(fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?)
    };
    make(&paths.host_state(), 0o700, None)?;
    make(&paths.host_state().join("stage"), 0o700, None)?;
    make(&paths.tenants(), 0o700, None)?;
    make(&paths.tenants().join(PROBE), 0o755, None)?;
    make(&paths.logs().join("tenants"), 0o700, None)?;
    make(&sockets, 0o710, root.then_some(EDGE))?;
    make(&paths.egress_folder(), 0o711, None)?;
    // The role makes its socket in it.
    Ok(std::os::unix::fs::chown(paths.egress_folder(), root.then_some(EGRESS), root.then_some(EGRESS))?)
}

/// Waits until no other host, and no runtime of one, is left on this data folder.
async fn lock(path: &Path) -> anyhow::Result<OwnedFd> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    let waiting = async {
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(io::Error::from(error)),
            }
        }
    };
    tokio::time::timeout(PREDECESSOR, waiting).await.context("another host runs on this data folder")??;
    Ok(file.into())
}
