//! What tests and the demo run on: a private network and its ledger, all on one machine.
pub mod ledger;
#[cfg(feature = "node")]
pub mod network;
