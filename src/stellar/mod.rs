//! The Stellar ledger: keys, assets, one pure function per transaction, the check of an escrow, and the adapter that
//! speaks to Horizon.
pub mod adaptor;
pub mod asset;
pub mod escrow_check;
#[cfg(feature = "node")]
pub mod horizon;
pub mod keys;
pub mod network;
pub mod strkey;
pub mod template;
