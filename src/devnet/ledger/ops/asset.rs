//! Assets, flags and balances that several operations share.
use crate::devnet::ledger::apply::Context;
use crate::devnet::ledger::entry::{Id, id_of};
use crate::devnet::ledger::xdr::Asset;

/// Issuer may or must authorise holders.
pub(super) const AUTH_REQUIRED: u32 = 1;
/// Issuer may take authorisation back.
pub(super) const AUTH_REVOCABLE: u32 = 2;
/// The flags never change, the account never merges.
pub(super) const AUTH_IMMUTABLE: u32 = 4;
/// New trustlines can be clawed back.
pub(super) const AUTH_CLAWBACK: u32 = 8;
/// Trustline: may pay and be paid.
pub(super) const AUTHORIZED: u32 = 1;
/// Trustline: may keep offers only.
pub(super) const MAINTAIN: u32 = 2;
/// Trustline: the issuer may claw back.
pub(super) const CLAWBACK: u32 = 4;

/// Issuer of an asset; `None` for the native one.
pub(super) fn issuer(asset: &Asset) -> Option<Id> {
    match asset {
        Asset::Native => None,
        Asset::CreditAlphanum4(a) => Some(id_of(&a.issuer)),
        Asset::CreditAlphanum12(a) => Some(id_of(&a.issuer)),
    }
}

/// Codes are ASCII letters and digits, zero-padded: 1 to 4, or 5 to 12.
pub(super) fn is_valid(asset: &Asset) -> bool {
    let (code, least): (&[u8], usize) = match asset {
        Asset::Native => return true,
        Asset::CreditAlphanum4(a) => (&a.asset_code.0, 1),
        Asset::CreditAlphanum12(a) => (&a.asset_code.0, 5),
    };
    let length = code.iter().position(|c| *c == 0).unwrap_or(code.len());
    length >= least && code[..length].iter().all(u8::is_ascii_alphanumeric) && code[length..].iter().all(|c| *c == 0)
}

/// Printable ASCII, as home domains and data names must be.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|c| c.is_ascii() && !c.is_ascii_control())
}

/// Why an amount cannot move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// No trustline.
    NoTrust,
    /// The trustline is not authorised.
    NotAuthorized,
    /// Too little to give, or too little room to take.
    Amount,
}

/// Takes `amount` from an account; issuers issue without limit.
pub(super) fn debit(cx: &mut Context<'_>, from: &Id, asset: &Asset, amount: i64) -> Result<(), Blocked> {
    if *asset == Asset::Native {
        let header = cx.header;
        let account = cx.state.account_mut(from).ok_or(Blocked::NoTrust)?;
        if header.available(account) < amount {
            return Err(Blocked::Amount);
        }
        account.balance = account.balance.checked_sub(amount).ok_or(Blocked::Amount)?;
        return Ok(());
    }
    if issuer(asset).as_ref() == Some(from) {
        return Ok(());
    }
    let line = cx.state.trust_mut(from, asset).ok_or(Blocked::NoTrust)?;
    if line.flags & AUTHORIZED == 0 {
        return Err(Blocked::NotAuthorized);
    }
    line.balance = line.balance.checked_sub(amount).filter(|b| *b >= 0).ok_or(Blocked::Amount)?;
    Ok(())
}

/// Gives `amount` to an account; what comes back to its issuer is gone.
pub(super) fn credit(cx: &mut Context<'_>, to: &Id, asset: &Asset, amount: i64) -> Result<(), Blocked> {
    if *asset == Asset::Native {
        let account = cx.state.account_mut(to).ok_or(Blocked::NoTrust)?;
        account.balance = account.balance.checked_add(amount).ok_or(Blocked::Amount)?;
        return Ok(());
    }
    if issuer(asset).as_ref() == Some(to) {
        return Ok(());
    }
    let line = cx.state.trust_mut(to, asset).ok_or(Blocked::NoTrust)?;
    if line.flags & AUTHORIZED == 0 {
        return Err(Blocked::NotAuthorized);
    }
    line.balance = line.balance.checked_add(amount).filter(|b| *b <= line.limit).ok_or(Blocked::Amount)?;
    Ok(())
}
