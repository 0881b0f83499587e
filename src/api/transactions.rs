//! GET /api/transactions
use super::events::JournalLine;
use super::page;
use super::problem::{Answer, Asked};
use super::{Api, State};
use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

/// How many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Rows, 1 to 10000, else 100.
    limit: Option<u32>,
}

/// The newest lines of the journal that a ledger transaction stands behind, newest first.
#[utoipa::path(get, path = "/api/transactions", params(Query), responses((status = 200, body = Vec<JournalLine>)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<Vec<JournalLine>> {
    Ok(Json(api.backend.transactions(page::limit(query.limit)?).await?))
}
