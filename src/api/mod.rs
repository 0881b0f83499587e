//! The local API: a unix socket (0600) and a bearer token, for programs of the same user. No logic lives here.
//!
//! | path | what |
//! |---|---|
//! | GET /api/status | links, circuits, requests, refusals, tor |
//! | GET /api/payments?limit=N | the newest payments, newest first |
//! | GET /api/events?limit=N | the newest lines of the journal of money, newest first |
//! | POST /api/pay | pay what a web service asked for: {origin, isolation, offer, request, session} |
//! | POST /api/flush | bring signed claims to the ledger now |
//! | POST /api/close | close all links on which this node pays: no new payments on them, and each deposit comes back within a few ledgers when the partner closes with us (it flushes what it holds first), else by itself once its escrow was silent for its period (a claim that lands begins the time anew). Answers {"returning": [{link, escrow, state, amount, due_ms}]}: stroops at least, unix milliseconds at the latest (0: not yet known). Repeat it to look again; `escrow_refunded` and `escrow_reclaimed` in the journal say what it came to. Partners that are paid later get new links |
//!
//! At most 64 connections at a time; a request's head comes within 10 s, and its body never pauses longer. Refusals are
//! JSON, `{code, text}`: `MW-API-4` no token or a wrong one (401), `-8` no such path (404), `-9` another method (405),
//! `-10` a body that is too long (413), `-11` no JSON (415), `-12` not understood (400, 408, 422).
pub mod client;

use crate::error::{Error, Result};
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use crate::gateway::transport::http::listen::{self, Bounds};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::BoxFuture;
use serde::Deserialize;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;

/// Bodies of requests.
const MAX_BODY: usize = 64 << 10;
/// Rows of a listing.
const MAX_LIMIT: u32 = 10_000;
/// Programs of one user: few connections, and quick ones.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    per_address: 64,
    head: Duration::from_secs(10),
    body: Duration::from_secs(10),
    write: Duration::from_secs(30),
};

/// What the API wants from the daemon behind it.
pub trait Backend: Send + Sync + 'static {
    /// For GET /api/status.
    fn status(&self) -> BoxFuture<'_, Result<serde_json::Value>>;
    /// For GET /api/payments.
    fn payments(&self, limit: u32) -> BoxFuture<'_, Result<serde_json::Value>>;
    /// For GET /api/events.
    fn events(&self, limit: u32) -> BoxFuture<'_, Result<serde_json::Value>>;
    /// For POST /api/pay.
    fn pay(&self, call: PayCall) -> BoxFuture<'_, PayAnswer>;
    /// For POST /api/flush.
    fn flush(&self) -> BoxFuture<'_, Result<serde_json::Value>>;
    /// For POST /api/close.
    fn close(&self) -> BoxFuture<'_, Result<serde_json::Value>>;
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
}

type Paging = Result<Query<Page>, QueryRejection>;

struct Shared {
    backend: Arc<dyn Backend>,
    token: String,
}

/// Serves until the listener fails or the future is dropped.
pub async fn serve(listener: UnixListener, token: String, backend: Arc<dyn Backend>) -> std::io::Result<()> {
    let shared = Arc::new(Shared { backend, token });
    let app = Router::new()
        .route("/api/status", get(status))
        .route("/api/payments", get(payments))
        .route("/api/events", get(events))
        .route("/api/pay", post(pay))
        .route("/api/flush", post(flush))
        .route("/api/close", post(close))
        .fallback(async || problem(StatusCode::NOT_FOUND, "MW-API-8", "there is no such path in this API"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "MW-API-9", "this path wants another method; see the allow header")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    listen::serve(listener, BOUNDS, hyper_util::service::TowerToHyperService::new(app)).await
}

/// Binds the socket (0600) and writes a fresh token beside it. A socket that nobody answers at is replaced, anything
/// else is left alone. `MW-API-5`: it cannot be served there; `-6`: something else has this name; `-7`: a daemon
/// answers there.
pub fn bind(socket: &Path) -> Result<(UnixListener, String)> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let fail = |e: std::io::Error| {
        Error::never(
            "MW-API-5",
            format!("cannot serve the api at {}: {e}. Check the directory and its rights.", socket.display()),
        )
    };
    clear(socket)?;
    let token = hex::encode(rand::random::<[u8; 32]>());
    let path = socket.with_file_name("api.token");
    let fresh = socket.with_file_name("api.token.new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(fail)?;
    file.write_all(token.as_bytes()).map_err(fail)?;
    std::fs::rename(&fresh, &path).map_err(fail)?;
    let listener = UnixListener::bind(socket).map_err(fail)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok((listener, token))
}

/// Makes room for a socket: removes one that refuses connections, and nothing else.
fn clear(socket: &Path) -> Result<()> {
    let fail = |e: std::io::Error| {
        Error::never("MW-API-5", format!("cannot serve the api at {}: {e}. Check the directory.", socket.display()))
    };
    let about = match std::fs::symlink_metadata(socket) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        about => about.map_err(fail)?,
    };
    if !about.file_type().is_socket() {
        let text =
            format!("{} is there already and is no socket; it is left alone. Correct api_socket.", socket.display());
        return Err(Error::never("MW-API-6", text));
    }
    match std::os::unix::net::UnixStream::connect(socket) {
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => std::fs::remove_file(socket).map_err(fail),
        // Gone meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail(e)),
        Ok(_) => {
            let text = format!(
                "a program answers at {} already. Stop it, or give this daemon an api_socket of its own.",
                socket.display()
            );
            Err(Error::later("MW-API-7", text))
        }
    }
}

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.as_bytes(), shared.token.as_bytes())) {
        return next.run(request).await;
    }
    problem(
        StatusCode::UNAUTHORIZED,
        "MW-API-4",
        "a bearer token is wanted: it lies in api.token beside the socket, a new one after each start",
    )
}

fn problem(status: StatusCode, code: &str, text: &str) -> Response {
    (status, Json(serde_json::json!({"code": code, "text": text}))).into_response()
}

/// What axum refused before a handler saw it.
fn unfit(status: StatusCode, why: &str) -> Response {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "MW-API-10",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "MW-API-11",
        _ => "MW-API-12",
    };
    problem(status, code, why)
}

/// Compares without telling where two strings differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

fn reply(result: Result<serde_json::Value>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(e) => (StatusCode::UNPROCESSABLE_ENTITY, Json(serde_json::json!({"code": e.code, "text": e.text})))
            .into_response(),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    reply(shared.backend.status().await)
}

async fn payments(State(shared): State<Arc<Shared>>, page: Paging) -> Response {
    match page {
        Ok(Query(page)) => reply(shared.backend.payments(page.limit.unwrap_or(100).min(MAX_LIMIT)).await),
        Err(e) => unfit(e.status(), &e.body_text()),
    }
}

async fn events(State(shared): State<Arc<Shared>>, page: Paging) -> Response {
    match page {
        Ok(Query(page)) => reply(shared.backend.events(page.limit.unwrap_or(100).min(MAX_LIMIT)).await),
        Err(e) => unfit(e.status(), &e.body_text()),
    }
}

async fn pay(State(shared): State<Arc<Shared>>, call: Result<Json<PayCall>, JsonRejection>) -> Response {
    match call {
        Ok(Json(call)) => Json(shared.backend.pay(call).await).into_response(),
        Err(e) => unfit(e.status(), &e.body_text()),
    }
}

async fn flush(State(shared): State<Arc<Shared>>) -> Response {
    reply(shared.backend.flush().await)
}

async fn close(State(shared): State<Arc<Shared>>) -> Response {
    reply(shared.backend.close().await)
}

#[cfg(test)]
mod tests;
