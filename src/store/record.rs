//! Rows as statements: key and money in columns, the rest as JSON.
use super::sql::{Statement, Value, int};
use crate::error::{Error, Result};
use crate::gateway::link::{EscrowState, Role};
use crate::gateway::port::{RequestRow, Row};
use serde::Serialize;
use std::collections::HashSet;

const LINK: &str = "INSERT INTO links (node, id, role, deposit, since_ms, body) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (node, id) DO UPDATE SET role = excluded.role, deposit = excluded.deposit, \
    since_ms = excluded.since_ms, body = excluded.body";
const ESCROW: &str = "INSERT INTO escrows \
    (node, escrow, link, role, state, deposit, total, landed, returned, netted, epoch, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
    ON CONFLICT (node, escrow) DO UPDATE SET link = excluded.link, role = excluded.role, state = excluded.state, \
    deposit = excluded.deposit, total = excluded.total, landed = excluded.landed, returned = excluded.returned, \
    netted = excluded.netted, epoch = excluded.epoch, body = excluded.body";
const HOP: &str = "INSERT INTO hops (node, hop, at, amount_in, amount_out, body) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (node, hop) DO UPDATE SET at = excluded.at, amount_in = excluded.amount_in, \
    amount_out = excluded.amount_out, body = excluded.body";
const PAYMENT: &str = "INSERT INTO payments (node, id, at, state, service, site, total, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (node, id) DO UPDATE SET at = excluded.at, state = excluded.state, service = excluded.service, \
    site = excluded.site, total = excluded.total, body = excluded.body";
const REQUEST: &str = "INSERT INTO requests (node, id, at, kind, who, site, due, outcome, code) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
    ON CONFLICT (node, id) DO UPDATE SET at = excluded.at, kind = excluded.kind, who = excluded.who, \
    site = excluded.site, due = excluded.due, outcome = excluded.outcome, code = excluded.code";
const SETTING: &str = "INSERT INTO settings (node, name, body) VALUES ($1, $2, $3) \
    ON CONFLICT (node, name) DO UPDATE SET body = excluded.body";
const EVENT: &str = "INSERT INTO events (node, at, what, link, hop, amount, fee, tx) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Name of the policy among the settings.
pub(super) const POLICY: &str = "policy";

/// Characters of a stranger's name that a payment request keeps.
const NAME_MAX: usize = 255;

/// What makes `rows` durable for this node. A batch often holds one lane or link many times; only the last one counts.
pub(super) fn statements(node: i64, rows: &[Row]) -> Result<Vec<Statement<'_>>> {
    let mut later: HashSet<&[u8]> = HashSet::new();
    let mut last: Vec<&Row> = rows
        .iter()
        .rev()
        .filter(|row| match row {
            Row::Link(row) => later.insert(&row.id),
            Row::Escrow(row) => later.insert(&row.escrow), // of another length than the name of any link
            _ => true,
        })
        .collect();
    last.reverse();
    last.into_iter().map(|row| statement(node, row)).collect()
}

fn statement(node: i64, row: &Row) -> Result<Statement<'_>> {
    let (sql, values) = match row {
        Row::Link(row) if row.dropped => ("DELETE FROM links WHERE node = $1 AND id = $2", vec![bytes(&row.id)]),
        Row::Link(row) => {
            let (role, deposit) = (name(role(row.role)), Value::Int(row.deposit.as_i64()));
            (LINK, vec![bytes(&row.id), role, deposit, number(row.since_ms)?, json(row)?])
        }
        // Offered by a stranger and never funded: nothing to remember. Our own stay, their counters are used up.
        Row::Escrow(row) if row.role == Role::Payee && row.state == EscrowState::Dropped => {
            ("DELETE FROM escrows WHERE node = $1 AND escrow = $2", vec![bytes(&row.escrow)])
        }
        Row::Escrow(row) => {
            let (id, link) = (bytes(&row.escrow), bytes(&row.link));
            let (role, state) = (name(role(row.role)), name(row.state.name()));
            let [deposit, total, landed, returned, netted] =
                [row.deposit, row.total, row.landed, row.returned.unwrap_or_default(), row.netted]
                    .map(|a| Value::Int(a.as_i64()));
            let epoch = Value::Int(row.epoch.into());
            (ESCROW, vec![id, link, role, state, deposit, total, landed, returned, netted, epoch, json(row)?])
        }
        Row::Hop(row) => {
            let (amount_in, amount_out) = (Value::Int(row.amount_in.as_i64()), Value::Int(row.amount_out.as_i64()));
            (HOP, vec![bytes(&row.hop_id), number(row.at)?, amount_in, amount_out, json(row)?])
        }
        Row::Payment(row) => {
            let state = name(row.state.name());
            let (service, site) = (cut(&row.service), maybe(row.site.as_deref()));
            let total = Value::Int(row.total.as_i64());
            (PAYMENT, vec![bytes(&row.id), number(row.at)?, state, service, site, total, json(row)?])
        }
        Row::Event(row) => {
            let (amount, fee) = (Value::Int(row.amount.as_i64()), number(row.fee)?);
            let (link, hop) = (row.link.as_ref().map_or(Value::Null, |id| bytes(id)), row.hop.as_ref());
            let (hop, tx) = (hop.map_or(Value::Null, |id| bytes(id)), row.tx.as_ref());
            let tx = tx.map_or(Value::Null, |hash| bytes(hash));
            (EVENT, vec![number(row.at)?, cut(&row.what), link, hop, amount, fee, tx])
        }
        Row::Request(row) => (REQUEST, request(row)?),
        Row::Policy(row) => (SETTING, vec![name(POLICY), json(row)?]),
    };
    Ok(Statement { sql, values: std::iter::once(Value::Int(node)).chain(values).collect() })
}

fn request(row: &RequestRow) -> Result<Vec<Value<'_>>> {
    let (due, outcome) = (Value::Int(row.due.as_i64()), name(row.outcome.name()));
    let (site, code) = (maybe(row.site.as_deref()), maybe(row.code.as_deref()));
    Ok(vec![bytes(&row.id), number(row.at)?, cut(&row.kind), cut(&row.who), site, due, outcome, code])
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Payer => "payer",
        Role::Payee => "payee",
    }
}

fn name(name: &'static str) -> Value<'static> {
    Value::Text(name.into())
}

fn bytes(bytes: &[u8]) -> Value<'_> {
    Value::Bytes(bytes)
}

fn number(number: u64) -> Result<Value<'static>> {
    int(number).map(Value::Int)
}

fn maybe(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, cut)
}

/// Text of others: of a bounded length, and without NUL, which PostgreSQL has no place for.
fn cut(text: &str) -> Value<'_> {
    let fits = text.len() <= NAME_MAX && !text.contains('\0');
    Value::Text(if fits { text.into() } else { text.chars().filter(|c| *c != '\0').take(NAME_MAX).collect() })
}

fn json(body: &impl Serialize) -> Result<Value<'static>> {
    let failed = |_| Error::never("MW-STORE-6", "A row has no JSON form; nothing was written.");
    serde_json::to_string(body).map(|text| Value::Text(text.into())).map_err(failed)
}
