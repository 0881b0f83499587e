//! Our own request types, on the trait of `stellar-horizon`: its account lacks the clock of a sequence number, and its
//! submission takes envelopes of a type that knows no such preconditions.
use super::account::AccountRecord;
use super::resource::{AsyncReceipt, FeeRecord, Page, RootRecord, TransactionRecord};
use crate::gateway::core::message::AccountKey;
use crate::stellar::keys;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use stellar_horizon::error::Result;
use stellar_horizon::request::Request;
use url::{Url, form_urlencoded};

/// `GET /`.
#[derive(Clone, Copy, Debug)]
pub struct Root;

/// `GET /fee_stats`.
#[derive(Clone, Copy, Debug)]
pub struct Fees;

/// `GET /accounts/{id}`.
#[derive(Clone, Copy, Debug)]
pub struct Account(pub AccountKey);

/// `GET /accounts/{id}/transactions`, failed ones included.
#[derive(Clone, Debug)]
pub struct AccountTransactions {
    /// Whose.
    pub account: AccountKey,
    /// The paging token of the last record that is known.
    pub cursor: Option<String>,
    /// 1 to 200; others are moved there.
    pub limit: u8,
    /// Newest first; otherwise oldest first.
    pub newest: bool,
}

/// `GET /transactions/{hash}`; for a fee bump both its own hash and that of the inner transaction find it.
#[derive(Clone, Copy, Debug)]
pub struct Transaction(pub [u8; 32]);

/// `POST /transactions`: answers when the transaction is in a ledger.
#[derive(Clone, Debug)]
pub struct Submit<'a>(pub &'a [u8]);

/// `POST /transactions_async`: answers when the transaction waits for a ledger.
#[derive(Clone, Debug)]
pub struct SubmitAsync<'a>(pub &'a [u8]);

impl Request for Root {
    type Response = RootRecord;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.clone())
    }
}

impl Request for Fees {
    type Response = FeeRecord;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.join("fee_stats")?)
    }
}

impl Request for Account {
    type Response = AccountRecord;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.join(&format!("accounts/{}", keys::account_id(&self.0)))?)
    }
}

impl Request for AccountTransactions {
    type Response = Page<TransactionRecord>;
    fn uri(&self, host: &Url) -> Result<Url> {
        let mut url = host.join(&format!("accounts/{}/transactions", keys::account_id(&self.account)))?;
        let limit = self.limit.clamp(1, 200).to_string();
        let order = if self.newest { "desc" } else { "asc" };
        url.query_pairs_mut()
            .extend_pairs([("include_failed", "true"), ("order", order), ("limit", &limit)])
            .extend_pairs(self.cursor.iter().map(|cursor| ("cursor", cursor)));
        Ok(url)
    }
}

impl Request for Transaction {
    type Response = TransactionRecord;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.join(&format!("transactions/{}", hex::encode(self.0)))?)
    }
}

impl Request for Submit<'_> {
    type Response = TransactionRecord;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.join("transactions")?)
    }
    fn post_body(&self) -> Result<Option<String>> {
        Ok(Some(form(self.0)))
    }
}

impl Request for SubmitAsync<'_> {
    type Response = AsyncReceipt;
    fn uri(&self, host: &Url) -> Result<Url> {
        Ok(host.join("transactions_async")?)
    }
    fn post_body(&self) -> Result<Option<String>> {
        Ok(Some(form(self.0)))
    }
}

fn form(envelope: &[u8]) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("tx", &STANDARD.encode(envelope)).finish()
}

/// The ledger that an answer was made at, as Horizon's header says; 0 when it does not.
pub(super) fn latest_ledger(headers: &HeaderMap) -> u32 {
    headers.get("latest-ledger").and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0)
}
