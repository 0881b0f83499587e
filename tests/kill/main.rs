//! Real processes that are killed: each gateway runs in a child process over a real store, the world between them and
//! the ledger in this one. SIGKILL between any two effects, before and after any commit; then the books must add up.
#![cfg(feature = "node")]
mod audit;
mod child;
mod parent;
mod run;
mod scenario;
mod wire;
