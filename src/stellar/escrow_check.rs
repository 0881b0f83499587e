//! Before a payee trusts an escrow it reads it from the ledger: the payer alone wrote F, and one operation slipped
//! into it would void every claim. Pure: what was read comes in, the reason to refuse comes out.
use super::asset::Asset;
use super::keys;
use super::template::EscrowTerms;
use super::template::ops::{AUTH_CLAWBACK_ENABLED, AUTH_IMMUTABLE, AUTH_REVOCABLE};
use crate::error::{Error, Result};
use crate::gateway::port::{AccountView, TrustlineView};
use crate::units::Stroops;

/// Whether `view`, as a ledger shows E, is the escrow of `terms` before its first claim. Ask two endpoints and check
/// both answers. `MW-TERMS-*`: the terms themselves; `MW-ESC-1` to `MW-ESC-14`: one for each thing that can be wrong.
pub fn check(view: &AccountView, terms: &EscrowTerms) -> Result<()> {
    check_at(view, terms, terms.funded_sequence(), terms.deposit)
}

/// The same for an escrow of which claims have landed: its sequence number must be `sequence` (that of the last claim
/// that landed) and it must hold at least `left` (the deposit less what landed). Check before each flush.
pub fn check_at(view: &AccountView, terms: &EscrowTerms, sequence: i64, left: Stroops) -> Result<()> {
    terms.check()?;
    let refuse = |wrong: bool, code, text: &str| if wrong { Err(Error::never(code, text)) } else { Ok(()) };
    refuse(view.account != terms.escrow, "MW-ESC-1", "The account that was read is not the escrow.")?;
    refuse(
        view.sequence != sequence,
        "MW-ESC-2",
        "The escrow's sequence number is not the one that our claims follow; they could be void.",
    )?;
    refuse(
        view.sequence_ledger == 0 || view.sequence_time == 0,
        "MW-ESC-3",
        "The escrow's clock never started; its refund would be valid at once.",
    )?;
    refuse(view.thresholds != [2; 3], "MW-ESC-4", "The escrow's thresholds are not 2 of 2.")?;
    signers(view, terms)?;
    refuse(
        view.subentries != terms.subentries(),
        "MW-ESC-7",
        "The escrow has other entries than its signers and its trustline.",
    )?;
    refuse(view.liabilities != 0, "MW-ESC-8", "Part of the escrow's balance is promised to an offer.")?;
    refuse(view.data_entries != 0, "MW-ESC-9", "The escrow has data entries.")?;
    refuse(view.sponsoring != 0, "MW-ESC-10", "The escrow sponsors the reserves of others.")?;
    let held = match &terms.asset {
        Asset::Native => {
            refuse(!view.trustlines.is_empty(), "MW-ESC-11", "The escrow has a trustline that it should not have.")?;
            view.native
        }
        Asset::Credit(_) => {
            let line = match view.trustlines.as_slice() {
                [line] if is_line_of(line, &terms.asset) => line,
                _ => return Err(Error::never("MW-ESC-11", "The escrow's one trustline is not for the agreed asset.")),
            };
            refuse(!line.authorized, "MW-ESC-12", "The issuer has not authorised the escrow's trustline.")?;
            refuse(line.clawback, "MW-ESC-13", "The issuer could take the deposit back out of the escrow.")?;
            line.balance
        }
    };
    // More than agreed is no harm: anybody may send a stroop to any account.
    refuse(held < left.as_i64(), "MW-ESC-14", "The escrow holds less than the agreed deposit.")
}

/// `MW-ESC-5`: not A and B with weight 1 each and nobody else; `MW-ESC-6`: E's own key still signs, or is not shown.
fn signers(view: &AccountView, terms: &EscrowTerms) -> Result<()> {
    let master = keys::account_id(&terms.escrow);
    let (own, mut others): (Vec<_>, Vec<_>) = view.signers.iter().partition(|(key, _)| *key == master);
    if own.len() != 1 || own.iter().any(|(_, weight)| *weight != 0) {
        return Err(Error::never("MW-ESC-6", "The escrow's own key can still sign for it."));
    }
    let mut agreed = [(keys::account_id(&terms.payer_signer), 1u8), (keys::account_id(&terms.payee_signer), 1)];
    agreed.sort();
    others.sort();
    if others.into_iter().eq(&agreed) {
        Ok(())
    } else {
        Err(Error::never("MW-ESC-5", "The escrow's signers are not the two of the link with equal weight."))
    }
}

/// Whether the account that is paid can take `amount` now; a claim that fails burns its epoch. Check before a flush.
/// `MW-ESC-20`: not that account; `MW-ESC-21`: no trustline; `MW-ESC-22`: not authorised; `MW-ESC-23`: no room.
/// Native stroops always have room, and an issuer takes its own asset without a trustline.
pub fn check_destination(view: &AccountView, terms: &EscrowTerms, amount: Stroops) -> Result<()> {
    if view.account != terms.payee_account {
        return Err(Error::never("MW-ESC-20", "The account that was read is not the one that is paid."));
    }
    let Asset::Credit(credit) = &terms.asset else { return Ok(()) };
    if *credit.issuer() == view.account {
        return Ok(());
    }
    let line = view.trustlines.iter().find(|line| is_line_of(line, &terms.asset)).ok_or_else(|| {
        Error::later("MW-ESC-21", "The account that is paid has no trustline for the asset; make one, then flush.")
    })?;
    if !line.authorized {
        return Err(Error::later(
            "MW-ESC-22",
            "The issuer has not authorised the trustline of the account that is paid.",
        ));
    }
    if line.limit.saturating_sub(line.balance) < amount.as_i64() {
        return Err(Error::later(
            "MW-ESC-23",
            "The trustline of the account that is paid has no room; raise its limit.",
        ));
    }
    Ok(())
}

/// Whether an issuer's account flags let an escrow trust its asset: fixed for good, nothing that can be taken back.
/// `MW-ESC-30` when not.
pub fn check_issuer(flags: u32) -> Result<()> {
    if flags & AUTH_IMMUTABLE != 0 && flags & (AUTH_REVOCABLE | AUTH_CLAWBACK_ENABLED) == 0 {
        Ok(())
    } else {
        Err(Error::never("MW-ESC-30", "The asset's issuer can freeze or take back what an escrow holds."))
    }
}

fn is_line_of(line: &TrustlineView, asset: &Asset) -> bool {
    matches!(asset, Asset::Credit(credit) if credit.code() == line.code && *credit.issuer() == line.issuer)
}
