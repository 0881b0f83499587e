//! Build recipe; its words are the files in ffi/build/.
fn main() {}
