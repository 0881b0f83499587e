//! An account as Horizon shows it, and how it becomes what the gateway asks for.
use super::http::Failure;
use super::resource::{amount, number};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{AccountView, TrustlineView};
use crate::stellar::keys;
use crate::stellar::template::ops;
use serde::Deserialize;
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
