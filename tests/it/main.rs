//! Fast tests, one binary.
mod ledger_engine;
#[cfg(feature = "node")]
mod ledger_http;
mod ledger_property;
mod ledger_replay;
mod stellar_check;
#[cfg(feature = "node")]
mod stellar_escrow;
#[cfg(feature = "node")]
mod stellar_horizon;
#[cfg(feature = "node")]
mod stellar_server;
mod stellar_shapes;
#[cfg(feature = "node")]
mod stellar_socks;
mod stellar_template;
