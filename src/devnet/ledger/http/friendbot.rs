//! Gives new accounts something to begin with, out of the root account.
//!
//! The root account has one transaction in the queue at a time, so who comes while one is on its way goes into the
//! next together with everybody else who waits.
use super::node::{Core, Node};
use super::problem::Problem;
use super::resource::parse_account;
use super::submit::landed;
use crate::devnet::ledger::entry::{Id, account_id};
use crate::devnet::ledger::frame::Frame;
use crate::devnet::ledger::store::{Query, TransactionRow};
use crate::devnet::ledger::xdr::{
    CreateAccountOp, DecoratedSignature, Memo, MuxedAccount, Operation, OperationBody, Preconditions, SequenceNumber,
    Signature, SignatureHint, Transaction, TransactionEnvelope, TransactionExt, TransactionV1Envelope, Uint256,
};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use axum::http::{HeaderMap, StatusCode};
use ed25519_dalek::Signer as _;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What an account gets: 10 000 coins.
const GIFT: i64 = 100_000_000_000;
/// Offered an operation, so that a full ledger does not shut newcomers out.
const FEE_PER_OPERATION: u32 = 10_000;
/// Accounts in one transaction.
const BATCH: usize = 100;
/// Accounts that may wait.
const MAX_WANTED: usize = 1_000;
const TRIES: u32 = 5;

/// Who waits for a gift.
#[derive(Default)]
pub(super) struct Friendbot {
    turn: Mutex<()>,
    wanted: Mutex<BTreeSet<Id>>,
}

/// `addr`, in the query.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    addr: Option<String>,
}

/// Creates the account `addr` with 10 000 coins.
pub(super) async fn fund(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    query: Result<UrlQuery<Wish>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let UrlQuery(wish) = query.map_err(|e| Problem::bad_request("query", e.body_text()))?;
    let text = wish.addr.ok_or_else(|| Problem::bad_request("addr", "the account to create is missing"))?;
    let id = parse_account(&text).ok_or_else(|| Problem::bad_request("addr", "not a valid account address"))?;
    if node.core.lock().await.ledger.state().accounts.get(&id).is_some() {
        return Err(Problem::other(
            StatusCode::BAD_REQUEST,
            "Bad Request",
            "createAccountAlreadyExist: the account exists already (op_already_exists).",
        ));
    }
    {
        let mut wanted = node.friendbot.wanted.lock().await;
        if wanted.len() >= MAX_WANTED {
            return Err(Problem::busy());
        }
        wanted.insert(id);
    }
    let _turn = node.friendbot.turn.lock().await;
    for _ in 0..TRIES {
        if let Some(row) = funded(&node, &id).await? {
            return landed(&node, &headers, &row).map(Json);
        }
        let frame = batch(&node, &id).await?;
        // whatever came of it (another transaction of the root account may have been faster), the state tells
        if let Err(None) = node.land(frame).await? {
            tokio::task::yield_now().await;
        }
    }
    match funded(&node, &id).await? {
        Some(row) => landed(&node, &headers, &row).map(Json),
        None => Err(Problem::busy()),
    }
}

// The transaction that created the account, once it exists.
async fn funded(node: &Node, id: &Id) -> Result<Option<TransactionRow>, Problem> {
    let core = node.core.lock().await;
    if core.ledger.state().accounts.get(id).is_none() {
        return Ok(None);
    }
    let first =
        Query { account: Some(*id), ledger: None, cursor: None, descending: false, limit: 1, include_failed: false };
    Ok(core.store.transactions(&first)?.into_iter().next())
}

async fn batch(node: &Node, id: &Id) -> Result<Frame, Problem> {
    let mut wanted = node.friendbot.wanted.lock().await;
    let core = node.core.lock().await;
    wanted.remove(id);
    let mut all = vec![*id];
    while all.len() < BATCH
        && let Some(next) = wanted.pop_first()
    {
        if core.ledger.state().accounts.get(&next).is_none() {
            all.push(next);
        }
    }
    build(node, &core, &all).ok_or_else(|| Problem::internal("the gift cannot be written"))
}

fn build(node: &Node, core: &Core, all: &[Id]) -> Option<Frame> {
    let key = node.genesis.root_key();
    let root = key.verifying_key().to_bytes();
    let operations: Vec<Operation> = all
        .iter()
        .map(|id| Operation {
            source_account: None,
            body: OperationBody::CreateAccount(CreateAccountOp { destination: account_id(id), starting_balance: GIFT }),
        })
        .collect();
    let tx = Transaction {
        source_account: MuxedAccount::Ed25519(Uint256(root)),
        fee: u32::try_from(all.len()).ok()?.checked_mul(FEE_PER_OPERATION)?,
        seq_num: SequenceNumber(core.ledger.state().accounts.get(&root)?.seq.checked_add(1)?),
        cond: Preconditions::None,
        memo: Memo::None,
        operations: operations.try_into().ok()?,
        ext: TransactionExt::V0,
    };
    let envelope = |signatures: Vec<DecoratedSignature>| {
        let signatures = signatures.try_into().ok()?;
        let envelope = TransactionEnvelope::Tx(TransactionV1Envelope { tx: tx.clone(), signatures });
        Frame::from_envelope(envelope, core.ledger.network_id()).ok()
    };
    let hash = envelope(Vec::new())?.hash();
    let signature = key.sign(&hash).to_bytes().to_vec();
    let hint = SignatureHint([root[28], root[29], root[30], root[31]]);
    envelope(vec![DecoratedSignature { hint, signature: Signature(signature.try_into().ok()?) }])
}
