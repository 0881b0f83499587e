//! Pure core: what is sold, asked, signed and refused. No I/O, clock or randomness; they come in as arguments.
pub mod message;
