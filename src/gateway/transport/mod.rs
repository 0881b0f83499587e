//! How messages travel.
pub mod http;
pub mod tor_cell;
