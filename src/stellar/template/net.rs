//! N: two escrows of one pair of relays, one in each direction, are settled by their difference in one transaction.
//!
//! One sequence number cannot guard two accounts: a transaction of one escrow that merely bumps the other would apply
//! although a claim of the other landed a moment before, and if it failed it would still use up a number that claims
//! need. So N is sent from an account of its own (the proposer's), and each escrow shows that nothing of the epoch has
//! landed: it hands over its whole balance and gets back all but the difference. If a claim was first, N fails as a
//! whole and uses up no escrow's number; if N is first, both numbers are used and no claim of the two epochs can land.
use super::escrow::own_key;
use super::{Body, EscrowTerms, Signed, Unsigned, decorate, muxed, ops, until};
use crate::error::{Error, Result};
use crate::gateway::core::message::Signature;
use crate::stellar::keys::{self, SecretSeed};
use crate::units::Stroops;
use stellar_base::xdr;

/// One of the two escrows of N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetSide {
    /// What its partners agreed on.
    pub terms: EscrowTerms,
    /// The epoch that ends.
    pub epoch: u32,
    /// Stroops claimed in it, more than 0.
    pub amount: Stroops,
    /// Stroops of the deposit that have left it in epochs before.
    pub landed: Stroops,
}

/// Both escrows of a pair, and how N is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetTerms {
    /// Pays the proposer, whose account N is sent from.
    pub inward: NetSide,
    /// Pays the other relay.
    pub outward: NetSide,
    /// The number of the proposer's account that N takes.
    pub sequence: i64,
    /// Unix seconds after which N can no longer land.
    pub max_time: u64,
}

impl NetTerms {
    /// Stroops that are set off: each side's claim counts as paid by so much, and nothing moves for it.
    pub fn set_off(&self) -> Stroops {
        self.inward.amount.min(self.outward.amount)
    }
    /// `MW-TX-10`: not the two directions of one pair in one asset, nothing to set off, more than is left, or no end.
    fn check(&self) -> Result<()> {
        let (a, b) = (&self.inward.terms, &self.outward.terms);
        a.check()?;
        b.check()?;
        let pair = (a.payer_account, a.payee_account) == (b.payee_account, b.payer_account)
            && (a.network, a.asset) == (b.network, b.asset)
            && a.escrow != b.escrow;
        let covered = |side: &NetSide| {
            side.landed.add(side.amount).is_ok_and(|sum| !side.amount.is_zero() && sum <= side.terms.spendable())
        };
        if pair && covered(&self.inward) && covered(&self.outward) && self.max_time > 0 && self.sequence > 0 {
            Ok(())
        } else {
            Err(Error::never("MW-TX-10", "Two escrows are set off when they join the same two accounts both ways."))
        }
    }
}

/// N itself, without a fee of its own. `MW-TX-10`, `MW-TERMS-*`: the terms.
pub fn net(terms: &NetTerms) -> Result<Unsigned> {
    terms.check()?;
    let (proposer, other) = (terms.inward.terms.payee_account, terms.outward.terms.payee_account);
    let set_off = terms.set_off();
    let mut operations = Vec::with_capacity(7);
    for (side, payee) in [(&terms.inward, &proposer), (&terms.outward, &other)] {
        let (escrow, asset) = (&side.terms.escrow, &side.terms.asset);
        let held = side.terms.deposit.saturating_sub(side.landed);
        let paid = side.amount.saturating_sub(set_off);
        operations.push(ops::payment(Some(escrow), &proposer, asset, held));
        operations.push(ops::payment(Some(&proposer), escrow, asset, held.saturating_sub(paid)));
        if *payee != proposer && !paid.is_zero() {
            operations.push(ops::payment(Some(&proposer), payee, asset, paid));
        }
    }
    for side in [&terms.inward, &terms.outward] {
        operations.push(ops::bump_sequence(Some(&side.terms.escrow), side.terms.claim_sequence(side.epoch)?));
    }
    // An escrow that gets nothing back would make a payment of nothing.
    operations.retain(|op| !matches!(&op.body, xdr::OperationBody::Payment(p) if p.amount == 0));
    let tx = xdr::Transaction {
        source_account: muxed(&proposer),
        fee: 0,
        seq_num: xdr::SequenceNumber(terms.sequence),
        cond: xdr::Preconditions::Time(until(terms.max_time)),
        memo: xdr::Memo::None,
        operations: operations.try_into().map_err(super::too_large)?,
        ext: xdr::TransactionExt::V0,
    };
    Unsigned::new(Body::Tx(tx), terms.inward.terms.network)
}

/// The other relay's two signatures over N: as payer of the inward escrow, as payee of the outward one.
/// `MW-TX-4`: a key that is not the terms' own.
pub fn sign_net(terms: &NetTerms, payer: &SecretSeed, payee: &SecretSeed) -> Result<[Signature; 2]> {
    own_key(payer, &terms.inward.terms.payer_signer)?;
    own_key(payee, &terms.outward.terms.payee_signer)?;
    let hash = net(terms)?.hash();
    Ok([payer.sign(&hash), payee.sign(&hash)])
}

/// N with all its signatures, to be put into a fee bump: the proposer's account and its signers as payee of the inward
/// and payer of the outward escrow, and what the other signed. `MW-KEY-2`: one of the other's is wrong; `MW-TX-4`: a
/// key that is not the terms' own.
pub fn complete_net(
    terms: &NetTerms,
    account: &SecretSeed,
    payee: &SecretSeed,
    payer: &SecretSeed,
    others: &[Signature; 2],
) -> Result<Signed> {
    let (inward, outward) = (&terms.inward.terms, &terms.outward.terms);
    own_key(account, &inward.payee_account)?;
    own_key(payee, &inward.payee_signer)?;
    own_key(payer, &outward.payer_signer)?;
    let net = net(terms)?;
    let hash = net.hash();
    keys::verify(&inward.payer_signer, &hash, &others[0])?;
    keys::verify(&outward.payee_signer, &hash, &others[1])?;
    let signed = |key: &SecretSeed| decorate(&key.public(), key.sign(&hash));
    net.attach(vec![
        signed(account)?,
        signed(payee)?,
        signed(payer)?,
        decorate(&inward.payer_signer, others[0])?,
        decorate(&outward.payee_signer, others[1])?,
    ])
}
