//! One payment through up to three nodes: create, sign, deliver (the mission's diagram), plain or locked.
//!
//! ```text
//!   client (pay, pass)                  hop k (serve)
//!     Hello        ───────────────────▶  session
//!                  ◀───────────────────  Offer, PaymentRequest
//!     Create_1..n  ───────────────────▶  template of the next claim, sealed to payer k-1
//!                  ◀───────────────────  Template_k
//!     signs K_1 itself
//!     Sign_2..n    ───────────────────▶  payer k-1 checks K_{k-1}, signs K_k sealed to payee k
//!                  ◀───────────────────  Signed_k
//!     Deliver_n..1 ───────────────────▶  payee k checks K_k, credits the session
//!                  ◀───────────────────  Delivered_k
//!     Complete     ───────────────────▶
//! ```
//!
//! Locked, every K is under a lock that one secret of the last payee's opens, so that either all are paid or nobody is:
//!
//! ```text
//!     Create_1..n  ───────────────────▶  payee n draws t
//!                  ◀───────────────────  Template_k (the last one's with T = t*B)
//!     signs K_1 under T_1
//!     Sign_2..n    ───────────────────▶  payer k-1 keeps K_{k-1}, signs K_k under T_k = T_{k-1} - d*B
//!     Deliver_n    ───────────────────▶  payee n completes K_n
//!                  ◀───────────────────  Delivered_n with the secret of T_n
//!     folds K_1; Deliver_{n-1}..1 ────▶  payee k completes K_k; each payer folds the K that it signed
//! ```
mod lock;
pub mod pass;
pub mod pay;
pub mod serve;

pub use lock::{ChainLock, MAX_PAYEES};

use super::core::message::{AccountKey, Id};
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// Durable state of a payment at a node that is paid, by the id that the client gave it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopRow {
    /// Names the payment at this node.
    pub hop_id: Id,
    /// What came in.
    pub amount_in: Stroops,
    /// What was signed onwards, 0 for the last payee.
    pub amount_out: Stroops,
    /// The encoded answer, given again to a repeat.
    pub reply: Vec<u8>,
    /// Unix milliseconds.
    pub at: u64,
    /// The session that it was paid in; no session of a later run has the same. Rows from before sessions were kept
    /// have none.
    #[serde(default)]
    pub session: Option<Id>,
    /// Both claims are under locks: nothing is credited before their secret is known.
    #[serde(default)]
    pub locked: bool,
}

/// How a payment of the client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentState {
    /// The client's own claim is signed; the rest is under way.
    Signed,
    /// Every payee has confirmed.
    Complete,
    /// Given up; at most this one increment is lost.
    Abandoned,
    /// Given up, and the time of its locks is over: nothing was paid.
    Expired,
}

impl PaymentState {
    /// Stable name, as in rows and exports.
    pub fn name(self) -> &'static str {
        match self {
            PaymentState::Signed => "signed",
            PaymentState::Complete => "complete",
            PaymentState::Abandoned => "abandoned",
            PaymentState::Expired => "expired",
        }
    }
}

/// One pass as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {
    /// Drawn by the client, told to nobody.
    pub id: Id,
    /// Unix milliseconds of the first message.
    pub at: u64,
    /// How it stands.
    pub state: PaymentState,
    /// `tor` or `http`.
    pub service: String,
    /// For a web service its `host[:port]`.
    pub site: Option<String>,
    /// What the client's own claim adds.
    pub total: Stroops,
    /// The payees, guard first.
    pub payees: Vec<PayeeShare>,
    /// Locked: our name of the payment on the link with the guard. Plain payments have none.
    #[serde(default)]
    pub lock: Option<Id>,
    /// Milliseconds until all templates were there.
    pub create_ms: u64,
    /// Milliseconds from there until the last claim was signed.
    pub sign_ms: u64,
    /// Milliseconds from there until the last receipt.
    pub deliver_ms: u64,
}

/// What one payee gets out of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayeeShare {
    /// Its account.
    pub account: AccountKey,
    /// For people: nickname, or host of a service.
    pub name: String,
    /// For carrying or serving.
    pub due: Stroops,
    /// For forwarding.
    pub fee: Stroops,
}
