//! Tests on a real private tor network. They talk to the loopback only and end every process that they start.
#![cfg(feature = "node")]
mod common;
mod crash;
mod legs;
mod money;
mod network;
mod tor_thread;
mod unpatched;
