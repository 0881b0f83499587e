//! POST /api/close
use super::amount::Amount;
use super::problem::Answer;
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to a close.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Closing {
    /// What comes back.
    pub returning: Vec<Returning>,
}

/// A deposit that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Returning {
    /// The link, 32 hex digits.
    pub link: String,
    /// Its escrow, `G…`.
    pub escrow: String,
    /// Where it stands.
    pub state: String,
    /// What comes back at least.
    pub amount: Amount,
    /// When at the latest, unix milliseconds; 0: not yet known. A claim that lands before begins the time anew.
    pub due_ms: u64,
}

/// Closes all links on which this node pays.
///
/// There are no new payments on them. Each deposit comes back within a few ledgers when the partner closes with us (it
/// flushes what it holds first), else by itself once its escrow was silent for its period.
/// Repeat it to look again; `escrow_refunded` and `escrow_reclaimed` in the journal say what it came to. Partners that
/// are paid later get new links, a minute after the last call at the earliest; a relay passes no payments on meanwhile,
/// so that circuits through it slow down for those who use them.
#[utoipa::path(post, path = "/api/close", responses((status = 200, body = Closing)))]
pub(super) async fn post(State(api): State<Api>) -> Answer<Closing> {
    Ok(Json(api.backend.close().await?))
}
