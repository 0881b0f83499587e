//! How the account of a paying node stands: one word, a sentence, and what to do.
use crate::units::Stroops;
use serde::Serialize;

/// One word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Nothing was paid yet; free windows are used.
    #[default]
    Trial,
    /// Payments are made.
    Paying,
    /// Payments are made, and what is left will not last.
    Low,
    /// Too little of the payment asset.
    OutOfFundsAsset,
    /// Too little of the native asset for reserves and fees.
    OutOfFundsNative,
    /// The ledger or tor cannot be reached.
    Offline,
}

/// How the account stands. Amounts are what the ledger last said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// One word.
    pub state: AccountState,
    /// What that means, one sentence.
    pub text: String,
    /// What to do, one sentence; empty when nothing is to be done.
    pub advice: String,
    /// Payment asset on the account and in open escrows, stroops; none before the first look.
    pub spendable: Option<Stroops>,
    /// Native asset above what the ledger holds back, stroops; none before the first look.
    pub native: Option<u64>,
    /// Unix milliseconds of that look, 0 = never.
    pub seen_ms: u64,
}
