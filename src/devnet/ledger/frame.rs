//! An envelope taken apart: what is signed, who pays, which hash names it.
use super::auth::sha256;
use super::entry::{Id, muxed_id};
use super::xdr;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xdr::{
    DecoratedSignature, FeeBumpTransactionInnerTx, Hash, Limits, Operation, Preconditions, ReadXdr, Transaction,
    TransactionEnvelope, TransactionSignaturePayload, TransactionSignaturePayloadTaggedTransaction as Tagged, WriteXdr,
};

/// Longest envelope that is read, in bytes of XDR; the protocol's own limits (100 operations, 20 signatures) stay
/// well below it.
pub const MAX_ENVELOPE_BYTES: usize = 128 * 1024;
// Claim predicates nest at most 4 deep; the rest of an envelope needs less than 20 levels.
const MAX_DEPTH: u32 = 100;

/// Why bytes are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not base64.
    #[error("the transaction is not valid base64")]
    Base64,
    /// Not the XDR of a TransactionEnvelope.
    #[error("the transaction is not a TransactionEnvelope in XDR")]
    Xdr,
    /// Longer than [`MAX_ENVELOPE_BYTES`].
    #[error("the transaction is longer than 131072 bytes")]
    TooLong,
}

/// The outside of a fee bump.
#[derive(Clone, Debug)]
pub struct Bump {
    /// Who pays.
    pub source: Id,
    /// At most this many stroops.
    pub fee: i64,
    /// Over `hash`.
    pub signatures: Vec<DecoratedSignature>,
    /// What the outside signs, and the name of the whole.
    pub hash: [u8; 32],
}

/// A transaction ready to be checked or applied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The (inner) transaction.
    pub tx: Transaction,
    /// Over `inner_hash`.
    pub signatures: Vec<DecoratedSignature>,
    /// What the (inner) signatures sign.
    pub inner_hash: [u8; 32],
    /// The fee bump around it.
    pub bump: Option<Bump>,
    /// XDR of the envelope as it is kept.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Reads base64 XDR.
    pub fn parse(envelope: &str, network_id: &[u8; 32]) -> Result<Self, EnvelopeError> {
        if envelope.len() > MAX_ENVELOPE_BYTES.div_ceil(3) * 4 {
            return Err(EnvelopeError::TooLong);
        }
        let bytes = STANDARD.decode(envelope.trim()).map_err(|_| EnvelopeError::Base64)?;
        Self::from_bytes(&bytes, network_id)
    }

    /// Reads XDR.
    pub fn from_bytes(bytes: &[u8], network_id: &[u8; 32]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLong);
        }
        let limits = Limits { depth: MAX_DEPTH, len: MAX_ENVELOPE_BYTES };
        let envelope = TransactionEnvelope::from_xdr(bytes, limits).map_err(|_| EnvelopeError::Xdr)?;
        Self::from_envelope(envelope, network_id)
    }

    /// Takes an envelope; the old form without type (v0) becomes v1, which signs the same bytes.
    pub fn from_envelope(envelope: TransactionEnvelope, network_id: &[u8; 32]) -> Result<Self, EnvelopeError> {
        let envelope = match envelope {
            TransactionEnvelope::TxV0(old) => TransactionEnvelope::Tx(xdr::TransactionV1Envelope {
                tx: Transaction {
                    source_account: xdr::MuxedAccount::Ed25519(old.tx.source_account_ed25519),
                    fee: old.tx.fee,
                    seq_num: old.tx.seq_num,
                    cond: old.tx.time_bounds.map_or(Preconditions::None, Preconditions::Time),
                    memo: old.tx.memo,
                    operations: old.tx.operations,
                    ext: xdr::TransactionExt::V0,
                },
                signatures: old.signatures,
            }),
            other => other,
        };
        let limits = || Limits { depth: MAX_DEPTH, len: MAX_ENVELOPE_BYTES };
        let bytes = envelope.to_xdr(limits()).map_err(|_| EnvelopeError::Xdr)?;
        let hash = |tagged_transaction| {
            let payload = TransactionSignaturePayload { network_id: Hash(*network_id), tagged_transaction };
            payload.to_xdr(limits()).map(|b| sha256(&b)).map_err(|_| EnvelopeError::Xdr)
        };
        match envelope {
            TransactionEnvelope::Tx(v1) => {
                let inner_hash = hash(Tagged::Tx(v1.tx.clone()))?;
                Ok(Frame { tx: v1.tx, signatures: v1.signatures.into(), inner_hash, bump: None, bytes })
            }
            TransactionEnvelope::TxFeeBump(outer) => {
                let FeeBumpTransactionInnerTx::Tx(v1) = outer.tx.inner_tx.clone();
                let inner_hash = hash(Tagged::Tx(v1.tx.clone()))?;
                let bump = Bump {
                    source: muxed_id(&outer.tx.fee_source),
                    fee: outer.tx.fee,
                    hash: hash(Tagged::TxFeeBump(outer.tx))?,
                    signatures: outer.signatures.into(),
                };
                Ok(Frame { tx: v1.tx, signatures: v1.signatures.into(), inner_hash, bump: Some(bump), bytes })
            }
            TransactionEnvelope::TxV0(_) => Err(EnvelopeError::Xdr),
        }
    }

    /// The hash that names the transaction: the fee bump's, if there is one.
    pub fn hash(&self) -> [u8; 32] {
        self.bump.as_ref().map_or(self.inner_hash, |b| b.hash)
    }
    /// Source of the (inner) transaction.
    pub fn source(&self) -> Id {
        muxed_id(&self.tx.source_account)
    }
    /// Sequence number of the (inner) transaction.
    pub fn seq(&self) -> i64 {
        self.tx.seq_num.0
    }
    /// Who pays the fee.
    pub fn fee_source(&self) -> Id {
        self.bump.as_ref().map_or_else(|| self.source(), |b| b.source)
    }
    /// What is offered as fee, in stroops.
    pub fn fee_bid(&self) -> i64 {
        self.bump.as_ref().map_or(i64::from(self.tx.fee), |b| b.fee)
    }
    /// Operations that the fee is reckoned by: a fee bump counts as one more.
    pub fn fee_ops(&self) -> i64 {
        self.inner_fee_ops() + i64::from(self.bump.is_some())
    }
    /// Operations of the (inner) transaction, at least 1.
    pub fn inner_fee_ops(&self) -> i64 {
        i64::try_from(self.tx.operations.len()).unwrap_or(i64::MAX).max(1)
    }
    /// Source of an operation.
    pub fn op_source(&self, op: &Operation) -> Id {
        op.source_account.as_ref().map_or_else(|| self.source(), muxed_id)
    }
    /// Time bounds, in either form.
    pub fn time_bounds(&self) -> Option<&xdr::TimeBounds> {
        match &self.tx.cond {
            Preconditions::None => None,
            Preconditions::Time(bounds) => Some(bounds),
            Preconditions::V2(v2) => v2.time_bounds.as_ref(),
        }
    }
    /// The preconditions of protocol 19.
    pub fn v2(&self) -> Option<&xdr::PreconditionsV2> {
        match &self.tx.cond {
            Preconditions::V2(v2) => Some(v2),
            _ => None,
        }
    }
}

/// The network id: SHA-256 of its passphrase.
pub fn network_id(passphrase: &str) -> [u8; 32] {
    sha256(passphrase.as_bytes())
}
