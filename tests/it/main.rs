//! Fast tests, one file a subject.
mod wire_cells;
mod wire_codec;
mod wire_core;
mod wire_corpus;
mod wire_docs;
#[path = "../fuzz/common/mod.rs"]
mod wire_make;
mod wire_sizes;
