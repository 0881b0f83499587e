//! A server that answers from a script, well or badly, and remembers what it was asked.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the server does with one request.
pub enum Reply {
    /// Status, further header lines, body.
    Say(u16, &'static str, String),
    /// Closes without an answer.
    Close,
    /// Never answers.
    Hang,
    /// Answers for ever.
    Endless,
}

/// A JSON answer.
pub fn json(status: u16, body: serde_json::Value) -> Reply {
    Reply::Say(status, "", body.to_string())
}

/// A problem as Horizon writes it.
pub fn problem(status: u16, kind: &str, extras: serde_json::Value) -> Reply {
    let url = format!("https://stellar.org/horizon-errors/{kind}");
    json(status, serde_json::json!({ "type": url, "title": kind, "status": status, "detail": "", "extras": extras }))
}

/// Horizon's answer for what it does not know.
pub fn not_found() -> Reply {
    problem(404, "not_found", serde_json::json!({}))
}

/// A running server; ends with its handle.
pub struct Server {
    pub addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `script` gets "METHOD target" and how many such requests came before.
    pub async fn start(script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (requests.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (seen.clone(), script.clone());
                tokio::spawn(async move { serve(stream, &seen, &*script).await });
            }
        });
        Server { addr, requests, task }
    }

    /// "METHOD target" of all requests so far, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// How many requests were of this method.
    pub fn count(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.starts_with(method)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request, answers it, closes.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    script: &(impl Fn(&str, usize) -> Reply + ?Sized),
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let before = {
        let mut seen = seen.lock().expect("not poisoned");
        let before = seen.iter().filter(|other| **other == request).count();
        seen.push(request.clone());
        before
    };
    match script(&request, before) {
        Reply::Say(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nLatest-Ledger: 77\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Reply::Close => {}
        Reply::Hang => tokio::time::sleep(Duration::from_secs(30)).await,
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await;
            while stream.write_all(&[b' '; 65536]).await.is_ok() {}
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let first = head.lines().next()?;
            let request = first.trim_end_matches(" HTTP/1.1").to_owned();
            let form = body.split('=').next().filter(|name| !name.is_empty());
            return Some(form.map_or(request.clone(), |name| format!("{request} {name}")));
        }
    }
}
