//! Reserves: who pays for an entry or a signer, and whether they can (CAP-33).
use super::apply::Context;
use super::entry::{Account, Id};
use super::ops::Stop;
use super::state::{Header, State};
use super::xdr::{OperationResult, OperationResultTr};

/// Entries that an account may own.
pub(super) const MAX_SUBENTRIES: u32 = 1000;

/// Why a reserve cannot be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// The balance is too low.
    LowReserve,
    /// More than 1000 subentries.
    Subentries,
    /// A counter would overflow.
    Sponsoring,
    /// The books contradict themselves; never seen, never hidden.
    Books,
}

/// Maps a reserve problem to the operation's own code where it has one.
#[allow(clippy::result_large_err, reason = "an operation's failure is the XDR result itself")]
pub(super) fn or_low<T>(result: Result<T, Short>, low: OperationResultTr) -> Result<T, Stop> {
    result.map_err(|short| match short {
        Short::LowReserve => Stop::Op(OperationResult::OpInner(low)),
        Short::Subentries => Stop::Op(OperationResult::OpTooManySubentries),
        Short::Sponsoring => Stop::Op(OperationResult::OpTooManySponsoring),
        Short::Books => Stop::Internal,
    })
}

fn sum_fits(account: &Account, units: u32) -> bool {
    u64::from(account.subentries) + u64::from(account.sponsoring) + u64::from(units) <= u64::from(u32::MAX)
}

fn reserve(header: &Header, units: u32) -> i64 {
    i64::from(units).saturating_mul(i64::from(header.base_reserve))
}

fn room_for(account: &Account, units: u32) -> Result<(), Short> {
    let fits = account.subentries.checked_add(units).is_some_and(|n| n <= MAX_SUBENTRIES);
    if fits && sum_fits(account, units) { Ok(()) } else { Err(Short::Subentries) }
}

// The sponsor's side: can it, and book it.
fn sponsor_pays(cx: &mut Context<'_>, sponsor: &Id, units: u32) -> Result<(), Short> {
    let header = cx.header;
    let account = cx.state.account_mut(sponsor).ok_or(Short::Books)?;
    if header.available(account) < reserve(header, units) {
        return Err(Short::LowReserve);
    }
    if !sum_fits(account, units) {
        return Err(Short::Sponsoring);
    }
    account.sponsoring += units;
    Ok(())
}

fn add_sponsored(state: &mut State, owner: &Id, units: u32) -> Result<(), Short> {
    let account = state.account_mut(owner).ok_or(Short::Books)?;
    account.sponsored = account.sponsored.checked_add(units).ok_or(Short::Books)?;
    Ok(())
}

fn sub(counter: &mut u32, units: u32) -> Result<(), Short> {
    *counter = counter.checked_sub(units).ok_or(Short::Books)?;
    Ok(())
}

/// Books `units` subentries of `owner`; returns who pays instead of the owner.
pub(super) fn add_subentry(cx: &mut Context<'_>, owner: &Id, units: u32) -> Result<Option<Id>, Short> {
    let header = cx.header;
    room_for(cx.state.accounts.get(owner).ok_or(Short::Books)?, units)?;
    let sponsor = cx.sponsoring.get(owner).copied();
    match &sponsor {
        Some(sponsor) => {
            sponsor_pays(cx, sponsor, units)?;
            add_sponsored(cx.state, owner, units)?;
        }
        None => {
            let account = cx.state.accounts.get(owner).ok_or(Short::Books)?;
            if header.available(account) < reserve(header, units) {
                return Err(Short::LowReserve);
            }
        }
    }
    cx.state.account_mut(owner).ok_or(Short::Books)?.subentries += units;
    Ok(sponsor)
}

/// Takes `units` subentries of `owner` off the books.
pub(super) fn remove_subentry(state: &mut State, owner: &Id, units: u32, sponsor: Option<&Id>) -> Result<(), Short> {
    let account = state.account_mut(owner).ok_or(Short::Books)?;
    sub(&mut account.subentries, units)?;
    match sponsor {
        Some(sponsor) => unsponsor(state, sponsor, Some(owner), units),
        None => Ok(()),
    }
}

/// Books the two units of an account that was just put into the state; returns who pays.
pub(super) fn add_account(cx: &mut Context<'_>, id: &Id) -> Result<Option<Id>, Short> {
    let header = cx.header;
    let sponsor = cx.sponsoring.get(id).copied();
    match &sponsor {
        Some(sponsor) => {
            sponsor_pays(cx, sponsor, 2)?;
            add_sponsored(cx.state, id, 2)?;
        }
        None => {
            let account = cx.state.accounts.get(id).ok_or(Short::Books)?;
            if account.balance < header.min_balance(account) {
                return Err(Short::LowReserve);
            }
        }
    }
    Ok(sponsor)
}

/// Books a claimable balance of `owner`; somebody always sponsors it.
pub(super) fn add_claimable(cx: &mut Context<'_>, owner: &Id, units: u32) -> Result<Id, Short> {
    let sponsor = cx.sponsoring.get(owner).copied().unwrap_or(*owner);
    sponsor_pays(cx, &sponsor, units)?;
    Ok(sponsor)
}

/// Ends a sponsorship of `units`; `owner` is the sponsored account, if the entry has one.
pub(super) fn unsponsor(state: &mut State, sponsor: &Id, owner: Option<&Id>, units: u32) -> Result<(), Short> {
    sub(&mut state.account_mut(sponsor).ok_or(Short::Books)?.sponsoring, units)?;
    match owner {
        Some(owner) => sub(&mut state.account_mut(owner).ok_or(Short::Books)?.sponsored, units),
        None => Ok(()),
    }
}

/// Removes the signer at `index` of `owner` with its reserve.
pub(super) fn remove_signer(state: &mut State, owner: &Id, index: usize) -> Result<(), Short> {
    let account = state.account_mut(owner).ok_or(Short::Books)?;
    if index >= account.signers.len() {
        return Err(Short::Books);
    }
    let signer = account.signers.remove(index);
    remove_subentry(state, owner, 1, signer.sponsor.as_ref())
}

/// RevokeSponsorship's move of `units` from `old` payer to `new` payer (`None`: the owner itself).
pub(super) fn transfer(
    cx: &mut Context<'_>,
    owner: Option<&Id>,
    old: Option<&Id>,
    new: Option<&Id>,
    units: u32,
) -> Result<(), Short> {
    match (old, new) {
        (Some(old), Some(new)) => {
            sponsor_pays(cx, new, units)?;
            unsponsor(cx.state, old, None, units)
        }
        (Some(old), None) => {
            let owner = owner.ok_or(Short::Books)?;
            let account = cx.state.accounts.get(owner).ok_or(Short::Books)?;
            if cx.header.available(account) < reserve(cx.header, units) {
                return Err(Short::LowReserve);
            }
            unsponsor(cx.state, old, Some(owner), units)
        }
        (None, Some(new)) => {
            sponsor_pays(cx, new, units)?;
            add_sponsored(cx.state, owner.ok_or(Short::Books)?, units)
        }
        (None, None) => Ok(()),
    }
}
