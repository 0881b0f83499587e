//! RevokeSponsorship (CAP-33): end, hand over or take over who pays a reserve.
use super::asset::{is_plain, is_valid, issuer};
use super::{Done, Stop};
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::entry::{Id, id_of};
use crate::devnet::ledger::sponsor::{self, or_low};
use crate::devnet::ledger::state::Key;
use crate::devnet::ledger::xdr::{
    Asset, ClaimableBalanceId, Hash, LedgerKey, OperationResultTr as Tr, RevokeSponsorshipOp,
    RevokeSponsorshipOpSigner, RevokeSponsorshipResult as Code, TrustLineAsset,
};

fn trust_asset(asset: &TrustLineAsset) -> Option<Asset> {
    match asset.clone() {
        TrustLineAsset::CreditAlphanum4(a) => Some(Asset::CreditAlphanum4(a)),
        TrustLineAsset::CreditAlphanum12(a) => Some(Asset::CreditAlphanum12(a)),
        TrustLineAsset::Native | TrustLineAsset::PoolShare(_) => None,
    }
}

pub(super) fn check(op: &RevokeSponsorshipOp) -> Result<(), Tr> {
    let RevokeSponsorshipOp::LedgerEntry(key) = op else { return Ok(()) };
    let good = match key {
        LedgerKey::Account(_) | LedgerKey::ClaimableBalance(_) => true,
        LedgerKey::Trustline(key) => match trust_asset(&key.asset) {
            Some(asset) => is_valid(&asset) && issuer(&asset) != Some(id_of(&key.account_id)),
            None => matches!(key.asset, TrustLineAsset::PoolShare(_)),
        },
        LedgerKey::Offer(key) => key.offer_id > 0,
        LedgerKey::Data(key) => !key.data_name.0.is_empty() && is_plain(key.data_name.0.as_slice()),
        _ => false,
    };
    if good { Ok(()) } else { Err(Tr::RevokeSponsorship(Code::Malformed)) }
}

// What is sponsored: its name, its owner (none for a claimable balance), its reserve units and who pays now.
struct Found {
    key: Key,
    owner: Option<Id>,
    units: u32,
    payer: Option<Id>,
}

fn find(cx: &Context<'_>, key: &LedgerKey) -> Option<Found> {
    match key {
        LedgerKey::Account(key) => {
            let id = id_of(&key.account_id);
            let account = cx.state.accounts.get(&id)?;
            Some(Found { key: Key::Account(id), owner: Some(id), units: 2, payer: account.reserve.by })
        }
        LedgerKey::Trustline(key) => {
            let (id, asset) = (id_of(&key.account_id), trust_asset(&key.asset)?);
            let line = cx.state.trust.get(&(id, asset.clone()))?;
            Some(Found { key: Key::Trust(id, asset), owner: Some(id), units: 1, payer: line.reserve.by })
        }
        LedgerKey::Data(key) => {
            let (id, name) = (id_of(&key.account_id), key.data_name.0.to_vec());
            let item = cx.state.data.get(&(id, name.clone()))?;
            Some(Found { key: Key::Data(id, name), owner: Some(id), units: 1, payer: item.reserve.by })
        }
        LedgerKey::ClaimableBalance(key) => {
            let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(id)) = key.balance_id;
            let balance = cx.state.claimables.get(&id)?;
            let units = u32::try_from(balance.claimants.len()).ok()?;
            Some(Found { key: Key::Claimable(id), owner: None, units, payer: balance.reserve.by })
        }
        _ => None,
    }
}

fn set_payer(cx: &mut Context<'_>, key: &Key, payer: Option<Id>) -> Option<()> {
    let ledger = cx.state.ledger;
    match key {
        Key::Account(id) => cx.state.account_mut(id)?.reserve.set(payer),
        Key::Trust(id, asset) => cx.state.trust_mut(id, asset)?.reserve.set(payer),
        Key::Data(id, name) => {
            let item = cx.state.data.get_mut(&(*id, name.clone()))?;
            item.reserve.set(payer);
            item.modified = ledger;
        }
        Key::Claimable(id) => {
            let balance = cx.state.claimables.get_mut(id)?;
            balance.reserve.set(payer);
            balance.modified = ledger;
        }
    }
    Some(())
}

// Only who pays may change who pays. An active sponsorship of the source names the next payer, unless that is the
// owner itself.
fn next_payer(cx: &Context<'_>, source: &Id, owner: Option<&Id>, payer: Option<&Id>) -> Result<Option<Id>, Stop> {
    if payer.or(owner) != Some(source) {
        return Err(Tr::RevokeSponsorship(Code::NotSponsor).into());
    }
    let owner_or_payer = owner.or(payer);
    Ok(cx.sponsoring.get(source).copied().filter(|new| Some(new) != owner_or_payer))
}

fn signer(cx: &mut Context<'_>, source: Id, op: &RevokeSponsorshipOpSigner) -> Done {
    let owner = id_of(&op.account_id);
    let found = cx.state.accounts.get(&owner).and_then(|a| {
        let at = a.signers.iter().position(|s| s.key == op.signer_key)?;
        Some((at, a.signers[at].sponsor))
    });
    let Some((at, payer)) = found else { return Err(Tr::RevokeSponsorship(Code::DoesNotExist).into()) };
    let new = next_payer(cx, &source, Some(&owner), payer.as_ref())?;
    let moved = sponsor::transfer(cx, Some(&owner), payer.as_ref(), new.as_ref(), 1);
    or_low(moved, Tr::RevokeSponsorship(Code::LowReserve))?;
    let account = cx.state.account_mut(&owner).ok_or(Stop::Internal)?;
    account.signers.get_mut(at).ok_or(Stop::Internal)?.sponsor = new;
    Ok(Tr::RevokeSponsorship(Code::Success))
}

pub(super) fn apply(cx: &mut Context<'_>, source: Id, op: &RevokeSponsorshipOp) -> Done {
    let key = match op {
        RevokeSponsorshipOp::LedgerEntry(key) => key,
        RevokeSponsorshipOp::Signer(op) => return signer(cx, source, op),
    };
    let Some(found) = find(cx, key) else { return Err(Tr::RevokeSponsorship(Code::DoesNotExist).into()) };
    let new = next_payer(cx, &source, found.owner.as_ref(), found.payer.as_ref())?;
    if new.is_none() && found.owner.is_none() {
        return Err(Tr::RevokeSponsorship(Code::OnlyTransferable).into());
    }
    let moved = sponsor::transfer(cx, found.owner.as_ref(), found.payer.as_ref(), new.as_ref(), found.units);
    or_low(moved, Tr::RevokeSponsorship(Code::LowReserve))?;
    set_payer(cx, &found.key, new).ok_or(Stop::Internal)?;
    Ok(Tr::RevokeSponsorship(Code::Success))
}
