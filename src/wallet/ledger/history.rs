//! Payments in and out as an account's transactions tell them. Pure.
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::stellar::horizon::TransactionRecord;
use crate::stellar::keys;
use crate::units::Stroops;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use stellar_base::xdr::{
    self, AccountMergeResult as Merge, ClaimAtom, FeeBumpTransactionInnerTx, InnerTransactionResultResult as Inner,
    Limits, Memo, MuxedAccount, OperationBody, OperationResult, OperationResultTr as Tr,
    PathPaymentStrictReceiveResult as Receive, PathPaymentStrictSendResult as Send, ReadXdr, TransactionEnvelope,
    TransactionResult, TransactionResultResult as Outer,
};

/// A page of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Names the next page, when there is one.
    pub next: Option<String>,
}

/// Where an amount went, seen from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It has more.
    In,
    /// It has less.
    Out,
}

/// One amount that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When its ledger closed (RFC 3339), as the server says.
    pub time: String,
    /// The ledger.
    pub ledger: u32,
    /// The transaction, hex.
    pub hash: String,
    /// In or out.
    pub direction: Direction,
    /// `payment`, `create_account`, `merge`, `path_payment`, `claimable_balance`, `clawback`, `fee`.
    pub kind: &'static str,
    /// Of what.
    pub asset: Asset,
    /// How much, decimal in JSON.
    #[serde(serialize_with = "decimal")]
    pub amount: Stroops,
    /// The other account, when there is one.
    pub other: Option<String>,
    /// The memo's text, number or hash; control characters are left out.
    pub memo: Option<String>,
}

fn decimal<S: serde::Serializer>(amount: &Stroops, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// What a transaction moved for `account`: its fee, and what each operation moved when it applied. Not told by its
/// transactions, and so left out: what offers traded, and the amount of a claimable balance that is claimed.
/// `MW-HZN-9`: the server's XDR is none.
pub fn entries(record: &TransactionRecord, account: &AccountKey) -> Result<Vec<Entry>> {
    let (tx, results) = (transaction(&record.envelope_xdr)?, results(record)?);
    let memo = memo(&tx.memo);
    let entry = |(direction, kind, asset, amount, other): Moved| Entry {
        time: record.created_at.chars().filter(|c| !c.is_control()).collect(),
        ledger: record.ledger,
        hash: record.hash.chars().filter(char::is_ascii_hexdigit).collect(),
        direction,
        kind,
        asset,
        amount,
        other: other.map(|key| keys::account_id(&key)),
        memo: memo.clone(),
    };
    let mut found = Vec::new();
    // Operations applied in order; newest first turns that round, the fee came before all of them.
    for (operation, result) in tx.operations.iter().zip(&results).rev() {
        let source = key(operation.source_account.as_ref().unwrap_or(&tx.source_account));
        let moves = moved(&operation.body, result, &source, account).ok_or_else(garbled)?;
        found.extend(moves.into_iter().rev().filter(|(_, _, _, amount, _)| !amount.is_zero()).map(&entry));
    }
    if record.fee_account == keys::account_id(account) && record.fee_charged > 0 {
        let fee = Stroops::new(record.fee_charged).map_err(|_| garbled())?;
        found.push(entry((Direction::Out, "fee", Asset::Native, fee, None)));
    }
    Ok(found)
}

/// Direction, kind, asset, amount, the other account.
type Moved = (Direction, &'static str, Asset, Stroops, Option<AccountKey>);

/// None when something makes no sense.
fn moved(body: &OperationBody, result: &Tr, source: &AccountKey, me: &AccountKey) -> Option<Vec<Moved>> {
    let mut found = Vec::new();
    // What goes from one account to another: out for the one, in for the other, both for who pays itself.
    let mut pass = |kind, from: &AccountKey, to: &AccountKey, sent: (Asset, i64), got: (Asset, i64)| {
        if from == me {
            found.push((Direction::Out, kind, sent.0, Stroops::try_from(sent.1).ok()?, Some(*to)));
        }
        if to == me {
            found.push((Direction::In, kind, got.0, Stroops::try_from(got.1).ok()?, Some(*from)));
        }
        Some(())
    };
    match (body, result) {
        (OperationBody::Payment(op), _) => {
            let moved = (asset(&op.asset)?, op.amount);
            pass("payment", source, &key(&op.destination), moved, moved)?;
        }
        (OperationBody::CreateAccount(op), _) => {
            let moved = (Asset::Native, op.starting_balance);
            pass("create_account", source, &id(&op.destination), moved, moved)?;
        }
        (OperationBody::AccountMerge(to), Tr::AccountMerge(Merge::Success(amount))) => {
            let moved = (Asset::Native, *amount);
            pass("merge", source, &key(to), moved, moved)?;
        }
        (OperationBody::PathPaymentStrictReceive(op), Tr::PathPaymentStrictReceive(Receive::Success(done))) => {
            let sent = asset(&op.send_asset)?;
            let bought =
                done.offers.iter().try_fold(0i64, |sum, atom| sum.checked_add(bought(atom, &op.send_asset)))?;
            let amount = if done.offers.is_empty() { op.dest_amount } else { bought };
            let got = (asset(&op.dest_asset)?, op.dest_amount);
            pass("path_payment", source, &key(&op.destination), (sent, amount), got)?;
        }
        (OperationBody::PathPaymentStrictSend(op), Tr::PathPaymentStrictSend(Send::Success(done))) => {
            let got = (asset(&op.dest_asset)?, done.last.amount);
            pass("path_payment", source, &key(&op.destination), (asset(&op.send_asset)?, op.send_amount), got)?;
        }
        (OperationBody::CreateClaimableBalance(op), _) if source == me => {
            let amount = Stroops::try_from(op.amount).ok()?;
            found.push((Direction::Out, "claimable_balance", asset(&op.asset)?, amount, None));
        }
        (OperationBody::Clawback(op), _) if key(&op.from) == *me => {
            let amount = Stroops::try_from(op.amount).ok()?;
            found.push((Direction::Out, "clawback", asset(&op.asset)?, amount, Some(*source)));
        }
        _ => {}
    }
    Some(found)
}

/// What an offer on the path took of `asset`.
fn bought(atom: &ClaimAtom, asset: &xdr::Asset) -> i64 {
    let (of, amount) = match atom {
        ClaimAtom::V0(atom) => (&atom.asset_bought, atom.amount_bought),
        ClaimAtom::OrderBook(atom) => (&atom.asset_bought, atom.amount_bought),
        ClaimAtom::LiquidityPool(atom) => (&atom.asset_bought, atom.amount_bought),
    };
    if of == asset { amount } else { 0 }
}

/// The transaction in an envelope (base64 XDR), the inner one of a fee bump. `MW-HZN-9`: it is none.
pub(super) fn transaction(envelope: &str) -> Result<xdr::Transaction> {
    let bytes = STANDARD.decode(envelope).map_err(|_| garbled())?;
    let limits = Limits { depth: 200, len: bytes.len() };
    match TransactionEnvelope::from_xdr(bytes, limits).map_err(|_| garbled())? {
        TransactionEnvelope::Tx(envelope) => Ok(envelope.tx),
        TransactionEnvelope::TxFeeBump(bump) => match bump.tx.inner_tx {
            FeeBumpTransactionInnerTx::Tx(envelope) => Ok(envelope.tx),
        },
        // The form before protocol 13, in the history of an older account.
        TransactionEnvelope::TxV0(xdr::TransactionV0Envelope { tx, .. }) => Ok(xdr::Transaction {
            source_account: MuxedAccount::Ed25519(tx.source_account_ed25519),
            fee: tx.fee,
            seq_num: tx.seq_num,
            cond: tx.time_bounds.map_or(xdr::Preconditions::None, xdr::Preconditions::Time),
            memo: tx.memo,
            operations: tx.operations,
            ext: xdr::TransactionExt::V0,
        }),
    }
}

/// Results of the operations of a transaction that applied; empty for one that failed.
fn results(record: &TransactionRecord) -> Result<Vec<Tr>> {
    let bytes = STANDARD.decode(&record.result_xdr).map_err(|_| garbled())?;
    let limits = Limits { depth: 200, len: bytes.len() };
    let results = match TransactionResult::from_xdr(bytes, limits).map_err(|_| garbled())?.result {
        Outer::TxSuccess(results) => results,
        Outer::TxFeeBumpInnerSuccess(pair) => match pair.result.result {
            Inner::TxSuccess(results) => results,
            _ => return Err(garbled()),
        },
        _ => return Ok(Vec::new()),
    };
    let inner = |result: &OperationResult| match result {
        OperationResult::OpInner(inner) => Ok(inner.clone()),
        _ => Err(garbled()),
    };
    results.iter().map(inner).collect()
}

fn memo(memo: &Memo) -> Option<String> {
    match memo {
        Memo::None => None,
        Memo::Text(text) => Some(text.to_utf8_string_lossy().chars().filter(|c| !c.is_control()).collect()),
        Memo::Id(id) => Some(id.to_string()),
        Memo::Hash(hash) | Memo::Return(hash) => Some(hex::encode(hash.0)),
    }
}

pub(super) fn key(account: &MuxedAccount) -> AccountKey {
    match account {
        MuxedAccount::Ed25519(key) => key.0,
        MuxedAccount::MuxedEd25519(muxed) => muxed.ed25519.0,
    }
}

fn id(account: &xdr::AccountId) -> AccountKey {
    let xdr::PublicKey::PublicKeyTypeEd25519(key) = &account.0;
    key.0
}

fn asset(asset: &xdr::Asset) -> Option<Asset> {
    let credit = |code: &[u8], issuer| {
        let code = std::str::from_utf8(code).ok()?.trim_end_matches('\0');
        Asset::credit(code, id(issuer)).ok()
    };
    match asset {
        xdr::Asset::Native => Some(Asset::Native),
        xdr::Asset::CreditAlphanum4(credit4) => credit(&credit4.asset_code.0, &credit4.issuer),
        xdr::Asset::CreditAlphanum12(credit12) => credit(&credit12.asset_code.0, &credit12.issuer),
    }
}

fn garbled() -> Error {
    Error::later("MW-HZN-9", "The ledger's server tells of a transaction that makes no sense. Ask another server.")
}
