//! One file per verb.
pub mod fetch;
