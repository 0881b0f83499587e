//! What became of a transaction, and its result in XDR.
use super::frame::Frame;
use super::xdr::{
    Hash, InnerTransactionResult, InnerTransactionResultExt, InnerTransactionResultPair,
    InnerTransactionResultResult as Inner, OperationResult, TransactionResult, TransactionResultExt,
    TransactionResultPair, TransactionResultResult as Outer,
};

/// Why a transaction did not come to its operations. The names are stellar-core's.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxError {
    TooEarly,
    TooLate,
    MissingOperation,
    BadSeq,
    BadAuth,
    InsufficientBalance,
    NoAccount,
    InsufficientFee,
    BadAuthExtra,
    InternalError,
    NotSupported,
    BadSponsorship,
    BadMinSeqAgeOrGap,
    Malformed,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All operations went through.
    Success(Vec<OperationResult>),
    /// An operation failed (or would); nothing of it stays but fee and sequence number.
    Failed(Vec<OperationResult>),
    /// It did not come to its operations.
    Error(TxError),
}

/// The end of a transaction with what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Stroops charged (on refusal: what would have been charged).
    pub fee: i64,
    /// Stroops that the inner transaction's result names; 0 without a fee bump.
    pub inner_fee: i64,
    /// True when the fee bump itself was refused, so that no inner result exists.
    pub outside: bool,
    /// Of the innermost transaction that was reached.
    pub verdict: Verdict,
}

impl Outcome {
    /// True when all operations went through.
    pub fn is_success(&self) -> bool {
        matches!(self.verdict, Verdict::Success(_))
    }

    /// The result in XDR. `None` only for more than 100 operations, which no envelope can carry.
    pub fn result(&self, frame: &Frame) -> Option<TransactionResult> {
        let result = match &frame.bump {
            Some(_) if !self.outside => {
                let pair = InnerTransactionResultPair {
                    transaction_hash: Hash(frame.inner_hash),
                    result: InnerTransactionResult {
                        fee_charged: self.inner_fee,
                        result: inner(&self.verdict)?,
                        ext: InnerTransactionResultExt::V0,
                    },
                };
                if self.is_success() { Outer::TxFeeBumpInnerSuccess(pair) } else { Outer::TxFeeBumpInnerFailed(pair) }
            }
            _ => outer(&self.verdict)?,
        };
        Some(TransactionResult { fee_charged: self.fee, result, ext: TransactionResultExt::V0 })
    }

    /// The result with the hash of its transaction.
    pub fn pair(&self, frame: &Frame) -> Option<TransactionResultPair> {
        Some(TransactionResultPair { transaction_hash: Hash(frame.hash()), result: self.result(frame)? })
    }
}

macro_rules! to_xdr {
    ($name:ident, $xdr:ident) => {
        fn $name(verdict: &Verdict) -> Option<$xdr> {
            Some(match verdict {
                Verdict::Success(ops) => $xdr::TxSuccess(ops.clone().try_into().ok()?),
                Verdict::Failed(ops) => $xdr::TxFailed(ops.clone().try_into().ok()?),
                Verdict::Error(TxError::TooEarly) => $xdr::TxTooEarly,
                Verdict::Error(TxError::TooLate) => $xdr::TxTooLate,
                Verdict::Error(TxError::MissingOperation) => $xdr::TxMissingOperation,
                Verdict::Error(TxError::BadSeq) => $xdr::TxBadSeq,
                Verdict::Error(TxError::BadAuth) => $xdr::TxBadAuth,
                Verdict::Error(TxError::InsufficientBalance) => $xdr::TxInsufficientBalance,
                Verdict::Error(TxError::NoAccount) => $xdr::TxNoAccount,
                Verdict::Error(TxError::InsufficientFee) => $xdr::TxInsufficientFee,
                Verdict::Error(TxError::BadAuthExtra) => $xdr::TxBadAuthExtra,
                Verdict::Error(TxError::InternalError) => $xdr::TxInternalError,
                Verdict::Error(TxError::NotSupported) => $xdr::TxNotSupported,
                Verdict::Error(TxError::BadSponsorship) => $xdr::TxBadSponsorship,
                Verdict::Error(TxError::BadMinSeqAgeOrGap) => $xdr::TxBadMinSeqAgeOrGap,
                Verdict::Error(TxError::Malformed) => $xdr::TxMalformed,
            })
        }
    };
}
to_xdr!(inner, Inner);
to_xdr!(outer, Outer);
