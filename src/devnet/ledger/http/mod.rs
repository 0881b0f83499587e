//! Horizon's paths over the ledger: what a wallet asks, in the JSON that it expects.
//!
//! At most 512 connections at a time; a head comes within 15 s and a body never pauses longer; bodies are at most 512 KiB, pages 200 records, the queue 5000 transactions, waiting submissions 10 000. Anything
//! else is answered with an error document.
mod friendbot;
mod node;
mod page;
mod problem;
mod read;
mod resource;
mod submit;

pub use node::{MAX_WAITING, Node, NodeConfig};

use crate::gateway::transport::http::listen::{self, Bounds};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use problem::Problem;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Longest request body in bytes.
pub const MAX_BODY: usize = 512 * 1024;
/// A whole devnet, which all comes from one address.
const BOUNDS: Bounds = Bounds {
    connections: 512,
    per_address: 512,
    head: Duration::from_secs(15),
    body: Duration::from_secs(15),
    write: Duration::from_secs(30),
};

async fn latest_ledger(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let value = HeaderValue::from(node.latest());
    response.headers_mut().insert(HeaderName::from_static("latest-ledger"), value);
    response
}

/// The service; for tests that bring their own server.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(read::root))
        .route("/accounts/{id}", get(read::account))
        .route("/accounts/{id}/transactions", get(read::account_transactions))
        .route("/transactions", get(read::transactions).post(submit::sync))
        .route("/transactions/{hash}", get(read::transaction))
        .route("/transactions_async", post(submit::asynchronous))
        .route("/ledgers", get(read::ledgers))
        .route("/ledgers/{sequence}", get(read::ledger))
        .route("/ledgers/{sequence}/transactions", get(read::ledger_transactions))
        .route("/fee_stats", get(read::fee_stats))
        .route("/friendbot", get(friendbot::fund).post(friendbot::fund))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::other(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                "This path wants another method.",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&node), latest_ledger))
        .with_state(node)
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A close could not be stored.
    #[error(transparent)]
    Store(#[from] super::store::StoreError),
    /// The listener failed.
    #[error("the listener: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves and closes ledgers until an error; drop the future to end it.
pub async fn serve(listener: TcpListener, node: Arc<Node>) -> Result<(), ServeError> {
    let service = hyper_util::service::TowerToHyperService::new(router(Arc::clone(&node)));
    let service = listen::serve(listener, BOUNDS, service);
    tokio::select! {
        ended = service => Ok(ended?),
        failed = close_on_time(&node) => Err(failed.into()),
    }
}

async fn close_on_time(node: &Node) -> super::store::StoreError {
    let every = node.config.close_every.max(std::time::Duration::from_millis(10));
    let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Err(error) = node.close(node::now()).await {
            return error;
        }
    }
}
