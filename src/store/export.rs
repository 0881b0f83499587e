//! The books line by line, for whoever takes them elsewhere. Nothing secret is in a line.
use super::reader::{Reader, event, event_columns, request, request_columns};
use super::sql::{Line, Value, int};
use crate::error::{Error, Result};
use crate::gateway::chain::PaymentRow;
use crate::gateway::core::message::AccountKey;
use crate::gateway::link::{LinkRow, Partner};
use crate::units::Stroops;

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// What the client paid, oldest first.
    Payments,
    /// What payees asked of the client (the newest 100 000), oldest first.
    Requests,
    /// The journal of money, oldest first.
    Journal,
    /// All links with what the journal says of each, and how much is left on its lanes; as of now.
    Links,
}

/// One field of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// There is none.
    Nothing,
    /// Unix milliseconds.
    Time(u64),
    /// A count.
    Number(u64),
    /// Stroops: of the payment asset, or native ones for fees on the ledger.
    Amount(u64),
    /// Bytes, for people in hex.
    Bytes(Vec<u8>),
    /// An account on the ledger.
    Account(AccountKey),
    /// A text; strangers' too.
    Text(String),
}

/// A row of the database as a line.
type Make = fn(&Line<'_>) -> Result<Vec<Field>>;

const PAYMENTS: &str = "SELECT body FROM payments WHERE node = $1 AND at >= $2 AND at < $3 ORDER BY at, id";
const REQUESTS: &str = concat!(request_columns!(), "AND at >= $2 AND at < $3 ORDER BY at, id");
const JOURNAL: &str = concat!(event_columns!(), "AND at >= $2 AND at < $3 ORDER BY seq");
const LINKS: &str = "
SELECT k.link, coalesce(l.role, e.role), l.body, coalesce(e.lanes, 0), coalesce(e.deposit, 0), coalesce(e.total, 0),
    coalesce(e.landed, 0), coalesce(b.signed, 0), coalesce(b.credited, 0), coalesce(b.flushed, 0), coalesce(b.seen, 0),
    coalesce(b.returned, 0), coalesce(b.fees, 0)
FROM (SELECT id AS link FROM links WHERE node = $1 UNION SELECT link FROM escrows WHERE node = $1) AS k
LEFT JOIN links AS l ON l.node = $1 AND l.id = k.link
LEFT JOIN (SELECT link, min(role) AS role, CAST(count(*) AS BIGINT) AS lanes, CAST(sum(deposit) AS BIGINT) AS deposit,
    CAST(sum(total) AS BIGINT) AS total, CAST(sum(landed) AS BIGINT) AS landed
    FROM escrows WHERE node = $1 GROUP BY link) AS e ON e.link = k.link
LEFT JOIN balances AS b ON b.node = $1 AND b.link = k.link ORDER BY k.link";

impl Topic {
    /// Names of the fields of each line.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Topic::Payments => &[
                "time",
                "id",
                "state",
                "service",
                "site",
                "total",
                "fees",
                "payees",
                "create_ms",
                "sign_ms",
                "deliver_ms",
            ],
            Topic::Requests => &["time", "id", "kind", "who", "site", "due", "outcome", "code"],
            Topic::Journal => &["seq", "time", "what", "link", "payment", "amount", "ledger_fee", "transaction"],
            Topic::Links => &[
                "link",
                "role",
                "since",
                "partner",
                "account",
                "closing",
                "lanes",
                "deposit",
                "total",
                "landed",
                "signed",
                "credited",
                "flushed",
                "seen",
                "returned",
                "ledger_fees",
            ],
        }
    }
}

impl Reader {
    /// Hands each line of a topic from `from_ms` up to, not including, `to_ms` to `take` as it comes from the database,
    /// all as of one moment, fields in the order of [`Topic::columns`]. Links have no such time: all are given.
    pub fn export(
        &self,
        topic: Topic,
        from_ms: u64,
        to_ms: u64,
        take: &mut dyn FnMut(&[Field]) -> Result<()>,
    ) -> Result<()> {
        let (sql, make): (_, Make) = match topic {
            Topic::Payments => (PAYMENTS, |line| payment(line.body(0)?)),
            Topic::Requests => (REQUESTS, request_fields),
            Topic::Journal => (JOURNAL, event_fields),
            Topic::Links => (LINKS, link_fields),
        };
        let [from, to] = [from_ms, to_ms].map(|ms| Value::Int(int(ms).unwrap_or(i64::MAX)));
        let values = [Value::Int(self.node), from, to];
        let values = if topic == Topic::Links { &values[..1] } else { &values[..] };
        self.db().each(sql, values, &mut |line| take(&make(&line)?))
    }
}

fn payment(row: PaymentRow) -> Result<Vec<Field>> {
    let state = row.state.name();
    let sum = |sum: Stroops, fee: Stroops| sum.add(fee);
    let fees = row.payees.iter().try_fold(Stroops::ZERO, |all, payee| sum(all, payee.fee));
    let fees = fees.map_err(|_| Error::never("MW-STORE-6", "The fees of a payment add up to no amount."))?;
    // One field, so that a payment is one line: NAME=DUE+FEE of each payee, guard first.
    let payees: Vec<_> =
        row.payees.iter().map(|payee| format!("{}={}+{}", payee.name, payee.due.get(), payee.fee.get())).collect();
    Ok(vec![
        Field::Time(row.at),
        Field::Bytes(row.id.into()),
        text(state),
        Field::Text(row.service),
        maybe(row.site),
        Field::Amount(row.total.get()),
        Field::Amount(fees.get()),
        Field::Text(payees.join(" ")),
        Field::Number(row.create_ms),
        Field::Number(row.sign_ms),
        Field::Number(row.deliver_ms),
    ])
}

fn request_fields(line: &Line<'_>) -> Result<Vec<Field>> {
    let row = request(line)?;
    Ok(vec![
        Field::Time(row.at),
        Field::Bytes(row.id.into()),
        Field::Text(row.kind),
        Field::Text(row.who),
        maybe(row.site),
        Field::Amount(row.due.get()),
        text(row.outcome.name()),
        maybe(row.code),
    ])
}

fn event_fields(line: &Line<'_>) -> Result<Vec<Field>> {
    let row = event(line)?;
    let bytes = |bytes: Option<Vec<u8>>| bytes.map_or(Field::Nothing, Field::Bytes);
    Ok(vec![
        Field::Number(line.count(7)?),
        Field::Time(row.at),
        Field::Text(row.what),
        bytes(row.link.map(Vec::from)),
        bytes(row.hop.map(Vec::from)),
        Field::Amount(row.amount.get()),
        Field::Amount(row.fee),
        bytes(row.tx.map(Vec::from)),
    ])
}

fn link_fields(line: &Line<'_>) -> Result<Vec<Field>> {
    let row: Option<LinkRow> = line.maybe_text(2)?.map(|_| line.body(2)).transpose()?;
    let role = line.maybe_text(1)?;
    let [since, partner, account, closing] = match &row {
        Some(row) => [
            Field::Time(row.since_ms),
            match row.partner {
                Partner::Relay(id) => Field::Bytes(id.into()),
                Partner::Anonymous => text("anonymous"),
            },
            Field::Account(row.account),
            text(if row.closing { "yes" } else { "no" }),
        ],
        // Its lanes are remembered, the link is over.
        None => [Field::Nothing, Field::Nothing, Field::Nothing, text("over")],
    };
    let mut fields = vec![Field::Bytes(line.bytes::<16>(0)?.into()), maybe(role), since, partner, account, closing];
    fields.push(Field::Number(line.count(3)?));
    for column in 4..=12 {
        fields.push(Field::Amount(line.count(column)?));
    }
    Ok(fields)
}

fn text(text: &'static str) -> Field {
    Field::Text(text.into())
}

fn maybe(text: Option<String>) -> Field {
    text.map_or(Field::Nothing, Field::Text)
}
