//! The fast tests, one file per subject.
mod stellar_check;
mod stellar_template;
