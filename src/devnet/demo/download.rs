//! A download through a SOCKS port, measured as it goes.
use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_socks::tcp::Socks5Stream;

/// How a download went.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Bytes of the body that arrived.
    pub bytes: u64,
    /// SHA-256 of them, hex.
    pub sha256: String,
    /// From the request to the first byte of the body.
    pub first_byte: Duration,
    /// From the request to the end.
    pub took: Duration,
    /// True when the whole body arrived.
    pub whole: bool,
}

impl Fetched {
    /// KiB a second over the whole of it.
    pub fn kib_s(&self) -> f64 {
        self.bytes as f64 / 1024.0 / self.took.as_secs_f64().max(1e-6)
    }
}

/// What the watcher of a download wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// More.
    On,
    /// Enough: end here, not whole.
    Enough,
}

/// GET `http://target/path` through `socks` under the isolation name `user`. `watch` is called with the bytes so far at
/// each piece and at least every 250 ms.
pub async fn download(
    socks: SocketAddr,
    user: &str,
    target: SocketAddr,
    path: &str,
    patience: Duration,
    mut watch: impl FnMut(u64, Duration) -> Go,
) -> Result<Fetched> {
    let fail = |what: &str, why: String| {
        Error::later("MW-DEMO-1", format!("cannot download http://{target}{path} through {socks}: {what}: {why}"))
    };
    let start = Instant::now();
    let left = || patience.saturating_sub(start.elapsed());
    let connect = Socks5Stream::connect_with_password(socks, target, user, "magicwave");
    let stream = tokio::time::timeout(left(), connect)
        .await
        .map_err(|_| fail("connect", "timed out".into()))?
        .map_err(|e| fail("connect", e.to_string()))?;
    let (mut send, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream.into_inner()))
        .await
        .map_err(|e| fail("handshake", e.to_string()))?;
    let conn = tokio::spawn(conn);
    let request = hyper::Request::get(path)
        .header("host", target.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|e| fail("request", e.to_string()))?;
    let answer = tokio::time::timeout(left(), send.send_request(request))
        .await
        .map_err(|_| fail("answer", "timed out".into()))?
        .map_err(|e| fail("answer", e.to_string()))?;
    if !answer.status().is_success() {
        return Err(fail("answer", answer.status().to_string()));
    }
    let length =
        answer.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut body = answer.into_body();
    let mut hash = Sha256::new();
    let (mut bytes, mut first_byte, mut whole) = (0u64, None, false);
    while start.elapsed() < patience {
        match tokio::time::timeout(Duration::from_millis(250).min(left()), body.frame()).await {
            Err(_) => {}
            Ok(None) => {
                whole = length.is_none_or(|l| l == bytes);
                break;
            }
            Ok(Some(Err(e))) => return Err(fail("body", e.to_string())),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    first_byte.get_or_insert_with(|| start.elapsed());
                    hash.update(&data);
                    bytes += data.len() as u64;
                    if Some(bytes) == length {
                        whole = true;
                        break;
                    }
                }
            }
        }
        if watch(bytes, start.elapsed()) == Go::Enough {
            break;
        }
    }
    conn.abort();
    let took = start.elapsed();
    Ok(Fetched { bytes, sha256: hex::encode(hash.finalize()), first_byte: first_byte.unwrap_or(took), took, whole })
}
