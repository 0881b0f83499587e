//! tor inside this process: what it tells (typed events) and what may be asked of it.
//!
//! `event` and `line` are pure and build without C. `sys` and `hooks` are the only unsafe code: the binding and the
//! callback that runs on tor's thread. `daemon` runs tor on a thread of its own, `control` speaks with it over the
//! socket that owns it. This room knows nothing of payments beyond cells and counters; `app` connects it to the
//! gateway.
pub mod cell;
#[cfg(feature = "node")]
pub mod control;
#[cfg(feature = "node")]
pub mod daemon;
pub mod event;
#[cfg(feature = "node")]
pub mod guard;
#[cfg(feature = "node")]
pub mod hooks;
pub mod line;
#[cfg(feature = "node")]
pub mod policy;
#[cfg(feature = "node")]
pub mod signals;
#[cfg(feature = "node")]
pub mod sys;

#[cfg(feature = "node")]
pub use daemon::{TorHandle, run_tor};
pub use event::{Counters, TorEvent};
#[cfg(feature = "node")]
pub use policy::Policy;
