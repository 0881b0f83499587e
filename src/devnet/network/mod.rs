//! A private tor network on the loopback, with a web server and a ledger: everything that the main job needs.
//!
//! ```text
//!   client ──> guard ──> middle ──> exit ──> site gateway ──> web server
//!      \          \         \         \            \
//!       `──────────`─────────`─────────`────────────`──> ledger
//! ```
//!
//! [`Devnet::start`] makes keys, ports and configuration, starts every process and returns when all of them listen;
//! [`Devnet::wait_ready`] reports the bootstrap. Dropping a [`Devnet`], or the death of the program in any way, ends
//! every process of it.
//!
//! Errors: `MW-NET-1` topology, `-2` a process, `-3` ports, `-4` the state directory, `-5` its state file, `-6` it is
//! in use, `-7` a file, `-8` missing programs, `-9` key tools, `-10` a local server, `-11` a node died or came too
//! late, `-12` no such node, `-13` funding.
pub mod bootstrap;
pub mod child;
pub mod fund;
pub mod http;
mod keys;
mod launch;
pub mod node_config;
pub mod place;
pub mod ports;
mod run;
pub mod state;
pub mod topology;
mod torrc;
mod web;

pub use run::{Devnet, NodeProgress, Options, Progress, progress_of};
pub use state::{NodeView, ServedFile, ServiceView, State};
pub use topology::{Binary, Funding, NodeSpec, Role, Topology};
