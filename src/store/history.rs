//! What was asked and paid over time, added up by the database: for charts and lists.
use super::DAY_MS;
use super::reader::Reader;
use super::sql::{Value, collect, int};
use crate::error::{Error, Result};
use crate::units::Stroops;
use serde::Serialize;
use std::collections::BTreeMap;

/// Bins of one history.
pub const BINS_MAX: u64 = 1_000;
/// Lines of one answer of [`Reader::spending`].
pub const SPENDINGS_MAX: u32 = 10_000;

/// One bin of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Its first moment, unix milliseconds.
    pub from_ms: u64,
    /// Payment requests that came in it (as far back as requests are kept).
    pub requests: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Complete payments that began in it, by kind of service: `tor`, `ipfs`, `http`; kinds without any are left out.
    pub paid: BTreeMap<String, Sum>,
}

/// Payments added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many.
    pub payments: u64,
    /// What they came to, fees for forwarding included.
    pub amount: Stroops,
}

/// What was paid on one day to one site, or for one kind of service that has no sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spending {
    /// First moment of the day (UTC), unix milliseconds.
    pub day_ms: u64,
    /// `tor`, `ipfs` or `http`.
    pub service: String,
    /// `host[:port]`.
    pub site: Option<String>,
    /// Complete payments.
    pub paid: Sum,
}

const REQUESTS: &str = "
SELECT (at - $2) / $3, CAST(count(*) AS BIGINT),
    CAST(sum(CASE WHEN outcome = 'refused' THEN 1 ELSE 0 END) AS BIGINT)
FROM requests WHERE node = $1 AND at >= $2 AND at < $4 GROUP BY 1";

const PAYMENTS: &str = "
SELECT (at - $2) / $3, service, CAST(count(*) AS BIGINT), CAST(sum(total) AS BIGINT)
FROM payments WHERE node = $1 AND at >= $2 AND at < $4 AND state = 'complete' GROUP BY 1, 2";

const SPENDING: &str = "
SELECT at / $2 AS day, service, site, CAST(count(*) AS BIGINT), CAST(sum(total) AS BIGINT) AS amount
FROM payments WHERE node = $1 AND at >= $3 AND at < $4 AND state = 'complete'
GROUP BY day, service, site ORDER BY day DESC, amount DESC, service, site LIMIT $5";

impl Reader {
    /// The time from `from_ms` up to, not including, `to_ms` in bins of `bin_ms` from `from_ms` on, every bin of it.
    /// `MW-STORE-10`: no time at all, or more than [`BINS_MAX`] bins.
    pub fn history(&self, from_ms: u64, to_ms: u64, bin_ms: u64) -> Result<Vec<Bin>> {
        let span = to_ms.checked_sub(from_ms).filter(|span| *span > 0 && bin_ms > 0 && int(to_ms).is_ok());
        let Some(count) = span.map(|span| span.div_ceil(bin_ms)).filter(|count| *count <= BINS_MAX) else {
            let text = format!("A history has 1 to {BINS_MAX} bins: choose a shorter time or longer bins.");
            return Err(Error::never("MW-STORE-10", text));
        };
        let mut bins: Vec<Bin> =
            (0..count).map(|at| Bin { from_ms: from_ms + at * bin_ms, ..Bin::default() }).collect();
        // A bin that is longer than the whole time is as long as that.
        let [from, to, bin] = [from_ms, to_ms, bin_ms.min(to_ms)].map(int);
        let values = [Value::Int(self.node), Value::Int(from?), Value::Int(bin?), Value::Int(to?)];
        let mut db = self.db();
        db.still(true)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let counted = db
            .each(REQUESTS, &values, &mut |line| {
                if let Some(bin) = bins.get_mut(place(line.count(0)?)) {
                    (bin.requests, bin.refused) = (line.count(1)?, line.count(2)?);
                }
                Ok(())
            })
            .and_then(|()| {
                db.each(PAYMENTS, &values, &mut |line| {
                    if let Some(bin) = bins.get_mut(place(line.count(0)?)) {
                        let sum = Sum { payments: line.count(2)?, amount: line.stroops(3)? };
                        bin.paid.insert(line.text(1)?, sum);
                    }
                    Ok(())
                })
            });
        db.still(false)?;
        counted.map(|()| bins)
    }

    /// What was paid from `from_ms` up to `to_ms` by day (UTC), kind of service and site, newest day first and within a
    /// day the most first; at most `limit` lines, and never more than [`SPENDINGS_MAX`].
    pub fn spending(&self, from_ms: u64, to_ms: u64, limit: u32) -> Result<Vec<Spending>> {
        let [day, from, to] = [DAY_MS, from_ms, to_ms].map(|ms| Value::Int(int(ms).unwrap_or(i64::MAX)));
        let values = [Value::Int(self.node), day, from, to, Value::Int(limit.min(SPENDINGS_MAX).into())];
        collect(&mut **self.db(), SPENDING, &values, |line| {
            Ok(Spending {
                day_ms: line.count(0)?.saturating_mul(DAY_MS),
                service: line.text(1)?,
                site: line.maybe_text(2)?,
                paid: Sum { payments: line.count(3)?, amount: line.stroops(4)? },
            })
        })
    }
}
