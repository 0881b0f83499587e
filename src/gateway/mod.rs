//! The payment gateway: a pure core, the two ends of a link, and the chain of a payment.
pub mod core;
