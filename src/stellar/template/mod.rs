//! One pure function per transaction that we sign. Both partners of a link call the same function with the same
//! terms, so what a peer signed is checked against bytes that we made ourselves (invariant 2).
//!
//! All have time bounds without an end unless a `Source` sets one, no memo (but what a person sends) and no muxed
//! accounts.
mod bump;
mod escrow;
mod locked;
mod net;
pub mod ops;
mod plain;
mod terms;

pub use bump::{BASE_FEE, fee_bump, minimum_bump_fee};
pub use escrow::{
    claim, close, complete_claim, complete_close, complete_fund, complete_refund, fund, open, reclaim, refund,
    sign_claim, sign_close, sign_refund, verify_claim, verify_refund,
};
pub use locked::{Landed, LockedClaim, read_secret};
pub use net::{NetSide, NetTerms, complete_net, net, sign_net};
pub use plain::{batch, batch_with_memo, change_trust, create_account, payment, set_flags};
pub use terms::{BASE_RESERVE, EscrowTerms, MAX_EPOCH};

use super::keys::SecretSeed;
use super::network::NetworkId;
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Signature};
use sha2::{Digest, Sha256};
use stellar_base::xdr::{self, Limits, WriteXdr};

/// Bytes and depth of what we encode: a transaction of 100 operations of ours stays far below.
const XDR_LIMITS: Limits = Limits { depth: 200, len: 64 * 1024 };

/// The account that a transaction is sent from, and how it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Network that the transaction is for.
    pub network: NetworkId,
    /// Pays the fee and gives the sequence number.
    pub account: AccountKey,
    /// The account's sequence number as it stands; the transaction takes the next one.
    pub sequence: i64,
    /// Highest fee in native stroops for each operation, at least `BASE_FEE`.
    pub fee_per_op: u32,
    /// Unix seconds after which the transaction can no longer land, 0 for never.
    pub max_time: u64,
}

/// A transaction or a fee bump that nobody has signed yet, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    body: Body,
    hash: [u8; 32],
    network: NetworkId,
}

/// Either form, as it goes into the hash.
type Body = xdr::TransactionSignaturePayloadTaggedTransaction;

impl Unsigned {
    /// Hashes for `network`. `MW-TX-9`: it is larger than anything of ours.
    fn new(body: Body, network: NetworkId) -> Result<Self> {
        let payload = xdr::TransactionSignaturePayload { network_id: xdr::Hash(network.0), tagged_transaction: body };
        let hash = Sha256::digest(payload.to_xdr(XDR_LIMITS).map_err(too_large)?).into();
        Ok(Unsigned { body: payload.tagged_transaction, hash, network })
    }
    /// What is signed: SHA-256 over network id, type and transaction.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
    /// The transaction or fee bump itself.
    pub fn body(&self) -> &Body {
        &self.body
    }
    /// Signs with each of `keys`, in this order.
    pub fn sign(self, keys: &[&SecretSeed]) -> Result<Signed> {
        let signatures: Result<Vec<_>> = keys.iter().map(|key| decorate(&key.public(), key.sign(&self.hash))).collect();
        self.attach(signatures?)
    }
    /// Attaches signatures that were made elsewhere. `MW-TX-8`: more than the 20 that a ledger takes.
    pub fn attach(self, signatures: Vec<xdr::DecoratedSignature>) -> Result<Signed> {
        let signatures = signatures.try_into().map_err(|_| too_many_signatures())?;
        let envelope = match self.body {
            Body::Tx(tx) => xdr::TransactionEnvelope::Tx(xdr::TransactionV1Envelope { tx, signatures }),
            Body::TxFeeBump(tx) => {
                xdr::TransactionEnvelope::TxFeeBump(xdr::FeeBumpTransactionEnvelope { tx, signatures })
            }
        };
        Ok(Signed { envelope, hash: self.hash, network: self.network })
    }
}

/// A transaction with signatures, ready to be submitted or to be put into a fee bump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    envelope: xdr::TransactionEnvelope,
    hash: [u8; 32],
    network: NetworkId,
}

impl Signed {
    /// The hash under which a ledger knows it (for a fee bump, that of the bump).
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
    /// The envelope itself.
    pub fn envelope(&self) -> &xdr::TransactionEnvelope {
        &self.envelope
    }
    /// The envelope as bytes, as `LedgerCall::Submit` takes it. `MW-TX-9`: it is larger than anything of ours.
    pub fn to_xdr(&self) -> Result<Vec<u8>> {
        self.envelope.to_xdr(XDR_LIMITS).map_err(too_large)
    }
}

/// A signature with the last 4 bytes of the key that made it, by which the ledger finds the signer.
pub fn decorate(key: &AccountKey, signature: Signature) -> Result<xdr::DecoratedSignature> {
    decorated(hint_of(key), signature)
}

/// The same for an extra signer of a signed payload (CAP-40): the hint is the key's xor the last 4 bytes of the payload.
pub fn decorate_payload(key: &AccountKey, payload: &[u8; 32], signature: Signature) -> Result<xdr::DecoratedSignature> {
    let [a, b, c, d] = hint_of(key);
    let [e, f, g, h] = hint_of(payload);
    decorated([a ^ e, b ^ f, c ^ g, d ^ h], signature)
}

fn hint_of(bytes: &[u8; 32]) -> [u8; 4] {
    [bytes[28], bytes[29], bytes[30], bytes[31]]
}

fn decorated(hint: [u8; 4], signature: Signature) -> Result<xdr::DecoratedSignature> {
    let signature = xdr::Signature(signature.try_into().map_err(too_large)?);
    Ok(xdr::DecoratedSignature { hint: xdr::SignatureHint(hint), signature })
}

fn too_large(_: xdr::Error) -> Error {
    Error::never("MW-TX-9", "A transaction grew beyond what we build; nothing was signed.")
}

fn too_many_signatures() -> Error {
    Error::never("MW-TX-8", "A transaction carries at most 20 signatures; it was not built.")
}

/// Time bounds without a beginning; `max_time` 0 is without an end.
fn until(max_time: u64) -> xdr::TimeBounds {
    xdr::TimeBounds { min_time: xdr::TimePoint(0), max_time: xdr::TimePoint(max_time) }
}

/// A transaction from `source` with its next sequence number.
/// `MW-TX-1`: no or more than 100 operations, a fee below the ledger's least, or a sequence number at its end.
fn from_source(source: &Source, operations: Vec<xdr::Operation>) -> Result<Unsigned> {
    let refuse = || Error::never("MW-TX-1", "A transaction has 1 to 100 operations, a fee and a next sequence number.");
    let count = u32::try_from(operations.len()).map_err(|_| refuse())?;
    if count == 0 || source.fee_per_op < BASE_FEE {
        return Err(refuse());
    }
    let tx = xdr::Transaction {
        source_account: muxed(&source.account),
        fee: source.fee_per_op.checked_mul(count).ok_or_else(refuse)?,
        seq_num: xdr::SequenceNumber(source.sequence.checked_add(1).filter(|next| *next > 0).ok_or_else(refuse)?),
        cond: xdr::Preconditions::Time(until(source.max_time)),
        memo: xdr::Memo::None,
        operations: operations.try_into().map_err(|_| refuse())?,
        ext: xdr::TransactionExt::V0,
    };
    Unsigned::new(Body::Tx(tx), source.network)
}

/// An account as source or destination, never with a sub-account id.
fn muxed(key: &AccountKey) -> xdr::MuxedAccount {
    xdr::MuxedAccount::Ed25519(xdr::Uint256(*key))
}
