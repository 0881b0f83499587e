//! A world under load: many web payments at once, each a chain of four claims.
use super::{AT_ONCE, fill, incomplete};
use crate::devnet::sim::local::Local;
use crate::devnet::sim::party::{CLIENT, NODES, SITE, Setup};
use crate::devnet::sim::{Kind, START, Sim};
use crate::error::Result;
use crate::gateway::chain::PaymentState;
use crate::gateway::core::locks::Locks;
use crate::gateway::core::message::Id;
use crate::gateway::port::{Answer, CircuitId, Event};
use crate::store::{Sqlite, Store};
use crate::units::Stroops;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The relay that the client pays.
const GUARD: usize = 0;
/// Circuits that carry them: a node keeps 32 payments of a circuit at a time.
const CIRCUITS: usize = 4;
/// Rows of a bulk transaction.
const BULK: u32 = 500;
/// Simulated time in which payments must be done.
const PATIENCE_MS: u64 = 120_000;
/// No tick comes between: its cost is a measure of its own.
const NEVER_MS: u64 = 1 << 40;

/// Five gateways with open links between them, and payments to be made.
pub(super) struct Load {
    sim: Sim<Local<Sqlite>>,
    dir: PathBuf,
    circs: Vec<CircuitId>,
    sessions: Vec<Option<Id>>,
}

/// What a number of chains took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// Chains that were completed.
    pub chains: usize,
    /// From the first to the last.
    pub wall: Duration,
    /// Of that, in the site's gateway and store.
    pub payee: Duration,
    /// The same for the guard.
    pub guard: Duration,
    /// The site's commits.
    pub payee_commits: u64,
}

fn setup(locks: Locks) -> Setup {
    Setup {
        locks,
        deposit: 1000 * 10_000_000,
        period_secs: 7 * 86_400,
        flush_secs: (40_000, 0),
        window_bytes: 1 << 12,
        max_links: usize::MAX,
        ..Setup::default()
    }
}

fn start(setup: &Setup, node: usize, dir: &Path, now: u64) -> Result<Local<Sqlite>> {
    let store = dir.join(node.to_string());
    std::fs::create_dir_all(&store).map_err(|e| incomplete(format!("{}: {e}", store.display())))?;
    Local::start(setup, node, Sqlite::open(&store)?, now)
}

impl Load {
    /// A new world with its stores under `dir` (emptied first), and all links open. Under locks one payment goes at a
    /// time, else `AT_ONCE`.
    pub(super) fn open(dir: &Path, locks: Locks) -> Result<Load> {
        let (setup, at_once) = (setup(locks), if locks == Locks::Never { AT_ONCE } else { 1 });
        let _ = std::fs::remove_dir_all(dir);
        let nodes = (0..NODES).map(|node| start(&setup, node, dir, START * 1000)).collect::<Result<Vec<_>>>()?;
        let mut load =
            Load { sim: Sim::new(setup, nodes)?, dir: dir.to_owned(), circs: vec![], sessions: vec![None; at_once] };
        load.sim.ledger.knows_all = false;
        load.connect()?;
        Ok(load)
    }

    /// Circuits over which everybody can be paid.
    fn connect(&mut self) -> Result<()> {
        self.circs = (0..CIRCUITS).map(|_| self.sim.build(CLIENT, &[0, 1, 2], Kind::Streams, 0)).collect();
        for circ in self.circs.clone() {
            self.sim.event(CLIENT, Event::Begin { circ, set: None, idle: false });
        }
        self.sim.tick_ms = 1_000;
        for _ in 0..120 {
            self.sim.run(1_000)?;
            if self.pay(CIRCUITS.min(self.sessions.len())).is_ok() {
                self.sim.tick_ms = NEVER_MS;
                return Ok(());
            }
        }
        Err(incomplete("no payment came through when the links should have been open"))
    }

    /// `count` chains, `AT_ONCE` at a time.
    pub(super) fn chains(&mut self, count: usize) -> Result<Took> {
        let before = self.marks();
        let (start, mut done) = (Instant::now(), 0);
        while done < count {
            let some = self.sessions.len().min(count - done);
            self.pay(some)?;
            done += some;
        }
        let after = self.marks();
        Ok(Took {
            chains: done,
            wall: start.elapsed(),
            payee: after.0.saturating_sub(before.0),
            guard: after.1.saturating_sub(before.1),
            payee_commits: after.2 - before.2,
        })
    }

    fn marks(&self) -> (Duration, Duration, u64) {
        let (payee, guard) = (self.sim.nodes[SITE].busy, self.sim.nodes[GUARD].busy);
        (payee, guard, self.sim.nodes[SITE].commits().batches)
    }

    /// One chain in each of `some` sessions at the same time.
    fn pay(&mut self, some: usize) -> Result<()> {
        let need = u64::from(self.sim.setup().window_bytes);
        let mut waiting: Vec<(usize, u64, bool)> = Vec::new();
        for number in 0..some {
            waiting.push((number, self.sim.require(self.sessions[number], need), false));
        }
        let end = self.sim.now + PATIENCE_MS;
        while let Some((number, call, paying)) = waiting.pop() {
            let Some(answer) = self.sim.answer(call) else {
                waiting.push((number, call, paying));
                if self.sim.now >= end {
                    return Err(incomplete("a payment did not end"));
                }
                self.sim.run(self.sim.hop_ms)?;
                continue;
            };
            match answer {
                // What was paid for is used up at once: the next response is asked for with nothing left.
                Answer::Serve { session, .. } => {
                    self.sessions[number] = Some(session);
                    self.sim.event(SITE, Event::Served { session, bytes: need });
                    waiting.insert(0, (number, self.sim.require(Some(session), need), false));
                }
                Answer::Pay { offer, request } => {
                    self.sessions[number] = Some(offer.session);
                    let circ = self.circs[number % CIRCUITS];
                    waiting.insert(0, (number, self.sim.pay(circ, *offer, *request), true));
                }
                Answer::Paid(row) if paying && row.state == PaymentState::Complete => {}
                other => return Err(incomplete(format!("a payment was not completed: {other:?}"))),
            }
        }
        Ok(())
    }

    /// Adds links number `from`.. up to `to` to the guard's store. They count from the next start on.
    pub(super) fn fill(&mut self, from: u32, to: u32) -> Result<()> {
        let (setup, now) = (self.sim.setup().clone(), self.sim.now);
        let deposit = Stroops::new(setup.deposit).unwrap_or(Stroops::MAX);
        let store = self.sim.nodes[GUARD].store_mut();
        for first in (from..to).step_by(BULK as usize) {
            let rows = (first..to.min(first + BULK)).flat_map(|n| fill::rows(n, deposit, setup.period_secs, now));
            store.commit(&rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// The guard's process ends and another begins; how long that took. All links are used again before this returns.
    pub(super) fn restart(&mut self) -> Result<Duration> {
        let spare = self.dir.join("spare");
        std::fs::create_dir_all(&spare).map_err(|e| incomplete(e.to_string()))?;
        // The old process lets go of its store before the new one opens it.
        let setup = self.sim.setup().clone();
        self.sim.nodes[GUARD] = start(&setup, GUARD, &spare, self.sim.now)?;
        let begin = Instant::now();
        self.sim.nodes[GUARD] = start(&setup, GUARD, &self.dir, self.sim.now)?;
        let took = begin.elapsed();
        self.sim.forget_process(GUARD);
        self.connect()?;
        Ok(took)
    }

    /// How long the guard takes for one tick, and for the picture for status that the reactor makes with it.
    pub(super) fn tick(&mut self) -> Result<(Duration, Duration)> {
        let before = self.sim.nodes[GUARD].busy;
        self.sim.event(GUARD, Event::Tick);
        self.sim.settle()?;
        let tick = self.sim.nodes[GUARD].busy.saturating_sub(before);
        let start = Instant::now();
        drop(std::hint::black_box(self.sim.nodes[GUARD].status()));
        Ok((tick, start.elapsed()))
    }
}

/// Time of a circuit's first payment to its hops over the circuit's round trip, in a world with open links.
pub(super) fn first_over_round_trip(dir: &Path, round: usize, hop_ms: u64) -> Result<f64> {
    let mut load = Load::open(dir, Locks::Never)?;
    let sim = &mut load.sim;
    sim.tick_ms = 1_000;
    sim.hop_ms = hop_ms;
    // Rounds differ in when the payment begins between two ticks.
    sim.run(2_000 + 137 * round as u64)?;
    let known = payments(sim)?.len();
    let circ = sim.build(CLIENT, &[0, 1, 2], Kind::Streams, 0);
    sim.event(CLIENT, Event::Begin { circ, set: None, idle: false });
    for _ in 0..100 {
        sim.run(1_000)?;
        sim.flow(circ, 4);
        if let Some(first) = payments(sim)?.get(known).filter(|p| p.state == PaymentState::Complete) {
            let took = first.create_ms + first.sign_ms + first.deliver_ms;
            return Ok(took as f64 / (2 * 3 * hop_ms) as f64);
        }
    }
    Err(incomplete("a fresh circuit did not pay its hops"))
}

/// The client's payments, oldest first.
fn payments(sim: &mut Sim<Local<Sqlite>>) -> Result<Vec<crate::gateway::chain::PaymentRow>> {
    let now = sim.now;
    Ok(sim.nodes[CLIENT].store_mut().load(0, now)?.payments)
}
