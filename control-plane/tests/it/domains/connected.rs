//! Domain Connect: one link where a DNS host offers it, and nothing else whatever it says.

use std::sync::Mutex;

use tls::{Certified, LocalCa, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Plays a DNS host's HTTPS server; a real one cannot be had in a test.
struct DnsHost {
    port: u16,
    root_pem: String,
    asked: Arc<Mutex<Vec<String>>>,
}

const HOST: &str = "connect.test";

impl DnsHost {
    /// Answers each path as `says` does: the whole HTTP response.
    async fn start(says: impl Fn(&str, u16) -> String + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = bundle::Clock::system().now();
        let ca = LocalCa::open_or_create(folder.path(), "DNS host", &[], now).unwrap();
        let issued = ca.issue(&[HOST], 2, now).unwrap();
        let resolver = Resolver::new();
        resolver.replace(&[Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap()], None);
        let acceptor =
            tokio_rustls::TlsAcceptor::from(Arc::new(tls::server_config(Arc::new(resolver), &["http/1.1"]).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (says, log) = (Arc::new(says), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, says, log) = (acceptor.clone(), says.clone(), log.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut head = vec![0; 4096];
                    let length = stream.read(&mut head).await.ok()?;
                    let head = String::from_utf8_lossy(&head[..length]).into_owned();
                    let path = head.split(' ').nth(1)?.to_owned();
                    log.lock().unwrap().push(path.clone());
                    stream.write_all(says(&path, port).as_bytes()).await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        Self { port, root_pem: ca.root_pem().to_owned(), asked }
    }

    /// What the percloud's owner is shown.
    async fn link(&self, scene: &Scene, allow_private: bool) -> Option<String> {
        scene.knot.set(HOST, "A", "127.0.0.1").await.unwrap();
        scene.knot.set("_domainconnect.ada.test", "TXT", &format!("{HOST}:{}", self.port)).await.unwrap();
        let dns = Dns::new(&dns::Options { dns_allow_private: allow_private, ..options(&scene.knot) });
        let connect = Connect::new(dns, BASE.into(), &format!("https://{BASE}"), Some(self.root_pem.clone()));
        let row = scene.row(&scene.ada).await;
        connect.link(&row, NAME, row.report.as_ref().unwrap()).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

fn settings(port: u16, sync: &str) -> String {
    ok(&format!(r#"{{"providerId":"dns.test","urlSyncUX":"{sync}","urlAPI":"https://{HOST}:{port}/api"}}"#))
}

#[tokio::test]
async fn an_owner_whose_dns_host_has_our_template_gets_one_link_for_all_records() {
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, NAME, true).await;
    let host = DnsHost::start(|path, port| match path {
        "/v2/ada.test/settings" => settings(port, "https://dns.test/sync"),
        "/api/v2/domainTemplates/providers/percloud.test/services/percloud" => ok("{}"),
        _ => NOT_FOUND.into(),
    })
    .await;
    let link = host.link(&scene, true).await.unwrap();
    let link = url::Url::parse(&link).unwrap();
    assert_eq!(link.host_str(), Some("dns.test"));
    assert_eq!(link.path(), "/sync/v2/domainTemplates/providers/percloud.test/services/percloud/apply");
    let said: Vec<(String, String)> = link.query_pairs().map(|(name, value)| (name.into(), value.into())).collect();
    let target = row.target_host(BASE);
    for (name, value) in [
        ("domain", NAME),
        ("challenge", row.challenge.as_str()),
        ("ipv4", EDGE),
        ("target", target.as_str()),
        ("groupId", "challenge,ipv4,www"),
        ("redirect_uri", "https://percloud.test/manage/domain"),
        ("state", row.id.as_str()),
    ] {
        assert!(said.contains(&(name.into(), value.into())), "{name}={value}: {said:?}");
    }
    // The template that we hand out knows all of it, and lets DNS hosts send owners back to the portal.
    let template = include_str!("../../../../docs/domain-connect/percloud.json");
    let template: serde_json::Value = serde_json::from_str(template).unwrap();
    assert_eq!(template["syncRedirectDomain"], template["providerId"]);
    let groups: Vec<&str> =
        template["records"].as_array().unwrap().iter().map(|record| record["groupId"].as_str().unwrap()).collect();
    assert_eq!(groups, ["challenge", "ipv4", "ipv6", "target", "www-ipv4", "www-ipv6", "www"]);
}

#[tokio::test]
async fn domain_connect_is_asked_within_bounds() {
    let scene = Scene::new().await;
    scene.claim(&scene.ada, NAME, true).await;
    let nothing = async |what: &str, asked: usize, says: fn(&str, u16) -> String| {
        let host = DnsHost::start(says).await;
        assert_eq!(host.link(&scene, true).await, None, "{what}");
        assert_eq!(host.asked().len(), asked, "{what}");
    };
    nothing("it has no template of ours", 2, |path, port| match path {
        "/v2/ada.test/settings" => settings(port, "https://dns.test/sync"),
        _ => NOT_FOUND.into(),
    })
    .await;
    nothing("it leads elsewhere", 1, |_, port| {
        format!("HTTP/1.1 302 Found\r\nlocation: https://{HOST}:{port}/inside\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    nothing("it does not end", 1, |_, _| ok(&"x".repeat(1 << 20))).await;
    nothing("it is no JSON", 1, |_, _| ok("<html>")).await;
    nothing("it sends the owner to plain HTTP", 2, |path, port| match path {
        "/v2/ada.test/settings" => settings(port, "http://dns.test/sync"),
        _ => ok("{}"),
    })
    .await;
    nothing("it asks us to come to an address", 1, |_, _| {
        ok(r#"{"urlSyncUX":"https://dns.test/","urlAPI":"https://169.254.169.254/latest"}"#)
    })
    .await;
    let inside = DnsHost::start(|_, port| settings(port, "https://dns.test/sync")).await;
    assert_eq!(inside.link(&scene, false).await, None);
    assert_eq!(inside.asked().len(), 0, "at a private address nobody is asked");
}
