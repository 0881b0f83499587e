//! GET /api/events
use super::amount::Amount;
use super::page;
use super::problem::{Answer, Asked};
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One line of the journal of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalLine {
    /// Unix milliseconds.
    pub at: u64,
    /// e.g. `claim_signed`, `claim_accepted`, `flush_submitted`, `flush_landed`, `escrow_opened`.
    pub what: String,
    /// The link, 32 hex digits, if any.
    pub link: Option<String>,
    /// The payment, 32 hex digits, if any.
    pub hop: Option<String>,
    /// Stroops of the payment asset.
    pub amount: Amount,
    /// Fee in native stroops.
    pub fee: Amount,
    /// Hash of the ledger transaction, 64 hex digits, where there is one.
    pub tx: Option<String>,
}

/// How many lines.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Rows, 1 to 10000, else 100.
    limit: Option<u32>,
}

/// The newest lines of the journal of money, newest first.
#[utoipa::path(get, path = "/api/events", params(Query), responses((status = 200, body = Vec<JournalLine>)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<Vec<JournalLine>> {
    Ok(Json(api.backend.events(page::limit(query.limit)?).await?))
}
