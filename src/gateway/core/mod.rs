//! Pure core: what is sold, asked, signed and refused. No I/O, clock or randomness; they come in as arguments.
pub mod codec;
pub mod locks;
pub mod message;
pub mod offer;
pub mod paths;
pub mod policy;
pub mod price;
pub mod refusal;
pub mod request;
pub mod seal;
pub mod validate;
