//! Fast tests over the whole crate, one file per subject: no network outside the loopback, no child processes.
mod layers;
mod ledger_replay;
mod links;
mod stellar_check;
mod stellar_template;
