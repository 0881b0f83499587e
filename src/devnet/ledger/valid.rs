//! May a transaction enter a ledger? The checks before its operations, in stellar-core's order (protocol 19).
use super::auth::Checker;
use super::frame::Frame;
use super::ops;
use super::outcome::{Outcome, TxError, Verdict};
use super::state::{Header, State};
use super::xdr::{OperationResult, SignerKey};

/// How far a transaction came. The order matters: from `Sequence` on its number is used up when applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Before the sequence number was found good.
    Invalid,
    /// The sequence number is good.
    Sequence,
    /// The signatures are good.
    Signed,
}

/// When and how a check happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Seconds that are added to the close time for `maxTime`.
    pub upper: u64,
    /// True while a ledger is applied: fees are already taken.
    pub applying: bool,
    /// False for the inside of a fee bump.
    pub charge_fee: bool,
}

type Checked = Result<(), (Stage, TxError)>;

fn invalid(error: TxError) -> Checked {
    Err((Stage::Invalid, error))
}

fn before_sequence(state: &State, header: &Header, frame: &Frame, terms: Terms) -> Checked {
    if let Some(v2) = frame.v2() {
        let twice = matches!(v2.extra_signers.as_slice(), [a, b] if a == b);
        let empty = v2
            .extra_signers
            .iter()
            .any(|key| matches!(key, SignerKey::Ed25519SignedPayload(signed) if signed.payload.is_empty()));
        if twice || empty {
            return invalid(TxError::Malformed);
        }
    }
    if frame.tx.operations.is_empty() {
        return invalid(TxError::MissingOperation);
    }
    let bounds = frame.time_bounds();
    if bounds.is_some_and(|b| b.min_time.0 != 0 && b.min_time.0 > header.close_time) {
        return invalid(TxError::TooEarly);
    }
    let ledgers = frame.v2().and_then(|v2| v2.ledger_bounds.as_ref());
    if ledgers.is_some_and(|b| b.min_ledger > header.ledger) {
        return invalid(TxError::TooEarly);
    }
    let latest = header.close_time.saturating_add(terms.upper);
    if bounds.is_some_and(|b| b.max_time.0 != 0 && b.max_time.0 < latest) {
        return invalid(TxError::TooLate);
    }
    if ledgers.is_some_and(|b| b.max_ledger != 0 && b.max_ledger <= header.ledger) {
        return invalid(TxError::TooLate);
    }
    if terms.charge_fee && i64::from(frame.tx.fee) < i64::from(header.base_fee) * frame.inner_fee_ops() {
        return invalid(TxError::InsufficientFee);
    }
    if state.accounts.get(&frame.source()).is_none() {
        return invalid(TxError::NoAccount);
    }
    Ok(())
}

fn is_bad_seq(header: &Header, frame: &Frame, current: i64) -> bool {
    // the number with which an account created in this very ledger starts is never used by a transaction
    if frame.seq() == header.starting_seq() {
        return true;
    }
    match frame.v2().and_then(|v2| v2.min_seq_num.as_ref()) {
        Some(min) => current < min.0 || current >= frame.seq(),
        None => current.checked_add(1) != Some(frame.seq()),
    }
}

fn too_early_for(header: &Header, frame: &Frame, seq_time: u64, seq_ledger: u32) -> bool {
    let Some(v2) = frame.v2() else { return false };
    let old_enough = header.close_time.checked_sub(v2.min_seq_age.0).is_some_and(|t| t >= seq_time);
    let far_enough = header.ledger.checked_sub(v2.min_seq_ledger_gap).is_some_and(|l| l >= seq_ledger);
    !(old_enough && far_enough)
}

/// All checks before the operations.
pub(super) fn common(
    state: &State,
    header: &Header,
    frame: &Frame,
    checker: &mut Checker<'_>,
    terms: Terms,
) -> Checked {
    before_sequence(state, header, frame, terms)?;
    let Some(source) = state.accounts.get(&frame.source()) else { return invalid(TxError::NoAccount) };
    if is_bad_seq(header, frame, source.seq) {
        return invalid(TxError::BadSeq);
    }
    if too_early_for(header, frame, source.seq_time, source.seq_ledger) {
        return Err((Stage::Sequence, TxError::BadMinSeqAgeOrGap));
    }
    let extra = frame.v2().map_or(&[][..], |v2| v2.extra_signers.as_slice());
    if !checker.account(source, source.thresholds[1]) || !checker.all_of(extra) {
        return Err((Stage::Sequence, TxError::BadAuth));
    }
    let due = if terms.applying { 0 } else { i64::from(frame.tx.fee) };
    if terms.charge_fee && header.available(source) < due {
        return Err((Stage::Signed, TxError::InsufficientBalance));
    }
    Ok(())
}

/// What `ops` operations cost at the base fee.
pub(super) fn min_fee(header: &Header, ops: i64) -> i64 {
    i64::from(header.base_fee).saturating_mul(ops)
}

// The outside of a fee bump; an error comes with the fee that its result names.
fn bump_valid(state: &State, header: &Header, frame: &Frame) -> Result<(), (i64, TxError)> {
    let Some(bump) = &frame.bump else { return Ok(()) };
    let (min, inner_min) = (min_fee(header, frame.fee_ops()), min_fee(header, frame.inner_fee_ops()));
    if bump.fee < min {
        return Err((min, TxError::InsufficientFee));
    }
    // the bump must offer at least as much per operation as the inside does
    let inner_rate = i128::from(frame.tx.fee) * i128::from(min);
    if i128::from(bump.fee) * i128::from(inner_min) < inner_rate {
        let needed = (inner_rate + i128::from(inner_min) - 1) / i128::from(inner_min).max(1);
        return Err((i64::try_from(needed).unwrap_or(i64::MAX), TxError::InsufficientFee));
    }
    let Some(source) = state.accounts.get(&bump.source) else { return Err((min, TxError::NoAccount)) };
    let mut checker = Checker::new(bump.hash, &bump.signatures);
    if !checker.account(source, source.thresholds[1]) {
        return Err((min, TxError::BadAuth));
    }
    if header.available(source) < bump.fee {
        return Err((min, TxError::InsufficientBalance));
    }
    if checker.all_used() { Ok(()) } else { Err((min, TxError::BadAuthExtra)) }
}

/// Checks a submission against the state after the last close. `header` is that of the last closed ledger; `upper`
/// is how many seconds past its close time `maxTime` must lie at least (stellar-core: two closes and the time since).
pub fn check_submission(state: &State, header: &Header, frame: &Frame, upper: u64) -> Outcome {
    // preconditions are checked as the next ledger will check them, times as the last one's
    let next = Header { ledger: header.ledger.saturating_add(1), ..*header };
    let fee = min_fee(&next, frame.fee_ops());
    let refused = |fee, outside, error| Outcome { fee, inner_fee: 0, outside, verdict: Verdict::Error(error) };
    if frame.bump.as_ref().is_some_and(|b| b.fee < 0) {
        return refused(0, true, TxError::Malformed);
    }
    if let Err((fee, error)) = bump_valid(state, &next, frame) {
        return refused(fee, true, error);
    }
    let mut checker = Checker::new(frame.inner_hash, &frame.signatures);
    let terms = Terms { upper, applying: false, charge_fee: frame.bump.is_none() };
    if let Err((_, error)) = common(state, &next, frame, &mut checker, terms) {
        return refused(fee, false, error);
    }
    let mut results: Vec<OperationResult> = frame.tx.operations.iter().map(ops::blank).collect();
    for (op, result) in frame.tx.operations.iter().zip(results.iter_mut()) {
        if let Err(failed) = ops::check(state, frame, op, &mut checker) {
            *result = failed;
            return Outcome { fee, inner_fee: 0, outside: false, verdict: Verdict::Failed(results) };
        }
    }
    if !checker.all_used() {
        return refused(fee, false, TxError::BadAuthExtra);
    }
    Outcome { fee, inner_fee: 0, outside: false, verdict: Verdict::Success(results) }
}
