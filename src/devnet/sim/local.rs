//! A node in this process: a real gateway and a real store behind the real reactor.
use super::party::{self, Setup};
use super::{Fate, Node};
use crate::error::Result;
use crate::gateway::node::{Commits, Status};
use crate::gateway::port::{Effect, Event};
use crate::gateway::reactor::{Reactor, World};
use crate::store::Store;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Answers of the chain that are kept for repeats over a restart.
pub const HOPS_KEPT: u32 = 4_096;

/// Effects in the order in which they were let go.
#[derive(Debug, Default)]
struct Outbox(Vec<Effect>);

impl World for Outbox {
    fn release(&mut self, effect: Effect) {
        self.0.push(effect);
    }
    fn awaits(&self) -> bool {
        false
    }
}

/// A gateway of this process with its store `S`.
pub struct Local<S> {
    reactor: Reactor<S, Outbox, SmallRng>,
    /// Time spent in the gateway and its store so far.
    pub busy: Duration,
}

impl<S: Store> Local<S> {
    /// Starts node number `node` from what its store holds. Errors as the store's, and of the rows in it.
    pub fn start(setup: &Setup, node: usize, mut store: S, now: u64) -> Result<Self> {
        let mut rng = SmallRng::seed_from_u64(setup.seed.wrapping_add(node as u64));
        let snapshot = store.load(HOPS_KEPT, now)?;
        let gateway = party::gateway(setup, node, snapshot, now, &mut rng)?;
        let status = Arc::new(Mutex::new(Status::default()));
        let reactor = Reactor::new(gateway, store, Outbox::default(), rng, status);
        Ok(Local { reactor, busy: Duration::ZERO })
    }

    /// What it made durable.
    pub fn commits(&self) -> Commits {
        self.reactor.commits()
    }

    /// A picture for status, as the reactor makes one at each tick.
    pub fn status(&self) -> Status {
        self.reactor.gateway().status()
    }

    /// Its store.
    pub fn store_mut(&mut self) -> &mut S {
        self.reactor.store_mut()
    }
}

impl<S: Store> Node for Local<S> {
    fn handle(&mut self, now: u64, events: Vec<Event>, effects: &mut Vec<Effect>) -> Result<Fate> {
        let start = Instant::now();
        let done = self.reactor.step(now, events);
        self.busy += start.elapsed();
        done?;
        effects.append(&mut self.reactor.world_mut().0);
        Ok(Fate::Lives)
    }
    fn restart(&mut self, _now: u64) -> Result<()> {
        Ok(()) // it never dies
    }
}
