//! Fee bumps (CAP-15): somebody else's fee around a signed transaction whose own fee is 0.
use super::{Body, Signed, Unsigned, muxed};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use stellar_base::xdr;

/// The least fee per operation, in native stroops.
pub const BASE_FEE: u32 = 100;

/// The least fee for bumping a transaction of `operations` operations: as if it had one more.
pub const fn minimum_bump_fee(operations: u32) -> i64 {
    (operations as i64 + 1) * BASE_FEE as i64
}

/// Wraps `inner` into a fee bump that costs `fee_source` at most `max_fee` native stroops; signed by `fee_source`.
/// `MW-TX-2`: `inner` is a fee bump itself, or the fee is below `minimum_bump_fee`.
pub fn fee_bump(inner: &Signed, fee_source: &AccountKey, max_fee: i64) -> Result<Unsigned> {
    let xdr::TransactionEnvelope::Tx(envelope) = &inner.envelope else {
        return Err(Error::never("MW-TX-2", "Only a plain transaction can be put into a fee bump."));
    };
    let operations = u32::try_from(envelope.tx.operations.len()).unwrap_or(u32::MAX);
    if max_fee < minimum_bump_fee(operations) {
        return Err(Error::never("MW-TX-2", "The fee is below the least that a ledger takes for this transaction."));
    }
    let tx = xdr::FeeBumpTransaction {
        fee_source: muxed(fee_source),
        fee: max_fee,
        inner_tx: xdr::FeeBumpTransactionInnerTx::Tx(envelope.clone()),
        ext: xdr::FeeBumpTransactionExt::V0,
    };
    Unsigned::new(Body::TxFeeBump(tx), inner.network)
}
