//! The ledger as a whole: genesis, the queue of pending transactions, closing. Pure: time comes in as an argument.
use super::apply;
use super::auth::sha256;
use super::entry::{Account, Entry, Id};
use super::frame::{Frame, network_id};
use super::outcome::{Outcome, TxError, Verdict};
use super::state::{Header, Key, State};
use super::valid;
use super::xdr::{Limits, TransactionResultPair, WriteXdr};
use crate::redact::Sensitive;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

/// Transactions that may wait at a time.
pub const MAX_PENDING: usize = 5_000;
/// Operations in a ledger (fee bumps count one more), as on the public network; more wait, the best paying first.
pub const MAX_OPERATIONS: i64 = 1_000;
/// Closes that a transaction may wait before it is dropped.
pub const MAX_WAIT: u32 = 10;
/// How many times the fee a replacement must offer.
const REPLACE_FACTOR: i128 = 10;

/// How a network begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Names the network.
    pub passphrase: String,
    /// Stroops an operation.
    pub base_fee: u32,
    /// Stroops a reserve unit.
    pub base_reserve: u32,
    /// Protocol version.
    pub protocol: u32,
    /// Close time of ledger 1, unix seconds.
    pub close_time: u64,
    /// What the root account holds, in stroops.
    pub total_coins: i64,
    /// Seed of the root account; `None`: the network id, as in any standalone network.
    pub root_seed: Option<Sensitive<[u8; 32]>>,
}

impl Genesis {
    /// 100 billion coins, base fee 100, base reserve 0.5, protocol 19.
    pub fn standalone(passphrase: impl Into<String>, close_time: u64) -> Self {
        Genesis {
            passphrase: passphrase.into(),
            base_fee: 100,
            base_reserve: 5_000_000,
            protocol: 19,
            close_time,
            total_coins: 1_000_000_000_000_000_000,
            root_seed: None,
        }
    }
    /// The key of the root account.
    pub fn root_key(&self) -> SigningKey {
        let seed = self.root_seed.map_or_else(|| network_id(&self.passphrase), |seed| seed.0);
        SigningKey::from_bytes(&seed)
    }
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It waits for the next close.
    Pending,
    /// It waits already.
    Duplicate,
    /// Another transaction of the same source waits, or the queue is full.
    TryAgainLater,
    /// It can not enter a ledger as things stand.
    Refused(Outcome),
}

/// A transaction in a closed ledger.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The transaction.
    pub frame: Frame,
    /// What it did.
    pub outcome: Outcome,
    /// Hash and result.
    pub pair: TransactionResultPair,
}

/// A closed ledger.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Its header.
    pub header: Header,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash before it.
    pub previous: [u8; 32],
    /// In order of application.
    pub transactions: Vec<Applied>,
    /// Which entries changed.
    pub changes: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Pending {
    frame: Frame,
    since: u32,
}

/// A ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    network_id: [u8; 32],
    state: State,
    header: Header,
    hash: [u8; 32],
    // by source account: one transaction each
    pending: BTreeMap<Id, Pending>,
    // what waits is promised, by fee source
    promised: BTreeMap<Id, i64>,
}

impl Ledger {
    /// Ledger 1, with everything in the root account.
    pub fn new(genesis: &Genesis) -> Self {
        let header = Header {
            ledger: 1,
            close_time: genesis.close_time,
            protocol: genesis.protocol,
            base_fee: genesis.base_fee,
            base_reserve: genesis.base_reserve,
            total_coins: genesis.total_coins,
            fee_pool: 0,
        };
        let root = genesis.root_key().verifying_key().to_bytes();
        let mut state = State { ledger: 1, ..State::default() };
        let mut account = Account::new(root, genesis.total_coins, 0);
        account.modified = 1;
        state.accounts.insert(root, account);
        state.take_changes();
        let network_id = network_id(&genesis.passphrase);
        Ledger { network_id, state, header, hash: network_id, pending: BTreeMap::new(), promised: BTreeMap::new() }
    }

    /// A ledger as it was stored.
    pub fn restore(passphrase: &str, header: Header, hash: [u8; 32], entries: impl Iterator<Item = Entry>) -> Self {
        let mut state = State { ledger: header.ledger, ..State::default() };
        entries.for_each(|entry| state.restore(entry));
        state.take_changes();
        let network_id = network_id(passphrase);
        Ledger { network_id, state, header, hash, pending: BTreeMap::new(), promised: BTreeMap::new() }
    }

    /// SHA-256 of the passphrase.
    pub fn network_id(&self) -> &[u8; 32] {
        &self.network_id
    }
    /// The last closed ledger.
    pub fn header(&self) -> &Header {
        &self.header
    }
    /// Its hash.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
    /// Its entries.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// Transactions that wait.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
    /// For recordings that change them on the way.
    pub(super) fn set_header(&mut self, change: impl FnOnce(&mut Header)) {
        change(&mut self.header);
    }

    /// Takes a transaction into the queue. `upper` is how many seconds past the last close its `maxTime` must lie:
    /// two closes and the time since.
    pub fn submit(&mut self, frame: Frame, upper: u64) -> Submission {
        let source = frame.source();
        let mut promised = self.promised.get(&frame.fee_source()).copied().unwrap_or(0);
        if let Some(Pending { frame: waiting, .. }) = self.pending.get(&source) {
            let same_inside = frame.bump.is_none() && waiting.inner_hash == frame.inner_hash;
            if waiting.hash() == frame.hash() || same_inside {
                return Submission::Duplicate;
            }
            if frame.seq() < waiting.seq() {
                return refused(&frame, &self.header, TxError::BadSeq);
            }
            if frame.bump.is_none() || frame.seq() != waiting.seq() {
                return Submission::TryAgainLater;
            }
            if let Some(needed) = replacement_fee(&frame, waiting) {
                let verdict = Verdict::Error(TxError::InsufficientFee);
                return Submission::Refused(Outcome { fee: needed, inner_fee: 0, outside: true, verdict });
            }
            if waiting.fee_source() == frame.fee_source() {
                promised -= waiting.fee_bid();
            }
        } else if self.pending.len() >= MAX_PENDING {
            return Submission::TryAgainLater;
        }
        let outcome = valid::check_submission(&self.state, &self.header, &frame, upper);
        if !outcome.is_success() {
            return Submission::Refused(outcome);
        }
        let free = self.state.accounts.get(&frame.fee_source()).map_or(0, |a| self.header.available(a));
        if free.saturating_sub(frame.fee_bid()) < promised {
            return refused(&frame, &self.header, TxError::InsufficientBalance);
        }
        let since = self.header.ledger;
        if let Some(old) = self.pending.remove(&source) {
            self.release(&old.frame);
        }
        let bid = frame.fee_bid();
        let total = self.promised.entry(frame.fee_source()).or_insert(0);
        *total = total.saturating_add(bid);
        self.pending.insert(source, Pending { frame, since });
        Submission::Pending
    }

    fn release(&mut self, frame: &Frame) {
        if let Some(total) = self.promised.get_mut(&frame.fee_source()) {
            *total -= frame.fee_bid();
            if *total <= 0 {
                self.promised.remove(&frame.fee_source());
            }
        }
    }

    // Takes out of the queue what goes into the next ledger, and what it will pay an operation.
    fn choose(&mut self) -> (Vec<Frame>, i64) {
        let mut base_fee = i64::from(self.header.base_fee);
        let now = self.header.ledger;
        // what was checked against an older state is checked again, as it would be on nomination
        let stale: Vec<Id> = self
            .pending
            .iter()
            .filter(|(_, p)| p.since < now)
            .filter(|(_, p)| {
                now.saturating_sub(p.since) > MAX_WAIT
                    || !valid::check_submission(&self.state, &self.header, &p.frame, 0).is_success()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            if let Some(old) = self.pending.remove(&id) {
                self.release(&old.frame);
            }
        }
        let mut order: Vec<(Id, i64, i64)> =
            self.pending.iter().map(|(id, p)| (*id, p.frame.fee_bid(), p.frame.fee_ops())).collect();
        if order.iter().map(|(_, _, ops)| ops).sum::<i64>() > MAX_OPERATIONS {
            // fee per operation in fixed point, highest first
            order.sort_by_key(|(_, fee, ops)| std::cmp::Reverse((i128::from(*fee) << 64) / i128::from((*ops).max(1))));
            let mut room = MAX_OPERATIONS;
            order.retain(|(_, _, ops)| {
                let fits = *ops <= room;
                room -= if fits { *ops } else { 0 };
                fits
            });
            let lowest = order.iter().map(|(_, fee, ops)| fee / (*ops).max(1)).min();
            base_fee = base_fee.max(lowest.unwrap_or(0));
        }
        let mut frames = Vec::with_capacity(order.len());
        for (id, _, _) in order {
            if let Some(taken) = self.pending.remove(&id) {
                self.release(&taken.frame);
                frames.push(taken.frame);
            }
        }
        // nobody can know the order beforehand: it depends on the ledger before
        let salt = self.hash;
        frames.sort_by_key(|frame| {
            let mut key = frame.hash();
            key.iter_mut().zip(salt).for_each(|(byte, s)| *byte ^= s);
            key
        });
        (frames, base_fee)
    }

    /// Closes a ledger with what waits. `now` is unix seconds; close times never go back (here two ledgers may share
    /// one second, where stellar-core would add one: closes faster than a second must not outrun the clock).
    pub fn close(&mut self, now: u64) -> Closed {
        let (frames, base_fee) = self.choose();
        self.apply_set(frames, now.max(self.header.close_time), base_fee)
    }

    /// Closes a ledger with exactly `frames` in this order.
    pub(super) fn apply_set(&mut self, frames: Vec<Frame>, close_time: u64, base_fee: i64) -> Closed {
        let mut header = Header { ledger: self.header.ledger.saturating_add(1), close_time, ..self.header };
        self.state.ledger = header.ledger;
        let fees: Vec<_> =
            frames.iter().map(|frame| apply::charge_fee(&mut self.state, &mut header, frame, base_fee)).collect();
        let mut transactions = Vec::with_capacity(frames.len());
        let mut digest = self.hash.to_vec();
        digest.extend(header.ledger.to_be_bytes());
        digest.extend(header.close_time.to_be_bytes());
        for (frame, fee) in frames.into_iter().zip(fees) {
            let outcome = apply::apply(&mut self.state, &header, &frame, fee);
            // the number of results is that of the operations, so there always is a pair
            let Some(pair) = outcome.pair(&frame) else { continue };
            digest.extend(pair.to_xdr(Limits::none()).unwrap_or_default());
            transactions.push(Applied { frame, outcome, pair });
        }
        let previous = self.hash;
        self.hash = sha256(&digest);
        self.header = header;
        Closed { header, hash: self.hash, previous, transactions, changes: self.state.take_changes() }
    }
}

fn refused(frame: &Frame, header: &Header, error: TxError) -> Submission {
    let fee = apply::least_fee(header, frame);
    let outside = error != TxError::BadSeq;
    Submission::Refused(Outcome { fee, inner_fee: 0, outside, verdict: Verdict::Error(error) })
}

// The fee that would be enough to replace `old`; None when `new` offers it.
fn replacement_fee(new: &Frame, old: &Frame) -> Option<i64> {
    let offered = i128::from(new.fee_bid()) * i128::from(old.fee_ops());
    let needed = i128::from(old.fee_bid()) * i128::from(new.fee_ops()) * REPLACE_FACTOR;
    let ops = i128::from(old.fee_ops()).max(1);
    (offered < needed).then(|| i64::try_from((needed + ops - 1) / ops).unwrap_or(i64::MAX))
}
