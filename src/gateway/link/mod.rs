//! One payer-payee pair: escrow, claims, flush.
use serde::{Deserialize, Serialize};

/// Durable state of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {}

/// Durable state of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowRow {}
