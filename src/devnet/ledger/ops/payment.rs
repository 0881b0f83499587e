//! Payment and the two path payments. There are no offers here, so a path leads only where it changes no asset.
use super::asset::{Blocked, credit, debit, is_valid, issuer};
use super::{Done, Stop};
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::entry::{Id, account_id, muxed_id};
use crate::devnet::ledger::xdr::{
    Asset, OperationResultTr as Tr, PathPaymentStrictReceiveOp, PathPaymentStrictReceiveResult as Receive,
    PathPaymentStrictReceiveResultSuccess, PathPaymentStrictSendOp, PathPaymentStrictSendResult as Send,
    PathPaymentStrictSendResultSuccess, PaymentOp, PaymentResult as Pay, SimplePaymentResult, VecM,
};

pub(super) fn check(op: &PaymentOp) -> Result<(), Tr> {
    if op.amount > 0 && is_valid(&op.asset) { Ok(()) } else { Err(Tr::Payment(Pay::Malformed)) }
}

fn paths_valid(send: &Asset, dest: &Asset, path: &[Asset]) -> bool {
    is_valid(send) && is_valid(dest) && path.iter().all(is_valid)
}

pub(super) fn check_receive(op: &PathPaymentStrictReceiveOp) -> Result<(), Tr> {
    let good = op.dest_amount > 0 && op.send_max > 0 && paths_valid(&op.send_asset, &op.dest_asset, &op.path);
    if good { Ok(()) } else { Err(Tr::PathPaymentStrictReceive(Receive::Malformed)) }
}

pub(super) fn check_send(op: &PathPaymentStrictSendOp) -> Result<(), Tr> {
    let good = op.send_amount > 0 && op.dest_min > 0 && paths_valid(&op.send_asset, &op.dest_asset, &op.path);
    if good { Ok(()) } else { Err(Tr::PathPaymentStrictSend(Send::Malformed)) }
}

// Credit may always go back to its issuer, even when the issuer's account is gone.
fn reachable(cx: &Context<'_>, to: &Id, send: &Asset, dest: &Asset, path: &[Asset]) -> bool {
    let home = path.is_empty() && send == dest && issuer(dest).as_ref() == Some(to);
    home || cx.state.accounts.get(to).is_some()
}

pub(super) fn apply(cx: &mut Context<'_>, source: Id, op: &PaymentOp) -> Done {
    let to = muxed_id(&op.destination);
    let fail = |code| Err(Stop::from(Tr::Payment(code)));
    if op.asset == Asset::Native && to == source {
        return Ok(Tr::Payment(Pay::Success));
    }
    if !reachable(cx, &to, &op.asset, &op.asset, &[]) {
        return fail(Pay::NoDestination);
    }
    // the receiving side is checked first
    match credit(cx, &to, &op.asset, op.amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Pay::NoTrust),
        Err(Blocked::NotAuthorized) => return fail(Pay::NotAuthorized),
        Err(Blocked::Amount) => return fail(Pay::LineFull),
    }
    match debit(cx, &source, &op.asset, op.amount) {
        Ok(()) => Ok(Tr::Payment(Pay::Success)),
        Err(Blocked::NoTrust) => fail(Pay::SrcNoTrust),
        Err(Blocked::NotAuthorized) => fail(Pay::SrcNotAuthorized),
        Err(Blocked::Amount) => fail(Pay::Underfunded),
    }
}

fn changes_asset(send: &Asset, dest: &Asset, path: &[Asset]) -> bool {
    send != dest || path.iter().any(|asset| asset != send)
}

pub(super) fn receive(cx: &mut Context<'_>, source: Id, op: &PathPaymentStrictReceiveOp) -> Done {
    let to = muxed_id(&op.destination);
    let fail = |code| Err(Stop::from(Tr::PathPaymentStrictReceive(code)));
    if !reachable(cx, &to, &op.send_asset, &op.dest_asset, &op.path) {
        return fail(Receive::NoDestination);
    }
    match credit(cx, &to, &op.dest_asset, op.dest_amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Receive::NoTrust),
        Err(Blocked::NotAuthorized) => return fail(Receive::NotAuthorized),
        Err(Blocked::Amount) => return fail(Receive::LineFull),
    }
    if changes_asset(&op.send_asset, &op.dest_asset, &op.path) {
        return fail(Receive::TooFewOffers);
    }
    if op.dest_amount > op.send_max {
        return fail(Receive::OverSendmax);
    }
    match debit(cx, &source, &op.send_asset, op.dest_amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Receive::SrcNoTrust),
        Err(Blocked::NotAuthorized) => return fail(Receive::SrcNotAuthorized),
        Err(Blocked::Amount) => return fail(Receive::Underfunded),
    }
    let last = last(&to, &op.dest_asset, op.dest_amount);
    Ok(Tr::PathPaymentStrictReceive(Receive::Success(PathPaymentStrictReceiveResultSuccess {
        offers: VecM::default(),
        last,
    })))
}

pub(super) fn send(cx: &mut Context<'_>, source: Id, op: &PathPaymentStrictSendOp) -> Done {
    let to = muxed_id(&op.destination);
    let fail = |code| Err(Stop::from(Tr::PathPaymentStrictSend(code)));
    if !reachable(cx, &to, &op.send_asset, &op.dest_asset, &op.path) {
        return fail(Send::NoDestination);
    }
    match debit(cx, &source, &op.send_asset, op.send_amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Send::SrcNoTrust),
        Err(Blocked::NotAuthorized) => return fail(Send::SrcNotAuthorized),
        Err(Blocked::Amount) => return fail(Send::Underfunded),
    }
    if changes_asset(&op.send_asset, &op.dest_asset, &op.path) {
        return fail(Send::TooFewOffers);
    }
    if op.send_amount < op.dest_min {
        return fail(Send::UnderDestmin);
    }
    match credit(cx, &to, &op.dest_asset, op.send_amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Send::NoTrust),
        Err(Blocked::NotAuthorized) => return fail(Send::NotAuthorized),
        Err(Blocked::Amount) => return fail(Send::LineFull),
    }
    let last = last(&to, &op.dest_asset, op.send_amount);
    Ok(Tr::PathPaymentStrictSend(Send::Success(PathPaymentStrictSendResultSuccess { offers: VecM::default(), last })))
}

fn last(to: &Id, asset: &Asset, amount: i64) -> SimplePaymentResult {
    SimplePaymentResult { destination: account_id(to), asset: asset.clone(), amount }
}
