//! The payment gateway: a pure core, the two ends of a link, and the chain of a payment.
pub mod chain;
pub mod core;
pub mod link;
pub mod node;
pub mod port;
#[cfg(feature = "node")]
pub mod reactor;
pub mod transport;
