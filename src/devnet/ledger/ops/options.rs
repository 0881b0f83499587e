//! SetOptions.
use super::asset::{AUTH_CLAWBACK, AUTH_IMMUTABLE, AUTH_REQUIRED, AUTH_REVOCABLE, is_plain};
use super::{Done, Stop};
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::entry::{AccountSigner, Id, id_of};
use crate::devnet::ledger::sponsor::{self, or_low};
use crate::devnet::ledger::xdr::{
    OperationResultTr as Tr, SetOptionsOp, SetOptionsResult as Code, Signer, SignerKey, Uint256,
};

const ALL_FLAGS: u32 = AUTH_REQUIRED | AUTH_REVOCABLE | AUTH_IMMUTABLE | AUTH_CLAWBACK;
const MAX_SIGNERS: usize = 20;

pub(super) fn check(source: Id, op: &SetOptionsOp) -> Result<(), Tr> {
    let fail = |code| Err(Tr::SetOptions(code));
    let (set, clear) = (op.set_flags.unwrap_or(0), op.clear_flags.unwrap_or(0));
    if (set | clear) & !ALL_FLAGS != 0 {
        return fail(Code::UnknownFlag);
    }
    if set & clear != 0 {
        return fail(Code::BadFlags);
    }
    let weights = [op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold];
    if weights.iter().flatten().any(|w| *w > 255) {
        return fail(Code::ThresholdOutOfRange);
    }
    if let Some(signer) = &op.signer {
        let own = signer.key == SignerKey::Ed25519(Uint256(source));
        let empty = matches!(&signer.key, SignerKey::Ed25519SignedPayload(signed) if signed.payload.is_empty());
        if own || empty || signer.weight > 255 {
            return fail(Code::BadSigner);
        }
    }
    if op.home_domain.as_ref().is_some_and(|domain| !is_plain(domain.0.as_slice())) {
        return fail(Code::InvalidHomeDomain);
    }
    Ok(())
}

fn byte(weight: u32) -> u8 {
    u8::try_from(weight).unwrap_or(u8::MAX)
}

pub(super) fn apply(cx: &mut Context<'_>, source: Id, op: &SetOptionsOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::SetOptions(code)));
    let inflation = op.inflation_dest.as_ref().map(id_of);
    if inflation.is_some_and(|id| cx.state.accounts.get(&id).is_none()) {
        return fail(Code::InvalidInflation);
    }
    let account = cx.state.account_mut(&source).ok_or(Stop::Internal)?;
    account.inflation_dest = inflation.or(account.inflation_dest);
    for (flags, set) in [(op.clear_flags, false), (op.set_flags, true)] {
        let Some(flags) = flags else { continue };
        if flags != 0 && account.flags & AUTH_IMMUTABLE != 0 {
            return fail(Code::CantChange);
        }
        account.flags = if set { account.flags | flags } else { account.flags & !flags };
    }
    let touched = op.clear_flags.is_some() || op.set_flags.is_some();
    if touched && account.flags & (AUTH_CLAWBACK | AUTH_REVOCABLE) == AUTH_CLAWBACK {
        return fail(Code::AuthRevocableRequired);
    }
    if let Some(domain) = &op.home_domain {
        account.home_domain = domain.clone();
    }
    let weights = [op.master_weight, op.low_threshold, op.med_threshold, op.high_threshold];
    for (slot, weight) in account.thresholds.iter_mut().zip(weights) {
        *slot = weight.map_or(*slot, byte);
    }
    if let Some(signer) = &op.signer {
        set_signer(cx, source, signer)?;
    }
    Ok(Tr::SetOptions(Code::Success))
}

fn set_signer(cx: &mut Context<'_>, source: Id, signer: &Signer) -> Result<(), Stop> {
    let account = cx.state.account_mut(&source).ok_or(Stop::Internal)?;
    let found = account.signers.binary_search_by(|s| s.key.cmp(&signer.key));
    match (found, signer.weight) {
        (Ok(at), 0) => sponsor::remove_signer(cx.state, &source, at)?,
        (Err(_), 0) => {}
        (Ok(at), weight) => account.signers[at].weight = weight,
        (Err(at), weight) => {
            if account.signers.len() >= MAX_SIGNERS {
                return Err(Tr::SetOptions(Code::TooManySigners).into());
            }
            account.signers.insert(at, AccountSigner { key: signer.key.clone(), weight, sponsor: None });
            let payer = or_low(sponsor::add_subentry(cx, &source, 1), Tr::SetOptions(Code::LowReserve))?;
            if let Some(added) = cx.state.account_mut(&source).and_then(|a| a.signers.get_mut(at)) {
                added.sponsor = payer;
            }
        }
    }
    Ok(())
}
