//! Tests on a real private tor network. They talk to the loopback only and end every process that they start.
#![cfg(feature = "node")]
mod api;
mod common;
mod crash;
mod entry;
mod hostile;
mod legs;
#[path = "../fuzz/common/make.rs"]
#[allow(dead_code, reason = "shared with the fuzz targets, which use all of it")]
mod make;
mod money;
mod network;
mod tor_thread;
mod unpatched;
