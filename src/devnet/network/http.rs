//! The smallest http client that can ask the devnet's own servers on the loopback.
use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// A submission waits for the ledger to close.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// Status and body of a GET.
pub async fn get(address: SocketAddr, path: &str) -> Result<(u16, Bytes)> {
    call(address, http::Method::GET, path, None).await
}

/// Status and body of a POST of a form.
pub async fn post(address: SocketAddr, path: &str, form: String) -> Result<(u16, Bytes)> {
    call(address, http::Method::POST, path, Some(form)).await
}

async fn call(address: SocketAddr, method: http::Method, path: &str, form: Option<String>) -> Result<(u16, Bytes)> {
    let failed = |why: String| Error::later("MW-NET-10", format!("{method} http://{address}{path}: {why}"));
    if !address.ip().is_loopback() {
        return Err(Error::never("MW-NET-10", format!("{address} is not on the loopback")));
    }
    let mut request = http::Request::builder().method(&method).uri(path).header("host", address.to_string());
    if form.is_some() {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    let body = Full::new(Bytes::from(form.unwrap_or_default()));
    let request = request.body(body).map_err(|e| failed(e.to_string()))?;
    let work = async {
        let stream = TcpStream::connect(address).await.map_err(|e| failed(e.to_string()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| failed(e.to_string()))?;
        // Ends with the sender.
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|e| failed(e.to_string()))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await.map_err(|e| failed(e.to_string()))?;
        Ok((status, body.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(failed("no answer in time".into())))
}
