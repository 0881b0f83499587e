//! GET /api/status
use super::problem::Answer;
use super::{Api, State};
use axum::Json;
use serde_json::Value;

/// Everything at once, for people who look for a fault; the form follows the program's inside.
///
/// `gateway`: links, sessions, circuits, refusals (amounts are numbers of stroops); `tor`: bootstrap and cells; `socks`.
#[utoipa::path(get, path = "/api/status", responses((status = 200, body = Object)))]
pub(super) async fn get(State(api): State<Api>) -> Answer<Value> {
    Ok(Json(api.backend.status().await?))
}
