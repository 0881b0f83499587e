//! GET /api/state
use super::amount::Amount;
use super::problem::Answer;
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the node and its account stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeState {
    /// What the node is in payments.
    pub role: Role,
    /// How far tor is.
    pub tor: TorState,
    /// tor's SOCKS port, `ADDR:PORT`; null where it has none.
    pub socks: Option<String>,
    /// Of a client: how its account stands. Who only earns has none.
    pub account: Option<Account>,
}

/// What a node is in payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Carries and is paid.
    Relay,
    /// Uses circuits and pays.
    Client,
    /// Stands before a web server and is paid.
    Site,
}

/// How far tor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TorState {
    /// 0 to 100.
    pub bootstrap: u8,
    /// In words.
    pub summary: String,
}

/// How a paying account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// One word.
    pub state: AccountState,
    /// What that means, one sentence.
    pub text: String,
    /// What to do, one sentence; empty when nothing is to be done.
    pub advice: String,
    /// Number of the account that this is about: of several in use the one that is worst off.
    pub number: u8,
    /// Payment asset on the account and in open escrows; null before the first look.
    pub spendable: Option<Amount>,
    /// Native asset above what the ledger holds back; null before the first look.
    pub native: Option<Amount>,
    /// Unix milliseconds of that look, 0: never.
    pub seen_ms: u64,
    /// Circuits are used unpaid, since one after the other had a hop above the ceilings.
    pub no_circuit: bool,
}

/// One word for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Nothing was paid yet; free windows are used.
    Trial,
    /// Payments are made.
    Paying,
    /// Payments are made, and what is left will not last.
    Low,
    /// Too little of the payment asset.
    OutOfFundsAsset,
    /// Too little of the native asset for reserves and fees.
    OutOfFundsNative,
    /// The ledger or tor cannot be reached.
    Offline,
}

/// How the node and its account stand.
#[utoipa::path(get, path = "/api/state", responses((status = 200, body = NodeState)))]
pub(super) async fn get(State(api): State<Api>) -> Answer<NodeState> {
    Ok(Json(api.backend.state().await?))
}
