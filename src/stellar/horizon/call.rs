//! Ledger calls of the gateway. A submission is reported as landed or rejected only when that is certain:
//!
//! ```text
//! submit -> 200 ----------------------------------------------> landed
//!        -> 400 with a result code -> look: found -> landed, not found -> rejected
//!        -> 429, 503, not sent -> wait, submit again (the same envelope can land once only)
//!        -> 504, other 5xx, 409, lost, garbled -> look: found -> landed, else unknown
//! ```
use super::http::Failure;
use super::request::{Account, AccountTransactions, Root, Submit, SubmitAsync, Transaction, latest_ledger};
use super::resource::{AsyncReceipt, TransactionRecord};
use super::{HorizonLedger, Isolation, Submission, code};
use crate::gateway::port::{AccountHistory, LedgerAnswer, LedgerCall, LedgerResult};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use stellar_base::xdr::{FeeBumpTransactionInnerTx, Limits, MuxedAccount, ReadXdr, TransactionEnvelope, Uint256};
use stellar_horizon::request::Request;
use tokio::time::{sleep, timeout};

/// The largest envelope that is submitted; ours stay far below.
const ENVELOPE: Limits = Limits { depth: 200, len: 64 * 1024 };
/// Looks for a transaction that was refused: enough for a server whose own view trails its ledger by one.
const LOOKS_AFTER_REFUSAL: u32 = 2;
/// Transactions a page, and pages, of an account's history: whoever sends something to an escrow stands in it, too.
const HISTORY: u8 = 200;
const HISTORY_PAGES: u32 = 20;

/// What looking for a transaction brought.
enum Look {
    Found(LedgerResult),
    NotFound,
    Failed(String),
}

impl HorizonLedger {
    /// Answers a call of the gateway, within `Timing::call`. Each account's calls ride streams of their own.
    pub async fn call(&self, call: LedgerCall) -> LedgerAnswer {
        let (tag, answered) = match call {
            LedgerCall::Account { tag, account } => {
                let ledger = self.isolated(&account);
                (tag, timeout(self.timing.call, async move { ledger.account_result(&account).await }).await)
            }
            LedgerCall::History { tag, account, from } => {
                let ledger = self.isolated(&account);
                (tag, timeout(self.timing.call, async move { ledger.history(&account, from).await }).await)
            }
            LedgerCall::Transaction { tag, hash } => {
                let ledger = self.with(Isolation::of_transaction(&hash));
                let looked =
                    timeout(self.timing.call, async move { ledger.look(&hash, ledger.timing.tries).await }).await;
                (tag, looked.map(|look| look.or_else(LedgerResult::NotFound, |why| LedgerResult::Unknown { why })))
            }
            LedgerCall::Submit { tag, envelope, hash } => {
                let ledger = self.with(isolation_of(&envelope, &hash));
                (tag, timeout(self.timing.call, async move { ledger.submit(&envelope, &hash).await }).await)
            }
        };
        let late = |_| LedgerResult::Unknown { why: "no answer of the ledger's server in time".into() };
        LedgerAnswer { tag, result: answered.unwrap_or_else(late) }
    }

    async fn account_result(&self, account: &[u8; 32]) -> LedgerResult {
        let read = match self.read(&Account(*account)).await {
            Ok(Some((headers, record))) => record.view(account, latest_ledger(&headers)).map(Some),
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        };
        match read {
            Ok(Some(view)) => LedgerResult::Account(Box::new(view)),
            Ok(None) => LedgerResult::NotFound,
            Err(failure) => LedgerResult::Unknown { why: failure.to_string() },
        }
    }

    /// The clock first, then the sequence number: see `AccountHistory`.
    async fn history(&self, account: &[u8; 32], from: i64) -> LedgerResult {
        match self.read_history(account, from).await {
            Ok(Some(history)) => LedgerResult::History(Box::new(history)),
            Ok(None) => LedgerResult::NotFound,
            Err(failure) => LedgerResult::Unknown { why: failure.to_string() },
        }
    }

    async fn read_history(&self, account: &[u8; 32], from: i64) -> Result<Option<AccountHistory>, Failure> {
        let garbled = |what: &str| Failure::Garbled(what.into());
        let Some((_, root)) = self.read(&Root).await? else { return Err(garbled("no root document")) };
        let closed = chrono::DateTime::parse_from_rfc3339(&root.history_latest_ledger_closed_at);
        let closed_at = closed.ok().and_then(|time| u64::try_from(time.timestamp()).ok());
        let closed_at = closed_at.ok_or_else(|| garbled("no time of the latest ledger"))?;
        let Some((headers, record)) = self.read(&Account(*account)).await? else { return Ok(None) };
        let view = record.view(account, latest_ledger(&headers))?;
        let (sequence, mut envelopes) = (view.sequence, Vec::new());
        // From the ledger on that used the number last: what others sent to the account since then is passed over.
        let mut cursor = Some((u64::from(view.sequence_ledger).saturating_add(1) << 32).to_string());
        let mut pages = if sequence < from { 0 } else { HISTORY_PAGES };
        while pages > 0 {
            pages -= 1;
            let wanted = AccountTransactions { account: *account, cursor, limit: HISTORY, newest: true };
            let Some((_, page)) = self.read(&wanted).await? else { return Ok(None) };
            let records = page.records();
            cursor = records.last().map(|record| record.paging_token.clone());
            for record in records {
                let bytes = STANDARD.decode(record.envelope_xdr).map_err(|_| garbled("an envelope is no base64"))?;
                let Some(number) = number_of(&bytes, account) else { continue };
                envelopes.push(bytes);
                if number <= from {
                    pages = 0;
                }
            }
            if cursor.is_none() {
                break;
            }
        }
        Ok(Some(AccountHistory { closed_at, envelopes, sequence }))
    }

    async fn submit(&self, envelope: &[u8], hash: &[u8; 32]) -> LedgerResult {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sent = match self.submission {
                Submission::Waiting => self.send(&Submit(envelope)).await.map(|(_, record)| Some(record)),
                Submission::Async => self.send(&SubmitAsync(envelope)).await.map(|_| None),
            };
            let failure = match sent {
                Ok(Some(record)) => match landed(&record, hash) {
                    Ok(result) => return result,
                    Err(failure) => failure,
                },
                // Taken, not yet in a ledger.
                Ok(None) => return self.settle(hash, self.timing.looks, "submitted, in no ledger yet").await,
                Err(failure) => failure,
            };
            let why = failure.to_string();
            let wait = match &failure {
                Failure::NotSent(_) => Some(self.pause(attempt)),
                Failure::Refused(refusal) if refusal.is_busy() => self.stay_away(refusal.wait(), attempt),
                Failure::Refused(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
                    let code = match refusal_code(refusal) {
                        Some(code) => code,
                        None => return self.settle(hash, LOOKS_AFTER_REFUSAL, &why).await,
                    };
                    // It may have landed before: a repeat of what landed is refused for its sequence number, its
                    // time bounds, or an account that is gone by its own doing.
                    return match self.look_often(hash, LOOKS_AFTER_REFUSAL).await {
                        Look::Found(result) => result,
                        Look::NotFound => LedgerResult::Rejected { code },
                        Look::Failed(failed) => LedgerResult::Unknown { why: format!("{code}; then {failed}") },
                    };
                }
                _ => return self.settle(hash, self.timing.looks, &why).await,
            };
            match wait {
                Some(wait) if attempt < self.timing.tries => sleep(wait).await,
                _ => return LedgerResult::Unknown { why },
            }
        }
    }

    /// Looks until the transaction is found, else says why nobody knows.
    async fn settle(&self, hash: &[u8; 32], looks: u32, why: &str) -> LedgerResult {
        let unknown = |more: &str| LedgerResult::Unknown { why: format!("{why}; {more}") };
        match self.look_often(hash, looks).await {
            Look::Found(result) => result,
            Look::NotFound => unknown("not in a ledger so far"),
            Look::Failed(failed) => unknown(&failed),
        }
    }

    async fn look_often(&self, hash: &[u8; 32], looks: u32) -> Look {
        // Looking again is the second try: no look is tried twice by itself.
        let mut last = self.look(hash, 1).await;
        for _ in 1..looks {
            if matches!(last, Look::Found(_)) {
                break;
            }
            sleep(self.timing.poll).await;
            last = self.look(hash, 1).await;
        }
        last
    }

    async fn look(&self, hash: &[u8; 32], tries: u32) -> Look {
        match self.read_within(tries, &Transaction(*hash)).await {
            Ok(Some((_, record))) => match landed(&record, hash) {
                Ok(result) => Look::Found(result),
                Err(failure) => Look::Failed(failure.to_string()),
            },
            Ok(None) => Look::NotFound,
            Err(failure) => Look::Failed(failure.to_string()),
        }
    }

    /// Reads something, several times if need be; none when the server says that there is nothing of that name.
    pub(super) async fn read<R: Request>(&self, request: &R) -> Result<Option<(HeaderMap, R::Response)>, Failure> {
        self.read_within(self.timing.tries, request).await
    }

    async fn read_within<R: Request>(
        &self,
        tries: u32,
        request: &R,
    ) -> Result<Option<(HeaderMap, R::Response)>, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.send(request).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(Failure::Refused(refusal)) if refusal.is_not_found() => return Ok(None),
                Err(failure) => failure,
            };
            let wait = match &failure {
                Failure::Refused(refusal) if refusal.is_busy() => self.stay_away(refusal.wait(), attempt),
                Failure::Refused(refusal) if !refusal.status.is_server_error() => None,
                _ => Some(self.pause(attempt)),
            };
            match wait {
                Some(wait) if attempt < tries => sleep(wait).await,
                _ => return Err(failure),
            }
            attempt += 1;
        }
    }

    /// The pause after a try that failed: doubled each time.
    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.timing.poll.saturating_mul(1 << attempt.saturating_sub(1).min(8));
        doubled.min(self.timing.longest_wait)
    }

    /// How long to stay away from a busy server; none when it asks for longer than a call may take.
    fn stay_away(&self, asked: Option<Duration>, attempt: u32) -> Option<Duration> {
        let wait = asked.unwrap_or_default().max(self.pause(attempt));
        Some(wait).filter(|wait| *wait <= self.timing.longest_wait)
    }
}

impl Look {
    fn or_else(self, not_found: LedgerResult, failed: impl FnOnce(String) -> LedgerResult) -> LedgerResult {
        match self {
            Look::Found(result) => result,
            Look::NotFound => not_found,
            Look::Failed(why) => failed(why),
        }
    }
}

/// What a record of `hash` says. `Garbled` when it is of another transaction.
pub fn landed(record: &TransactionRecord, hash: &[u8; 32]) -> Result<LedgerResult, Failure> {
    if !record.is(hash) || record.ledger == 0 {
        return Err(Failure::Garbled("another transaction than the one asked for".into()));
    }
    let plain = if record.successful { "tx_success" } else { "tx_failed" };
    Ok(LedgerResult::Landed {
        ledger: record.ledger,
        success: record.successful,
        fee: record.fee_charged,
        code: code::of_result(&record.result_xdr).unwrap_or(plain).into(),
    })
}

/// The code of a refused transaction; none when the answer is not Horizon's about a transaction.
fn refusal_code(refusal: &super::Refusal) -> Option<String> {
    let receipt: AsyncReceipt = serde_json::from_slice(&refusal.body).unwrap_or_default();
    if let Some(code) = receipt.refusal() {
        return Some(code.into());
    }
    match refusal.problem.kind() {
        "transaction_failed" => refusal.problem.code(),
        kind @ ("transaction_malformed" | "bad_request") => Some(kind.into()),
        _ => None,
    }
}

/// The sequence number that an envelope takes of this account; none when it is another's.
fn number_of(envelope: &[u8], account: &[u8; 32]) -> Option<i64> {
    let tx = match TransactionEnvelope::from_xdr(envelope, ENVELOPE).ok()? {
        TransactionEnvelope::Tx(envelope) => envelope.tx,
        TransactionEnvelope::TxFeeBump(bump) => {
            let FeeBumpTransactionInnerTx::Tx(envelope) = bump.tx.inner_tx;
            envelope.tx
        }
        TransactionEnvelope::TxV0(_) => return None,
    };
    (tx.source_account == MuxedAccount::Ed25519(Uint256(*account))).then_some(tx.seq_num.0)
}

/// Streams for a submission: those of the account whose transaction it is, the inner one of a fee bump.
fn isolation_of(envelope: &[u8], hash: &[u8; 32]) -> Isolation {
    let source = match TransactionEnvelope::from_xdr(envelope, ENVELOPE) {
        Ok(TransactionEnvelope::Tx(envelope)) => Some(envelope.tx.source_account),
        Ok(TransactionEnvelope::TxFeeBump(bump)) => match bump.tx.inner_tx {
            FeeBumpTransactionInnerTx::Tx(envelope) => Some(envelope.tx.source_account),
        },
        _ => None,
    };
    match source {
        Some(MuxedAccount::Ed25519(key)) => Isolation::of(&key.0),
        Some(MuxedAccount::MuxedEd25519(muxed)) => Isolation::of(&muxed.ed25519.0),
        None => Isolation::of_transaction(hash),
    }
}
