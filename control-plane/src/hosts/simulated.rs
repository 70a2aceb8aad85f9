//! A host in memory, for tests: fails when told to, and can answer over HTTP for each percloud that was placed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, http::request::Parts};
use bundle::{Domain, TenantId, TenantSpec};
use futures_util::future::BoxFuture;
use tokio::{net::UnixListener, task::JoinHandle};

use super::{Error, Host, Layer, State, Status, Unit, Usage};
use crate::config::Paths;

/// A call of [`Host`], without what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Host::look`]
    Look,
    /// [`Host::place`]
    Place,
    /// [`Host::retry`]
    Retry,
    /// [`Host::remove`]
    Remove,
    /// [`Host::layers`]
    Layers,
    /// [`Host::usage`]
    Usage,
    /// [`Host::list`]
    List,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Look, Self::Place, Self::Retry, Self::Remove, Self::Layers, Self::Usage, Self::List];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing is done; "try again".
    Before,
    /// It is done, but the answer is lost; "try again".
    After,
    /// Nothing is done; "a person must look".
    Refusal,
}

/// A host in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Simulated(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    paths: Option<Paths>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    units: BTreeMap<TenantId, (TenantSpec, Unit)>,
    servers: BTreeMap<TenantId, Server>,
    once: BTreeMap<Call, Fault>,
    always: BTreeMap<Call, Fault>,
    calls: Vec<(Call, Option<TenantId>)>,
    missing: BTreeSet<String>,
    usage: Usage,
}

impl Simulated {
    /// A host that only remembers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A host that also listens at [`Paths::tenant_socket`] for each placed percloud and answers every request with 200
    /// and, as text, `{domain} {method} {path}` and the request's headers, a line each; with 421 where it is asked for by a name that its
    /// spec does not know. Needs a tokio runtime.
    #[must_use]
    pub fn serving(paths: &Paths) -> Self {
        Self(Arc::new(Inner { paths: Some(paths.clone()), memory: Mutex::default() }))
    }

    /// The next such call fails.
    pub fn fail_once(&self, call: Call, fault: Fault) {
        self.memory().once.insert(call, fault);
    }

    /// All such calls fail, until [`Simulated::heal`].
    pub fn fail_always(&self, call: Call, fault: Fault) {
        self.memory().always.insert(call, fault);
    }

    /// No call fails any more.
    pub fn heal(&self) {
        let mut memory = self.memory();
        memory.once.clear();
        memory.always.clear();
    }

    /// What has been asked so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<(Call, Option<TenantId>)> {
        self.memory().calls.clone()
    }

    /// The spec that a percloud was placed with last.
    #[must_use]
    pub fn spec(&self, id: &TenantId) -> Option<TenantSpec> {
        self.memory().units.get(id).map(|(spec, _)| spec.clone())
    }

    /// Whether its runtime runs.
    pub fn set_state(&self, id: &TenantId, state: State) {
        if let Some((_, unit)) = self.memory().units.get_mut(id) {
            unit.state = state;
        }
    }

    /// It was put to sleep for filling the disk, a moment ago or within a day.
    pub fn set_filled(&self, id: &TenantId) {
        if let Some((_, unit)) = self.memory().units.get_mut(id) {
            unit.filled = true;
        }
    }

    /// What its runtime says of itself.
    pub fn set_status(&self, id: &TenantId, status: Status) {
        if let Some((_, unit)) = self.memory().units.get_mut(id) {
            unit.status = status;
        }
    }

    /// What its perclouds have used, as [`Host::usage`] tells it from now on.
    pub fn set_usage(&self, usage: Usage) {
        self.memory().usage = usage;
    }

    /// A layer that this host has not.
    pub fn set_missing_layer(&self, name: &str) {
        self.memory().missing.insert(name.to_owned());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self, id: &TenantId) -> PathBuf {
        let paths = self.0.paths.clone().unwrap_or_else(|| Paths("/nowhere".into()));
        paths.tenant_socket(id)
    }

    /// Does `act`, or fails before or after it, as was ordered.
    fn call<T>(&self, call: Call, id: Option<&TenantId>, act: impl FnOnce(&mut Memory) -> T) -> Result<T, Error> {
        let mut memory = self.memory();
        memory.calls.push((call, id.cloned()));
        let fault = memory.once.remove(&call).or_else(|| memory.always.get(&call).copied());
        match fault {
            None => Ok(act(&mut memory)),
            Some(Fault::Before) => Err(Error::Unavailable("simulated: not done".into())),
            Some(Fault::Refusal) => Err(Error::Refused("simulated".into())),
            Some(Fault::After) => {
                act(&mut memory);
                Err(Error::Unavailable("simulated: done, but the answer was lost".into()))
            }
        }
    }

    fn place_now(&self, memory: &mut Memory, spec: &TenantSpec) -> Unit {
        let kept = memory.units.get(&spec.id).map(|(_, unit)| unit.status.clone());
        let unit = Unit {
            spec_hash: spec.hash(),
            socket: self.socket(&spec.id),
            state: State::Asleep,
            status: kept.unwrap_or_default(),
            filled: false,
        };
        memory.units.insert(spec.id.clone(), (spec.clone(), unit.clone()));
        // As a real one does it, the listener stays when a runtime with another spec takes over.
        match memory.servers.get(&spec.id) {
            Some(server) => server.knows(spec),
            None if self.0.paths.is_some() => drop(memory.servers.insert(spec.id.clone(), Server::start(&unit, spec))),
            None => {}
        }
        unit
    }
}

/// What answers for one percloud.
#[derive(Debug)]
struct Server {
    /// The name that it answers at, and those that it answers to as well.
    names: Arc<Mutex<(Domain, Vec<Domain>)>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// From now on.
    fn knows(&self, spec: &TenantSpec) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = (spec.domain.clone(), spec.also.clone());
    }

    /// Listens before it returns, so that a caller may connect at once.
    fn start(unit: &Unit, spec: &TenantSpec) -> Self {
        let names = Arc::new(Mutex::new((spec.domain.clone(), spec.also.clone())));
        Self { task: spawn_server(unit, names.clone()), names }
    }
}

fn spawn_server(unit: &Unit, names: Arc<Mutex<(Domain, Vec<Domain>)>>) -> JoinHandle<()> {
    let bound = unit.socket.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let _ = std::fs::remove_file(&unit.socket);
        UnixListener::bind(&unit.socket)
    });
    let app = Router::new().fallback(async move |request: Parts| {
        let (domain, also) = names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let asked = asked.split(':').next().unwrap_or_default();
        if !std::iter::once(&domain).chain(&also).any(|ours| ours.as_str() == asked) {
            return (http::StatusCode::MISDIRECTED_REQUEST, String::new());
        }
        let mut text = format!("{domain} {} {}\n", request.method, request.uri);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        (http::StatusCode::OK, text)
    });
    tokio::spawn(async move {
        match bound {
            Ok(listener) => drop(axum::serve(listener, app).await),
            Err(error) => tracing::error!(%error, "the simulated host cannot listen"),
        }
    })
}

impl Host for Simulated {
    fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        let unit = self.call(Call::Look, Some(id), |memory| memory.units.get(id).map(|(_, unit)| unit.clone()));
        Box::pin(std::future::ready(unit))
    }

    fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>> {
        let unit = self.call(Call::Place, Some(&spec.id), |memory| self.place_now(memory, spec));
        Box::pin(std::future::ready(unit))
    }

    fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        let unit = self.call(Call::Retry, Some(id), |memory| {
            let (_, unit) = memory.units.get_mut(id)?;
            unit.state = State::Awake;
            Some(unit.clone())
        });
        Box::pin(std::future::ready(unit))
    }

    fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>> {
        let removed = self.call(Call::Remove, Some(id), |memory| {
            memory.units.remove(id);
            if memory.servers.remove(id).is_some() {
                let _ = std::fs::remove_file(self.socket(id));
            }
        });
        Box::pin(std::future::ready(removed))
    }

    fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>> {
        let layers = self.call(Call::Layers, None, |memory| {
            let layer = |name: &String| Layer {
                name: name.clone(),
                keeps: "nothing: this host is simulated".into(),
                version: None,
                missing: Some("simulated".into()),
                allowed: false,
                without: None,
            };
            memory.missing.iter().map(layer).collect()
        });
        Box::pin(std::future::ready(layers))
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>> {
        let usage = self.call(Call::Usage, None, |memory| memory.usage.clone());
        Box::pin(std::future::ready(usage))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>> {
        let ids = self.call(Call::List, None, |memory| memory.units.keys().cloned().collect());
        Box::pin(std::future::ready(ids))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::hosts::{client::HostClient, server};

    pub(crate) fn spec(name: &str) -> TenantSpec {
        TenantSpec {
            id: TenantId::random(),
            domain: format!("{name}.percloud.localhost").parse().unwrap(),
            also: Vec::new(),
            port: 8443,
            quota_bytes: 1 << 30,
            language: "en".into(),
            setup_sha256: None,
            suspended: None,
            provider: None,
        }
    }

    #[tokio::test]
    async fn a_client_gets_through_the_socket_what_the_host_says() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(folder.path().into());
        let host = Simulated::serving(&paths);
        let listener = server::listen(&paths.host_socket(), None).unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let server = tokio::spawn(server::serve(listener, Arc::new(host.clone()), None, stop.clone()));
        let client = HostClient::new(paths.host_socket());

        let ada = spec("ada");
        assert_eq!(client.look(&ada.id).await.unwrap(), None);
        let unit = client.place(&ada).await.unwrap();
        assert_eq!(unit.spec_hash, ada.hash());
        assert_eq!(client.look(&ada.id).await.unwrap(), Some(unit.clone()));
        assert_eq!(client.list().await.unwrap(), std::slice::from_ref(&ada.id));
        assert!(tokio::net::UnixStream::connect(&unit.socket).await.is_ok());

        host.fail_once(Call::Remove, Fault::After);
        assert!(matches!(client.remove(&ada.id).await, Err(Error::Unavailable(_))));
        assert_eq!(client.look(&ada.id).await.unwrap(), None, "it was removed, only the answer was lost");
        client.remove(&ada.id).await.unwrap();
        assert!(tokio::net::UnixStream::connect(&unit.socket).await.is_err());

        stop.cancel();
        server.await.unwrap();
        let gone = client.list().await;
        assert!(matches!(gone, Err(Error::Unavailable(_))), "{gone:?}");
    }
}
