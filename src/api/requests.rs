//! GET /api/requests
use super::amount::Amount;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
