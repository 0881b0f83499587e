//! GET /api/payments
use super::amount::Amount;
use super::page;
use super::problem::{Answer, Asked, Problem};
use super::{Api, State};
use crate::gateway::core::message::Id;
use crate::store::PaymentsWhere;
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One payment of a client: one pass over a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Names the row for `before`.
    pub cursor: String,
    /// Drawn by the client, told to nobody; 32 hex digits.
    pub id: String,
    /// Unix milliseconds of the first message.
    pub at: u64,
    /// How it stands.
    pub state: PaymentState,
    /// It went under locks: all of its payees are paid or none.
    pub locked: bool,
    /// `tor` or `http`.
    pub service: String,
    /// For a web service its `host[:port]`.
    pub site: Option<String>,
    /// What left the wallet.
    pub total: Amount,
    /// Who got it, guard first.
    pub payees: Vec<Payee>,
    /// Milliseconds until all templates were there.
    pub create_ms: u64,
    /// Milliseconds from there until the last claim was signed.
    pub sign_ms: u64,
    /// Milliseconds from there until the last receipt.
    pub deliver_ms: u64,
}

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentState {
    /// Signed; the rest is under way.
    Signed,
    /// Every payee has confirmed.
    Complete,
    /// Given up; at most this one is lost.
    Abandoned,
    /// Given up, and the time of its locks is over: nothing was paid.
    Expired,
}

/// What one payee gets out of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payee {
    /// Its account, `G…`.
    pub account: String,
    /// Nickname of a relay, or host of a service.
    pub name: String,
    /// For carrying or serving.
    pub due: Amount,
    /// For passing payments on.
    pub fee: Amount,
}

/// Which payments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Rows, 1 to 10000, else 100.
    limit: Option<u32>,
    /// Cursor of the last row of the page before.
    before: Option<String>,
    /// `host[:port]` of a web service.
    site: Option<String>,
    /// `tor` or `http`.
    service: Option<String>,
    /// Unix milliseconds: not older than this.
    since: Option<u64>,
}

/// The cursor of the payment `id` of the moment `at`.
pub fn cursor(at: u64, id: &Id) -> String {
    format!("{at}-{}", hex::encode(id))
}

fn place(text: &str) -> Option<(u64, Id)> {
    let (at, id) = text.split_once('-')?;
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    Some((at.parse().ok()?, bytes))
}

impl TryFrom<Query> for PaymentsWhere {
    type Error = Problem;
    fn try_from(query: Query) -> Result<Self, Problem> {
        let before = query
            .before
            .map(|text| place(&text).ok_or_else(|| Problem::unfit("before is the cursor of a row that was answered")));
        Ok(PaymentsWhere {
            limit: page::limit(query.limit)?,
            before: before.transpose()?,
            site: page::name("site", query.site)?,
            service: page::name("service", query.service)?,
            since: query.since.unwrap_or(0),
        })
    }
}

/// Payments of this client, newest first.
#[utoipa::path(get, path = "/api/payments", params(Query), responses((status = 200, body = Vec<Payment>)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<Vec<Payment>> {
    Ok(Json(api.backend.payments(query.try_into()?).await?))
}
