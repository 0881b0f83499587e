//! The local API: a unix socket (0600) and a bearer token, for programs of the same user. No logic lives here.
//!
//! | path | what |
//! |---|---|
//! | GET /api/status | links, circuits, requests, refusals, tor |
//! | GET /api/payments?limit=N | the newest payments, newest first |
//! | GET /api/events?limit=N | the newest lines of the journal of money, newest first |
//! | POST /api/pay | pay what a web service asked for: {origin, isolation, offer, request, session} |
//! | POST /api/flush | bring signed claims to the ledger now |
//! | POST /api/close | close all links on which this node pays: no new payments on them, and each deposit comes back by itself once its escrow was silent for its period (a claim that lands begins the time anew). Answers {"returning": [{link, escrow, state, amount, due_ms}]}: stroops at least, unix milliseconds (0: not yet known). Repeat it to look again; `escrow_refunded` and `escrow_reclaimed` in the journal say what it came to. Partners that are paid later get new links |
pub mod client;

use crate::error::{Error, Result};
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::BoxFuture;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;

/// Bodies of requests.
const MAX_BODY: usize = 64 << 10;
/// Rows of a listing.
const MAX_LIMIT: u32 = 10_000;

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
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    axum::serve(listener, app).await
}

/// Binds the socket (0600, a left-over one is replaced) and writes a fresh token beside it.
pub fn bind(socket: &Path) -> Result<(UnixListener, String)> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let fail = |e: std::io::Error| {
        Error::never(
            "MW-API-3",
            format!("cannot serve the api at {}: {e}. Check the directory and its rights.", socket.display()),
        )
    };
    match std::fs::remove_file(socket) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
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

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.as_bytes(), shared.token.as_bytes())) {
        return next.run(request).await;
    }
    let body = Json(
        serde_json::json!({"code": "MW-API-4", "text": "a bearer token is wanted: it lies in api.token beside the socket"}),
    );
    (StatusCode::UNAUTHORIZED, body).into_response()
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

async fn payments(State(shared): State<Arc<Shared>>, Query(page): Query<Page>) -> Response {
    reply(shared.backend.payments(page.limit.unwrap_or(100).min(MAX_LIMIT)).await)
}

async fn events(State(shared): State<Arc<Shared>>, Query(page): Query<Page>) -> Response {
    reply(shared.backend.events(page.limit.unwrap_or(100).min(MAX_LIMIT)).await)
}

async fn pay(State(shared): State<Arc<Shared>>, Json(call): Json<PayCall>) -> Json<PayAnswer> {
    Json(shared.backend.pay(call).await)
}

async fn flush(State(shared): State<Arc<Shared>>) -> Response {
    reply(shared.backend.flush().await)
}

async fn close(State(shared): State<Arc<Shared>>) -> Response {
    reply(shared.backend.close().await)
}
