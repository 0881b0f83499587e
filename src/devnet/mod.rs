//! What tests and the demo run on: an embedded ledger, and a private network of relays and servers, all on one machine.
#[cfg(feature = "node")]
pub mod bench;
#[cfg(feature = "node")]
pub mod demo;
pub mod ledger;
#[cfg(feature = "node")]
pub mod network;
#[cfg(feature = "node")]
pub mod sim;
