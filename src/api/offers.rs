//! GET /api/offers
use super::amount::Amount;
use super::problem::Answer;
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was asked of us lately, and what we ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offers {
    /// Of the hops of open circuits.
    pub hops: Vec<HopOffer>,
    /// Of web services that were to be paid lately, newest first, at most 64.
    pub services: Vec<ServiceOffer>,
    /// Our own, when we sell.
    pub own: Option<Terms>,
}

/// The terms of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    /// Stroops per MiB.
    pub price: Amount,
    /// Stroops kept of each payment that is passed on.
    pub fee: Amount,
    /// Bytes before the first payment.
    pub credit_bytes: u32,
    /// Bytes that a payer is asked to stay ahead.
    pub ahead_bytes: u32,
}

/// What a hop of a circuit asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HopOffer {
    /// tor's number of the circuit.
    pub circuit: u64,
    /// 1: the guard.
    pub hop: u32,
    /// Its nickname.
    pub name: String,
    /// What it asks.
    pub terms: Terms,
    /// Unix seconds: stands until then.
    pub expires: u64,
    /// Its newest valid request, cumulative over the circuit; null before the first.
    pub due: Option<Amount>,
    /// Paid on this circuit.
    pub paid: Amount,
}

/// What a web service asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceOffer {
    /// `host[:port]`
    pub site: String,
    /// What it asks.
    pub terms: Terms,
    /// Unix seconds: stands until then.
    pub expires: u64,
    /// Its newest request, cumulative over the session.
    pub due: Amount,
    /// Unix milliseconds.
    pub at: u64,
}

/// Prices, fees and credit: what hops and services asked lately, and what this node asks.
#[utoipa::path(get, path = "/api/offers", responses((status = 200, body = Offers)))]
pub(super) async fn get(State(api): State<Api>) -> Answer<Offers> {
    Ok(Json(api.backend.offers().await?))
}
