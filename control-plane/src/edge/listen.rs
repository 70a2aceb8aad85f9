//! Sockets: which addresses, one listener a worker, and who is let in.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handover::Predecessor;
use super::{Edge, forwarded, limits, slots};

const BACKLOG: i32 = 4096;

/// The addresses to listen on: those asked for, or this machine only for a name that is this machine's, or all.
pub(super) fn addresses(asked: &[IpAddr], base_domain: &str, port: u16) -> Vec<SocketAddr> {
    let local = base_domain == "localhost" || base_domain.ends_with(".localhost");
    let ips = match (asked, local) {
        ([], true) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        ([], false) => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        (asked, _) => asked.to_vec(),
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

/// What each worker listens on: what an edge before us had at an address, else sockets of our own, one for each worker
/// (`SO_REUSEPORT`: the kernel spreads connections, no thread waits for another). Addresses of a family that this machine
/// lacks are left out, as long as one is left.
///
/// # Errors
/// When an address is taken or may not be had, or none is left.
pub(super) fn open(
    addresses: &[SocketAddr],
    workers: usize,
    mut before: Option<&mut Predecessor>,
) -> anyhow::Result<Vec<Vec<std::net::TcpListener>>> {
    let mut of_workers: Vec<Vec<std::net::TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for &address in addresses {
        let inherited = before.as_mut().map_or_else(Vec::new, |before| before.take(address));
        let listeners = if inherited.is_empty() {
            match bind(address, workers) {
                Err(e) if addresses.len() > 1 && no_such_family(&e) => {
                    tracing::info!(
                        ip_version = if address.is_ipv6() { 6 } else { 4 },
                        "this machine lacks an address family; listening without it"
                    );
                    continue;
                }
                other => other.with_context(|| format!("cannot listen on {address}"))?,
            }
        } else {
            inherited
        };
        share(listeners, &mut of_workers)?;
    }
    anyhow::ensure!(of_workers.iter().all(|l| !l.is_empty()), "this machine has none of the addresses to listen on");
    Ok(of_workers)
}

/// Gives each worker at least one listener of an address, and leaves none without a worker: connections wait in each.
fn share(listeners: Vec<std::net::TcpListener>, of_workers: &mut [Vec<std::net::TcpListener>]) -> anyhow::Result<()> {
    for worker in listeners.len()..of_workers.len() {
        of_workers[worker].push(listeners[worker % listeners.len()].try_clone()?);
    }
    let workers = of_workers.len();
    for (number, listener) in listeners.into_iter().enumerate() {
        of_workers[number % workers].push(listener);
    }
    Ok(())
}

fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // With SO_REUSEPORT a second edge of the same user would silently share the port: look first.
    let probe = socket(address, false)?;
    // Port 0 (tests): the probe's port is everybody's.
    let address = probe.local_addr()?;
    drop(probe);
    (0..workers).map(|_| socket(address, true)).collect()
}

fn no_such_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    if shared {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket.into())
}

/// How many connections each address has, so that one address cannot have them all.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts.
pub(super) struct Guest {
    guests: Guests,
    key: IpAddr,
}

impl Guests {
    /// Lets a connection in, unless its address has as many as it may. This machine itself is not counted.
    fn admit(&self, peer: IpAddr) -> Option<Option<Guest>> {
        let Some(key) = slots::network(peer) else { return Some(None) };
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = guests.entry(key).or_default();
        if *count >= limits::CONNECTIONS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Some(Guest { guests: self.clone(), key }))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = guests.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                guests.remove(&self.key);
            }
        }
    }
}

/// Lets connections in.
#[derive(Clone)]
pub(super) struct Doorman {
    edge: Arc<Edge>,
    guests: Guests,
    tasks: TaskTracker,
}

impl Doorman {
    pub(super) fn new(edge: Arc<Edge>, tasks: TaskTracker) -> Self {
        Self { edge, guests: Guests::default(), tasks }
    }

    /// Who comes through a balancer is known only by what the balancer says, and counts by that.
    async fn behind_balancer(
        &self,
        stream: &mut TcpStream,
        balancer: SocketAddr,
    ) -> Option<(SocketAddr, Option<Guest>)> {
        let client = match timeout(limits::HANDSHAKE, forwarded::read(stream, balancer)).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a balancer that is not understood");
                return None;
            }
            Err(_) => return None,
        };
        // A health check of the balancer's own is no visitor.
        let guest = if client == balancer { None } else { self.admit(client.ip())? };
        Some((client, guest))
    }

    fn admit(&self, client: IpAddr) -> Option<Option<Guest>> {
        let admitted = self.guests.admit(client);
        if admitted.is_none() {
            self.edge.meter.turned_away.increment(1);
        }
        admitted
    }
}

/// Takes connections until `leaving`; each is served in a task of this worker.
pub(super) async fn accept<F>(
    listener: TcpListener,
    doorman: Doorman,
    leaving: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut taken = 0_usize;
    loop {
        taken += 1;
        if taken.is_multiple_of(limits::TAKEN_AT_ONCE) {
            // A crowd at the door does not keep those waiting who are in.
            tokio::task::yield_now().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = leaving.cancelled() => return,
        };
        match accepted {
            Ok((mut stream, peer)) => {
                let balanced = doorman.edge.balancers.iter().any(|network| network.contains(peer.ip()));
                let guest = if balanced { None } else { doorman.admit(peer.ip()) };
                if guest.is_none() && !balanced {
                    continue;
                }
                let (doorman, serve) = (doorman.clone(), serve.clone());
                doorman.tasks.clone().spawn(async move {
                    let connections = &doorman.edge.meter.connections;
                    connections.increment(1);
                    let entered = match guest {
                        Some(guest) => Some((peer, guest)),
                        None => doorman.behind_balancer(&mut stream, peer).await,
                    };
                    if let Some((client, _guest)) = entered {
                        serve(stream, client).await;
                    }
                    connections.decrement(1);
                });
            }
            // The client was gone before we looked, or descriptors have run out: what is open now must first end.
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) {
                    tracing::error!(%error, "no more connections can be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
