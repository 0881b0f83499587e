//! Claimable balances (CAP-23, clawback by CAP-35).
use super::asset::{AUTH_CLAWBACK, Blocked, CLAWBACK, credit, debit, is_valid, issuer};
use super::{Done, Stop};
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::auth::sha256;
use crate::devnet::ledger::entry::{Claimable, Id, Sponsorship, account_id, id_of};
use crate::devnet::ledger::sponsor::{self, or_low};
use crate::devnet::ledger::xdr::{
    Asset, ClaimClaimableBalanceOp, ClaimClaimableBalanceResult as Claim, ClaimPredicate, ClaimableBalanceId, Claimant,
    ClawbackClaimableBalanceOp, ClawbackClaimableBalanceResult as Claw, CreateClaimableBalanceOp,
    CreateClaimableBalanceResult as Create, Hash, HashIdPreimage, HashIdPreimageOperationId, Limits,
    OperationResultTr as Tr, SequenceNumber, WriteXdr,
};
use std::collections::BTreeSet;

const MAX_DEPTH: u32 = 4;

fn predicate_valid(predicate: &ClaimPredicate, depth: u32) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match predicate {
        ClaimPredicate::Unconditional => true,
        ClaimPredicate::And(both) | ClaimPredicate::Or(both) => {
            both.len() == 2 && both.iter().all(|p| predicate_valid(p, depth + 1))
        }
        ClaimPredicate::Not(inner) => inner.as_ref().is_some_and(|p| predicate_valid(p, depth + 1)),
        ClaimPredicate::BeforeAbsoluteTime(t) | ClaimPredicate::BeforeRelativeTime(t) => *t >= 0,
    }
}

pub(super) fn check_create(op: &CreateClaimableBalanceOp) -> Result<(), Tr> {
    let who: BTreeSet<Id> = op.claimants.iter().map(|Claimant::ClaimantTypeV0(c)| id_of(&c.destination)).collect();
    let good = is_valid(&op.asset)
        && op.amount > 0
        && !op.claimants.is_empty()
        && who.len() == op.claimants.len()
        && op.claimants.iter().all(|Claimant::ClaimantTypeV0(c)| predicate_valid(&c.predicate, 1));
    if good { Ok(()) } else { Err(Tr::CreateClaimableBalance(Create::Malformed)) }
}

// Depth was checked before: at most 4.
fn absolute(predicate: &ClaimPredicate, now: i64) -> Option<ClaimPredicate> {
    let all = |both: &[ClaimPredicate]| both.iter().map(|p| absolute(p, now)).collect::<Option<Vec<_>>>();
    Some(match predicate {
        ClaimPredicate::And(both) => ClaimPredicate::And(all(both)?.try_into().ok()?),
        ClaimPredicate::Or(both) => ClaimPredicate::Or(all(both)?.try_into().ok()?),
        ClaimPredicate::Not(inner) => ClaimPredicate::Not(Some(Box::new(absolute(inner.as_ref()?, now)?))),
        ClaimPredicate::BeforeRelativeTime(t) => ClaimPredicate::BeforeAbsoluteTime(now.saturating_add(*t)),
        other => other.clone(),
    })
}

fn holds(predicate: &ClaimPredicate, now: u64) -> bool {
    match predicate {
        ClaimPredicate::Unconditional => true,
        ClaimPredicate::And(both) => both.iter().all(|p| holds(p, now)),
        ClaimPredicate::Or(both) => both.iter().any(|p| holds(p, now)),
        ClaimPredicate::Not(inner) => inner.as_ref().is_some_and(|p| !holds(p, now)),
        ClaimPredicate::BeforeAbsoluteTime(t) => u64::try_from(*t).is_ok_and(|t| t > now),
        ClaimPredicate::BeforeRelativeTime(_) => false,
    }
}

fn balance_id(cx: &Context<'_>) -> Result<[u8; 32], Stop> {
    let preimage = HashIdPreimage::OpId(HashIdPreimageOperationId {
        source_account: account_id(&cx.tx_source),
        seq_num: SequenceNumber(cx.tx_seq),
        op_num: cx.index,
    });
    preimage.to_xdr(Limits::none()).map(|bytes| sha256(&bytes)).map_err(|_| Stop::Internal)
}

pub(super) fn create(cx: &mut Context<'_>, source: Id, op: &CreateClaimableBalanceOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::CreateClaimableBalance(code)));
    match debit(cx, &source, &op.asset, op.amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Create::NoTrust),
        Err(Blocked::NotAuthorized) => return fail(Create::NotAuthorized),
        Err(Blocked::Amount) => return fail(Create::Underfunded),
    }
    let clawback = match issuer(&op.asset) {
        None => false,
        Some(id) if id == source => cx.state.accounts.get(&source).is_some_and(|a| a.flags & AUTH_CLAWBACK != 0),
        Some(_) => cx.state.trust.get(&(source, op.asset.clone())).is_some_and(|t| t.flags & CLAWBACK != 0),
    };
    let now = i64::try_from(cx.header.close_time).unwrap_or(i64::MAX);
    let mut claimants = Vec::with_capacity(op.claimants.len());
    for Claimant::ClaimantTypeV0(claimant) in op.claimants.iter() {
        let mut claimant = claimant.clone();
        claimant.predicate = absolute(&claimant.predicate, now).ok_or(Stop::Internal)?;
        claimants.push(Claimant::ClaimantTypeV0(claimant));
    }
    let units = u32::try_from(claimants.len()).map_err(|_| Stop::Internal)?;
    let payer = or_low(sponsor::add_claimable(cx, &source, units), Tr::CreateClaimableBalance(Create::LowReserve))?;
    let id = balance_id(cx)?;
    let entry = Claimable {
        id,
        claimants: claimants.try_into().map_err(|_| Stop::Internal)?,
        asset: op.asset.clone(),
        amount: op.amount,
        clawback,
        reserve: Sponsorship::new(Some(payer)),
        modified: cx.state.ledger,
    };
    cx.state.claimables.insert(id, entry);
    Ok(Tr::CreateClaimableBalance(Create::Success(ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(id)))))
}

fn key(id: &ClaimableBalanceId) -> [u8; 32] {
    let ClaimableBalanceId::ClaimableBalanceIdTypeV0(Hash(id)) = id;
    *id
}

fn erase(cx: &mut Context<'_>, balance: &Claimable) -> Result<(), Stop> {
    let units = u32::try_from(balance.claimants.len()).map_err(|_| Stop::Internal)?;
    if let Some(payer) = &balance.reserve.by {
        sponsor::unsponsor(cx.state, payer, None, units)?;
    }
    cx.state.claimables.remove(&balance.id);
    Ok(())
}

pub(super) fn claim(cx: &mut Context<'_>, source: Id, op: &ClaimClaimableBalanceOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::ClaimClaimableBalance(code)));
    let Some(balance) = cx.state.claimables.get(&key(&op.balance_id)).cloned() else {
        return fail(Claim::DoesNotExist);
    };
    let now = cx.header.close_time;
    let may = balance
        .claimants
        .iter()
        .any(|Claimant::ClaimantTypeV0(c)| id_of(&c.destination) == source && holds(&c.predicate, now));
    if !may {
        return fail(Claim::CannotClaim);
    }
    match credit(cx, &source, &balance.asset, balance.amount) {
        Ok(()) => {}
        Err(Blocked::NoTrust) => return fail(Claim::NoTrust),
        Err(Blocked::NotAuthorized) => return fail(Claim::NotAuthorized),
        Err(Blocked::Amount) => return fail(Claim::LineFull),
    }
    erase(cx, &balance)?;
    Ok(Tr::ClaimClaimableBalance(Claim::Success))
}

pub(super) fn clawback(cx: &mut Context<'_>, source: Id, op: &ClawbackClaimableBalanceOp) -> Done {
    let fail = |code| Err(Stop::from(Tr::ClawbackClaimableBalance(code)));
    let Some(balance) = cx.state.claimables.get(&key(&op.balance_id)).cloned() else {
        return fail(Claw::DoesNotExist);
    };
    if balance.asset == Asset::Native || issuer(&balance.asset) != Some(source) {
        return fail(Claw::NotIssuer);
    }
    if !balance.clawback {
        return fail(Claw::NotClawbackEnabled);
    }
    erase(cx, &balance)?;
    Ok(Tr::ClawbackClaimableBalance(Claw::Success))
}
