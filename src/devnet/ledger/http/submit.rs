//! POST: transactions, with and without waiting.
use super::node::{Node, Submitted};
use super::problem::Problem;
use super::read::base;
use super::resource;
use crate::devnet::ledger::frame::Frame;
use crate::devnet::ledger::outcome::Outcome;
use crate::devnet::ledger::store::TransactionRow;
use crate::devnet::ledger::xdr::{Limits, ReadXdr, TransactionResult, WriteXdr};
use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The form of both ways to submit.
#[derive(Debug, Deserialize)]
pub(super) struct TxForm {
    tx: Option<String>,
}

type TxBody = Result<Form<TxForm>, FormRejection>;

fn parse(node: &Node, form: TxBody) -> Result<Frame, Problem> {
    let Form(form) = form.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::bad_request("tx", "the body is longer than 524288 bytes"),
        _ => Problem::bad_request("tx", format!("the body must be a form with a field tx: {}", e.body_text())),
    })?;
    let text = form.tx.ok_or_else(|| Problem::bad_request("tx", "the form has no field tx"))?;
    let network = crate::devnet::ledger::frame::network_id(&node.config.passphrase);
    Frame::parse(&text, &network).map_err(|why| Problem::malformed(&text, why.to_string()))
}

fn result_xdr(result: &TransactionResult) -> String {
    STANDARD.encode(result.to_xdr(Limits::none()).unwrap_or_default())
}

fn refused(frame: &Frame, outcome: &Outcome) -> Result<(TransactionResult, String), Problem> {
    let result = outcome.result(frame).ok_or_else(|| Problem::internal("a result cannot be written"))?;
    let text = result_xdr(&result);
    Ok((result, text))
}

/// The answer for a transaction that is in a ledger: itself, or why it failed.
pub(super) fn landed(node: &Node, headers: &HeaderMap, row: &TransactionRow) -> Result<Value, Problem> {
    let unreadable = || Problem::internal("a stored transaction cannot be read");
    if row.successful {
        let network = crate::devnet::ledger::frame::network_id(&node.config.passphrase);
        return resource::transaction(&base(headers), row, &network, &row.hash).ok_or_else(unreadable);
    }
    let limits = Limits { depth: 100, len: 1 << 20 };
    let result = TransactionResult::from_xdr(&row.result, limits).map_err(|_| unreadable())?;
    Err(Problem::failed(&STANDARD.encode(&row.envelope), &STANDARD.encode(&row.result), &row.hash, &result))
}

/// Answers when the transaction is in a ledger, was refused, or the time is over (504: look it up by hash).
pub(super) async fn sync(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    form: TxBody,
) -> Result<Json<Value>, Problem> {
    let frame = parse(&node, form)?;
    match node.land(frame.clone()).await? {
        Ok(row) => landed(&node, &headers, &row).map(Json),
        Err(Some(outcome)) => {
            let (result, text) = refused(&frame, &outcome)?;
            Err(Problem::failed(&STANDARD.encode(&frame.bytes), &text, &frame.hash(), &result))
        }
        Err(None) => Err(Problem::timeout(&frame.hash())),
    }
}

/// Answers what the queue said: 201 PENDING, 409 DUPLICATE, 503 TRY_AGAIN_LATER, 400 ERROR with the result.
pub(super) async fn asynchronous(State(node): State<Arc<Node>>, form: TxBody) -> Result<Response, Problem> {
    let frame = parse(&node, form)?;
    let (status, word, error) = match node.submit(frame.clone()).await? {
        Submitted::Waits => (StatusCode::CREATED, "PENDING", None),
        Submitted::Duplicate | Submitted::Landed(_) => (StatusCode::CONFLICT, "DUPLICATE", None),
        Submitted::TryAgainLater => (StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN_LATER", None),
        Submitted::Refused(outcome) => (StatusCode::BAD_REQUEST, "ERROR", Some(refused(&frame, &outcome)?.1)),
    };
    let mut body = json!({"tx_status": word, "status": status.as_u16(), "hash": hex::encode(frame.hash())});
    if let Some(xdr) = error {
        // both spellings are in use
        body["error_result_xdr"] = json!(xdr);
        body["errorResultXdr"] = json!(xdr);
    }
    Ok((status, Json(body)).into_response())
}
