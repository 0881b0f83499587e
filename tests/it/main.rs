//! Fast tests, one binary.
mod ledger_engine;
#[cfg(feature = "node")]
mod ledger_http;
mod ledger_property;
mod ledger_replay;
#[cfg(feature = "node")]
mod ledger_verbs;
