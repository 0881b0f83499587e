//! See `common/properties.rs`.
#![no_main]
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "one target uses a part of what all share")]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| common::properties::reassembly(data));
