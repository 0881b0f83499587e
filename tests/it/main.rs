//! Fast tests over the whole crate: no network, no child processes.
mod layers;
