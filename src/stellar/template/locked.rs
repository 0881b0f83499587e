//! A claim under a lock: K with an end, so that it is void in time, pre-signed by the payer under a point whose secret
//! the payee has yet to learn.
use super::escrow::{claim_until, own_key};
use super::{EscrowTerms, Signed, decorate};
use crate::error::{Error, Result};
use crate::gateway::core::message::Signature;
use crate::stellar::adaptor::{self, LockPoint, LockSecret, PreSignature};
use crate::stellar::keys::{self, SecretSeed};
use crate::units::Stroops;
use stellar_base::xdr::{self, Limits, OperationBody, Preconditions, ReadXdr, TransactionEnvelope};

/// The largest envelope that is looked into.
const ENVELOPE: Limits = Limits { depth: 200, len: 64 * 1024 };

/// What a locked claim says; its transaction follows from it and the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedClaim {
    /// Its epoch.
    pub epoch: u32,
    /// Cumulative in the epoch.
    pub cumulative: Stroops,
    /// Unix seconds after which it cannot land, never 0.
    pub max_time: u64,
}

impl LockedClaim {
    /// What is signed. `MW-TX-6`: no end; else as `claim`.
    fn hash(&self, terms: &EscrowTerms) -> Result<[u8; 32]> {
        if self.max_time == 0 {
            return Err(Error::never("MW-TX-6", "A locked claim has an end; this one was not built."));
        }
        Ok(claim_until(terms, self.epoch, self.cumulative, self.max_time)?.hash())
    }

    /// The payer's pre-signature under `point`. `MW-TX-4`: not the terms' signer.
    pub fn pre_sign(&self, terms: &EscrowTerms, point: &LockPoint, payer: &SecretSeed) -> Result<PreSignature> {
        own_key(payer, &terms.payer_signer)?;
        adaptor::pre_sign(payer, &self.hash(terms)?, point)
    }

    /// Checks it. `MW-LOCK-3`, `MW-LOCK-4` when it does not fit.
    pub fn pre_verify(&self, terms: &EscrowTerms, point: &LockPoint, pre: &PreSignature) -> Result<()> {
        adaptor::pre_verify(&terms.payer_signer, &self.hash(terms)?, point, pre)
    }

    /// The payer's signature that it becomes with the secret, checked. `MW-LOCK-5`: the secret is another lock's.
    pub fn adapt(
        &self,
        terms: &EscrowTerms,
        point: &LockPoint,
        pre: &PreSignature,
        secret: &LockSecret,
    ) -> Result<Signature> {
        let signature = adaptor::adapt(pre, point, secret)?;
        keys::verify(&terms.payer_signer, &self.hash(terms)?, &signature)?;
        Ok(signature)
    }

    /// The claim with both signatures, to be put into a fee bump. `MW-KEY-2`, `MW-TX-4` as for a plain one.
    pub fn complete(&self, terms: &EscrowTerms, signature: &Signature, payee: &SecretSeed) -> Result<Signed> {
        own_key(payee, &terms.payee_signer)?;
        let hash = self.hash(terms)?;
        keys::verify(&terms.payer_signer, &hash, signature)?;
        let own = payee.sign(&hash);
        let claim = claim_until(terms, self.epoch, self.cumulative, self.max_time)?;
        claim.attach(vec![decorate(&terms.payer_signer, *signature)?, decorate(&terms.payee_signer, own)?])
    }
}

/// What an envelope that used `sequence` of the escrow tells of a lock that ended at `max_time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// It is no transaction of the escrow with this sequence number.
    Other,
    /// The number was used, and not by a claim under this lock.
    Plain,
    /// The claim under the lock landed, and this is the lock's secret.
    Secret(LockSecret),
}

/// Reads the secret of `point` off an envelope: the payer's pre-signatures are made anew (they are deterministic), so
/// nothing but the lock itself has to be remembered.
pub fn read_secret(
    terms: &EscrowTerms,
    epoch: u32,
    max_time: u64,
    point: &LockPoint,
    payer: &SecretSeed,
    envelope: &[u8],
) -> Landed {
    let Some((tx, signatures)) = inner(envelope) else { return Landed::Other };
    let of_escrow = tx.source_account == super::muxed(&terms.escrow);
    if !of_escrow || terms.claim_sequence(epoch).ok() != Some(tx.seq_num.0) {
        return Landed::Other;
    }
    let ends = match &tx.cond {
        Preconditions::V2(cond) => cond.time_bounds.as_ref().map_or(0, |bounds| bounds.max_time.0),
        _ => 0,
    };
    let Some(cumulative) = paid(&tx).filter(|_| ends == max_time && max_time != 0) else { return Landed::Plain };
    let claim = LockedClaim { epoch, cumulative, max_time };
    let Ok(pre) = claim.pre_sign(terms, point, payer) else { return Landed::Plain };
    let found = signatures.iter().find_map(|signature| {
        let signature: Signature = signature.signature.0.as_slice().try_into().ok()?;
        adaptor::extract(&pre, &signature, point).ok()
    });
    found.map_or(Landed::Plain, Landed::Secret)
}

/// The transaction that counts: that inside a fee bump.
fn inner(envelope: &[u8]) -> Option<(xdr::Transaction, Vec<xdr::DecoratedSignature>)> {
    let inner = match TransactionEnvelope::from_xdr(envelope, ENVELOPE).ok()? {
        TransactionEnvelope::Tx(inner) => inner,
        TransactionEnvelope::TxFeeBump(bump) => {
            let xdr::FeeBumpTransactionInnerTx::Tx(inner) = bump.tx.inner_tx;
            inner
        }
        TransactionEnvelope::TxV0(_) => return None,
    };
    Some((inner.tx, inner.signatures.into()))
}

fn paid(tx: &xdr::Transaction) -> Option<Stroops> {
    match tx.operations.as_slice() {
        [xdr::Operation { body: OperationBody::Payment(payment), .. }] => {
            u64::try_from(payment.amount).ok().and_then(|amount| Stroops::new(amount).ok())
        }
        _ => None,
    }
}
