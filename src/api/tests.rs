//! Tests of the local API: its socket, its port, its token, its refusals, its document, its news.
mod browser;
mod document;
mod fake;
mod listeners;
mod sockets;

use super::*;
use fake::Quiet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A page that may ask.
const PAGE: &str = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";

/// An API that is served on both kinds of sockets until this is dropped.
struct Served {
    dir: tempfile::TempDir,
    token: String,
    port: SocketAddr,
    feed: feed::Feed,
    tasks: [tokio::task::JoinHandle<std::io::Result<()>>; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

impl Served {
    async fn begin() -> Served {
        let dir = tempfile::tempdir().expect("a directory");
        let (listener, token) = bind(&dir.path().join("api.sock")).expect("binds");
        let port = bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
        let address = port.local_addr().expect("an address");
        let backend = Arc::new(Quiet::default());
        let feed = backend.feed();
        let tasks = [
            tokio::spawn(serve(listener, token.clone(), backend.clone())),
            tokio::spawn(serve_tcp(port, vec![PAGE.into()], token.clone(), backend)),
        ];
        Served { dir, token, port: address, feed, tasks }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    /// The header lines of a program that may ask.
    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.token)
    }

    /// Over TCP, with the right Host.
    async fn ask(&self, method: &str, path: &str, more: &str, body: &str) -> Said {
        let host = format!("host: {}\r\n{more}", self.port);
        ask(TcpStream::connect(self.port).await.expect("connects"), method, path, &host, body).await
    }
}

/// What was answered.
struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    /// Status and code of a refusal.
    fn refusal(&self) -> (u16, String) {
        let problem: Refused = serde_json::from_str(&self.body).expect("a refusal in JSON");
        assert!(!problem.text.is_empty());
        (self.status, problem.code)
    }
}

/// One request; `more` are header lines, each with its line break.
async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, method: &str, path: &str, more: &str, body: &str) -> Said {
    let length = body.len();
    let text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}");
    raw(stream, text.as_bytes()).await
}

/// Bytes as they are.
async fn raw(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Said {
    // The server may answer before it has read all of it.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    let _ = end.expect("the connection ends");
    let text = String::from_utf8(bytes).expect("text");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    let (head, body) = text.split_once("\r\n\r\n").expect("a body");
    Said { status, head: head.to_owned(), body: body.to_owned() }
}

async fn unix(socket: &Path, method: &str, path: &str, more: &str, body: &str) -> Said {
    let stream = UnixStream::connect(socket).await.expect("connects");
    ask(stream, method, path, &format!("host: x\r\n{more}"), body).await
}

/// (method, path) of every route, from the document that they make.
fn every_route() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (path, item) in &document().paths.paths {
        for (method, there) in [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put)] {
            if there.is_some() {
                all.push((method, path.clone()));
            }
        }
    }
    assert!(all.len() >= 17, "{all:?}");
    all
}
