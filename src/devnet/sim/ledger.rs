//! The world's ledger: the embedded engine behind the calls that gateways make.
use super::party::{Setup, asset, issuer, network, wallet};
use super::{Node, PASSPHRASE, START, Sim};
use crate::devnet::ledger::{Frame, Genesis, Ledger, Submission, TxError, Verdict, entry, xdr};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{AccountHistory, AccountView, Event, LedgerAnswer, LedgerCall, LedgerResult, TrustlineView};
use crate::stellar::keys::{SecretSeed, account_id};
use crate::stellar::template::{self, Source, Unsigned};
use crate::units::Stroops;
use std::collections::HashMap;

/// What each account of a node holds at first, of the native asset and of the payment asset.
pub const FUNDS: u64 = 100_000 * 10_000_000;

/// The embedded ledger, what landed in it (one entry a transaction), and who waits for an answer.
pub struct SimLedger {
    /// The engine.
    pub engine: Ledger,
    /// Accounts that it does not know are answered for, too: not found.
    pub knows_all: bool,
    landed: HashMap<[u8; 32], LedgerResult>,
    /// Envelopes by the source of the inner transaction, oldest first.
    applied: HashMap<AccountKey, Vec<Vec<u8>>>,
    waiting: Vec<(usize, u32, u64, [u8; 32])>,
}

fn failed(what: impl std::fmt::Debug) -> Error {
    Error::never("MW-SIM-1", format!("the ledger of this world refuses: {what:?}"))
}

impl SimLedger {
    /// Nothing on it but the root account and the issuer.
    pub(super) fn new() -> Self {
        SimLedger {
            engine: Ledger::new(&Genesis::standalone(PASSPHRASE, START)),
            knows_all: true,
            landed: HashMap::new(),
            applied: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Makes a node's account and gives it [`FUNDS`] of both assets.
    pub(super) fn fund(&mut self, setup: &Setup, node: usize) -> Result<()> {
        let funds = Stroops::new(FUNDS).map_err(failed)?;
        let root = SecretSeed::from_bytes(&network().0);
        if self.engine.state().accounts.get(&issuer().public()).is_none() {
            self.transact(&root, |source| template::create_account(source, &issuer().public(), funds))?;
        }
        let key = wallet(setup, node).account_key();
        self.transact(&root, |source| template::create_account(source, &key.public(), funds))?;
        let asset = asset()?;
        self.transact(&key, |source| template::change_trust(source, &asset, Stroops::MAX))?;
        self.transact(&issuer(), |source| template::payment(source, &key.public(), &asset, funds))
    }

    /// Applies a transaction at once.
    fn transact(&mut self, key: &SecretSeed, build: impl FnOnce(&Source) -> Result<Unsigned>) -> Result<()> {
        let found = self.engine.state().accounts.get(&key.public());
        let sequence = found.ok_or_else(|| failed("no account"))?.seq;
        let source = Source { network: network(), account: key.public(), sequence, fee_per_op: 100, max_time: 0 };
        let envelope = build(&source)?.sign(&[key])?.to_xdr()?;
        let frame = Frame::from_bytes(&envelope, &network().0).map_err(failed)?;
        match self.engine.submit(frame, 0) {
            Submission::Pending => {}
            other => return Err(failed(other)),
        }
        let closed = self.engine.close(START);
        if closed.transactions.iter().all(|t| t.outcome.is_success()) { Ok(()) } else { Err(failed(closed)) }
    }

    /// A call of a process; its tag and answer, unless it waits for the next close.
    pub(super) fn call(&mut self, node: usize, life: u32, call: LedgerCall) -> Option<(u64, LedgerResult)> {
        Some(match call {
            LedgerCall::Submit { tag, envelope, hash } => {
                let Ok(frame) = Frame::from_bytes(&envelope, &network().0) else {
                    return Some((tag, LedgerResult::Rejected { code: "tx_malformed".into() }));
                };
                match self.engine.submit(frame, 0) {
                    Submission::Pending | Submission::Duplicate => {
                        self.waiting.push((node, life, tag, hash));
                        return None;
                    }
                    Submission::TryAgainLater => (tag, LedgerResult::Unknown { why: "try again later".into() }),
                    Submission::Refused(outcome) => (tag, LedgerResult::Rejected { code: code(&outcome.verdict) }),
                }
            }
            LedgerCall::Account { account, .. } if !self.knows_all && self.view(&account).is_none() => return None,
            LedgerCall::Account { tag, account } => {
                (tag, self.view(&account).map_or(LedgerResult::NotFound, |v| LedgerResult::Account(v.into())))
            }
            LedgerCall::History { tag, account, .. } => (tag, self.history(&account)),
            LedgerCall::Transaction { tag, hash } => {
                (tag, self.landed.get(&hash).cloned().unwrap_or(LedgerResult::NotFound))
            }
        })
    }

    fn history(&self, account: &AccountKey) -> LedgerResult {
        let Some(sequence) = self.view(account).map(|view| view.sequence) else { return LedgerResult::NotFound };
        let envelopes = self.applied.get(account).into_iter().flatten().rev().take(20).cloned().collect();
        let closed_at = self.engine.header().close_time;
        LedgerResult::History(Box::new(AccountHistory { closed_at, envelopes, sequence }))
    }

    /// An account as a server shows it.
    pub fn view(&self, account: &AccountKey) -> Option<AccountView> {
        let state = self.engine.state();
        let found = state.accounts.get(account)?;
        let weight = |weight: u32| u8::try_from(weight).unwrap_or(u8::MAX);
        let mut signers: Vec<(String, u8)> =
            found.signers.iter().map(|s| (s.key.to_string(), weight(s.weight))).collect();
        signers.push((account_id(account), found.thresholds[0]));
        let line = |line: &entry::TrustLine| {
            let xdr::Asset::CreditAlphanum4(asset) = &line.asset else { return None };
            Some(TrustlineView {
                code: String::from_utf8_lossy(&asset.asset_code.0).trim_end_matches('\0').to_owned(),
                issuer: entry::id_of(&asset.issuer),
                balance: line.balance,
                limit: line.limit,
                authorized: line.flags & 1 != 0,
                clawback: line.flags & 4 != 0,
            })
        };
        Some(AccountView {
            account: *account,
            sequence: found.seq,
            sequence_ledger: found.seq_ledger,
            sequence_time: found.seq_time,
            native: found.balance,
            subentries: found.subentries,
            sponsoring: found.sponsoring,
            sponsored: found.sponsored,
            thresholds: [found.thresholds[1], found.thresholds[2], found.thresholds[3]],
            signers,
            trustlines: state.trust_of(account).filter_map(line).collect(),
            data_entries: u32::try_from(state.data_of(account).count()).unwrap_or(u32::MAX),
            latest_ledger: self.engine.header().ledger,
            ..AccountView::default()
        })
    }

    /// Stroops of the payment asset that an account holds; none without the account.
    pub fn balance(&self, account: &AccountKey) -> Option<u64> {
        Some(self.view(account)?.trustlines.first().map_or(0, |line| line.balance.unsigned_abs()))
    }

    /// Stroops of the payment asset in all accounts.
    pub fn issued(&self) -> u64 {
        self.engine.state().trust.iter().map(|(_, line)| line.balance.unsigned_abs()).sum()
    }
}

impl<N: Node> Sim<N> {
    /// Closes a ledger; who waited for it hears what became of the transaction.
    pub(super) fn close_ledger(&mut self) {
        let closed = self.ledger.engine.close(self.now / 1000);
        for applied in closed.transactions {
            let result = LedgerResult::Landed {
                ledger: closed.header.ledger,
                success: applied.outcome.is_success(),
                fee: applied.outcome.fee.unsigned_abs(),
                code: code(&applied.outcome.verdict),
            };
            let of_source = self.ledger.applied.entry(applied.frame.source()).or_default();
            of_source.push(applied.frame.bytes.clone());
            self.ledger.landed.insert(applied.frame.hash(), result);
        }
        for (node, life, tag, hash) in std::mem::take(&mut self.ledger.waiting) {
            let lost = LedgerResult::Unknown { why: "timed out".into() };
            let result = self.ledger.landed.get(&hash).cloned().unwrap_or(lost);
            self.tell(node, life, tag, result);
        }
    }

    /// The ledger's answer to a process, which may have died meanwhile.
    pub(super) fn tell(&mut self, node: usize, life: u32, tag: u64, result: LedgerResult) {
        let unknown = self.chance(self.weather.unknown);
        let result = if unknown { LedgerResult::Unknown { why: "nobody knows".into() } } else { result };
        self.schedule(0, super::Job::Event { node, life, event: Event::Ledger(LedgerAnswer { tag, result }) });
    }
}

/// Horizon's name of a verdict.
fn code(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Success(_) => "tx_success".into(),
        Verdict::Failed(_) => "tx_failed".into(),
        Verdict::Error(TxError::BadSeq) => "tx_bad_seq".into(),
        Verdict::Error(TxError::TooLate) => "tx_too_late".into(),
        Verdict::Error(TxError::InsufficientFee) => "tx_insufficient_fee".into(),
        Verdict::Error(TxError::InsufficientBalance) => "tx_insufficient_balance".into(),
        Verdict::Error(other) => format!("tx_{other:?}"),
    }
}
