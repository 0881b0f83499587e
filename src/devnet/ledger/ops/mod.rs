//! The operations: who must sign, what is malformed, what they do.
//!
//! Offers, liquidity pools, contracts and inflation are refused with opNOT_SUPPORTED; everything else of the classic
//! operations is here. Rules are those of protocol 19.
#![allow(clippy::result_large_err, reason = "an operation's failure is the XDR result itself")]
mod account;
mod asset;
mod claimable;
mod options;
mod payment;
mod revoke;
mod trust;

use super::apply::Context;
use super::auth::Checker;
use super::entry::Id;
use super::frame::Frame;
use super::sponsor::Short;
use super::state::State;
use super::xdr::{
    AccountMergeResult, ClaimableBalanceId, CreateClaimableBalanceResult, Operation, OperationBody as Body,
    OperationResult, OperationResultTr as Tr, PathPaymentStrictReceiveResult, PathPaymentStrictReceiveResultSuccess,
    PathPaymentStrictSendResult, PathPaymentStrictSendResultSuccess,
};

/// Why an operation stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// With this result.
    Op(OperationResult),
    /// The books contradict themselves: the whole transaction ends in txINTERNAL_ERROR.
    Internal,
}

impl From<Tr> for Stop {
    fn from(result: Tr) -> Self {
        Stop::Op(OperationResult::OpInner(result))
    }
}

impl From<Short> for Stop {
    fn from(_: Short) -> Self {
        Stop::Internal
    }
}

/// What an operation ends with.
pub(super) type Done = Result<Tr, Stop>;

/// True for operations that this ledger refuses.
pub fn is_unsupported(op: &Operation) -> bool {
    match &op.body {
        Body::ManageSellOffer(_)
        | Body::CreatePassiveSellOffer(_)
        | Body::ManageBuyOffer(_)
        | Body::LiquidityPoolDeposit(_)
        | Body::LiquidityPoolWithdraw(_)
        | Body::InvokeHostFunction(_)
        | Body::ExtendFootprintTtl(_)
        | Body::RestoreFootprint(_)
        | Body::Inflation => true,
        Body::ChangeTrust(op) => matches!(op.line, super::xdr::ChangeTrustAsset::PoolShare(_)),
        _ => false,
    }
}

/// The result that stands for an operation that was not reached: success without content, as stellar-core fills it.
pub(super) fn blank(op: &Operation) -> OperationResult {
    OperationResult::OpInner(match &op.body {
        Body::CreateAccount(_) => Tr::CreateAccount(Default::default()),
        Body::Payment(_) => Tr::Payment(Default::default()),
        Body::PathPaymentStrictReceive(_) => Tr::PathPaymentStrictReceive(PathPaymentStrictReceiveResult::Success(
            PathPaymentStrictReceiveResultSuccess::default(),
        )),
        Body::ManageSellOffer(_) => Tr::ManageSellOffer(Default::default()),
        Body::CreatePassiveSellOffer(_) => Tr::CreatePassiveSellOffer(Default::default()),
        Body::SetOptions(_) => Tr::SetOptions(Default::default()),
        Body::ChangeTrust(_) => Tr::ChangeTrust(Default::default()),
        Body::AllowTrust(_) => Tr::AllowTrust(Default::default()),
        Body::AccountMerge(_) => Tr::AccountMerge(AccountMergeResult::Success(0)),
        Body::Inflation => Tr::Inflation(Default::default()),
        Body::ManageData(_) => Tr::ManageData(Default::default()),
        Body::BumpSequence(_) => Tr::BumpSequence(Default::default()),
        Body::ManageBuyOffer(_) => Tr::ManageBuyOffer(Default::default()),
        Body::PathPaymentStrictSend(_) => Tr::PathPaymentStrictSend(PathPaymentStrictSendResult::Success(
            PathPaymentStrictSendResultSuccess::default(),
        )),
        Body::CreateClaimableBalance(_) => {
            Tr::CreateClaimableBalance(CreateClaimableBalanceResult::Success(ClaimableBalanceId::default()))
        }
        Body::ClaimClaimableBalance(_) => Tr::ClaimClaimableBalance(Default::default()),
        Body::BeginSponsoringFutureReserves(_) => Tr::BeginSponsoringFutureReserves(Default::default()),
        Body::EndSponsoringFutureReserves => Tr::EndSponsoringFutureReserves(Default::default()),
        Body::RevokeSponsorship(_) => Tr::RevokeSponsorship(Default::default()),
        Body::Clawback(_) => Tr::Clawback(Default::default()),
        Body::ClawbackClaimableBalance(_) => Tr::ClawbackClaimableBalance(Default::default()),
        Body::SetTrustLineFlags(_) => Tr::SetTrustLineFlags(Default::default()),
        Body::LiquidityPoolDeposit(_) => Tr::LiquidityPoolDeposit(Default::default()),
        Body::LiquidityPoolWithdraw(_) => Tr::LiquidityPoolWithdraw(Default::default()),
        Body::InvokeHostFunction(_) => Tr::InvokeHostFunction(Default::default()),
        Body::ExtendFootprintTtl(_) => Tr::ExtendFootprintTtl(Default::default()),
        Body::RestoreFootprint(_) => Tr::RestoreFootprint(Default::default()),
    })
}

// Index into Account::thresholds.
fn threshold(op: &Operation) -> usize {
    match &op.body {
        Body::AllowTrust(_)
        | Body::SetTrustLineFlags(_)
        | Body::BumpSequence(_)
        | Body::ClaimClaimableBalance(_)
        | Body::Inflation => 1,
        Body::AccountMerge(_) => 3,
        Body::SetOptions(o) => {
            let powers = o.master_weight.is_some()
                || o.low_threshold.is_some()
                || o.med_threshold.is_some()
                || o.high_threshold.is_some()
                || o.signer.is_some();
            if powers { 3 } else { 2 }
        }
        _ => 2,
    }
}

/// Whether the operation's source has signed enough.
pub(super) fn check_signature(
    state: &State,
    frame: &Frame,
    op: &Operation,
    checker: &mut Checker<'_>,
) -> Result<(), OperationResult> {
    let source = frame.op_source(op);
    let signed = match state.accounts.get(&source) {
        Some(account) => checker.account(account, account.thresholds[threshold(op)]),
        None if op.source_account.is_none() => return Err(OperationResult::OpNoAccount),
        None => checker.missing_account(&source),
    };
    if signed { Ok(()) } else { Err(OperationResult::OpBadAuth) }
}

/// The check on submission: known, signed, well formed.
pub(super) fn check(
    state: &State,
    frame: &Frame,
    op: &Operation,
    checker: &mut Checker<'_>,
) -> Result<(), OperationResult> {
    if is_unsupported(op) {
        return Err(OperationResult::OpNotSupported);
    }
    check_signature(state, frame, op, checker)?;
    well_formed(frame.op_source(op), op).map_err(OperationResult::OpInner)
}

fn well_formed(source: Id, op: &Operation) -> Result<(), Tr> {
    match &op.body {
        Body::CreateAccount(op) => account::check_create(source, op),
        Body::AccountMerge(destination) => account::check_merge(source, destination),
        Body::BumpSequence(op) => account::check_bump(op),
        Body::ManageData(op) => account::check_data(op),
        Body::BeginSponsoringFutureReserves(op) => account::check_begin(source, op),
        Body::SetOptions(op) => options::check(source, op),
        Body::Payment(op) => payment::check(op),
        Body::PathPaymentStrictReceive(op) => payment::check_receive(op),
        Body::PathPaymentStrictSend(op) => payment::check_send(op),
        Body::ChangeTrust(op) => trust::check_change(source, op),
        Body::AllowTrust(op) => trust::check_allow(source, op),
        Body::SetTrustLineFlags(op) => trust::check_flags(source, op),
        Body::Clawback(op) => trust::check_clawback(source, op),
        Body::CreateClaimableBalance(op) => claimable::check_create(op),
        Body::RevokeSponsorship(op) => revoke::check(op),
        _ => Ok(()),
    }
}

/// Applies one operation. The caller undoes what a failed one did.
pub(super) fn apply(cx: &mut Context<'_>, frame: &Frame, op: &Operation) -> Done {
    if is_unsupported(op) {
        return Err(Stop::Op(OperationResult::OpNotSupported));
    }
    let source = frame.op_source(op);
    if cx.state.accounts.get(&source).is_none() {
        return Err(Stop::Op(OperationResult::OpNoAccount));
    }
    well_formed(source, op)?;
    match &op.body {
        Body::CreateAccount(op) => account::create(cx, source, op),
        Body::AccountMerge(destination) => account::merge(cx, source, destination),
        Body::BumpSequence(op) => account::bump(cx, source, op),
        Body::ManageData(op) => account::data(cx, source, op),
        Body::BeginSponsoringFutureReserves(op) => account::begin(cx, source, op),
        Body::EndSponsoringFutureReserves => account::end(cx, source),
        Body::SetOptions(op) => options::apply(cx, source, op),
        Body::Payment(op) => payment::apply(cx, source, op),
        Body::PathPaymentStrictReceive(op) => payment::receive(cx, source, op),
        Body::PathPaymentStrictSend(op) => payment::send(cx, source, op),
        Body::ChangeTrust(op) => trust::change(cx, source, op),
        Body::AllowTrust(op) => trust::allow(cx, source, op),
        Body::SetTrustLineFlags(op) => trust::flags(cx, source, op),
        Body::Clawback(op) => trust::clawback(cx, op),
        Body::CreateClaimableBalance(op) => claimable::create(cx, source, op),
        Body::ClaimClaimableBalance(op) => claimable::claim(cx, source, op),
        Body::ClawbackClaimableBalance(op) => claimable::clawback(cx, source, op),
        Body::RevokeSponsorship(op) => revoke::apply(cx, source, op),
        _ => Err(Stop::Op(OperationResult::OpNotSupported)),
    }
}
