//! The client against a way out that is played: what it asks for, what it follows, and when it stops.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::*;

/// A way out that leads every connection to one small server.
pub(crate) struct Played {
    folder: tempfile::TempDir,
    /// What was asked for: `CONNECT host:port`, then the page's path.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    root: String,
}

type Answers = fn(&str, &str) -> String;

impl Played {
    /// `answers` gives the whole answer for a host and a path; an empty one is a refusal of the way out.
    pub(crate) fn start(answers: Answers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        let now = bundle::Clock::system().now();
        let ca = tls::LocalCa::open_or_create(&folder.path().join("ca"), "Test", &[], now).unwrap();
        let issued = ca.issue(&["example.org"], 30, now).unwrap();
        let certified = tls::Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap();
        let resolver = Arc::new(tls::Resolver::new());
        resolver.replace([&certified], None);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls::server_config(resolver, &["http/1.1"]).unwrap()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (list, root) = (asked.clone(), ca.root_pem().to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, list.clone(), acceptor.clone()));
            }
        });
        Self { folder, asked, root }
    }

    pub(crate) fn client(&self) -> Client {
        let config = tls::client_config(&self.root, &[]).unwrap();
        Client::through(self.folder.path().join("sock"), "id.mac".into(), Some(Arc::new(config)))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    stream: UnixStream,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    acceptor: tokio_rustls::TlsAcceptor,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (head, _) = request(&mut stream).await?;
    let to = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(head.contains(&"Proxy-Authorization: Bearer id.mac".to_owned()), "{head:?}");
    asked.lock().unwrap().push(to.clone());
    let (host, port) = to.rsplit_once(':').unwrap();
    if answers(host, "").is_empty() {
        let refusal = "HTTP/1.1 403 Forbidden\r\nProxy-Status: x; error=y; details=\"port: not this port\"\r\n\r\n";
        return stream.write_all(refusal.as_bytes()).await;
    }
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    if port == "443" {
        page(acceptor.accept(stream).await?, host, answers, asked).await
    } else {
        page(stream, host, answers, asked).await
    }
}

async fn page(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (head, path) = request(&mut stream).await?;
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case(&format!("host: {host}"))), "{head:?}");
    asked.lock().unwrap().push(path.clone());
    stream.write_all(answers(host, &path).as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    stream.read(&mut [0; 1]).await.map(drop)
}

async fn request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<(Vec<String>, String)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? <= 2 {
            let path = lines.first().and_then(|line: &String| line.split(' ').nth(1)).unwrap_or_default().to_owned();
            return Ok((lines, path));
        }
        lines.push(line.trim_end().to_owned());
    }
}

const LIMITS: Limits = Limits { patience: Duration::from_secs(10), most: 20 };

async fn get(client: &Client, url: &str) -> Result<Found, Error> {
    client.get(&Url::parse(url).unwrap(), "text/html", LIMITS).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{body}")
}

fn found(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_page_is_fetched_over_tls_of_our_own_and_redirects_are_new_connections() {
    let played = Played::start(|host, path| match (host, path) {
        ("example.org", "/start?a=b") => found("http://other.example.org:80/next"),
        ("other.example.org", "/next") => found("//example.org/end"),
        _ => ok("welcome"),
    });
    let client = played.client();
    let page = get(&client, "https://example.org/start?a=b#part").await.unwrap();
    assert_eq!((page.body.as_slice(), page.url.as_str(), page.cut), (&b"welcome"[..], "http://example.org/end", false));
    assert_eq!(page.media_type, "text/html");
    let expected = ["example.org:443", "/start?a=b", "other.example.org:80", "/next", "example.org:80", "/end"];
    assert_eq!(played.asked(), expected);
    assert!(
        matches!(get(&client, "https://wrong.example/").await, Err(Error::Unreachable(_))),
        "another's certificate"
    );
}

#[tokio::test]
async fn what_does_not_end_is_ended() {
    let played = Played::start(|host, path| match (host, path) {
        ("closed.example", _) => String::new(),
        (_, "/round") => found("/round"),
        (_, "/file") => found("file:///etc/passwd"),
        (_, "/password") => found("http://a:b@example.org/"),
        (_, "/gone") => "HTTP/1.1 410 Gone\r\n\r\n".to_owned(),
        (_, "/nonsense") => "what\r\n\r\n".to_owned(),
        _ => ok(&"long".repeat(100)),
    });
    let client = played.client();
    let long = get(&client, "http://example.org/").await.unwrap();
    assert_eq!((long.body.len(), long.cut), (20, true));
    assert!(matches!(get(&client, "http://example.org/round").await, Err(Error::Redirects)));
    assert!(matches!(get(&client, "http://example.org/file").await, Err(Error::Address)));
    assert!(matches!(get(&client, "http://example.org/password").await, Err(Error::Address)));
    assert!(matches!(get(&client, "http://example.org/gone").await, Err(Error::Status(StatusCode::GONE))));
    assert!(matches!(get(&client, "http://example.org/nonsense").await, Err(Error::Nonsense(_))));
    let refused = get(&client, "http://closed.example/").await.unwrap_err();
    assert_eq!(refused.to_string(), "the provider refuses the connection: not this port");
}

#[tokio::test]
async fn at_home_only_public_addresses_are_connected_to() {
    let client = Client::of(Place::Home);
    for private in
        ["http://127.0.0.1/", "http://[::1]/", "http://192.168.1.1/", "http://0x7f000001/", "http://localhost/"]
    {
        assert!(matches!(get(&client, private).await, Err(Error::NotPublic)), "{private}");
    }
}
