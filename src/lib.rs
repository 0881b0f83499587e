//! MagicWave: anonymous access to the web where those who carry it are paid for what they carry.
//!
//! ARCHITECTURE.md names the rooms and which of them may import which; `tests/it/layers.rs` checks it.
#[cfg(feature = "node")]
pub mod api;
#[cfg(feature = "node")]
pub mod app;
#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "node")]
pub mod config;
pub mod devnet;
pub mod error;
pub mod gateway;
#[cfg(feature = "node")]
pub mod peer;
pub mod redact;
pub mod stellar;
#[cfg(feature = "node")]
pub mod store;
pub mod tor;
pub mod units;
pub mod wallet;
