//! At home: TLS with an authority of one's own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{PROGRAM, Process, status};

/// Starts it on a free port; answers the process, the port and the path of the set-up link when it gives one.
fn start(data: &Path) -> (Process, u16, Option<String>) {
    let child = Command::new(PROGRAM)
        .args(["serve", "--domain", "me.localhost", "--port", "0", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut process = Process(child.unwrap());
    let (mut port, mut link) = (None, None);
    for line in BufReader::new(process.0.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("https://me.localhost:") {
            let (number, path) = rest.split_once('/').unwrap();
            port = number.parse().ok();
            link = Some(format!("/{path}")).filter(|path| path.starts_with("/setup/")).or(link);
        }
        if line.starts_with("Stop it") {
            break;
        }
    }
    (process, port.expect("an address"), link)
}

/// GET over TLS as a browser that trusts the printed root would do it.
async fn get(data: &Path, port: u16, path: &str) -> String {
    let root = std::fs::read_to_string(data.join("ca.pem")).unwrap();
    let config = tls::client_config(&root, &["http/1.1"]).unwrap();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = "me.localhost".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: me.localhost:{port}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_over_tls_with_a_root_of_its_own_and_one_process_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("me");
    let (mut process, port, link) = start(&data);
    let link = link.expect("it has no password yet, so it prints a link");
    let page = get(&data, port, &link).await;
    assert_eq!(status(&page), 200, "{page}");
    assert!(page.contains("new-password"));

    let second =
        Command::new(PROGRAM).args(["serve", "--domain", "me.localhost", "--port", "0", "--data"]).arg(&data).output();
    let second = second.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by another percloud-runtime"));

    let root = std::fs::read(data.join("ca.pem")).unwrap();
    let id = || {
        let identity: serde_json::Value =
            serde_json::from_slice(&std::fs::read(data.join("home.json")).unwrap()).unwrap();
        identity["id"].as_str().unwrap().to_owned()
    };
    let same = id();
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(30)).success());
    let (_again, port, link) = start(&data);
    assert_eq!(std::fs::read(data.join("ca.pem")).unwrap(), root, "the root stays, so it must be trusted once only");
    assert_eq!(id(), same, "and so does who it is");
    assert_eq!(status(&get(&data, port, &link.unwrap()).await), 200);
}

#[test]
fn a_taken_port_or_an_odd_name_is_said_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = |domain: &str| {
        let output = Command::new(PROGRAM)
            .args(["serve", "--domain", domain, "--port", &port, "--data"])
            .arg(folder.path().join("me"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run("me.localhost");
    assert_eq!(code, Some(1));
    assert!(said.contains("is taken by another program"), "{said}");
    let (code, said) = run("Not A Name");
    assert_eq!(code, Some(2));
    assert!(said.contains("lower-case"), "{said}");
}
