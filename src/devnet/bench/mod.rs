//! Measurements, printed in one shape: what a build of ours costs beside the distribution's, on one machine in one run.
//!
//! Errors: `MW-BENCH-1` a run did not bring what it asked for, `-2` a run that was not paid as its bytes call for: its
//! figure is withheld, `-3` too little time for two rounds, `-4` the machine does not tell what is to be measured.
pub mod arms;
pub mod figure;
pub mod paid;
pub mod payments;
pub mod tor;
