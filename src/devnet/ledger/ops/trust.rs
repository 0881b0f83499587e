//! ChangeTrust, AllowTrust, SetTrustLineFlags, Clawback.
use super::asset::{AUTH_CLAWBACK, AUTH_REQUIRED, AUTH_REVOCABLE, AUTHORIZED, CLAWBACK, MAINTAIN, is_valid, issuer};
use super::{Done, Stop};
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::entry::{Id, Sponsorship, TrustLine, account_id, id_of, muxed_id};
use crate::devnet::ledger::sponsor::{self, or_low};
use crate::devnet::ledger::xdr::{
    AllowTrustOp, AllowTrustResult as Allow, AlphaNum4, AlphaNum12, Asset, AssetCode, ChangeTrustAsset, ChangeTrustOp,
    ChangeTrustResult as Change, ClawbackOp, ClawbackResult as Claw, MuxedAccount, OperationResultTr as Tr,
    SetTrustLineFlagsOp, SetTrustLineFlagsResult as Flags, Uint256,
};

const AUTH_BITS: u32 = AUTHORIZED | MAINTAIN;

fn line_asset(line: &ChangeTrustAsset) -> Option<Asset> {
    match line.clone() {
        ChangeTrustAsset::CreditAlphanum4(a) => Some(Asset::CreditAlphanum4(a)),
        ChangeTrustAsset::CreditAlphanum12(a) => Some(Asset::CreditAlphanum12(a)),
        ChangeTrustAsset::Native | ChangeTrustAsset::PoolShare(_) => None,
    }
}

pub(super) fn check_change(source: Id, op: &ChangeTrustOp) -> Result<(), Tr> {
    let good = line_asset(&op.line).is_some_and(|asset| is_valid(&asset) && issuer(&asset) != Some(source));
    if op.limit >= 0 && good { Ok(()) } else { Err(Tr::ChangeTrust(Change::Malformed)) }
}

pub(super) fn change(cx: &mut Context<'_>, source: Id, op: &ChangeTrustOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::ChangeTrust(code)));
    let (Some(asset), Some(issuer)) = (line_asset(&op.line), line_asset(&op.line).as_ref().and_then(issuer)) else {
        return fail(Change::Malformed);
    };
    let issuer_flags = cx.state.accounts.get(&issuer).map(|a| a.flags);
    let key = (source, asset);
    if let Some(line) = cx.state.trust.get(&key) {
        if op.limit < line.balance {
            return fail(Change::InvalidLimit);
        }
        if op.limit == 0 {
            let payer = line.reserve.by;
            sponsor::remove_subentry(cx.state, &source, 1, payer.as_ref())?;
            cx.state.trust.remove(&key);
            return Ok(Tr::ChangeTrust(Change::Success));
        }
        if issuer_flags.is_none() {
            return fail(Change::NoIssuer);
        }
        cx.state.trust_mut(&source, &key.1).ok_or(Stop::Internal)?.limit = op.limit;
        return Ok(Tr::ChangeTrust(Change::Success));
    }
    if op.limit == 0 {
        return fail(Change::InvalidLimit);
    }
    let Some(issuer_flags) = issuer_flags else { return fail(Change::NoIssuer) };
    let mut flags = if issuer_flags & AUTH_REQUIRED == 0 { AUTHORIZED } else { 0 };
    if issuer_flags & AUTH_CLAWBACK != 0 {
        flags |= CLAWBACK;
    }
    let payer = or_low(sponsor::add_subentry(cx, &source, 1), Tr::ChangeTrust(Change::LowReserve))?;
    let line = TrustLine {
        id: source,
        asset: key.1.clone(),
        balance: 0,
        limit: op.limit,
        flags,
        reserve: Sponsorship::new(payer),
        modified: cx.state.ledger,
    };
    cx.state.trust.insert(key, line);
    Ok(Tr::ChangeTrust(Change::Success))
}

fn code_asset(code: &AssetCode, issuer: &Id) -> Asset {
    let issuer = account_id(issuer);
    match code.clone() {
        AssetCode::CreditAlphanum4(asset_code) => Asset::CreditAlphanum4(AlphaNum4 { asset_code, issuer }),
        AssetCode::CreditAlphanum12(asset_code) => Asset::CreditAlphanum12(AlphaNum12 { asset_code, issuer }),
    }
}

pub(super) fn check_allow(source: Id, op: &AllowTrustOp) -> Result<(), Tr> {
    let good = op.authorize <= MAINTAIN && is_valid(&code_asset(&op.asset, &source)) && id_of(&op.trustor) != source;
    if good { Ok(()) } else { Err(Tr::AllowTrust(Allow::Malformed)) }
}

pub(super) fn allow(cx: &mut Context<'_>, source: Id, op: &AllowTrustOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::AllowTrust(code)));
    let revocable = cx.state.accounts.get(&source).ok_or(Stop::Internal)?.flags & AUTH_REVOCABLE != 0;
    if !revocable && op.authorize == 0 {
        return fail(Allow::CantRevoke);
    }
    let Some(line) = cx.state.trust_mut(&id_of(&op.trustor), &code_asset(&op.asset, &source)) else {
        return fail(Allow::NoTrustLine);
    };
    if !revocable && line.flags & AUTHORIZED != 0 && op.authorize & MAINTAIN != 0 {
        return fail(Allow::CantRevoke);
    }
    line.flags = (line.flags & !AUTH_BITS) | op.authorize;
    Ok(Tr::AllowTrust(Allow::Success))
}

pub(super) fn check_flags(source: Id, op: &SetTrustLineFlagsOp) -> Result<(), Tr> {
    let (set, clear) = (op.set_flags, op.clear_flags);
    let good = is_valid(&op.asset)
        && issuer(&op.asset) == Some(source)
        && id_of(&op.trustor) != source
        && set & clear == 0
        && set & !AUTH_BITS == 0
        && set != AUTH_BITS
        && clear & !(AUTH_BITS | CLAWBACK) == 0;
    if good { Ok(()) } else { Err(Tr::SetTrustLineFlags(Flags::Malformed)) }
}

pub(super) fn flags(cx: &mut Context<'_>, source: Id, op: &SetTrustLineFlagsOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::SetTrustLineFlags(code)));
    let revocable = cx.state.accounts.get(&source).ok_or(Stop::Internal)?.flags & AUTH_REVOCABLE != 0;
    if !revocable && op.clear_flags & AUTH_BITS != 0 && op.set_flags & AUTHORIZED == 0 {
        return fail(Flags::CantRevoke);
    }
    let Some(line) = cx.state.trust_mut(&id_of(&op.trustor), &op.asset) else { return fail(Flags::NoTrustLine) };
    let after = (line.flags & !op.clear_flags) | op.set_flags;
    if after & AUTH_BITS == AUTH_BITS {
        return fail(Flags::InvalidState);
    }
    line.flags = after;
    Ok(Tr::SetTrustLineFlags(Flags::Success))
}

pub(super) fn check_clawback(source: Id, op: &ClawbackOp) -> Result<(), Tr> {
    let good = op.from != MuxedAccount::Ed25519(Uint256(source))
        && op.amount >= 1
        && is_valid(&op.asset)
        && issuer(&op.asset) == Some(source);
    if good { Ok(()) } else { Err(Tr::Clawback(Claw::Malformed)) }
}

pub(super) fn clawback(cx: &mut Context<'_>, op: &ClawbackOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::Clawback(code)));
    let Some(line) = cx.state.trust_mut(&muxed_id(&op.from), &op.asset) else { return fail(Claw::NoTrust) };
    if line.flags & CLAWBACK == 0 {
        return fail(Claw::NotClawbackEnabled);
    }
    match line.balance.checked_sub(op.amount).filter(|b| *b >= 0) {
        Some(rest) => line.balance = rest,
        None => return fail(Claw::Underfunded),
    }
    Ok(Tr::Clawback(Claw::Success))
}
