//! Browsers' connections at home, and an authority's handshakes among them.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use rustls::{ServerConfig, server::Acceptor};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

use super::challenges::Challenges;
use crate::serve::connections::{Accept, Connection, Version};

/// How long a browser may take over the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An HTTPS port.
pub(super) struct Tls {
    pub(super) socket: TcpListener,
    pub(super) config: Arc<ServerConfig>,
    pub(super) challenges: Option<Arc<Challenges>>,
}

impl Accept for Tls {
    fn accept(&mut self) -> BoxFuture<'_, std::io::Result<BoxFuture<'static, Option<Connection>>>> {
        async {
            let (stream, peer) = self.socket.accept().await?;
            let shaking = shake(stream, self.config.clone(), self.challenges.clone());
            let shaking = tokio::time::timeout(HANDSHAKE, shaking);
            let client = Some(peer.ip().to_canonical());
            Ok(async move { shaking.await.ok()?.map(|connection| Connection { client, ..connection }) }.boxed())
        }
        .boxed()
    }
}

async fn shake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    challenges: Option<Arc<Challenges>>,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let hello = start.client_hello();
    // An authority offers this protocol and no other (RFC 8737, section 3).
    if hello.alpn().is_some_and(|mut offered| offered.next() == Some(tls::acme::ALPN) && offered.next().is_none()) {
        let certificate = challenges?.certificate(hello.server_name()?)?;
        let answer = tls::answering(&config, certificate, tls::acme::ALPN);
        let _shown = start.into_stream(Arc::new(answer)).await; // the handshake was all there is to see
        return None;
    }
    let stream = start.into_stream(config).await.ok()?;
    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let version = if two { Version::Two } else { Version::One };
    Some(Connection { stream: Box::new(stream), client: None, version })
}
