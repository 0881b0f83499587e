//! Fast tests over the whole crate, one file per subject: no network outside the loopback, no child processes.
mod layers;
mod ledger_replay;
mod links;
mod stellar_check;
mod stellar_template;
mod wire_cells;
mod wire_codec;
mod wire_core;
mod wire_corpus;
mod wire_docs;
mod wire_make;
mod wire_sizes;
