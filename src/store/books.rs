//! The books: what the journal adds up to, and whether the lanes say the same.
use super::sql::{Sql, Value, collect};
use crate::error::Result;
use crate::gateway::core::message::Id;
use crate::units::Stroops;
use serde::{Serialize, Serializer};

/// What the journal says of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The link.
    #[serde(with = "crate::gateway::link::hexed")]
    pub link: Id,
    /// As payer: signed away.
    #[serde(serialize_with = "digits")]
    pub signed: Stroops,
    /// As payee: credited to payments.
    #[serde(serialize_with = "digits")]
    pub credited: Stroops,
    /// As payee: landed by flushes.
    #[serde(serialize_with = "digits")]
    pub flushed: Stroops,
    /// As payer: seen to have left the escrow.
    #[serde(serialize_with = "digits")]
    pub seen: Stroops,
    /// As payer: came back out of escrows that ended.
    #[serde(serialize_with = "digits")]
    pub returned: Stroops,
    /// Set off against what the partner owed the other way.
    #[serde(serialize_with = "digits")]
    pub netted: Stroops,
    /// Fees on the ledger, native stroops.
    #[serde(serialize_with = "native")]
    pub fees: u64,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Sums over all links.
    #[serde(serialize_with = "digits")]
    pub signed: Stroops,
    /// See [`Balance`].
    #[serde(serialize_with = "digits")]
    pub credited: Stroops,
    /// See [`Balance`].
    #[serde(serialize_with = "digits")]
    pub flushed: Stroops,
    /// See [`Balance`].
    #[serde(serialize_with = "digits")]
    pub seen: Stroops,
    /// See [`Balance`].
    #[serde(serialize_with = "digits")]
    pub returned: Stroops,
    /// See [`Balance`]; each settlement counts on both of its links.
    #[serde(serialize_with = "digits")]
    pub netted: Stroops,
    /// See [`Balance`].
    #[serde(serialize_with = "native")]
    pub fees: u64,
    /// Each thing that does not add up, in words; empty when all is well.
    pub wrong: Vec<String>,
}

/// Stroops as decimal digits in a text: a double, which is what many programs read numbers into, cannot hold them all.
fn digits<S: Serializer>(amount: &Stroops, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    native(&amount.get(), serializer)
}

/// The same of native stroops.
fn native<S: Serializer>(stroops: &u64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(stroops)
}

/// One link in both forms: what the journal says, what the lanes say.
const COMPARE: &str = "
SELECT l.link, l.role,
    CASE l.role WHEN 'payer' THEN coalesce(b.signed, 0) ELSE coalesce(b.credited, 0) END, l.total,
    CASE l.role WHEN 'payer' THEN coalesce(b.seen, 0) ELSE coalesce(b.flushed, 0) END, l.landed,
    coalesce(b.returned, 0), l.returned, coalesce(b.netted, 0), l.netted
FROM (SELECT link, role, CAST(sum(total) AS BIGINT) AS total, CAST(sum(landed) AS BIGINT) AS landed,
    CAST(sum(returned) AS BIGINT) AS returned, CAST(sum(netted) AS BIGINT) AS netted FROM escrows WHERE node = $1 GROUP BY link, role) AS l
LEFT JOIN balances AS b ON b.node = $1 AND b.link = l.link ORDER BY l.link, l.role";

/// Journal lines about money of a link that no lane knows.
const ORPHANS: &str = "
SELECT link FROM balances WHERE node = $1 AND signed + credited + flushed + seen + netted > 0
    AND link NOT IN (SELECT link FROM escrows WHERE node = $1) ORDER BY link";

/// Lanes that promise more than they hold.
const OVERDRAWN: &str = "
SELECT escrow, role FROM escrows WHERE node = $1 AND (total - netted > deposit OR landed > deposit) ORDER BY escrow";

const BALANCES: &str = "
SELECT link, signed, credited, flushed, seen, returned, netted, fees FROM balances WHERE node = $1 ORDER BY link";

pub(super) fn balances(db: &mut dyn Sql, node: i64) -> Result<Vec<Balance>> {
    collect(db, BALANCES, &[Value::Int(node)], |line| {
        Ok(Balance {
            link: line.bytes(0)?,
            signed: line.stroops(1)?,
            credited: line.stroops(2)?,
            flushed: line.stroops(3)?,
            seen: line.stroops(4)?,
            returned: line.stroops(5)?,
            netted: line.stroops(6)?,
            fees: line.count(7)?,
        })
    })
}

pub(super) fn check(db: &mut dyn Sql, node: i64) -> Result<Books> {
    let mut books = Books::default();
    for balance in balances(db, node)? {
        for (sum, part) in [
            (&mut books.signed, balance.signed),
            (&mut books.credited, balance.credited),
            (&mut books.flushed, balance.flushed),
            (&mut books.seen, balance.seen),
            (&mut books.returned, balance.returned),
            (&mut books.netted, balance.netted),
        ] {
            *sum = sum.add(part).unwrap_or(Stroops::MAX);
        }
        books.fees = books.fees.saturating_add(balance.fees);
    }
    let node = [Value::Int(node)];
    let wrong = &mut books.wrong;
    db.each(COMPARE, &node, &mut |line| {
        let (link, role) = (hex::encode(line.bytes::<16>(0)?), line.text(1)?);
        for (what, at) in [("paid", 2), ("landed", 4), ("returned", 6), ("set off", 8)] {
            let (journal, lanes) = (line.count(at)?, line.count(at + 1)?);
            if journal != lanes {
                wrong.push(format!("link {link} ({role}): {what} {journal} by the journal, {lanes} by its lanes"));
            }
        }
        Ok(())
    })?;
    db.each(ORPHANS, &node, &mut |line| {
        wrong.push(format!("link {}: no lane knows its money", hex::encode(line.bytes::<16>(0)?)));
        Ok(())
    })?;
    db.each(OVERDRAWN, &node, &mut |line| {
        wrong.push(format!("escrow {}: more than its deposit", hex::encode(line.bytes::<32>(0)?)));
        Ok(())
    })?;
    books.wrong.extend(db.faults()?.into_iter().map(|line| format!("file: {line}")));
    Ok(books)
}
