//! CreateAccount, AccountMerge, BumpSequence, ManageData, Begin- and EndSponsoringFutureReserves.
use super::asset::{AUTH_IMMUTABLE, is_plain};
use super::{Done, Stop};
use crate::devnet::ledger::apply::{Context, touch_seq};
use crate::devnet::ledger::entry::{Account, DataItem, Id, Sponsorship, id_of, muxed_id};
use crate::devnet::ledger::sponsor::{self, or_low};
use crate::devnet::ledger::xdr::{
    AccountMergeResult as Merge, BeginSponsoringFutureReservesOp, BeginSponsoringFutureReservesResult as Begin,
    BumpSequenceOp, BumpSequenceResult as Bump, CreateAccountOp, CreateAccountResult as Create,
    EndSponsoringFutureReservesResult as End, ManageDataOp, ManageDataResult as Data, MuxedAccount,
    OperationResultTr as Tr,
};

pub(super) fn check_create(source: Id, op: &CreateAccountOp) -> Result<(), Tr> {
    let bad = op.starting_balance < 0 || id_of(&op.destination) == source;
    if bad { Err(Tr::CreateAccount(Create::Malformed)) } else { Ok(()) }
}

pub(super) fn create(cx: &mut Context<'_>, source: Id, op: &CreateAccountOp) -> Done {
    let id = id_of(&op.destination);
    if cx.state.accounts.get(&id).is_some() {
        return Err(Tr::CreateAccount(Create::AlreadyExist).into());
    }
    let mut account = Account::new(id, op.starting_balance, cx.header.starting_seq());
    account.modified = cx.state.ledger;
    cx.state.accounts.insert(id, account);
    let payer = or_low(sponsor::add_account(cx, &id), Tr::CreateAccount(Create::LowReserve))?;
    if let Some(account) = cx.state.account_mut(&id) {
        account.reserve = Sponsorship::new(payer);
    }
    let header = cx.header;
    let from = cx.state.account_mut(&source).ok_or(Stop::Internal)?;
    if header.available(from) < op.starting_balance {
        return Err(Tr::CreateAccount(Create::Underfunded).into());
    }
    from.balance = from.balance.checked_sub(op.starting_balance).ok_or(Stop::Internal)?;
    Ok(Tr::CreateAccount(Create::Success))
}

pub(super) fn check_merge(source: Id, destination: &MuxedAccount) -> Result<(), Tr> {
    if muxed_id(destination) == source { Err(Tr::AccountMerge(Merge::Malformed)) } else { Ok(()) }
}

pub(super) fn merge(cx: &mut Context<'_>, source: Id, destination: &MuxedAccount) -> Done {
    let destination = muxed_id(destination);
    let fail = |code| Err(Stop::from(Tr::AccountMerge(code)));
    if cx.state.accounts.get(&destination).is_none() {
        return fail(Merge::NoAccount);
    }
    let account = cx.state.accounts.get(&source).ok_or(Stop::Internal)?;
    let (balance, signers, owner) = (account.balance, account.signers.len(), account.reserve.by);
    if account.flags & AUTH_IMMUTABLE != 0 {
        return fail(Merge::ImmutableSet);
    }
    if usize::try_from(account.subentries) != Ok(signers) {
        return fail(Merge::HasSubEntries);
    }
    if account.seq >= cx.header.starting_seq() {
        return fail(Merge::SeqnumTooFar);
    }
    if cx.sponsoring.values().any(|sponsor| *sponsor == source) || account.sponsoring > 0 {
        return fail(Merge::IsSponsor);
    }
    for index in (0..signers).rev() {
        sponsor::remove_signer(cx.state, &source, index)?;
    }
    let to = cx.state.account_mut(&destination).ok_or(Stop::Internal)?;
    let Some(sum) = to.balance.checked_add(balance) else { return fail(Merge::DestFull) };
    to.balance = sum;
    if let Some(owner) = &owner {
        sponsor::unsponsor(cx.state, owner, Some(&source), 2)?;
    }
    cx.state.accounts.remove(&source);
    Ok(Tr::AccountMerge(Merge::Success(balance)))
}

pub(super) fn check_bump(op: &BumpSequenceOp) -> Result<(), Tr> {
    if op.bump_to.0 < 0 { Err(Tr::BumpSequence(Bump::BadSeq)) } else { Ok(()) }
}

pub(super) fn bump(cx: &mut Context<'_>, source: Id, op: &BumpSequenceOp) -> Done {
    let header = cx.header;
    let account = cx.state.account_mut(&source).ok_or(Stop::Internal)?;
    // time and ledger are touched even when the number stays
    touch_seq(account, header);
    account.seq = account.seq.max(op.bump_to.0);
    Ok(Tr::BumpSequence(Bump::Success))
}

pub(super) fn check_data(op: &ManageDataOp) -> Result<(), Tr> {
    let name = op.data_name.0.as_slice();
    if name.is_empty() || !is_plain(name) { Err(Tr::ManageData(Data::InvalidName)) } else { Ok(()) }
}

pub(super) fn data(cx: &mut Context<'_>, source: Id, op: &ManageDataOp) -> Done {
    let key = (source, op.data_name.0.to_vec());
    let known = cx.state.data.get(&key).cloned();
    match (&op.data_value, known) {
        (Some(value), Some(mut item)) => {
            item.value = value.clone();
            item.modified = cx.state.ledger;
            cx.state.data.insert(key, item);
        }
        (Some(value), None) => {
            let payer = or_low(sponsor::add_subentry(cx, &source, 1), Tr::ManageData(Data::LowReserve))?;
            let item = DataItem {
                id: source,
                name: op.data_name.clone(),
                value: value.clone(),
                reserve: Sponsorship::new(payer),
                modified: cx.state.ledger,
            };
            cx.state.data.insert(key, item);
        }
        (None, Some(item)) => {
            sponsor::remove_subentry(cx.state, &source, 1, item.reserve.by.as_ref())?;
            cx.state.data.remove(&key);
        }
        (None, None) => return Err(Tr::ManageData(Data::NameNotFound).into()),
    }
    Ok(Tr::ManageData(Data::Success))
}

pub(super) fn check_begin(source: Id, op: &BeginSponsoringFutureReservesOp) -> Result<(), Tr> {
    let own = id_of(&op.sponsored_id) == source;
    if own { Err(Tr::BeginSponsoringFutureReserves(Begin::Malformed)) } else { Ok(()) }
}

pub(super) fn begin(cx: &mut Context<'_>, source: Id, op: &BeginSponsoringFutureReservesOp) -> Done {
    let sponsored = id_of(&op.sponsored_id);
    if cx.sponsoring.contains_key(&sponsored) {
        return Err(Tr::BeginSponsoringFutureReserves(Begin::AlreadySponsored).into());
    }
    if cx.sponsoring.contains_key(&source) || cx.sponsoring.values().any(|sponsor| *sponsor == sponsored) {
        return Err(Tr::BeginSponsoringFutureReserves(Begin::Recursive).into());
    }
    cx.sponsoring.insert(sponsored, source);
    Ok(Tr::BeginSponsoringFutureReserves(Begin::Success))
}

pub(super) fn end(cx: &mut Context<'_>, source: Id) -> Done {
    match cx.sponsoring.remove(&source) {
        Some(_) => Ok(Tr::EndSponsoringFutureReserves(End::Success)),
        None => Err(Tr::EndSponsoringFutureReserves(End::NotSponsored).into()),
    }
}
