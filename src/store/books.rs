//! The books: what the journal adds up to, and whether the lanes say the same.
use super::reader::{number, stroops};
use super::sqlite::failed;
use crate::error::Result;
use crate::gateway::core::message::Id;
use crate::units::Stroops;
use rusqlite::Connection;
use serde::Serialize;

/// What the journal says of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The link.
    #[serde(with = "crate::gateway::link::hexed")]
    pub link: Id,
    /// As payer: signed away.
    pub signed: Stroops,
    /// As payee: credited to payments.
    pub credited: Stroops,
    /// As payee: landed by flushes.
    pub flushed: Stroops,
    /// As payer: seen to have left the escrow.
    pub seen: Stroops,
    /// As payer: came back out of escrows that ended.
    pub returned: Stroops,
    /// Fees on the ledger, native stroops.
    pub fees: u64,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Sums over all links.
    pub signed: Stroops,
    /// See [`Balance`].
    pub credited: Stroops,
    /// See [`Balance`].
    pub flushed: Stroops,
    /// See [`Balance`].
    pub seen: Stroops,
    /// See [`Balance`].
    pub returned: Stroops,
    /// See [`Balance`].
    pub fees: u64,
    /// Each thing that does not add up, in words; empty when all is well.
    pub wrong: Vec<String>,
}

/// One link in both forms: what the journal says, what the lanes say.
const COMPARE: &str = "
SELECT hex(l.link), l.role,
    CASE l.role WHEN 'payer' THEN coalesce(b.signed, 0) ELSE coalesce(b.credited, 0) END, l.total,
    CASE l.role WHEN 'payer' THEN coalesce(b.seen, 0) ELSE coalesce(b.flushed, 0) END, l.landed,
    coalesce(b.returned, 0), l.returned
FROM (SELECT link, role, sum(total) AS total, sum(landed) AS landed,
    sum(coalesce(json_extract(body, '$.returned'), 0)) AS returned FROM escrows GROUP BY link, role) l
LEFT JOIN balances b ON b.link = l.link";

/// Journal lines about money of a link that no lane knows.
const ORPHANS: &str = "
SELECT hex(link) FROM balances
WHERE signed + credited + flushed + seen > 0 AND link NOT IN (SELECT link FROM escrows)";

/// Lanes that promise more than they hold.
const OVERDRAWN: &str = "SELECT hex(escrow), role FROM escrows \
     WHERE total - coalesce(json_extract(body, '$.netted'), 0) > deposit OR landed > deposit";

pub(super) fn balances(db: &Connection) -> Result<Vec<Balance>> {
    let sql = "SELECT link, signed, credited, flushed, seen, returned, fees FROM balances ORDER BY link";
    let mut query = db.prepare_cached(sql).map_err(failed)?;
    let rows = query.query_map([], |row| {
        let link = row.get(0)?;
        Ok((|| {
            Ok(Balance {
                link,
                signed: stroops(row, 1)?,
                credited: stroops(row, 2)?,
                flushed: stroops(row, 3)?,
                seen: stroops(row, 4)?,
                returned: stroops(row, 5)?,
                fees: number(row, 6)?,
            })
        })())
    });
    rows.map_err(failed)?.map(|row| row.map_err(failed)?).collect()
}

pub(super) fn check(db: &Connection) -> Result<Books> {
    let moment = db.unchecked_transaction().map_err(failed)?;
    let mut books = Books::default();
    for balance in balances(&moment)? {
        for (sum, part) in [
            (&mut books.signed, balance.signed),
            (&mut books.credited, balance.credited),
            (&mut books.flushed, balance.flushed),
            (&mut books.seen, balance.seen),
            (&mut books.returned, balance.returned),
        ] {
            *sum = sum.add(part).unwrap_or(Stroops::MAX);
        }
        books.fees = books.fees.saturating_add(balance.fees);
    }
    let mut query = moment.prepare(COMPARE).map_err(failed)?;
    let mut rows = query.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (link, role): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        for (what, journal, lanes) in [
            ("paid", number(row, 2)?, number(row, 3)?),
            ("landed", number(row, 4)?, number(row, 5)?),
            ("returned", number(row, 6)?, number(row, 7)?),
        ] {
            if journal != lanes {
                books
                    .wrong
                    .push(format!("link {link} ({role}): {what} {journal} by the journal, {lanes} by its lanes"));
            }
        }
    }
    books
        .wrong
        .extend(texts(&moment, ORPHANS)?.into_iter().map(|link| format!("link {link}: no lane knows its money")));
    books.wrong.extend(texts(&moment, OVERDRAWN)?.into_iter().map(|e| format!("escrow {e}: more than its deposit")));
    let sound = texts(&moment, "PRAGMA quick_check")?;
    books.wrong.extend(sound.into_iter().filter(|line| line != "ok").map(|line| format!("file: {line}")));
    Ok(books)
}

fn texts(db: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut query = db.prepare(sql).map_err(failed)?;
    let rows = query.query_map([], |row| row.get(0)).map_err(failed)?;
    rows.map(|row| row.map_err(failed)).collect()
}
