//! One payment through up to three nodes: create, sign, deliver.
use serde::{Deserialize, Serialize};

/// Durable state of a payment at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopRow {}

/// Durable state of a payment at the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {}
