//! How messages travel.
#[cfg(feature = "node")]
pub mod http;
pub mod tor_cell;
