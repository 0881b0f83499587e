//! See `common/adaptor.rs`.
#![no_main]
#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| common::adaptor::adaptor(data));
