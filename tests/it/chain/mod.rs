//! Whole gateways wired back to back: passes through three hops and a site, lost messages, crashes, hostile ones.
mod failures;
mod flushes;
mod garbage;
mod lazy;
mod locked;
mod losses;
mod passes;
mod policy;
mod refusals;
mod repeats;
mod services;
mod theft;
mod visitors;
mod world;
mod world_circuit;
