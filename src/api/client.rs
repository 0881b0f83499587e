//! Asks a running daemon over its unix socket.
use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// Answers of a daemon are smaller than this.
const MAX_ANSWER: usize = 4 << 20;

/// One request; `body` makes it a POST. The token lies beside the socket, in `api.token`.
pub async fn call<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: Option<&serde_json::Value>,
    patience: Duration,
) -> Result<T> {
    let fail = |what: &str, why: String| {
        Error::later(
            "MW-API-1",
            format!("{what} {}: {why}. Is the daemon running, and is this its api socket?", socket.display()),
        )
    };
    let token = crate::config::read_text(&socket.with_file_name("api.token"), 4096)
        .map_err(|e| fail("cannot read api.token beside", e.to_string()))?;
    let work = async {
        let stream = UnixStream::connect(socket).await.map_err(|e| fail("cannot connect to", e.to_string()))?;
        let (mut send, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| fail("cannot talk to", e.to_string()))?;
        let conn = tokio::spawn(conn);
        let request = hyper::Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(path)
            .header("host", "magicwave")
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.map(ToString::to_string).unwrap_or_default())))
            .map_err(|e| fail("cannot ask", e.to_string()))?;
        let answer = send.send_request(request).await.map_err(|e| fail("no answer from", e.to_string()))?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|e| fail("broken answer from", e.to_string()))?
            .to_bytes();
        conn.abort();
        if status == hyper::StatusCode::UNAUTHORIZED {
            let text = format!(
                "the daemon at {} does not take the token in api.token beside it; start the daemon again to get both anew",
                socket.display()
            );
            return Err(Error::never("MW-API-4", text));
        }
        if !status.is_success() {
            return Err(Error::never(
                "MW-API-2",
                format!("the daemon refused {path}: {}", String::from_utf8_lossy(&bytes)),
            ));
        }
        serde_json::from_slice(&bytes).map_err(|e| fail("unreadable answer from", e.to_string()))
    };
    tokio::time::timeout(patience, work).await.map_err(|_| fail("no answer in time from", format!("{patience:?}")))?
}
