//! Rows of the ledger's database: what is written, how it is read.
use super::{LedgerRow, Result, StoreError, TransactionRow};
use crate::devnet::ledger::chain::Applied;
use crate::devnet::ledger::entry::{Id, id_of, muxed_id};
use crate::devnet::ledger::frame::Frame;
use crate::devnet::ledger::state::{Header, Key, State};
use crate::devnet::ledger::xdr::{Claimant, Limits, OperationBody as Body, RevokeSponsorshipOp, WriteXdr};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeSet;

fn entry_key(key: &Key) -> Vec<u8> {
    match key {
        Key::Account(id) => [&[0u8][..], id].concat(),
        Key::Trust(id, asset) => [&[1u8][..], id, &asset.to_xdr(Limits::none()).unwrap_or_default()].concat(),
        Key::Data(id, name) => [&[2u8][..], id, name].concat(),
        Key::Claimable(id) => [&[3u8][..], id].concat(),
    }
}

pub(super) fn put_entries(db: &Connection, state: &State, keys: &[Key]) -> Result<()> {
    let mut put = db.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2)")?;
    let mut gone = db.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
    for key in keys {
        match state.entry(key) {
            Some(entry) => {
                let bytes = entry.to_xdr(Limits::none()).map_err(|_| StoreError::Damaged("an entry in memory"))?;
                put.execute(params![entry_key(key), bytes])?;
            }
            None => {
                gone.execute(params![entry_key(key)])?;
            }
        }
    }
    Ok(())
}

pub(super) fn put_ledger(db: &Connection, row: &LedgerRow) -> Result<()> {
    let h = &row.header;
    db.prepare_cached("INSERT INTO ledgers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")?.execute(
        params![
            h.ledger,
            row.hash,
            row.previous,
            i64::try_from(h.close_time).unwrap_or(i64::MAX),
            h.protocol,
            h.base_fee,
            h.base_reserve,
            h.total_coins,
            h.fee_pool,
            row.successful,
            row.failed,
            row.operations,
            row.set_operations
        ],
    )?;
    Ok(())
}

pub(super) fn put_transaction(db: &Connection, ledger: u32, index: usize, applied: &Applied) -> Result<()> {
    let frame = &applied.frame;
    let order = i64::try_from(index).unwrap_or(i64::MAX >> 13) + 1;
    let id = (i64::from(ledger) << 32) | (order << 12);
    let result = applied.pair.result.to_xdr(Limits::none()).map_err(|_| StoreError::Damaged("a result in memory"))?;
    let inner = frame.bump.as_ref().map(|_| frame.inner_hash);
    db.prepare_cached("INSERT INTO transactions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?.execute(
        params![
            id,
            ledger,
            frame.hash(),
            inner,
            frame.bytes,
            result,
            applied.outcome.is_success(),
            applied.outcome.fee,
            frame.fee_bid(),
            frame.fee_ops()
        ],
    )?;
    let mut add = db.prepare_cached("INSERT INTO participants VALUES (?1, ?2)")?;
    for account in participants(frame) {
        add.execute(params![account, id])?;
    }
    Ok(())
}

/// Accounts that a transaction names: sources, payers and whom its operations are about.
fn participants(frame: &Frame) -> BTreeSet<Id> {
    let mut all = BTreeSet::from([frame.source(), frame.fee_source()]);
    for op in frame.tx.operations.iter() {
        all.insert(frame.op_source(op));
        match &op.body {
            Body::CreateAccount(op) => drop(all.insert(id_of(&op.destination))),
            Body::Payment(op) => drop(all.insert(muxed_id(&op.destination))),
            Body::PathPaymentStrictReceive(op) => drop(all.insert(muxed_id(&op.destination))),
            Body::PathPaymentStrictSend(op) => drop(all.insert(muxed_id(&op.destination))),
            Body::AccountMerge(to) => drop(all.insert(muxed_id(to))),
            Body::AllowTrust(op) => drop(all.insert(id_of(&op.trustor))),
            Body::SetTrustLineFlags(op) => drop(all.insert(id_of(&op.trustor))),
            Body::Clawback(op) => drop(all.insert(muxed_id(&op.from))),
            Body::BeginSponsoringFutureReserves(op) => drop(all.insert(id_of(&op.sponsored_id))),
            Body::CreateClaimableBalance(op) => {
                all.extend(op.claimants.iter().map(|Claimant::ClaimantTypeV0(c)| id_of(&c.destination)));
            }
            Body::RevokeSponsorship(RevokeSponsorshipOp::Signer(op)) => drop(all.insert(id_of(&op.account_id))),
            _ => {}
        }
    }
    all
}

pub(super) fn ledger_row(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    let header = Header {
        ledger: row.get(0)?,
        close_time: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        protocol: row.get(4)?,
        base_fee: row.get(5)?,
        base_reserve: row.get(6)?,
        total_coins: row.get(7)?,
        fee_pool: row.get(8)?,
    };
    Ok(LedgerRow {
        header,
        hash: row.get(1)?,
        previous: row.get(2)?,
        successful: row.get(9)?,
        failed: row.get(10)?,
        operations: row.get(11)?,
        set_operations: row.get(12)?,
    })
}

pub(super) fn transaction_row(row: &Row<'_>) -> rusqlite::Result<TransactionRow> {
    Ok(TransactionRow {
        id: row.get(0)?,
        ledger: row.get(1)?,
        close_time: u64::try_from(row.get::<_, i64>(10)?).unwrap_or(0),
        hash: row.get(2)?,
        envelope: row.get(4)?,
        result: row.get(5)?,
        successful: row.get(6)?,
        fee: row.get(7)?,
        bid: row.get(8)?,
        operations: row.get(9)?,
    })
}
