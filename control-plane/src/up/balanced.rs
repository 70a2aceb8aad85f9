//! A look at the portal from among the edge's balancers: who comes from one of their networks must say the PROXY header first, and a
//! balancer on this machine, or in this machine's own network, makes one of whoever looks from here.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::PathBuf,
};

use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpStream, UnixListener, UnixStream},
    task::JoinSet,
};

use crate::edge::Network;

/// PROXY protocol, version 2 (section 2.2 of its specification): its signature, `LOCAL` (nobody is spoken for), and no addresses.
const LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A socket of our own that leads to the edge, and says the header to it.
pub(super) struct Door {
    folder: tempfile::TempDir,
    listener: UnixListener,
    to: SocketAddr,
}

impl Door {
    /// One, where it is needed.
    pub(super) fn to(edge: SocketAddr, balancers: &[Network]) -> io::Result<Option<Self>> {
        if balancers.is_empty() {
            return Ok(None);
        }
        let own = own_address(edge)?;
        if !balancers.iter().any(|network| network.contains(own)) {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join("edge"))?;
        Ok(Some(Self { folder, listener, to: edge }))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("edge")
    }

    /// Lets through whoever comes, for as long as it is waited for.
    pub(super) async fn serve(&self) -> std::convert::Infallible {
        let mut passing = JoinSet::new();
        while let Ok((from, _)) = self.listener.accept().await {
            passing.spawn(pass(from, self.to));
        }
        std::future::pending().await
    }
}

async fn pass(mut from: UnixStream, to: SocketAddr) -> io::Result<()> {
    let mut edge = TcpStream::connect(to).await?;
    edge.write_all(&LOCAL).await?;
    copy_bidirectional(&mut from, &mut edge).await.map(drop)
}

/// The address that we have for whoever is there. Connecting says it without sending anything.
fn own_address(to: SocketAddr) -> io::Result<IpAddr> {
    let any = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}
