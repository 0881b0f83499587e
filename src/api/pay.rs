//! POST /api/pay
use super::problem::{Answer, Told};
use super::{Api, State};
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use axum::Json;

/// Pays what a web service asked for.
///
/// Answers when the payment is complete or has failed; `ok` tells which.
#[utoipa::path(post, path = "/api/pay", request_body = PayCall, responses((status = 200, body = PayAnswer)))]
pub(super) async fn post(State(api): State<Api>, Told(call): Told<PayCall>) -> Answer<PayAnswer> {
    Ok(Json(api.backend.pay(call).await))
}
