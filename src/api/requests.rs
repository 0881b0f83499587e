//! GET /api/requests
use super::amount::Amount;
use super::page;
use super::problem::{Answer, Asked};
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A payment request as this client met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentRequest {
    /// Drawn by this client, 32 hex digits.
    pub id: String,
    /// Unix milliseconds.
    pub at: u64,
    /// `tor`, `ipfs` or `http`.
    pub kind: String,
    /// Nickname of a relay, or host of a service.
    pub who: String,
    /// For a web service its `host[:port]`.
    pub site: Option<String>,
    /// What was asked for.
    pub due: Amount,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused or held: the stable name of a refusal.
    pub code: Option<String>,
}

/// What became of a payment request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A payment for it is complete.
    Paid,
    /// It was not and will not be paid.
    Refused,
    /// It waits.
    Held,
}

/// How many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Rows, 1 to 10000, else 100.
    limit: Option<u32>,
}

/// The newest payment requests, what became of each and why, newest first.
#[utoipa::path(get, path = "/api/requests", params(Query), responses((status = 200, body = Vec<PaymentRequest>)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<Vec<PaymentRequest>> {
    Ok(Json(api.backend.requests(page::limit(query.limit)?).await?))
}
