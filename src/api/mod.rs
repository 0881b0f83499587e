//! The local API, for programs of the same user: a unix socket (0600), if wanted a port of the loopback, and a bearer
//! token. No logic lives here: one file per path, its types and its handler; [`Backend`] is the daemon behind it.
//! `docs/api.md` is the page for who calls it.
//!
//! At most 64 connections at a time and listener; a request's head comes within 10 s, and its body never pauses longer.
//! Refusals are JSON, `{code, text}`: `MW-API-4` no token or a wrong one (401), `-8` no such path (404), `-9` another
//! method (405), `-10` a body that is too long (413), `-11` no JSON (415), `-12` not understood (400, 408, 422, 426),
//! `-13` another Host, `-14` a foreign Origin or Referer, `-15` a browser's request without an origin that is known,
//! `-16` a program of another user (all 403), `-17` a token in the URL (400), `-18` a head that is too long (431), `-20`
//! too many listeners (503). What the daemon itself refuses is 422, or 503 when it may work later, with its own code.
pub mod amount;
pub mod balance;
mod bind;
pub mod budgets;
pub mod client;
pub mod close;
pub mod events;
pub mod feed;
pub mod flush;
mod guard;
pub mod history;
pub mod links;
pub mod offers;
mod openapi;
mod page;
mod pay;
pub mod payments;
mod peer;
mod problem;
pub mod requests;
pub mod state;
mod status;
mod transactions;
mod ws;

pub use bind::{bind, bind_tcp};
pub use openapi::document;
pub use page::MAX_LIMIT;
pub use problem::Refused;

use crate::error::Result;
use crate::gateway::core::message::Id;
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use crate::gateway::transport::http::listen::{self, Bounds, Listen};
use crate::store::PaymentsWhere;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use futures::future::BoxFuture;
use guard::Access;
use peer::Door;
use problem::Problem;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Bodies of requests.
const MAX_BODY: usize = 64 << 10;
/// Programs of one user: few connections, and quick ones.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    per_address: 64,
    head: Duration::from_secs(10),
    body: Duration::from_secs(10),
    write: Duration::from_secs(30),
};

/// What the API wants from the daemon behind it; each method is for the path of its name.
pub trait Backend: Send + Sync + 'static {
    /// The program's inside, in its own form.
    fn status(&self) -> BoxFuture<'_, Result<serde_json::Value>>;
    /// How the node and its account stand.
    fn state(&self) -> BoxFuture<'_, Result<state::NodeState>>;
    /// Where the money is.
    fn balance(&self) -> BoxFuture<'_, Result<balance::Balance>>;
    /// What was asked and paid over time.
    fn history(&self, span: history::Span) -> BoxFuture<'_, Result<history::History>>;
    /// The newest payment requests.
    fn requests(&self, limit: u32) -> BoxFuture<'_, Result<Vec<requests::PaymentRequest>>>;
    /// Payments of the client, newest first.
    fn payments(&self, which: PaymentsWhere) -> BoxFuture<'_, Result<Vec<payments::Payment>>>;
    /// The newest lines of the journal.
    fn events(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>>;
    /// Those of them that name a ledger transaction.
    fn transactions(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>>;
    /// Prices that were named.
    fn offers(&self) -> BoxFuture<'_, Result<offers::Offers>>;
    /// Budgets, after a change if there is one.
    fn budgets(&self, change: Option<budgets::Change>) -> BoxFuture<'_, Result<budgets::Budgets>>;
    /// A page of links behind the named one.
    fn links(&self, limit: u32, after: Option<Id>) -> BoxFuture<'_, Result<links::Links>>;
    /// Pays a web service.
    fn pay(&self, call: PayCall) -> BoxFuture<'_, PayAnswer>;
    /// Brings claims to the ledger.
    fn flush(&self) -> BoxFuture<'_, Result<flush::Flushing>>;
    /// Closes the links on which we pay.
    fn close(&self) -> BoxFuture<'_, Result<close::Closing>>;
    /// Where its news are said.
    fn feed(&self) -> feed::Feed;
}

/// What every request meets.
struct Shared {
    access: Access,
    backend: Arc<dyn Backend>,
}

type Api = Arc<Shared>;

/// Every path that is served, and its part of the document.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::about())
        .routes(routes!(balance::get))
        .routes(routes!(budgets::get, budgets::put))
        .routes(routes!(close::post))
        .routes(routes!(events::get))
        .routes(routes!(flush::post))
        .routes(routes!(history::get))
        .routes(routes!(links::get))
        .routes(routes!(offers::get))
        .routes(routes!(openapi::get))
        .routes(routes!(pay::post))
        .routes(routes!(payments::get))
        .routes(routes!(requests::get))
        .routes(routes!(state::get))
        .routes(routes!(status::get))
        .routes(routes!(transactions::get))
        .routes(routes!(ws::get))
}

/// Serves a unix socket until the listener fails or the future is dropped.
pub async fn serve(listener: UnixListener, token: String, backend: Arc<dyn Backend>) -> std::io::Result<()> {
    serve_at(Door(listener), Access::unix(token), backend).await
}

/// Serves a port of the loopback in the same way; of the pages in browsers only those of `origins` may ask, e.g.
/// `chrome-extension://ID`.
pub async fn serve_tcp(
    listener: TcpListener,
    origins: Vec<String>,
    token: String,
    backend: Arc<dyn Backend>,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    serve_at(Door(listener), Access::tcp(token, address, origins), backend).await
}

async fn serve_at<L: Listen>(listener: L, access: Access, backend: Arc<dyn Backend>) -> std::io::Result<()> {
    let shared = Arc::new(Shared { access, backend });
    let app = routes()
        .split_for_parts()
        .0
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "MW-API-8", "there is no such path in this API"))
        .method_not_allowed_fallback(async || {
            let text = "this path wants another method; see the allow header";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MW-API-9", text)
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared);
    listen::serve(listener, BOUNDS, hyper_util::service::TowerToHyperService::new(app)).await
}

#[cfg(test)]
mod tests;
