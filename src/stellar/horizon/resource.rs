//! What Horizon says, as far as we read it; accounts stand in `account`.
use serde::{Deserialize, Deserializer, de};

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
    /// Who paid it, `G…`.
    #[serde(default)]
    pub fee_account: String,
    /// When its ledger closed (RFC 3339).
    #[serde(default)]
    pub created_at: String,
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
    pub error_result_xdr: String,
    /// The same under an older name; servers send either or both.
    #[serde(rename = "errorResultXdr")]
    pub old_error_result_xdr: String,
}

impl AsyncReceipt {
    /// The code of a transaction that was refused, none when it was not.
    pub fn refusal(&self) -> Option<&'static str> {
        let xdr = Some(&self.error_result_xdr).filter(|xdr| !xdr.is_empty()).unwrap_or(&self.old_error_result_xdr);
        super::code::of_result(xdr).filter(|_| self.tx_status == "ERROR")
    }
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
    /// When that closed (RFC 3339).
    #[serde(default)]
    pub history_latest_ledger_closed_at: String,
    /// What it runs.
    #[serde(default)]
    pub horizon_version: String,
    /// Where else to ask.
    #[serde(default, rename = "_links")]
    pub links: RootLinks,
}

/// Links of the root document, as far as we follow any.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RootLinks {
    /// Who gives test money away, a template with `addr`; only a test network has one.
    pub friendbot: Option<Link>,
}

/// A link.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// An URL or a template of one.
    pub href: String,
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
pub(super) fn number<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<T, D::Error> {
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
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
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
