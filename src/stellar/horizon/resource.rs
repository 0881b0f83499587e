//! What Horizon says, as far as we read it, and how it becomes what the gateway asks for.
use super::http::Failure;
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{AccountView, TrustlineView};
use crate::stellar::keys;
use crate::stellar::template::ops;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;

/// `GET /accounts/{id}`: amounts are decimal texts in units of 10^7 stroops.
#[derive(Clone, Debug, Deserialize)]
pub struct AccountRecord {
    /// `G…`.
    pub account_id: String,
    /// Current sequence number.
    #[serde(deserialize_with = "number")]
    pub sequence: i64,
    /// Ledger of its last change, 0 when the server does not know of one.
    #[serde(default, deserialize_with = "number")]
    pub sequence_ledger: u32,
    /// Unix time of its last change, 0 as above.
    #[serde(default, deserialize_with = "number")]
    pub sequence_time: u64,
    /// Entries that count for the reserve.
    pub subentry_count: u32,
    /// Ledger of the account's last change.
    #[serde(default)]
    pub last_modified_ledger: u32,
    /// Low, medium, high.
    pub thresholds: Thresholds,
    /// What an issuer may do.
    #[serde(default)]
    pub flags: AccountFlags,
    /// The native balance and all trustlines.
    pub balances: Vec<Balance>,
    /// All signers, the account's own key among them.
    pub signers: Vec<Signer>,
    /// Data entries.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Reserves that it bears for others.
    #[serde(default)]
    pub num_sponsoring: u32,
    /// Reserves that others bear for it.
    #[serde(default)]
    pub num_sponsored: u32,
}

/// Weights that operations need.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Thresholds {
    /// Low.
    pub low_threshold: u8,
    /// Medium: payments.
    pub med_threshold: u8,
    /// High: signers and merging.
    pub high_threshold: u8,
}

/// What an issuer may do to those who hold its asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccountFlags {
    /// It must authorise holders.
    pub auth_required: bool,
    /// It may take that back.
    pub auth_revocable: bool,
    /// These flags are fixed.
    pub auth_immutable: bool,
    /// New trustlines let it take the asset back.
    pub auth_clawback_enabled: bool,
}

impl AccountFlags {
    /// As the ledger has them (`template::ops::AUTH_*`).
    pub fn bits(&self) -> u32 {
        [
            (self.auth_required, ops::AUTH_REQUIRED),
            (self.auth_revocable, ops::AUTH_REVOCABLE),
            (self.auth_immutable, ops::AUTH_IMMUTABLE),
            (self.auth_clawback_enabled, ops::AUTH_CLAWBACK_ENABLED),
        ]
        .into_iter()
        .fold(0, |bits, (set, bit)| if set { bits | bit } else { bits })
    }
}

/// One balance.
#[derive(Clone, Debug, Deserialize)]
pub struct Balance {
    /// `native`, `credit_alphanum4`, `credit_alphanum12`, `liquidity_pool_shares`.
    pub asset_type: String,
    /// Of a credit asset.
    pub asset_code: Option<String>,
    /// Of a credit asset.
    pub asset_issuer: Option<String>,
    /// Decimal.
    #[serde(deserialize_with = "amount")]
    pub balance: i64,
    /// Decimal, of a credit asset.
    #[serde(default, deserialize_with = "amount")]
    pub limit: i64,
    /// Decimal.
    #[serde(default, deserialize_with = "amount")]
    pub buying_liabilities: i64,
    /// Decimal.
    #[serde(default, deserialize_with = "amount")]
    pub selling_liabilities: i64,
    /// May it send and receive?
    #[serde(default)]
    pub is_authorized: bool,
    /// Could the issuer take it back? (Left out when not.)
    #[serde(default)]
    pub is_clawback_enabled: bool,
}

/// One signer.
#[derive(Clone, Debug, Deserialize)]
pub struct Signer {
    /// Strkey of whatever kind.
    pub key: String,
    /// 0 to 255.
    pub weight: u8,
}

impl AccountRecord {
    /// As the gateway reads it. `Garbled` when it is another account than `asked`, or makes no sense.
    pub fn view(self, asked: &AccountKey, latest_ledger: u32) -> Result<AccountView, Failure> {
        let senseless = |what: &str| Failure::Garbled(format!("an account that makes no sense ({what})"));
        if self.account_id != keys::account_id(asked) {
            return Err(senseless("another account"));
        }
        let mut view = AccountView {
            account: *asked,
            sequence: self.sequence,
            sequence_ledger: self.sequence_ledger,
            sequence_time: self.sequence_time,
            subentries: self.subentry_count,
            sponsoring: self.num_sponsoring,
            sponsored: self.num_sponsored,
            thresholds: [self.thresholds.low_threshold, self.thresholds.med_threshold, self.thresholds.high_threshold],
            signers: self.signers.into_iter().map(|signer| (signer.key, signer.weight)).collect(),
            data_entries: u32::try_from(self.data.len()).map_err(|_| senseless("data"))?,
            latest_ledger: latest_ledger.max(self.last_modified_ledger),
            ..AccountView::default()
        };
        for balance in self.balances {
            let liabilities = balance.buying_liabilities.checked_add(balance.selling_liabilities);
            view.liabilities = liabilities
                .and_then(|these| view.liabilities.checked_add(these))
                .ok_or_else(|| senseless("liabilities"))?;
            if balance.asset_type == "native" {
                view.native = balance.balance;
            } else if let (Some(code), Some(issuer)) = (balance.asset_code, balance.asset_issuer) {
                view.trustlines.push(TrustlineView {
                    code,
                    issuer: keys::parse_account_id(&issuer).map_err(|_| senseless("issuer"))?,
                    balance: balance.balance,
                    limit: balance.limit,
                    authorized: balance.is_authorized,
                    clawback: balance.is_clawback_enabled,
                });
            }
        }
        Ok(view)
    }
}

/// `GET /transactions/{hash}`, and the answer to a submission that landed.
#[derive(Clone, Debug, Deserialize)]
pub struct TransactionRecord {
    /// Hex; of the fee bump when it was looked up by that.
    pub hash: String,
    /// The ledger that holds it.
    #[serde(deserialize_with = "number")]
    pub ledger: u32,
    /// Whether its operations applied.
    pub successful: bool,
    /// Native stroops.
    #[serde(deserialize_with = "number")]
    pub fee_charged: u64,
    /// Place in a list of transactions, for the next page.
    #[serde(default)]
    pub paging_token: String,
    /// Base64 XDR.
    #[serde(default)]
    pub envelope_xdr: String,
    /// Base64 XDR.
    #[serde(default)]
    pub result_xdr: String,
    /// Of a fee bump.
    pub fee_bump_transaction: Option<HashOnly>,
    /// Of a fee bump.
    pub inner_transaction: Option<HashOnly>,
}

/// One half of a fee bump.
#[derive(Clone, Debug, Deserialize)]
pub struct HashOnly {
    /// Hex.
    pub hash: String,
}

impl TransactionRecord {
    /// Whether this is the transaction (or fee bump, or its inner transaction) of that hash.
    pub fn is(&self, hash: &[u8; 32]) -> bool {
        let halves = [&self.fee_bump_transaction, &self.inner_transaction];
        let hashes = halves.into_iter().flatten().map(|half| &half.hash);
        let hash = hex::encode(hash);
        std::iter::once(&self.hash).chain(hashes).any(|known| *known == hash)
    }
}

/// The answer to an asynchronous submission.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AsyncReceipt {
    /// `PENDING`, `DUPLICATE`, `TRY_AGAIN_LATER` or `ERROR`.
    pub tx_status: String,
    /// Hex.
    pub hash: String,
    /// Base64 XDR of the result, of an `ERROR`.
    #[serde(alias = "errorResultXdr")]
    pub error_result_xdr: String,
}

/// A page of records.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    #[serde(rename = "_embedded")]
    embedded: Embedded<T>,
}

#[derive(Clone, Debug, Deserialize)]
struct Embedded<T> {
    records: Vec<T>,
}

impl<T> Page<T> {
    /// The records in order.
    pub fn records(self) -> Vec<T> {
        self.embedded.records
    }
}

/// `GET /fee_stats`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct FeeRecord {
    /// The latest ledger.
    #[serde(deserialize_with = "number")]
    pub last_ledger: u32,
    /// Its least fee per operation in native stroops.
    #[serde(deserialize_with = "number")]
    pub last_ledger_base_fee: u32,
    /// What was charged per operation in the last ledgers.
    pub fee_charged: FeeSpread,
    /// What was offered per operation in the last ledgers.
    pub max_fee: FeeSpread,
}

/// Fees per operation, native stroops.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct FeeSpread {
    /// The least.
    #[serde(deserialize_with = "number")]
    pub min: u32,
    /// The median.
    #[serde(deserialize_with = "number")]
    pub p50: u32,
    /// 95 of 100 were at most this.
    #[serde(deserialize_with = "number")]
    pub p95: u32,
    /// The largest.
    #[serde(deserialize_with = "number")]
    pub max: u32,
}

/// `GET /`.
#[derive(Clone, Debug, Deserialize)]
pub struct RootRecord {
    /// Of the network that the server serves.
    pub network_passphrase: String,
    /// The latest ledger that it can tell about.
    #[serde(default, deserialize_with = "number")]
    pub history_latest_ledger: u32,
    /// What it runs.
    #[serde(default)]
    pub horizon_version: String,
}

/// An error in Horizon's form (RFC 7807).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// An URL whose last part names the problem.
    #[serde(rename = "type")]
    pub url: String,
    /// What else it says.
    pub extras: Extras,
}

/// Further words about a problem.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Codes of a transaction that failed or was refused.
    pub result_codes: ResultCodes,
    /// Base64 XDR of its result.
    pub result_xdr: String,
}

/// Codes of a transaction that failed or was refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResultCodes {
    /// Of the transaction; of the fee bump when it is one.
    pub transaction: String,
    /// Of the transaction in a fee bump.
    pub inner_transaction: String,
}

impl Problem {
    /// The problem's name, e.g. `transaction_failed`; empty when there is none.
    pub fn kind(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
    /// The code of the transaction, that of the inner one for a fee bump whose own part was fine.
    pub fn code(&self) -> Option<String> {
        let codes = &self.extras.result_codes;
        let named = match codes.transaction.as_str() {
            "tx_fee_bump_inner_failed" => codes.inner_transaction.as_str(),
            outer => outer,
        };
        let decoded = || super::code::of_result(&self.extras.result_xdr);
        Some(named).filter(|name| !name.is_empty()).or_else(decoded).map(str::to_owned)
    }
}

/// A number that some servers write as a number and some as text.
fn number<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    let number = match Either::deserialize(deserializer)? {
        Either::Number(number) => Some(number),
        Either::Text(text) => text.parse().ok(),
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| de::Error::custom("no number of this range"))
}

/// A decimal amount with at most 7 places, in stroops.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    stroops(&text).ok_or_else(|| de::Error::custom("no amount"))
}

fn stroops(text: &str) -> Option<i64> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || places.len() > 7 || !digits(whole) || !digits(places) {
        return None;
    }
    let fraction: i64 = format!("{places:0<7}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(10_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, expected) in [
            ("0.0000001", Some(1)),
            ("1", Some(10_000_000)),
            ("12.5", Some(125_000_000)),
            ("922337203685.4775807", Some(i64::MAX)),
            ("922337203685.4775808", None),
            ("1.00000000", None),
            ("-1.0", None),
            ("+1", None),
            (".5", None),
            ("", None),
            ("1e3", None),
            ("1.+5", None),
        ] {
            assert_eq!(stroops(text), expected, "{text}");
        }
    }

    #[test]
    fn a_problem_names_the_inner_code() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "https://stellar.org/horizon-errors/transaction_failed",
            "extras": { "result_codes": {
                "transaction": "tx_fee_bump_inner_failed", "inner_transaction": "tx_bad_seq"
            } },
        }))
        .expect("a problem");
        assert_eq!(problem.kind(), "transaction_failed");
        assert_eq!(problem.code().as_deref(), Some("tx_bad_seq"));
        assert_eq!(Problem::default().code(), None);
    }
}
