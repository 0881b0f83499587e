//! Fast tests over the whole crate, one file per subject: no network outside the loopback.
#[cfg(feature = "node")]
mod api_verbs;
mod chain;
mod gateway_cells;
#[cfg(feature = "node")]
mod gateway_hostile;
mod layers;
mod ledger_engine;
#[cfg(feature = "node")]
mod ledger_http;
mod ledger_property;
mod ledger_replay;
#[cfg(feature = "node")]
mod ledger_verbs;
mod links;
mod pins;
#[cfg(feature = "node")]
#[path = "../common/postgres.rs"]
mod postgres;
#[cfg(feature = "node")]
mod reactor;
mod stellar_adaptor;
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
#[cfg(feature = "node")]
mod stellar_witness;
#[cfg(feature = "node")]
mod store;
#[cfg(feature = "node")]
mod tor_verb;
mod traps;
#[cfg(feature = "node")]
mod wallet_daemon;
mod wallet_files;
#[cfg(feature = "node")]
mod wallet_ledger;
mod wallet_vectors;
#[cfg(feature = "node")]
mod wallet_verbs;
#[cfg(feature = "node")]
mod wallet_world;
mod wire_cells;
mod wire_codec;
mod wire_core;
mod wire_corpus;
mod wire_docs;
#[cfg(feature = "node")]
mod wire_http;
#[path = "../fuzz/common/mod.rs"]
mod wire_make;
mod wire_required;
mod wire_secrets;
mod wire_sizes;
