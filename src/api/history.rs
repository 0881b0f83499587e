//! GET /api/history
use super::amount::Amount;
use super::problem::{Answer, Asked, Problem};
use super::{Api, State};
use crate::store::BINS_MAX;
use axum::Json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The shortest bin.
const MIN_BIN_MS: u64 = 1_000;

/// A stretch of time in bins, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Unix milliseconds.
    pub from: u64,
    /// Unix milliseconds; not part of it.
    pub to: u64,
    /// Milliseconds of a bin.
    pub bin: u64,
}

/// What was asked and paid over time, for charts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Unix milliseconds.
    pub from: u64,
    /// Unix milliseconds; not part of it.
    pub to: u64,
    /// Milliseconds of a bin; the last one may be shorter.
    pub bin: u64,
    /// Every bin, oldest first.
    pub bins: Vec<Bin>,
}

/// One bin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bin {
    /// Where it begins, unix milliseconds.
    pub at: u64,
    /// Payment requests that came in it.
    pub requests: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Complete payments that began in it, by service: `tor`, `ipfs`, `http`; without those that had none.
    pub paid: BTreeMap<String, Paid>,
}

/// Payments added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paid {
    /// How many.
    pub payments: u64,
    /// What they came to, fees included.
    pub amount: Amount,
}

/// Which time.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Unix milliseconds.
    from: u64,
    /// Unix milliseconds; not part of it.
    to: u64,
    /// Milliseconds of a bin, at least 1000; at most 1000 bins.
    bin: u64,
}

impl TryFrom<Query> for Span {
    type Error = Problem;
    fn try_from(Query { from, to, bin }: Query) -> Result<Self, Problem> {
        let length = to.checked_sub(from).filter(|length| *length > 0 && i64::try_from(to).is_ok());
        let length = length.ok_or_else(|| Problem::unfit("from is before to, both unix milliseconds"))?;
        if bin < MIN_BIN_MS || length.div_ceil(bin) > BINS_MAX {
            let text = format!("bin = {bin}: at least {MIN_BIN_MS} ms, and at most {BINS_MAX} of them");
            return Err(Problem::unfit(text));
        }
        Ok(Span { from, to, bin })
    }
}

/// Payment requests and payments in bins of time.
#[utoipa::path(get, path = "/api/history", params(Query), responses((status = 200, body = History)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<History> {
    Ok(Json(api.backend.history(query.try_into()?).await?))
}
