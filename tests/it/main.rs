//! Fast tests over the whole crate: no network, no child processes.
mod layers;
mod stellar_check;
mod stellar_template;
