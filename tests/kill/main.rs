//! Real processes that are killed: each gateway runs in a child process over a real store, the world between them and
//! the ledger in this one. SIGKILL between any two effects, before and after any commit; then the books must add up.
#![cfg(feature = "node")]
mod audit;
mod child;
mod parent;
#[path = "../common/postgres.rs"]
#[allow(dead_code, reason = "shared with the store's own tests, which use all of it")]
mod postgres;
mod run;
mod scenario;
mod wire;
