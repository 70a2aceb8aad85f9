//! An owner who writes without pause, and remembers what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bundle::{Sum, TenantSpec};
use rand::{Rng, RngExt, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::line::{Answer, Line, Lost};

/// The token of every set-up link of this test.
pub(super) const SETUP_TOKEN: &str = "testsetuptoken";
const PASSWORD: &str = "violet ladder seventy kettle";
const BOUNDARY: &str = "----percloud-test";

/// What was written, by the name that it must be found under.
#[derive(Default)]
pub(super) struct Ledger {
    /// Everything that was ever sent, with the SHA-256 of its whole content.
    pub(super) begun: BTreeMap<String, String>,
    /// What the runtime said it has.
    pub(super) acknowledged: BTreeSet<String>,
    /// Uploads that went on where a death had cut them.
    pub(super) resumed: usize,
}

/// An owner with a percloud.
pub(super) struct Owner {
    pub(super) spec: TenantSpec,
    /// Moments at which something happens on the line.
    pub(super) moments: watch::Receiver<u64>,
    /// How much was acknowledged.
    pub(super) acknowledged: watch::Receiver<u64>,
    writing: tokio::task::JoinHandle<(Ledger, Line)>,
}

impl Owner {
    /// Sets the percloud up, and begins to write until `stop`.
    pub(super) async fn begin(
        spec: TenantSpec,
        socket: std::path::PathBuf,
        chance: StdRng,
        stop: CancellationToken,
    ) -> Self {
        let (moments, see_moments) = watch::channel(0);
        let (acknowledged, see_acknowledged) = watch::channel(0);
        let mut line = Line::new(socket, format!("{}:{}", spec.domain, spec.port), Arc::new(moments));
        let form = format!("password={}", PASSWORD.replace(' ', "+")).into_bytes();
        let answer = line.ask("POST", &format!("/setup/{SETUP_TOKEN}"), &[url_encoded()], form).await.unwrap();
        assert_eq!(answer.status, 200, "the set-up");
        line.take_session(&answer);
        let writer = Writer { line, chance, ledger: Ledger::default(), acknowledged };
        let writing = tokio::spawn(writer.write(stop));
        Self { spec, moments: see_moments, acknowledged: see_acknowledged, writing }
    }

    /// Waits for the writer to stop; what it wrote, and its line.
    pub(super) async fn end(self) -> (TenantSpec, Ledger, Line) {
        let (ledger, line) = self.writing.await.unwrap();
        (self.spec, ledger, line)
    }
}

pub(super) fn url_encoded() -> (&'static str, String) {
    ("content-type", "application/x-www-form-urlencoded".into())
}

struct Writer {
    line: Line,
    chance: StdRng,
    ledger: Ledger,
    acknowledged: watch::Sender<u64>,
}

impl Writer {
    /// Never writes the same twice: what was lost stays begun, and must be there whole or not at all.
    async fn write(mut self, stop: CancellationToken) -> (Ledger, Line) {
        for n in 0_u64.. {
            if stop.is_cancelled() {
                break;
            }
            let written = match n % 4 {
                0 => self.form(n).await,
                1 => self.resumable(n).await,
                2 => self.post().await,
                _ => self.bookmark(n).await,
            };
            if let Ok(name) = written {
                assert!(self.ledger.begun.contains_key(&name));
                self.ledger.acknowledged.insert(name);
                self.acknowledged.send_modify(|count| *count += 1);
            }
        }
        (self.ledger, self.line)
    }

    fn begin(&mut self, name: &str, content: &[u8]) {
        self.ledger.begun.insert(name.to_owned(), Sum::of(content).hex());
    }

    fn content(&mut self) -> Vec<u8> {
        let mut content = vec![0; self.chance.random_range(1..60_000)];
        self.chance.fill_bytes(&mut content);
        content
    }

    /// Short: what takes time in an export is the pages made of texts.
    fn words(&mut self) -> String {
        let words = hex::encode(self.content());
        words[..words.len().min(4000)].to_owned()
    }

    /// A file by the form for browsers without scripts.
    async fn form(&mut self, n: u64) -> Result<String, Lost> {
        let (name, content) = (format!("form-{n}.bin"), self.content());
        self.begin(&name, &content);
        let disposition = format!("form-data; name=\"file\"; filename=\"{name}\"");
        let body = multipart(&[(&disposition, &content)]);
        let answer = self.line.ask("POST", "/app/files/upload", &[multipart_type()], body).await?;
        expect(&answer, 303, "/app/files");
        Ok(name)
    }

    /// A file in two pieces, each acknowledged; it goes on wherever a death cuts it.
    async fn resumable(&mut self, n: u64) -> Result<String, Lost> {
        let (name, content) = (format!("resumable-{n}.bin"), self.content());
        self.begin(&name, &content);
        let metadata = format!("filename {}", BASE64_STANDARD.encode(&name));
        let headers = [tus(), ("upload-length", content.len().to_string()), ("upload-metadata", metadata)];
        let answer = self.line.ask("POST", "/app/uploads/", &headers, Vec::new()).await?;
        expect(&answer, 201, "/app/uploads/");
        let path = answer.header("location").to_owned();
        let mut kept = 0;
        loop {
            let end = if kept < content.len() / 2 { content.len() / 2 } else { content.len() };
            let headers = [tus(), ("upload-offset", kept.to_string()), bytes()];
            let answer = match self.line.ask("PATCH", &path, &headers, content[kept..end].to_vec()).await {
                Ok(answer) => answer,
                Err(Lost) => {
                    self.ledger.resumed += 1;
                    self.line.insist("HEAD", &path, &[tus()], &[]).await
                }
            };
            assert!(answer.status.is_success(), "{path} was acknowledged, and now: {}", answer.status);
            let offset = answer.header("upload-offset").parse().unwrap();
            assert!(
                offset >= kept && offset <= content.len(),
                "{path}: {kept} bytes were acknowledged, {offset} are there"
            );
            kept = offset;
            if !answer.header("upload-result").is_empty() {
                assert_eq!(kept, content.len(), "{path} is taken before it is whole");
                return Ok(name);
            }
        }
    }

    /// A draft of a post, saved by the editor's button.
    async fn post(&mut self) -> Result<String, Lost> {
        let (text, id) = (self.words(), hex::encode(self.chance.random::<[u8; 16]>()));
        let id = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        self.begin(&id, text.as_bytes());
        let field = |name: &str| format!("form-data; name=\"{name}\"");
        let parts = [("title", "A title"), ("body", &text), ("revision", "0"), ("action", "save")];
        let parts = parts.map(|(name, value)| (field(name), value.as_bytes()));
        let body = multipart(&parts.each_ref().map(|(field, value)| (field.as_str(), *value)));
        let path = format!("/app/posts/{id}");
        let answer = self.line.ask("POST", &path, &[multipart_type()], body).await?;
        expect(&answer, 303, &path);
        Ok(id)
    }

    /// A bookmark with a long note.
    async fn bookmark(&mut self, n: u64) -> Result<String, Lost> {
        let (url, note) = (format!("https://example.org/{n}"), self.words());
        self.begin(&url, note.as_bytes());
        let body = format!("url=https%3A%2F%2Fexample.org%2F{n}&title=A+title&note={note}").into_bytes();
        let answer = self.line.ask("POST", "/app/bookmarks/add", &[url_encoded()], body).await?;
        expect(&answer, 303, "/app/bookmarks");
        Ok(url)
    }
}

/// While anything is answered at all, it is this: nobody is signed out, and nothing fails for being killed.
fn expect(answer: &Answer, status: u16, location: &str) {
    let to = answer.header("location");
    let said = String::from_utf8_lossy(&answer.body);
    assert!(answer.status == status && to.starts_with(location), "{} {to}, not {location}: {said}", answer.status);
}

fn tus() -> (&'static str, String) {
    ("tus-resumable", "1.0.0".into())
}

fn bytes() -> (&'static str, String) {
    ("content-type", "application/offset+octet-stream".into())
}

fn multipart_type() -> (&'static str, String) {
    ("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
}

fn multipart(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        body.extend(format!("--{BOUNDARY}\r\ncontent-disposition: {disposition}\r\n").bytes());
        if disposition.contains("filename") {
            body.extend(b"content-type: application/octet-stream\r\n");
        }
        body.extend(b"\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}
