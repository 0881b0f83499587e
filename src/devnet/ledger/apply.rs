//! Applies transactions: fees first, then sequence number and one-time signers, then the operations or none of them.
use super::auth::Checker;
use super::entry::{Account, Id};
use super::frame::Frame;
use super::ops::{self, Stop};
use super::outcome::{Outcome, TxError, Verdict};
use super::sponsor;
use super::state::{Header, State};
use super::valid::{self, Stage, Terms, common};
use super::xdr::{OperationResult, SignerKey, Uint256};
use std::collections::{BTreeMap, BTreeSet};

/// What operations of one transaction see.
pub(super) struct Context<'a> {
    /// Entries, with undo.
    pub state: &'a mut State,
    /// Of the ledger being made.
    pub header: &'a Header,
    /// Source of the transaction.
    pub tx_source: Id,
    /// Its sequence number.
    pub tx_seq: i64,
    /// Index of the operation.
    pub index: u32,
    /// Sponsored account -> its sponsor, between Begin and End.
    pub sponsoring: BTreeMap<Id, Id>,
}

/// Takes the fee of a transaction at `base_fee` stroops an operation. All fees of a ledger are taken before the first
/// transaction is applied. Returns (charged, what the inner result names).
pub(super) fn charge_fee(state: &mut State, header: &mut Header, frame: &Frame, base_fee: i64) -> (i64, i64) {
    let due = frame.fee_bid().min(base_fee.saturating_mul(frame.fee_ops()));
    let inner =
        frame.bump.as_ref().map_or(0, |_| i64::from(frame.tx.fee).min(base_fee.saturating_mul(frame.inner_fee_ops())));
    let Some(payer) = state.account_mut(&frame.fee_source()) else { return (0, inner) };
    let fee = due.clamp(0, payer.balance.max(0));
    payer.balance -= fee;
    header.fee_pool = header.fee_pool.saturating_add(fee);
    (fee, inner)
}

/// The ledger and time at which an account's sequence number was last touched.
pub(super) fn touch_seq(account: &mut Account, header: &Header) {
    account.seq_ledger = header.ledger;
    account.seq_time = header.close_time;
}

fn remove_one_time_signer(state: &mut State, owner: &Id, hash: [u8; 32]) {
    let key = SignerKey::PreAuthTx(Uint256(hash));
    let Some(at) = state.accounts.get(owner).and_then(|a| a.signers.iter().position(|s| s.key == key)) else { return };
    // a signer that is there has its reserve on the books, so this cannot fail; if it did, the signer stays
    let mark = state.mark();
    if sponsor::remove_signer(state, owner, at).is_err() {
        state.rollback(mark);
    }
}

/// Applies a transaction whose fee was taken.
pub(super) fn apply(state: &mut State, header: &Header, frame: &Frame, fees: (i64, i64)) -> Outcome {
    let (fee, inner_fee) = fees;
    let end = |verdict| Outcome { fee, inner_fee, outside: false, verdict };
    if let Some(bump) = &frame.bump {
        remove_one_time_signer(state, &bump.source, bump.hash);
    }
    let mut checker = Checker::new(frame.inner_hash, &frame.signatures);
    let terms = Terms { upper: 0, applying: true, charge_fee: frame.bump.is_none() };
    let found = common(state, header, frame, &mut checker, terms);
    if !matches!(found, Err((Stage::Invalid, _)))
        && let Some(source) = state.account_mut(&frame.source())
    {
        source.seq = frame.seq();
        touch_seq(source, header);
    }
    let mut results: Vec<OperationResult> = frame.tx.operations.iter().map(ops::blank).collect();
    let mut all_signed = true;
    if found.is_ok() {
        for (op, result) in frame.tx.operations.iter().zip(results.iter_mut()) {
            if let Err(failed) = ops::check_signature(state, frame, op, &mut checker) {
                *result = failed;
                all_signed = false;
            }
        }
    }
    let sources: BTreeSet<Id> =
        frame.tx.operations.iter().map(|op| frame.op_source(op)).chain([frame.source()]).collect();
    for source in &sources {
        remove_one_time_signer(state, source, frame.inner_hash);
    }
    if let Err((_, error)) = found {
        return end(Verdict::Error(error));
    }
    if !all_signed {
        return end(Verdict::Failed(results));
    }
    if !checker.all_used() {
        return end(Verdict::Error(TxError::BadAuthExtra));
    }
    end(operations(state, header, frame, results))
}

fn operations(state: &mut State, header: &Header, frame: &Frame, mut results: Vec<OperationResult>) -> Verdict {
    let before = state.mark();
    let mut cx = Context {
        state,
        header,
        tx_source: frame.source(),
        tx_seq: frame.seq(),
        index: 0,
        sponsoring: BTreeMap::new(),
    };
    let mut success = true;
    for (op, result) in frame.tx.operations.iter().zip(results.iter_mut()) {
        let mark = cx.state.mark();
        let sponsoring = cx.sponsoring.clone();
        match ops::apply(&mut cx, frame, op) {
            Ok(done) => *result = OperationResult::OpInner(done),
            Err(stop) => {
                cx.state.rollback(mark);
                cx.sponsoring = sponsoring;
                success = false;
                match stop {
                    Stop::Op(failed) => *result = failed,
                    Stop::Internal => {
                        cx.state.rollback(before);
                        return Verdict::Error(TxError::InternalError);
                    }
                }
            }
        }
        cx.index = cx.index.saturating_add(1);
    }
    let open = !cx.sponsoring.is_empty();
    if !success {
        state.rollback(before);
        return Verdict::Failed(results);
    }
    if open {
        state.rollback(before);
        return Verdict::Error(TxError::BadSponsorship);
    }
    Verdict::Success(results)
}

/// Fee that a transaction needs at least, at the header's base fee.
pub fn least_fee(header: &Header, frame: &Frame) -> i64 {
    valid::min_fee(header, frame.fee_ops())
}
