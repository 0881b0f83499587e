//! Fast tests over the whole crate: no network, no child processes.
mod layers;
mod ledger_engine;
#[cfg(feature = "node")]
mod ledger_http;
mod ledger_property;
mod ledger_replay;
mod stellar_check;
mod stellar_template;
