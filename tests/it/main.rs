//! Fast tests over the whole crate, one file per subject: no network, no child processes.
mod layers;
mod ledger_replay;
mod stellar_check;
mod stellar_template;
