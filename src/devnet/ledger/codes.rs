//! Result codes as Horizon prints them: `tx_bad_seq`, `op_underfunded`.
use super::xdr::{
    InnerTransactionResultResult as Inner, OperationResult, OperationResultTr as Tr, TransactionResult,
    TransactionResultResult as Outer,
};
use serde::Serialize;

/// The `extras.result_codes` of a refused or failed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResultCodes {
    /// Of the transaction, or of the fee bump.
    pub transaction: String,
    /// Of the transaction inside a fee bump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_transaction: Option<String>,
    /// Of its operations, when it came to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
}

fn snake(prefix: &str, name: &str) -> String {
    let mut out = String::from(prefix);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

// XDR name of a transaction code without its `Tx`.
fn transaction(name: &str) -> String {
    match name {
        "TxNoAccount" => "tx_no_source_account".to_owned(),
        "TxBadMinSeqAgeOrGap" => "tx_bad_minseq_age_or_gap".to_owned(),
        other => snake("tx", other.strip_prefix("Tx").unwrap_or(other)),
    }
}

macro_rules! name_of {
    ($tr:expr, $($kind:ident),+) => {
        match $tr { $(Tr::$kind(result) => (stringify!($kind), result.name()),)+ }
    };
}

/// Code of one operation.
pub fn operation(result: &OperationResult) -> String {
    let tr = match result {
        OperationResult::OpInner(tr) => tr,
        OperationResult::OpNoAccount => return "op_no_source_account".to_owned(),
        other => return snake("op", other.name().strip_prefix("Op").unwrap_or(other.name())),
    };
    let (kind, name) = name_of!(
        tr,
        CreateAccount,
        Payment,
        PathPaymentStrictReceive,
        ManageSellOffer,
        CreatePassiveSellOffer,
        SetOptions,
        ChangeTrust,
        AllowTrust,
        AccountMerge,
        Inflation,
        ManageData,
        BumpSequence,
        ManageBuyOffer,
        PathPaymentStrictSend,
        CreateClaimableBalance,
        ClaimClaimableBalance,
        BeginSponsoringFutureReserves,
        EndSponsoringFutureReserves,
        RevokeSponsorship,
        Clawback,
        ClawbackClaimableBalance,
        SetTrustLineFlags,
        LiquidityPoolDeposit,
        LiquidityPoolWithdraw,
        InvokeHostFunction,
        ExtendFootprintTtl,
        RestoreFootprint
    );
    // where Horizon's word is not the XDR name
    let special = match (kind, name) {
        ("CreateAccount", "AlreadyExist") => "op_already_exists",
        (_, "OfferCrossSelf") => "op_cross_self",
        (_, "OverSendmax") => "op_over_source_max",
        (_, "UnderDestmin") => "op_under_dest_min",
        ("ChangeTrust", "NotAuthMaintainLiabilities") => "op_not_aut_maintain_liabilities",
        ("AllowTrust", "NoTrustLine") => "op_no_trustline",
        ("AllowTrust", "TrustNotRequired") => "op_not_required",
        ("AccountMerge", "SeqnumTooFar") => "op_seq_num_too_far",
        ("ManageData", "NameNotFound") => "op_data_name_not_found",
        ("ManageData", "InvalidName") => "op_data_invalid_name",
        ("ClawbackClaimableBalance", "NotIssuer") => "op_no_issuer",
        _ => return snake("op", name),
    };
    special.to_owned()
}

fn operations(results: &[OperationResult]) -> Option<Vec<String>> {
    Some(results.iter().map(operation).collect())
}

/// Codes of a result.
pub fn of(result: &TransactionResult) -> ResultCodes {
    let code = transaction(result.result.name());
    match &result.result {
        Outer::TxFeeBumpInnerSuccess(pair) | Outer::TxFeeBumpInnerFailed(pair) => ResultCodes {
            transaction: code,
            inner_transaction: Some(transaction(pair.result.result.name())),
            operations: match &pair.result.result {
                Inner::TxSuccess(ops) | Inner::TxFailed(ops) => operations(ops),
                _ => None,
            },
        },
        Outer::TxSuccess(ops) | Outer::TxFailed(ops) => {
            ResultCodes { transaction: code, inner_transaction: None, operations: operations(ops) }
        }
        _ => ResultCodes { transaction: code, inner_transaction: None, operations: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devnet::ledger::xdr::{PaymentResult, TransactionResultExt};

    fn codes(result: Outer) -> ResultCodes {
        of(&TransactionResult { fee_charged: 0, result, ext: TransactionResultExt::V0 })
    }

    #[test]
    fn codes_are_spelled_as_horizon_spells_them() {
        assert_eq!(codes(Outer::TxBadSeq).transaction, "tx_bad_seq");
        assert_eq!(codes(Outer::TxNoAccount).transaction, "tx_no_source_account");
        assert_eq!(codes(Outer::TxBadMinSeqAgeOrGap).transaction, "tx_bad_minseq_age_or_gap");
        let payment = |r| OperationResult::OpInner(Tr::Payment(r));
        let ops = vec![payment(PaymentResult::Success), payment(PaymentResult::SrcNoTrust), OperationResult::OpBadAuth];
        let failed = codes(Outer::TxFailed(ops.try_into().expect("three operations")));
        assert_eq!(failed.transaction, "tx_failed");
        assert_eq!(failed.operations.expect("operations"), ["op_success", "op_src_no_trust", "op_bad_auth"]);
    }
}
