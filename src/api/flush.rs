//! POST /api/flush
use super::problem::Answer;
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};

/// The answer to a flush.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Flushing {
    /// It was begun; the journal tells what landed.
    pub flushing: bool,
}

/// Brings signed claims to the ledger now.
#[utoipa::path(post, path = "/api/flush", responses((status = 200, body = Flushing)))]
pub(super) async fn post(State(api): State<Api>) -> Answer<Flushing> {
    Ok(Json(api.backend.flush().await?))
}
