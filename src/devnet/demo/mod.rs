//! The main job, shown: a paid download, a paid web service, the books against the ledger, and what happens to a
//! client that cannot pay. Everything printed is read from the nodes' own counters and from the ledger's accounts.
mod books;
pub mod download;
mod paid;
pub mod report;
mod starved;

use crate::devnet::network::{Devnet, NodeSpec, Role, Topology};
use crate::error::{Error, Result};
use crate::gateway::core::locks::Locks;
use crate::units::Stroops;
pub use paid::legs;
use report::Report;
use std::path::Path;
use std::time::{Duration, Instant};

/// The client that has an account and nothing on it.
pub const PAUPER: &str = "pauper1";
/// Relays that understand payment cells: behind another nobody can be paid.
const SPEAKERS: &str = "MiddleNodes relay1,relay2,exit1,exit2";

/// The default network and a client with an empty wallet; both clients pay everything under locks.
pub fn topology() -> Topology {
    let mut topology =
        Topology::default().with(NodeSpec::ours(PAUPER, Role::Client).paying(Stroops::ZERO).with_torrc(SPEAKERS));
    topology.nodes.iter_mut().for_each(|node| node.locks = Locks::Always);
    topology
}

/// Runs the whole of it on a network that is ready. `say` hears what happens, a line at a time.
pub async fn run(net: &Devnet, mut say: impl FnMut(&str)) -> Result<Report> {
    let start = Instant::now();
    let mut report = Report::default();
    say("the accounts before");
    let before = books::read(net).await?;
    paid::download(net, &mut report, &mut say).await?;
    paid::service(net, &mut report, &mut say).await?;
    starved::show(net, &mut report, &mut say).await?;
    say("bringing every signed claim to the ledger");
    let (after, paid) = books::at_rest(net).await?;
    books::compare(net, &before, &after, paid, &mut report)?;
    report.seconds = start.elapsed().as_secs_f64();
    report.ok = report.faults().is_empty();
    Ok(report)
}

/// Asks a node's own daemon.
async fn ask<T: serde::de::DeserializeOwned>(net: &Devnet, node: &str, path: &str) -> Result<T> {
    crate::api::client::call(socket(net, node)?, path, None, Duration::from_secs(20)).await
}

fn socket<'a>(net: &'a Devnet, node: &str) -> Result<&'a Path> {
    let none = || Error::never("MW-DEMO-2", format!("{node} takes no part in payments"));
    net.node(node)?.api_socket.as_deref().ok_or_else(none)
}
