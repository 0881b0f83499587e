//! Fast tests, one binary.
mod ledger_replay;
