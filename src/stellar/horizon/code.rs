//! Horizon's words for the ledger's result codes.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stellar_base::xdr::{
    InnerTransactionResultResult as Inner, Limits, ReadXdr, TransactionResult, TransactionResultResult as Outer,
};

/// A result of 100 operations stays far below.
const LIMITS: Limits = Limits { depth: 200, len: 256 * 1024 };

/// The code of a transaction, that of the inner one for a fee bump; none when the XDR is none of a result.
pub(super) fn of_result(base64: &str) -> Option<&'static str> {
    let bytes = STANDARD.decode(base64).ok()?;
    Some(match TransactionResult::from_xdr(bytes, LIMITS).ok()?.result {
        Outer::TxFeeBumpInnerSuccess(pair) | Outer::TxFeeBumpInnerFailed(pair) => inner(&pair.result.result),
        Outer::TxSuccess(_) => "tx_success",
        Outer::TxFailed(_) => "tx_failed",
        Outer::TxTooEarly => "tx_too_early",
        Outer::TxTooLate => "tx_too_late",
        Outer::TxMissingOperation => "tx_missing_operation",
        Outer::TxBadSeq => "tx_bad_seq",
        Outer::TxBadAuth => "tx_bad_auth",
        Outer::TxInsufficientBalance => "tx_insufficient_balance",
        Outer::TxNoAccount => "tx_no_source_account",
        Outer::TxInsufficientFee => "tx_insufficient_fee",
        Outer::TxBadAuthExtra => "tx_bad_auth_extra",
        Outer::TxInternalError => "tx_internal_error",
        Outer::TxNotSupported => "tx_not_supported",
        Outer::TxBadSponsorship => "tx_bad_sponsorship",
        Outer::TxBadMinSeqAgeOrGap => "tx_bad_minseq_age_or_gap",
        Outer::TxMalformed => "tx_malformed",
        Outer::TxSorobanInvalid => "tx_soroban_invalid",
    })
}

fn inner(result: &Inner) -> &'static str {
    match result {
        Inner::TxSuccess(_) => "tx_success",
        Inner::TxFailed(_) => "tx_failed",
        Inner::TxTooEarly => "tx_too_early",
        Inner::TxTooLate => "tx_too_late",
        Inner::TxMissingOperation => "tx_missing_operation",
        Inner::TxBadSeq => "tx_bad_seq",
        Inner::TxBadAuth => "tx_bad_auth",
        Inner::TxInsufficientBalance => "tx_insufficient_balance",
        Inner::TxNoAccount => "tx_no_source_account",
        Inner::TxInsufficientFee => "tx_insufficient_fee",
        Inner::TxBadAuthExtra => "tx_bad_auth_extra",
        Inner::TxInternalError => "tx_internal_error",
        Inner::TxNotSupported => "tx_not_supported",
        Inner::TxBadSponsorship => "tx_bad_sponsorship",
        Inner::TxBadMinSeqAgeOrGap => "tx_bad_minseq_age_or_gap",
        Inner::TxMalformed => "tx_malformed",
        Inner::TxSorobanInvalid => "tx_soroban_invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_a_real_ledger_have_horizons_names() {
        let recording: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/channel.json")).expect("a recording");
        let code = |label: &str| {
            let rejected = recording["rejected"].as_array().expect("rejected").iter();
            let entry = rejected.into_iter().find(|entry| entry["label"] == label).expect(label);
            of_result(entry["result"].as_str().expect("text"))
        };
        assert_eq!(code("3. R too early (minSeqAge)"), Some("tx_bad_minseq_age_or_gap"));
        assert_eq!(code("4. claim with only payer signature"), Some("tx_bad_auth"));
        assert_eq!(code("6. payer alone tries to drain escrow"), Some("tx_bad_auth"));
        assert_eq!(code("8. older claim K_9 (same seqNum)"), Some("tx_bad_seq"));
        for landed in recording["ledgers"].as_array().expect("ledgers") {
            for transaction in landed["transactions"].as_array().expect("transactions") {
                // A pair is a hash and the result.
                let pair = STANDARD.decode(transaction["result_pair"].as_str().expect("text")).expect("base64");
                let code = of_result(&STANDARD.encode(&pair[32..])).expect("a result");
                assert!(["tx_success", "tx_failed"].contains(&code));
            }
        }
        assert_eq!(of_result("AAAA"), None);
        assert_eq!(of_result("*"), None);
    }
}
