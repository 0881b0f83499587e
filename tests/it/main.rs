//! The fast tests, one file per subject, one binary.
mod ledger_replay;
mod links;
mod stellar_check;
mod stellar_template;
