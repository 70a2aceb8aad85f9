//! One connection, from the request to its one line in the log.

use std::net::SocketAddr;
use std::sync::Arc;

use bundle::TenantId;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::limits::{self, Way};
use super::pass::Flow;
use super::refusal::Refusal;
use super::target::Target;
use super::{Egress, head};
use crate::dns::Nowhere;
use crate::hosts::local::FIRST_UID;

/// What is to be said of a connection.
#[derive(Default)]
struct Story {
    tenant: Option<TenantId>,
    target: Option<Target>,
    bytes: [u64; 2],
}

impl Egress {
    /// Serves one connection to its end.
    pub(super) async fn connection(self: Arc<Self>, mut stream: UnixStream) {
        let began = Instant::now();
        let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
        let mut story = Story::default();
        let end = match self.admit(&mut stream, uid, &mut story).await {
            Ok(word) => word,
            Err(refusal) => {
                // Who says nothing of who they are is known by their user, where each has one: else it would be at nobody's door.
                story.tenant = story.tenant.or_else(|| self.tenants.of_user(uid));
                if let Some(id) = &story.tenant {
                    self.tenants.refuse(id, refusal);
                }
                // Whoever does not read it will not know it.
                let _ = timeout(limits::HEAD, stream.write_all(refusal.answer().as_bytes())).await;
                if refusal.is_cheap() && self.lines.check_key(&uid).is_err() {
                    metrics::counter!("percloud_egress_connections_total", "end" => refusal.word()).increment(1);
                    return;
                }
                refusal.word()
            }
        };
        metrics::counter!("percloud_egress_connections_total", "end" => end).increment(1);
        let (host, port) = story.target.map_or_else(Default::default, |target| (target.host, target.port));
        tracing::info!(
            tenant = story.tenant.as_ref().map_or("", TenantId::as_str),
            uid,
            host,
            port,
            end,
            sent = story.bytes[Way::Sent as usize],
            received = story.bytes[Way::Received as usize],
            ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "way out"
        );
    }

    /// Asks all questions, and passes bytes when they have good answers; the word for how it ended.
    async fn admit(&self, stream: &mut UnixStream, uid: u32, story: &mut Story) -> Result<&'static str, Refusal> {
        // Its own user belongs to each percloud; whoever has another one is none: a role of ours, a person, root.
        if self.root && uid < FIRST_UID {
            return Err(Refusal::Stranger);
        }
        let waiting = self.lobby.enter(uid, self.root)?;
        let mut buffer = BytesMut::with_capacity(1024);
        let head = tokio::select! {
            biased;
            head = head::read(stream, &mut buffer) => head?,
            () = waiting.sent_away() => return Err(Refusal::Crowded),
        };
        let id = self.key.check(&head.token, uid).ok_or(Refusal::NoToken)?;
        drop(waiting);
        story.tenant = Some(id.clone());
        if self.root {
            self.tenants.is(uid, &id);
        }
        let (tenant, _place) = self.tenants.enter(&id)?;
        let target = story.target.insert(head.target?);
        let host = self.dial(target).await?;
        let open = metrics::gauge!("percloud_egress_open");
        open.increment(1);
        let flow = Flow::new(&self.tenants, &tenant);
        let end = match stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await {
            Ok(()) => flow.pass(stream, host, buffer).await,
            Err(_) => super::pass::End::Broken,
        };
        open.decrement(1);
        story.bytes = [Way::Sent, Way::Received].map(|way| flow.bytes(way));
        Ok(end.word())
    }

    /// Connects to the first address that answers, of those that were judged: a name is looked up once.
    async fn dial(&self, target: &Target) -> Result<TcpStream, Refusal> {
        self.rules.judge_target(target)?;
        let links = bundle::links();
        let judge = |ip| self.rules.judge_address(ip, target.port, &links);
        let found = timeout(limits::RESOLVE, self.dns.reach(&target.host, judge)).await;
        let addresses = match found.unwrap_or(Err(Nowhere::Silent)) {
            Ok(addresses) => addresses,
            Err(Nowhere::Refused(why)) => return Err(why),
            Err(Nowhere::NoAddress) => return Err(Refusal::NoAddress),
            Err(Nowhere::Silent) => return Err(Refusal::DnsSilent),
        };
        let trying = async {
            let mut last = Refusal::Unreachable;
            for ip in addresses {
                match timeout(limits::ADDRESS, TcpStream::connect(SocketAddr::new(ip, target.port))).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                        last = Refusal::RefusedThere;
                    }
                    Ok(Err(_)) => {}
                    Err(_) => last = Refusal::TooSlow,
                }
            }
            Err(last)
        };
        let stream = timeout(limits::CONNECT, trying).await.unwrap_or(Err(Refusal::TooSlow))?;
        // Whoever talks through us decides when to wait for more.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}
