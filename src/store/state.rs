//! What a node reads at its start and writes as it goes, over either database.
use super::sql::{Sql, Statement, Value, bodies, int};
use super::{DAY_MS, Snapshot, record};
use crate::error::Result;
use crate::gateway::port::Row;

/// Answers to payments that are kept; older ones go at the next start.
const HOPS_KEPT: i64 = 100_000;
/// Payments that a start reads at most.
const PAYMENTS_READ: i64 = 100_000;
/// Payment requests that are kept, the newest.
pub(super) const REQUESTS_KEPT: i64 = 100_000;
/// Of older ones there may be so many before they go.
const REQUESTS_SLACK: usize = 1_000;

const OLD_HOPS: &str = "DELETE FROM hops WHERE node = $1 AND at < \
    (SELECT at FROM hops WHERE node = $1 ORDER BY at DESC LIMIT 1 OFFSET $2)";
const OLD_REQUESTS: &str = "DELETE FROM requests WHERE node = $1 AND at < \
    (SELECT at FROM requests WHERE node = $1 ORDER BY at DESC LIMIT 1 OFFSET $2)";
const LINKS: &str = "SELECT body FROM links WHERE node = $1 ORDER BY since_ms, id";
const ESCROWS: &str = "SELECT body FROM escrows WHERE node = $1 ORDER BY escrow";
const HOPS: &str = "SELECT body FROM (SELECT at, body FROM hops WHERE node = $1 ORDER BY at DESC LIMIT $2) AS newest \
    ORDER BY at";
const SETTING: &str = "SELECT body FROM settings WHERE node = $1 AND name = $2";
/// By our clock, not by the newest payment: one that is dated in the future must not hide those of today. Those of the
/// days nearest to today come first, so that no number of such payments does.
const PAYMENTS: &str = "SELECT body FROM (SELECT at, body FROM payments WHERE node = $1 AND at > $2 \
    ORDER BY CASE WHEN at >= $3 THEN 1 ELSE 0 END, at DESC LIMIT $4) AS nearest ORDER BY at";

/// The books of one node on an open connection.
#[derive(Debug)]
pub(super) struct State<D> {
    db: D,
    node: i64,
    /// Payment requests that came since old ones went.
    requests: usize,
}

impl<D: Sql> State<D> {
    pub fn new(db: D, node: i64) -> Self {
        State { db, node, requests: 0 }
    }

    /// The connection.
    pub fn db(&mut self) -> &mut D {
        &mut self.db
    }

    pub fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        let (node, kept) = (Value::Int(self.node), [Value::Int(HOPS_KEPT), Value::Int(REQUESTS_KEPT)]);
        let [hops_kept, requests_kept] = kept;
        self.db.commit(&[
            Statement { sql: OLD_HOPS, values: vec![node.clone(), hops_kept] },
            Statement { sql: OLD_REQUESTS, values: vec![node.clone(), requests_kept] },
        ])?;
        let time = |ms: u64| Value::Int(int(ms).unwrap_or(i64::MAX));
        let since = time(now_ms.saturating_sub(2 * DAY_MS));
        let until = time((now_ms / DAY_MS + 1).saturating_mul(DAY_MS));
        Ok(Snapshot {
            links: bodies(&mut self.db, LINKS, std::slice::from_ref(&node))?,
            escrows: bodies(&mut self.db, ESCROWS, std::slice::from_ref(&node))?,
            hops: bodies(&mut self.db, HOPS, &[node.clone(), Value::Int(hops.into())])?,
            policy: bodies(&mut self.db, SETTING, &[node.clone(), Value::Text(record::POLICY.into())])?.pop(),
            payments: bodies(&mut self.db, PAYMENTS, &[node, since, until, Value::Int(PAYMENTS_READ)])?,
        })
    }

    pub fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut statements = record::statements(self.node, rows)?;
        let requests = self.requests + rows.iter().filter(|row| matches!(row, Row::Request(_))).count();
        let full = requests >= REQUESTS_SLACK;
        if full {
            let values = vec![Value::Int(self.node), Value::Int(REQUESTS_KEPT)];
            statements.push(Statement { sql: OLD_REQUESTS, values });
        }
        self.db.commit(&statements)?;
        self.requests = if full { 0 } else { requests };
        Ok(())
    }

    pub fn alive(&mut self) -> Result<()> {
        self.db.alive()
    }
}
