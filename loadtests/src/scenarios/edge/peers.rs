//! The peers, each with the settings that its own documentation gives for this work: one thread, TLS 1.3, kept connections to
//! the application, and no access log (percloud's stays on).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::process::on_core;

/// A proxy of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Nginx,
    Haproxy,
    Caddy,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Its command, with its settings written into the house.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn command(self, house: &House, at: SocketAddr, core: usize) -> anyhow::Result<Command> {
        let settings = house.folder.join(self.name()).with_extension("conf");
        let text = match self {
            Self::Nginx => house.nginx(at),
            Self::Haproxy => house.haproxy(at),
            Self::Caddy => house.caddy(at),
        };
        std::fs::write(&settings, text)?;
        // Debian keeps them where an ordinary user's PATH does not lead.
        let system = Path::new("/usr/sbin").join(self.name());
        let program = if system.exists() { system } else { PathBuf::from(self.name()) };
        let mut command = on_core(core, &program);
        match self {
            Self::Nginx => command.arg("-e").arg("stderr").arg("-c").arg(&settings),
            Self::Haproxy => command.arg("-db").arg("-f").arg(&settings),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&settings),
        };
        command.current_dir(&house.folder).env("GOMAXPROCS", "1");
        for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(home, &house.folder);
        }
        Ok(command)
    }
}

/// What the peers share: a folder, a certificate, the application's socket.
pub(crate) struct House {
    pub(crate) folder: PathBuf,
    pub(crate) upstream: PathBuf,
}

impl House {
    /// Makes a certificate like percloud's: P-256, one leaf below a root that is not sent.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn new(folder: PathBuf) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let issuer = rcgen::Issuer::new(authority, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = CertificateParams::new(vec![super::HOST.to_owned()])?.signed_by(&key, &issuer)?;
        std::fs::write(folder.join("chain.pem"), leaf.pem())?;
        std::fs::write(folder.join("key.pem"), key.serialize_pem())?;
        // HAProxy wants both in one.
        std::fs::write(folder.join("both.pem"), format!("{}{}", leaf.pem(), key.serialize_pem()))?;
        Ok(Self { upstream: folder.join("app.sock"), folder })
    }

    fn nginx(&self, at: SocketAddr) -> String {
        let (folder, upstream) = (self.folder.display(), self.upstream.display());
        // A kept connection ends after 1000 requests unless told otherwise; the others have no such limit.
        format!(
            "daemon off; master_process off; worker_processes 1; user root; pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; server_tokens off; tcp_nodelay on;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream app {{ server unix:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {at} ssl http2 backlog=4096;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; }}
  }}
}}
"
        )
    }

    fn haproxy(&self, at: SocketAddr) -> String {
        let (folder, upstream) = (self.folder.display(), self.upstream.display());
        format!(
            "global
  nbthread 1
  maxconn 8192
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind {at} backlog 4096 ssl crt {folder}/both.pem alpn h2,http/1.1
  default_backend app
backend app
  http-reuse always
  server app unix@{upstream}
"
        )
    }

    fn caddy(&self, at: SocketAddr) -> String {
        let (folder, upstream, host) = (self.folder.display(), self.upstream.display(), super::HOST);
        format!(
            "{{
  admin off
  auto_https off
  default_sni {host}
}}
https://{host}:{port} {{
  bind {ip}
  tls {folder}/chain.pem {folder}/key.pem {{
    protocols tls1.3 tls1.3
  }}
  reverse_proxy unix/{upstream} {{
    transport http {{
      keepalive_idle_conns_per_host 256
    }}
  }}
}}
",
            port = at.port(),
            ip = at.ip(),
        )
    }
}
