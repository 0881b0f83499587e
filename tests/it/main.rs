//! Fast tests, one file a subject.
mod wire_cells;
mod wire_codec;
mod wire_core;
mod wire_corpus;
mod wire_docs;
#[cfg(feature = "node")]
mod wire_http;
#[path = "../fuzz/common/mod.rs"]
mod wire_make;
mod wire_required;
mod wire_sizes;
