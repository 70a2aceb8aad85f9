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

/// The addresses to listen on.
pub(super) struct Addresses {
    pub(super) all: Vec<SocketAddr>,
    /// Somebody asked for them: then they are listened on, too, where this machine has them later only, as one that is still looked for a
    /// twin of when the machine starts, or one that moves between two machines.
    pub(super) asked: bool,
}

/// The addresses to listen on: those asked for, or this machine only for a name that is this machine's, or all.
pub(super) fn addresses(asked: &[IpAddr], base_domain: &str, port: u16) -> Addresses {
    let local = base_domain == "localhost" || base_domain.ends_with(".localhost");
    let ips = match (asked, local) {
        ([], true) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        ([], false) => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        (asked, _) => asked.to_vec(),
    };
    Addresses { all: ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(), asked: !asked.is_empty() }
}

/// What each worker listens on: what an edge before us had at an address, else sockets of our own, one for each worker
/// (`SO_REUSEPORT`: the kernel spreads connections, no thread waits for another). Addresses of a family that this machine
/// lacks are left out, as long as one is left, and nobody asked for them.
///
/// # Errors
/// When an address is taken or may not be had, or none is left.
pub(super) fn open(
    addresses: &Addresses,
    workers: usize,
    mut before: Option<&mut Predecessor>,
) -> anyhow::Result<Vec<Vec<std::net::TcpListener>>> {
    let mut of_workers: Vec<Vec<std::net::TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for &address in &addresses.all {
        let inherited = before.as_mut().map_or_else(Vec::new, |before| before.take(address));
        let listeners = if inherited.is_empty() {
            match bind(address, workers, addresses.asked) {
                Err(e) if addresses.all.len() > 1 && no_such_family(&e) => {
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

fn bind(address: SocketAddr, workers: usize, asked: bool) -> io::Result<Vec<std::net::TcpListener>> {
    // With SO_REUSEPORT a second edge of the same user would silently share the port: look first.
    let (probe, not_yet) = match socket(address, false, false) {
        Err(error) if asked && error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            tracing::warn!(%address, "this machine does not have this address yet; who comes when it does is served");
            (socket(address, false, true)?, true)
        }
        other => (other?, false),
    };
    // Port 0 (tests): the probe's port is everybody's.
    let address = probe.local_addr()?;
    drop(probe);
    (0..workers).map(|_| socket(address, true, not_yet)).collect()
}

fn no_such_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// One of several that share the port, or the only one; at an address that the machine need not have yet.
fn socket(address: SocketAddr, shared: bool, not_yet: bool) -> io::Result<std::net::TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, shared)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match address {
        SocketAddr::V4(_) if not_yet => sockopt::set_ip_freebind(&socket, true)?,
        SocketAddr::V6(_) if not_yet => sockopt::set_ipv6_freebind(&socket, true)?,
        _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_asked_for_is_listened_on_before_the_machine_has_it() {
        let port = tls::testing::free_port().unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").is_ok();
        // Nobody's, kept for examples (RFC 5737, RFC 3849).
        for later in ["192.0.2.1", "2001:db8::1"].into_iter().take(if six { 2 } else { 1 }) {
            let asked = addresses(&["127.0.0.1".parse().unwrap(), later.parse().unwrap()], "percloud.example", port);
            let opened = open(&asked, 2, None).unwrap();
            let at: Vec<Vec<_>> =
                opened.iter().map(|all| all.iter().map(|one| one.local_addr().unwrap()).collect()).collect();
            assert_eq!(at, [asked.all.clone(), asked.all]);
        }
    }

    #[test]
    fn an_address_that_nobody_asked_for_is_left_out_where_it_is_not() {
        let port = tls::testing::free_port().unwrap();
        let all = ["127.0.0.1", "192.0.2.1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        let opened = open(&Addresses { all: all.to_vec(), asked: false }, 1, None).unwrap();
        assert_eq!(opened[0].iter().map(|one| one.local_addr().unwrap()).collect::<Vec<_>>(), all[..1]);
        assert!(open(&Addresses { all: all[1..].to_vec(), asked: false }, 1, None).is_err(), "and one is to be left");
    }
}
