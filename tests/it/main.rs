//! The fast tests, one file per subject.
mod stellar_check;
#[cfg(feature = "node")]
mod stellar_horizon;
#[cfg(feature = "node")]
mod stellar_server;
mod stellar_shapes;
#[cfg(feature = "node")]
mod stellar_socks;
mod stellar_template;
