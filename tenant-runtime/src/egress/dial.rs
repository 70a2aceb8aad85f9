//! Making one connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use bundle::Link;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use url::{Host, Url};

use super::Error;

/// An answer of the way out is shorter than this.
const ANSWER_MAX: usize = 4096;
/// How long one address is tried.
const PATIENCE: Duration = Duration::from_secs(3);

/// Through the provider's way out (RFC 9110 §9.3.6).
pub(super) async fn proxy(socket: &Path, token: &str, host: &str, port: u16) -> Result<UnixStream, Error> {
    let mut stream = UnixStream::connect(socket).await.map_err(Error::Unreachable)?;
    let request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(Error::Unreachable)?;
    // Byte by byte: what comes behind the answer is the host's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > ANSWER_MAX {
            return Err(Error::Refused("it answers nonsense".into()));
        }
        answer.push(stream.read_u8().await.map_err(Error::Unreachable)?);
    }
    let answer = String::from_utf8_lossy(&answer);
    if answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Ok(stream);
    }
    Err(Error::Refused(reason(&answer).to_owned()))
}

/// What `Proxy-Status` (RFC 9209) says, without the word for machines; else the first line.
fn reason(answer: &str) -> &str {
    let details = answer.split_once("details=\"").and_then(|(_, rest)| rest.split_once('"'));
    match details {
        Some((details, _)) => details.split_once(": ").map_or(details, |(_, text)| text),
        None => answer.lines().next().unwrap_or_default(),
    }
}

/// Whether an address is the Internet's, seen from a machine with these links.
fn is_elsewhere(ip: IpAddr, links: &[Link]) -> bool {
    bundle::is_public(ip) && !links.iter().any(|link| link.leads_to(ip))
}

/// Without anybody between: to the first public address that answers, of those that the name has now.
pub(super) async fn direct(url: &Url, port: u16) -> Result<TcpStream, Error> {
    let found: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![ip.into()],
        Some(Host::Ipv6(ip)) => vec![ip.into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(Error::Unreachable)?.map(|at| at.ip()).collect()
        }
        None => return Err(Error::Address),
    };
    let mut last = Error::NotPublic;
    let links = bundle::links();
    for ip in found.into_iter().filter(|ip| is_elsewhere(*ip, &links)).take(4) {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(SocketAddr::new(ip, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Error::Unreachable(error),
            Err(_) => last = Error::Unreachable(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_at_home_is_not_the_internet_though_its_address_is_public() {
        let mask = Some("ffff:ffff:ffff:ffff::".parse().unwrap());
        let home = [Link::new("2a00:1:2:3::10".parse().unwrap(), mask)];
        for (ip, expected) in
            [("2a00:1:2:3::20", false), ("2a00:1:2:3::10", false), ("2a00:1:2:4::20", true), ("fd00::1", false)]
        {
            assert_eq!(is_elsewhere(ip.parse().unwrap(), &home), expected, "{ip}");
        }
    }
}
