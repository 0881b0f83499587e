//! Replays what a real ledger was seen to do, and says where this one differs.
use super::chain::{Genesis, Ledger};
use super::entry;
use super::frame::Frame;
use super::ops::is_unsupported;
use super::valid::check_submission;
use super::xdr::{AccountId, LedgerEntry, Limits, ReadXdr, TransactionResult, TransactionResultPair, WriteXdr};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Longest recording that is read, in bytes.
pub const MAX_RECORDING_BYTES: usize = 256 * 1024 * 1024;

/// Most ledgers that are replayed without anything recorded of them, all together.
pub const MAX_EMPTY_LEDGERS: u32 = 100_000;

/// A recording. Fields that replay does not need are left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Recording {
    network_passphrase: String,
    last_ledger: u32,
    ledgers: Vec<RecordedLedger>,
    close_times: BTreeMap<u32, u64>,
    #[serde(default)]
    rejected: Vec<Rejected>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    final_accounts: Vec<FinalAccount>,
    #[serde(default)]
    final_trustlines: Vec<FinalTrustline>,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedLedger {
    ledger: u32,
    base_fee: u32,
    base_reserve: u32,
    protocol: u32,
    total_coins: i64,
    fee_pool: i64,
    transactions: Vec<RecordedTransaction>,
}

#[derive(Clone, Debug, Deserialize)]
struct RecordedTransaction {
    index: u32,
    envelope: String,
    result_pair: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Rejected {
    label: String,
    envelope: String,
    after_ledger: u32,
    result: String,
}

#[derive(Clone, Debug, Deserialize)]
struct FinalAccount {
    account: String,
    balance: i64,
    sequence: i64,
    subentries: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct FinalTrustline {
    account: String,
    ledger_entry: String,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Transactions that were applied and compared.
    pub applied: u64,
    /// Refusals that were compared.
    pub rejected: u64,
    /// Transactions with an operation that this ledger does not know.
    pub unsupported: u64,
    /// Each difference in words.
    #[serde(skip)]
    pub differences: Vec<String>,
}

/// Why a recording cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Not the JSON of a recording.
    #[error("not a recording: {0} [MW-REPLAY-1]")]
    Json(String),
    /// A field holds no XDR of its kind.
    #[error("{0} holds no valid XDR [MW-REPLAY-2]")]
    Xdr(String),
    /// No first ledger.
    #[error("the recording does not begin with ledger 1 [MW-REPLAY-3]")]
    NoGenesis,
    /// Its last ledger lies more than [`MAX_EMPTY_LEDGERS`] beyond what is recorded.
    #[error(
        "the recording ends with ledger {last} and says nothing of {empty} ledgers before it; at most \
         {MAX_EMPTY_LEDGERS} may be empty [MW-REPLAY-4]"
    )]
    TooEmpty {
        /// Its last ledger.
        last: u32,
        /// Ledgers of which nothing is recorded.
        empty: u32,
    },
    /// A ledger, or a transaction of one, stands in it twice: which of both is meant?
    #[error("{0} stands twice in the recording [MW-REPLAY-5]")]
    Twice(String),
}

fn decode<T: ReadXdr>(text: &str, what: &str) -> Result<T, RecordingError> {
    let bad = || RecordingError::Xdr(what.to_owned());
    let bytes = STANDARD.decode(text).map_err(|_| bad())?;
    T::from_xdr(bytes, Limits { depth: 200, len: 1 << 20 }).map_err(|_| bad())
}

fn encode<T: WriteXdr>(value: &T) -> String {
    STANDARD.encode(value.to_xdr(Limits::none()).unwrap_or_default())
}

/// Reads and replays a recording.
pub fn replay_json(json: &[u8]) -> Result<Report, RecordingError> {
    let recording: Recording = serde_json::from_slice(json).map_err(|e| RecordingError::Json(e.to_string()))?;
    replay(&recording)
}

/// Replays a recording from genesis.
pub fn replay(recording: &Recording) -> Result<Report, RecordingError> {
    let ledgers = by_number(recording)?;
    let last = recording.last_ledger;
    let recorded = u32::try_from(ledgers.range(..=last).count()).unwrap_or(u32::MAX);
    let empty = last.saturating_sub(recorded);
    if empty > MAX_EMPTY_LEDGERS {
        return Err(RecordingError::TooEmpty { last, empty });
    }
    let first = ledgers.get(&1).ok_or(RecordingError::NoGenesis)?;
    let mut ledger = Ledger::new(&Genesis {
        passphrase: recording.network_passphrase.clone(),
        base_fee: first.base_fee,
        base_reserve: first.base_reserve,
        protocol: first.protocol,
        close_time: recording.close_times.get(&1).copied().unwrap_or(0),
        total_coins: first.total_coins,
        root_seed: None,
    });
    let mut rejected: BTreeMap<u32, Vec<&Rejected>> = BTreeMap::new();
    for refusal in &recording.rejected {
        rejected.entry(refusal.after_ledger).or_default().push(refusal);
    }
    let after = |number: u32| rejected.get(&number).map_or(&[][..], Vec::as_slice);
    let mut report = Report::default();
    refusals(recording, after(1), &ledger, &mut report)?;
    for number in 2..=recording.last_ledger {
        let close_time = recording.close_times.get(&number).copied().unwrap_or(ledger.header().close_time);
        let recorded = ledgers.get(&number).copied();
        close(recording, recorded, close_time, &mut ledger, &mut report)?;
        refusals(recording, after(number), &ledger, &mut report)?;
    }
    let beyond = |number: &u32| !(1..=recording.last_ledger).contains(number);
    for number in rejected.keys().chain(ledgers.keys()).filter(|n| beyond(n)) {
        report.differences.push(format!("ledger {number} lies outside 1..={}", recording.last_ledger));
    }
    finals(recording, &ledger, &mut report)?;
    Ok(report)
}

/// Each ledger once, and each of its transactions once.
fn by_number(recording: &Recording) -> Result<BTreeMap<u32, &RecordedLedger>, RecordingError> {
    let mut ledgers = BTreeMap::new();
    for recorded in &recording.ledgers {
        let number = recorded.ledger;
        if ledgers.insert(number, recorded).is_some() {
            return Err(RecordingError::Twice(format!("ledger {number}")));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = recorded.transactions.iter().find(|t| !seen.insert(t.index)) {
            return Err(RecordingError::Twice(format!("transaction {} of ledger {number}", twice.index)));
        }
    }
    Ok(ledgers)
}

fn close(
    recording: &Recording,
    recorded: Option<&RecordedLedger>,
    close_time: u64,
    ledger: &mut Ledger,
    report: &mut Report,
) -> Result<(), RecordingError> {
    let mut transactions: Vec<&RecordedTransaction> = recorded.map_or(Vec::new(), |r| r.transactions.iter().collect());
    transactions.sort_by_key(|t| t.index);
    let mut frames = Vec::with_capacity(transactions.len());
    for transaction in &transactions {
        let number = recorded.map_or(0, |r| r.ledger);
        let whose = || format!("the envelope of transaction {} of ledger {number}", transaction.index);
        frames.push(frame(&transaction.envelope, ledger, whose)?);
    }
    let base_fee = i64::from(ledger.header().base_fee);
    let closed = ledger.apply_set(frames, close_time, base_fee);
    for (applied, wanted) in closed.transactions.iter().zip(&transactions) {
        if applied.frame.tx.operations.iter().any(is_unsupported) {
            report.unsupported += 1;
            continue;
        }
        report.applied += 1;
        if encode(&applied.pair) != wanted.result_pair {
            let hash = hex::encode(applied.frame.hash());
            let label = recording.labels.get(&hash).map_or("", String::as_str);
            let want: TransactionResultPair =
                decode(&wanted.result_pair, &format!("the result_pair of transaction {hash}"))?;
            report.differences.push(format!(
                "ledger {}, transaction {hash} ({label}): wanted {:?}, got {:?}",
                closed.header.ledger, want.result, applied.pair.result
            ));
        }
    }
    let Some(recorded) = recorded else { return Ok(()) };
    ledger.set_header(|header| {
        header.base_fee = recorded.base_fee;
        header.base_reserve = recorded.base_reserve;
        header.protocol = recorded.protocol;
    });
    let header = ledger.header();
    if (header.fee_pool, header.total_coins) != (recorded.fee_pool, recorded.total_coins) {
        report.differences.push(format!(
            "ledger {}: wanted fee pool {} of {} coins, got {} of {}",
            header.ledger, recorded.fee_pool, recorded.total_coins, header.fee_pool, header.total_coins
        ));
    }
    Ok(())
}

fn frame(envelope: &str, ledger: &Ledger, whose: impl Fn() -> String) -> Result<Frame, RecordingError> {
    Frame::parse(envelope, ledger.network_id()).map_err(|_| RecordingError::Xdr(whose()))
}

fn refusals(
    recording: &Recording,
    rejected: &[&Rejected],
    ledger: &Ledger,
    report: &mut Report,
) -> Result<(), RecordingError> {
    let number = ledger.header().ledger;
    let next = recording.close_times.get(&number.saturating_add(1)).copied();
    let next = next.unwrap_or(ledger.header().close_time.saturating_add(1));
    for (index, rejected) in rejected.iter().enumerate() {
        let whose = || format!("the envelope of refusal {index} after ledger {number} ({})", rejected.label);
        let frame = frame(&rejected.envelope, ledger, whose)?;
        if frame.tx.operations.iter().any(is_unsupported) {
            report.unsupported += 1;
            continue;
        }
        report.rejected += 1;
        // The submission came somewhere between this close and the next. stellar-core lets maxTime lie no nearer than
        // two closes (of 1 s) past the moment, so any second of that span is the recorded one.
        let span = next.saturating_sub(ledger.header().close_time).min(10);
        let mut got: Vec<TransactionResult> = Vec::new();
        for drift in 0..=span {
            let outcome = check_submission(ledger.state(), ledger.header(), &frame, 2 + drift);
            got.extend(outcome.result(&frame));
        }
        if !got.iter().any(|result| encode(result) == rejected.result) {
            let want: TransactionResult =
                decode(&rejected.result, &format!("the result of refusal {index} after ledger {number}"))?;
            report.differences.push(format!(
                "refusal after ledger {number}, {} ({}): wanted {want:?}, got {:?}",
                hex::encode(frame.hash()),
                rejected.label,
                got.first()
            ));
        }
    }
    Ok(())
}

fn finals(recording: &Recording, ledger: &Ledger, report: &mut Report) -> Result<(), RecordingError> {
    let state = ledger.state();
    for wanted in &recording.final_accounts {
        let id = AccountId::from_str(&wanted.account).map_err(|_| RecordingError::Xdr(wanted.account.clone()))?;
        let got = state.accounts.get(&entry::id_of(&id)).map(|a| (a.balance, a.seq, a.subentries));
        let want = Some((wanted.balance, wanted.sequence, wanted.subentries));
        if got != want {
            report.differences.push(format!(
                "account {}: wanted (balance, sequence, subentries) {want:?}, got {got:?}",
                wanted.account
            ));
        }
    }
    let (have, want) = (state.accounts.iter().count(), recording.final_accounts.len());
    if have != want {
        report.differences.push(format!("wanted {want} accounts at the end, got {have}"));
    }
    for wanted in &recording.final_trustlines {
        let want: LedgerEntry = decode(&wanted.ledger_entry, &format!("the trustline of {}", wanted.account))?;
        let Some(entry::Entry::Trust(line)) = entry::Entry::from_xdr(&want) else {
            return Err(RecordingError::Xdr(format!("the trustline of {}", wanted.account)));
        };
        let got = state.trust.get(&(line.id, line.asset.clone())).map(entry::TrustLine::to_xdr);
        if got.as_ref() != Some(&want) {
            report.differences.push(format!("trustline of {}: wanted {want:?}, got {got:?}", wanted.account));
        }
    }
    let (have, want) = (state.trust.iter().count(), recording.final_trustlines.len());
    if have != want {
        report.differences.push(format!("wanted {want} trustlines at the end, got {have}"));
    }
    Ok(())
}

impl Report {
    /// True when nothing differed.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}
