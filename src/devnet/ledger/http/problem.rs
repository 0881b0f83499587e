//! Horizon's error documents (RFC 7807).
use crate::devnet::ledger::codes::{self, ResultCodes};
use crate::devnet::ledger::store::StoreError;
use crate::devnet::ledger::xdr::TransactionResult;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error document.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    extras: Option<Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, kind, title, detail: detail.into(), extras: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(field: &str, reason: impl Into<String>) -> Self {
        let detail = "The request you sent was invalid in some way.";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad_request", "Bad Request", detail);
        problem.extras = Some(json!({"invalid_field": field, "reason": reason.into()}));
        problem
    }

    /// 400: `tx` is no transaction. At most 256 characters of it are quoted.
    pub fn malformed(envelope: &str, reason: impl Into<String>) -> Self {
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "transaction_malformed", "Transaction Malformed", reason.into());
        problem.extras = Some(json!({"envelope_xdr": envelope.chars().take(256).collect::<String>()}));
        problem
    }

    /// 400: the ledger refused the transaction, or it failed in a ledger.
    pub fn failed(envelope: &str, result_xdr: &str, hash: &[u8; 32], result: &TransactionResult) -> Self {
        let detail = "The transaction was refused or failed; extras.result_codes says why.";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "transaction_failed", "Transaction Failed", detail);
        let codes: ResultCodes = codes::of(result);
        problem.extras = Some(json!({
            "envelope_xdr": envelope,
            "result_codes": codes,
            "result_xdr": result_xdr,
            "hash": hex::encode(hash),
        }));
        problem
    }

    /// 404.
    pub fn not_found() -> Self {
        let detail = "There is nothing here by that name.";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Resource Missing", detail)
    }

    /// 504: not known yet whether the transaction lands.
    pub fn timeout(hash: &[u8; 32]) -> Self {
        let detail = "The transaction is in no ledger yet. Look it up by its hash before submitting exactly it again.";
        let mut problem = Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "Timeout", detail);
        problem.extras = Some(json!({"hash": hex::encode(hash)}));
        problem
    }

    /// 503: too much at once.
    pub fn busy() -> Self {
        let detail = "Too many requests wait; try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_over_capacity", "Server Over Capacity", detail)
    }

    /// 500: the database does not answer, or the state contradicts itself.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "Internal Server Error",
            format!("The ledger cannot answer: {why}."),
        )
    }

    /// Any other status.
    pub fn other(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(status, "bad_request", title, detail)
    }
}

/// The name in a path; what is none is answered with an error document.
pub(super) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Name(name)),
            Err(e) => Err(Problem::bad_request("path", e.body_text())),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("https://stellar.org/horizon-errors/{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(extras) = self.extras {
            body["extras"] = extras;
        }
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
