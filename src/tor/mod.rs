//! Tor: payment cells (pure), and the tor that runs inside this process.
pub mod cell;
