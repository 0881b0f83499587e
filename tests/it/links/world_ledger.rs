//! The world's ledger: the embedded engine behind the calls that links make.
use super::world::*;
use magicwave::devnet::ledger::{Frame, Submission, TxError, Verdict, xdr};
use magicwave::gateway::core::message::AccountKey;
use magicwave::gateway::port::{AccountHistory, AccountView, LedgerCall, LedgerResult, TrustlineView};
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::stellar::template::{self, Source};
use magicwave::units::Stroops;

impl World {
    pub fn create(&mut self, node: usize, native: u64) {
        self.create_numbered(node, 0, native);
    }

    /// Another account of a node's wallet.
    pub fn create_numbered(&mut self, node: usize, number: u8, native: u64) {
        let key = self.numbered(node, number);
        self.transact(&SecretSeed::from_bytes(&network().0), |source| {
            template::create_account(source, &key.public(), amount(native)).expect("create")
        });
        self.transact(&key, |source| template::change_trust(source, &asset(), Stroops::MAX).expect("trust"));
    }

    pub fn numbered(&self, node: usize, number: u8) -> SecretSeed {
        self.nodes[node].wallet.account_keys()[usize::from(number)].clone()
    }

    pub fn fund(&mut self, node: usize, stroops: u64) {
        self.fund_numbered(node, 0, stroops);
    }

    pub fn fund_numbered(&mut self, node: usize, number: u8, stroops: u64) {
        let to = self.numbered(node, number).public();
        self.transact(&issuer(), |source| template::payment(source, &to, &asset(), amount(stroops)).expect("payment"));
    }

    /// Applies a transaction at once.
    pub fn transact(&mut self, key: &SecretSeed, build: impl FnOnce(&Source) -> template::Unsigned) {
        let sequence = self.ledger.state().accounts.get(&key.public()).expect("account").seq;
        let source = Source { network: network(), account: key.public(), sequence, fee_per_op: 100, max_time: 0 };
        let signed = build(&source).sign(&[key]).expect("signed");
        let frame = Frame::from_bytes(&signed.to_xdr().expect("xdr"), &network().0).expect("frame");
        assert_eq!(self.ledger.submit(frame, 0), Submission::Pending);
        let closed = self.ledger.close(self.now_ms / 1000);
        assert!(closed.transactions.iter().all(|t| t.outcome.is_success()), "{closed:?}");
    }

    pub(super) fn call(&mut self, node: usize, call: LedgerCall) {
        match call {
            LedgerCall::Submit { tag, envelope, hash } => {
                let frame = Frame::from_bytes(&envelope, &network().0).expect("an envelope");
                assert_eq!(frame.hash(), hash);
                if frame.fee_bid() < self.min_fee {
                    return self.answer(node, tag, LedgerResult::Rejected { code: "tx_insufficient_fee".into() });
                }
                match self.ledger.submit(frame, 0) {
                    Submission::Pending | Submission::Duplicate => self.waiting.push((node, tag, hash)),
                    Submission::TryAgainLater => {
                        self.answer(node, tag, LedgerResult::Unknown { why: "try again later".into() })
                    }
                    Submission::Refused(outcome) => {
                        let code = code(&outcome.verdict);
                        self.answer(node, tag, LedgerResult::Rejected { code })
                    }
                }
            }
            LedgerCall::Account { tag, account } => {
                let trails = self.chance(self.flaky);
                let found = self.view(&account).filter(|_| !trails);
                // A server that is far behind knows the nodes as they were made, and no escrow.
                let found = match self.behind {
                    Some((sequence, latest_ledger)) => found
                        .filter(|v| self.nodes.iter().any(|n| n.wallet.account() == v.account))
                        .map(|v| AccountView { sequence, latest_ledger, ..v }),
                    None => found,
                };
                let result = found.map_or(LedgerResult::NotFound, |v| LedgerResult::Account(v.into()));
                self.answer(node, tag, result);
            }
            LedgerCall::Transaction { tag, hash } => {
                let known = self.landed.get(&hash).filter(|_| !self.blind);
                let result = known.cloned().unwrap_or(LedgerResult::NotFound);
                self.answer(node, tag, result);
            }
            LedgerCall::History { tag, account, .. } => {
                let out = self.blind || self.chance(self.flaky);
                let unknown = LedgerResult::Unknown { why: "no answer".into() };
                let result = if out { unknown } else { self.history(&account) };
                self.answer(node, tag, result);
            }
        }
    }

    pub fn history(&self, account: &AccountKey) -> LedgerResult {
        let Some(sequence) = self.view(account).map(|view| view.sequence) else { return LedgerResult::NotFound };
        let of_account = self.applied.iter().rev().filter(|(source, _)| source == account);
        let envelopes = of_account.take(20).map(|(_, envelope)| envelope.clone()).collect();
        let closed_at = self.ledger.header().close_time;
        LedgerResult::History(Box::new(AccountHistory { closed_at, envelopes, sequence }))
    }

    pub fn view(&self, account: &AccountKey) -> Option<AccountView> {
        let state = self.ledger.state();
        let found = state.accounts.get(account)?;
        let mut signers: Vec<(String, u8)> =
            found.signers.iter().map(|s| (s.key.to_string(), u8::try_from(s.weight).expect("weight"))).collect();
        signers.push((account_id(account), found.thresholds[0]));
        let line = |line: &magicwave::devnet::ledger::entry::TrustLine| {
            let xdr::Asset::CreditAlphanum4(a) = &line.asset else { panic!("the test asset has a short code") };
            TrustlineView {
                code: String::from_utf8_lossy(&a.asset_code.0).trim_end_matches('\0').to_owned(),
                issuer: magicwave::devnet::ledger::entry::id_of(&a.issuer),
                balance: line.balance,
                limit: line.limit,
                authorized: line.flags & 1 != 0,
                clawback: line.flags & 4 != 0,
            }
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
            trustlines: state.trust_of(account).map(line).collect(),
            data_entries: u32::try_from(state.data_of(account).count()).expect("few"),
            latest_ledger: self.ledger.header().ledger,
            ..AccountView::default()
        })
    }

    /// Stroops of the asset that an account holds.
    pub fn balance(&self, account: &AccountKey) -> u64 {
        self.view(account).and_then(|v| v.trustlines.first().map(|l| l.balance.unsigned_abs())).unwrap_or(0)
    }

    pub fn node_balance(&self, node: usize) -> u64 {
        self.balance(&self.nodes[node].wallet.account())
    }
}

pub(crate) fn code(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Success(_) => "tx_success".into(),
        Verdict::Failed(_) => "tx_failed".into(),
        Verdict::Error(TxError::BadSeq) => "tx_bad_seq".into(),
        Verdict::Error(TxError::InsufficientFee) => "tx_insufficient_fee".into(),
        Verdict::Error(TxError::InsufficientBalance) => "tx_insufficient_balance".into(),
        Verdict::Error(TxError::TooLate) => "tx_too_late".into(),
        Verdict::Error(other) => format!("tx_{other:?}"),
    }
}
