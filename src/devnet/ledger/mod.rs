//! The embedded ledger: Stellar's classic operations over real envelopes and signatures, with Horizon's paths and JSON.
//!
//! The engine (`entry`, `state`, `auth`, `frame`, `valid`, `apply`, `sponsor`, `ops`, `outcome`, `chain`, `replay`) is
//! pure: no clock, no I/O. It follows stellar-core's protocol 19 and is held to recordings of it (`tests/vectors`).
pub mod apply;
pub mod auth;
pub mod chain;
pub mod codes;
pub mod entry;
pub mod frame;
#[cfg(feature = "node")]
pub mod http;
pub mod ops;
pub mod outcome;
pub mod replay;
mod sponsor;
pub mod state;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "node")]
pub mod time;
pub mod valid;
pub mod view;

pub use chain::{Applied, Closed, Genesis, Ledger, Submission};
pub use frame::{Frame, network_id};
pub use outcome::{Outcome, TxError, Verdict};
/// The ledger's own types, from stellar-xdr.
pub use stellar_base::xdr;
