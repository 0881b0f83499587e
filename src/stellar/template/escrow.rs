//! The transactions of one escrow account E: O1 opens it, R is its refund, F funds and locks it, K claims from it.
//!
//! ```text
//! O1 (payer) -> R signed by the payee -> F (lands only with that signature) -> K, K, K … per epoch -> R after O
//! ```
use super::{EscrowTerms, Signed, Source, Unsigned, decorate, decorate_payload, from_source, muxed, ops, until};
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Signature};
use crate::stellar::asset::Asset;
use crate::stellar::keys::{self, SecretSeed};
use crate::units::Stroops;
use stellar_base::xdr;

/// O1: creates E without a balance, its reserves (and its trustline) sponsored by the source, who is the payer.
/// Signed by the source and by E's own key.
pub fn open(source: &Source, escrow: &AccountKey, asset: &Asset) -> Result<Unsigned> {
    let mut operations = vec![ops::begin_sponsoring(None, escrow), ops::create_account(None, escrow, Stroops::ZERO)];
    if *asset != Asset::Native {
        operations.push(ops::change_trust(Some(escrow), asset, Stroops::MAX));
    }
    operations.push(ops::end_sponsoring(escrow));
    from_source(source, operations)
}

/// R: once E has been silent for the period, drops the payee's signer and lowers the thresholds, so that the payer
/// alone may empty it. Signed by the payee before any money moves, by the payer when it is used.
pub fn refund(terms: &EscrowTerms) -> Result<Unsigned> {
    terms.check()?;
    let conditions = xdr::PreconditionsV2 {
        min_seq_num: Some(xdr::SequenceNumber(0)),
        min_seq_age: xdr::Duration(u64::from(terms.period_secs)),
        min_seq_ledger_gap: terms.refund_gap(),
        ..no_conditions()
    };
    of_escrow(terms, terms.refund_sequence(), conditions, unlock(terms))
}

/// Drops the payee's signer and lowers the thresholds: E is the payer's alone.
fn unlock(terms: &EscrowTerms) -> Vec<xdr::Operation> {
    let escrow = Some(&terms.escrow);
    vec![ops::set_signer(escrow, &terms.payee_signer, 0), ops::set_thresholds(escrow, 1, None)]
}

/// Valid whenever F has landed: the numbers of epochs in between may be unused.
fn after_funding(terms: &EscrowTerms) -> xdr::PreconditionsV2 {
    xdr::PreconditionsV2 { min_seq_num: Some(xdr::SequenceNumber(terms.funded_sequence())), ..no_conditions() }
}

/// The close: what R does, at once, by the number of an epoch in which nothing was or will be claimed. Signed by the
/// payee when it holds nothing any more; no claim of this epoch or of one before can land after it.
/// `MW-TERMS-5`: no such epoch.
pub fn close(terms: &EscrowTerms, epoch: u32) -> Result<Unsigned> {
    terms.check()?;
    of_escrow(terms, terms.claim_sequence(epoch)?, after_funding(terms), unlock(terms))
}

/// The payee's signature over the close. `MW-TX-4`: not the terms' signer; else as `close`.
pub fn sign_close(terms: &EscrowTerms, epoch: u32, payee: &SecretSeed) -> Result<Signature> {
    own_key(payee, &terms.payee_signer)?;
    Ok(payee.sign(&close(terms, epoch)?.hash()))
}

/// The close with both signatures, to be put into a fee bump. `MW-KEY-2`: the payee's is wrong; else as `sign_close`.
pub fn complete_close(terms: &EscrowTerms, epoch: u32, payer: &SecretSeed, signature: &Signature) -> Result<Signed> {
    own_key(payer, &terms.payer_signer)?;
    let close = close(terms, epoch)?;
    keys::verify(&terms.payee_signer, &close.hash(), signature)?;
    let own = payer.sign(&close.hash());
    close.attach(vec![decorate(&terms.payer_signer, own)?, decorate(&terms.payee_signer, *signature)?])
}

/// The payee's signature over R.
pub fn sign_refund(terms: &EscrowTerms, payee: &SecretSeed) -> Result<Signature> {
    own_key(payee, &terms.payee_signer)?;
    Ok(payee.sign(&refund(terms)?.hash()))
}

/// Checks the payee's signature over R. `MW-KEY-2` when it is wrong.
pub fn verify_refund(terms: &EscrowTerms, signature: &Signature) -> Result<()> {
    keys::verify(&terms.payee_signer, &refund(terms)?.hash(), signature)
}

/// F: adds both signers, moves the deposit and locks E to 2 of 2. E itself is the source, so that its clock starts
/// (a refund against seqTime 0 would be valid at once). It cannot land without the payee's signature on R.
/// Signed by E's own key, by the payer's account, and with `decorate_payload` of the signature on R.
pub fn fund(terms: &EscrowTerms) -> Result<Unsigned> {
    let payload = refund(terms)?.hash().to_vec().try_into().map_err(super::too_large)?;
    let disclosed = xdr::SignerKeyEd25519SignedPayload { ed25519: xdr::Uint256(terms.payee_signer), payload };
    let extra_signers = [xdr::SignerKey::Ed25519SignedPayload(disclosed)].try_into().map_err(super::too_large)?;
    let (payer, escrow) = (Some(&terms.payer_account), Some(&terms.escrow));
    let operations = vec![
        ops::begin_sponsoring(payer, &terms.escrow),
        ops::set_signer(escrow, &terms.payer_signer, 1),
        ops::set_signer(escrow, &terms.payee_signer, 1),
        ops::end_sponsoring(&terms.escrow),
        ops::payment(payer, &terms.escrow, &terms.asset, terms.deposit),
        ops::set_thresholds(escrow, 2, Some(0)),
    ];
    let conditions = xdr::PreconditionsV2 { extra_signers, ..no_conditions() };
    of_escrow(terms, terms.funded_sequence(), conditions, operations)
}

/// F with all its signatures, to be put into a fee bump. `MW-KEY-2`: the payee's signature on R is wrong;
/// `MW-TX-4`: a key that is not the terms' own.
pub fn complete_fund(
    terms: &EscrowTerms,
    escrow: &SecretSeed,
    payer_account: &SecretSeed,
    refund_signature: &Signature,
) -> Result<Signed> {
    own_key(escrow, &terms.escrow)?;
    own_key(payer_account, &terms.payer_account)?;
    verify_refund(terms, refund_signature)?;
    let fund = fund(terms)?;
    let (hash, refund_hash) = (fund.hash(), refund(terms)?.hash());
    fund.attach(vec![
        decorate(&terms.payer_account, payer_account.sign(&hash))?,
        decorate(&terms.escrow, escrow.sign(&hash))?,
        decorate_payload(&terms.payee_signer, &refund_hash, *refund_signature)?,
    ])
}

/// R with both signatures, to be put into a fee bump. `MW-KEY-2`, `MW-TX-4` as for `complete_fund`.
pub fn complete_refund(terms: &EscrowTerms, payer: &SecretSeed, signature: &Signature) -> Result<Signed> {
    own_key(payer, &terms.payer_signer)?;
    verify_refund(terms, signature)?;
    let refund = refund(terms)?;
    let own = payer.sign(&refund.hash());
    refund.attach(vec![decorate(&terms.payer_signer, own)?, decorate(&terms.payee_signer, *signature)?])
}

/// K: pays the payee `cumulative` from E. All claims of an epoch share one sequence number: one of them can land.
/// `MW-TX-3`: nothing, or more than the terms leave to claim; `MW-TERMS-5`: no such epoch.
pub fn claim(terms: &EscrowTerms, epoch: u32, cumulative: Stroops) -> Result<Unsigned> {
    claim_until(terms, epoch, cumulative, 0)
}

/// K that cannot land after `max_time` (unix seconds, 0: it can).
pub(super) fn claim_until(terms: &EscrowTerms, epoch: u32, cumulative: Stroops, max_time: u64) -> Result<Unsigned> {
    terms.check()?;
    if cumulative.is_zero() || cumulative > terms.spendable() {
        return Err(Error::never("MW-TX-3", "A claim takes something, and no more than the deposit leaves to claim."));
    }
    let conditions = xdr::PreconditionsV2 { time_bounds: Some(until(max_time)), ..after_funding(terms) };
    let operations = vec![ops::payment(None, &terms.payee_account, &terms.asset, cumulative)];
    of_escrow(terms, terms.claim_sequence(epoch)?, conditions, operations)
}

/// The payer's signature over K. `MW-TX-4`: not the terms' signer; else as `claim`.
pub fn sign_claim(terms: &EscrowTerms, epoch: u32, cumulative: Stroops, payer: &SecretSeed) -> Result<Signature> {
    own_key(payer, &terms.payer_signer)?;
    Ok(payer.sign(&claim(terms, epoch, cumulative)?.hash()))
}

/// Checks the payer's signature over K as we build it. `MW-KEY-2` when it is wrong; else as `claim`.
pub fn verify_claim(terms: &EscrowTerms, epoch: u32, cumulative: Stroops, signature: &Signature) -> Result<()> {
    keys::verify(&terms.payer_signer, &claim(terms, epoch, cumulative)?.hash(), signature)
}

/// K with both signatures, to be put into a fee bump. `MW-KEY-2`, `MW-TX-4` as above.
pub fn complete_claim(
    terms: &EscrowTerms,
    epoch: u32,
    cumulative: Stroops,
    signature: &Signature,
    payee: &SecretSeed,
) -> Result<Signed> {
    own_key(payee, &terms.payee_signer)?;
    verify_claim(terms, epoch, cumulative, signature)?;
    let claim = claim(terms, epoch, cumulative)?;
    let own = payee.sign(&claim.hash());
    claim.attach(vec![decorate(&terms.payer_signer, *signature)?, decorate(&terms.payee_signer, own)?])
}

/// After R: the payer takes what is left of the asset (`rest`), drops the trustline and merges E into its account,
/// which gives the reserves back. Signed by the source (the payer's account) and by the payer's signer.
/// `MW-TX-5`: the source is not the payer's account.
pub fn reclaim(source: &Source, terms: &EscrowTerms, rest: Stroops) -> Result<Unsigned> {
    terms.check()?;
    if source.account != terms.payer_account {
        return Err(Error::never("MW-TX-5", "Only the account that opened an escrow takes it back."));
    }
    let escrow = Some(&terms.escrow);
    let mut operations = Vec::with_capacity(3);
    if terms.asset != Asset::Native {
        if !rest.is_zero() {
            operations.push(ops::payment(escrow, &terms.payer_account, &terms.asset, rest));
        }
        operations.push(ops::change_trust(escrow, &terms.asset, Stroops::ZERO));
    }
    operations.push(ops::merge(escrow, &terms.payer_account));
    from_source(source, operations)
}

/// A transaction of E: fee 0, because a fee bump around it pays.
fn of_escrow(
    terms: &EscrowTerms,
    sequence: i64,
    conditions: xdr::PreconditionsV2,
    operations: Vec<xdr::Operation>,
) -> Result<Unsigned> {
    let tx = xdr::Transaction {
        source_account: muxed(&terms.escrow),
        fee: 0,
        seq_num: xdr::SequenceNumber(sequence),
        cond: xdr::Preconditions::V2(conditions),
        memo: xdr::Memo::None,
        operations: operations.try_into().map_err(super::too_large)?,
        ext: xdr::TransactionExt::V0,
    };
    Unsigned::new(super::Body::Tx(tx), terms.network)
}

fn no_conditions() -> xdr::PreconditionsV2 {
    xdr::PreconditionsV2 {
        time_bounds: Some(until(0)),
        ledger_bounds: None,
        min_seq_num: None,
        min_seq_age: xdr::Duration(0),
        min_seq_ledger_gap: 0,
        extra_signers: xdr::VecM::default(),
    }
}

pub(super) fn own_key(key: &SecretSeed, expected: &AccountKey) -> Result<()> {
    if key.public() == *expected {
        Ok(())
    } else {
        Err(Error::never("MW-TX-4", "The key at hand is not the one that these terms name; nothing was signed."))
    }
}
