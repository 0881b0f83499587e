//! Rows as records: key and money in columns, the rest as JSON.
use super::sqlite::failed;
use crate::error::{Error, Result};
use crate::gateway::chain::PaymentState;
use crate::gateway::link::{EscrowState, Role};
use crate::gateway::port::Row;
use rusqlite::{Connection, params};
use serde::Serialize;

const LINK: &str = "INSERT OR REPLACE INTO links (id, role, deposit, since_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const ESCROW: &str = "INSERT OR REPLACE INTO escrows (escrow, link, role, state, deposit, total, landed, epoch, body) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const HOP: &str = "INSERT OR REPLACE INTO hops (hop, at, amount_in, amount_out, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const PAYMENT: &str =
    "INSERT OR REPLACE INTO payments (id, at, state, service, total, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SETTING: &str = "INSERT OR REPLACE INTO settings (name, body) VALUES (?1, ?2)";
const EVENT: &str = "INSERT INTO events (at, what, link, hop, amount, fee) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Name of the policy among the settings.
pub(super) const POLICY: &str = "policy";

/// Writes one row inside the transaction that is open on `db`.
pub(super) fn write(db: &Connection, row: &Row) -> Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<()> {
        db.prepare_cached(sql).and_then(|mut s| s.execute(values)).map(drop).map_err(failed)
    };
    match row {
        Row::Link(row) if row.dropped => run("DELETE FROM links WHERE id = ?1", params![row.id]),
        Row::Link(row) => {
            let body = json(row)?;
            run(LINK, params![row.id, role(row.role), row.deposit.as_i64(), int(row.since_ms)?, body])
        }
        // Offered by a stranger and never funded: nothing to remember. Our own stay, their counters are used up.
        Row::Escrow(row) if row.role == Role::Payee && row.state == EscrowState::Dropped => {
            run("DELETE FROM escrows WHERE escrow = ?1", params![row.escrow])
        }
        Row::Escrow(row) => {
            let (deposit, total, landed) = (row.deposit.as_i64(), row.total.as_i64(), row.landed.as_i64());
            let (who, state, body) = (role(row.role), row.state.name(), json(row)?);
            run(ESCROW, params![row.escrow, row.link, who, state, deposit, total, landed, row.epoch, body])
        }
        Row::Hop(row) => {
            let (amount_in, amount_out) = (row.amount_in.as_i64(), row.amount_out.as_i64());
            run(HOP, params![row.hop_id, int(row.at)?, amount_in, amount_out, json(row)?])
        }
        Row::Payment(row) => {
            let state = match row.state {
                PaymentState::Signed => "signed",
                PaymentState::Complete => "complete",
                PaymentState::Abandoned => "abandoned",
            };
            run(PAYMENT, params![row.id, int(row.at)?, state, row.service, row.total.as_i64(), json(row)?])
        }
        Row::Event(event) => {
            let (at, amount, fee) = (int(event.at)?, event.amount.as_i64(), int(event.fee)?);
            run(EVENT, params![at, event.what, event.link, event.hop, amount, fee])
        }
        Row::Policy(row) => run(SETTING, params![POLICY, json(row)?]),
    }
}

/// Does `later` replace `row`, so that `row` need not be written at all?
pub(super) fn replaces(later: &Row, row: &Row) -> bool {
    match (later, row) {
        (Row::Link(a), Row::Link(b)) => a.id == b.id,
        (Row::Escrow(a), Row::Escrow(b)) => a.escrow == b.escrow,
        (Row::Policy(_), Row::Policy(_)) => true,
        _ => false,
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Payer => "payer",
        Role::Payee => "payee",
    }
}

fn json(body: &impl Serialize) -> Result<String> {
    serde_json::to_string(body).map_err(|_| Error::never("MW-STORE-6", "A row has no JSON form; nothing was written."))
}

fn int(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::never("MW-STORE-6", "A number is beyond what the store holds."))
}
