//! Payments by pages, newest first.
use super::reader::Reader;
use super::sql::{Value, bodies, int};
use crate::error::Result;
use crate::gateway::chain::PaymentRow;
use crate::gateway::core::message::Id;

/// Which payments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentsWhere {
    /// At most so many.
    pub limit: u32,
    /// Behind this one, by its time in unix milliseconds and its id: the last one of the page before.
    pub before: Option<(u64, Id)>,
    /// Not before, unix milliseconds.
    pub since: u64,
    /// `tor`, `ipfs` or `http`.
    pub service: Option<String>,
    /// `host[:port]`.
    pub site: Option<String>,
}

const PAGE: &str = "
SELECT body FROM payments WHERE node = $1 AND at >= $2 AND at <= $3 AND (at < $3 OR id < $4)
AND ($5 = '' OR service = $5) AND ($6 = '' OR site = $6) ORDER BY at DESC, id DESC LIMIT $7";

impl Reader {
    /// Payments of the client, newest first. An empty name filters nothing.
    pub fn payments_where(&self, which: &PaymentsWhere) -> Result<Vec<PaymentRow>> {
        let place = which.before.as_ref();
        let time = |ms: u64| Value::Int(int(ms).unwrap_or(i64::MAX));
        let text = |name: &'_ Option<String>| Value::Text(name.clone().unwrap_or_default().replace('\0', "").into());
        let values = [
            Value::Int(self.node),
            time(which.since),
            place.map_or(Value::Int(i64::MAX), |(at, _)| time(*at)),
            Value::Bytes(place.map_or(&[], |(_, id)| id)),
            text(&which.service),
            text(&which.site),
            Value::Int(which.limit.into()),
        ];
        bodies(&mut **self.db(), PAGE, &values)
    }
}
