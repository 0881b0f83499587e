//! Three relays, a client and a web site with circuits between them and a ledger, in simulated time: what a payment does
//! without tor, sockets and waiting. Each node is a whole gateway with a store of its own, wherever it runs ([`Node`]).
//!
//! Messages travel as cells of the real codec. The schedule is drawn from a seed: the same seed, setup and nodes give
//! the same run. Limits: [`MAX_JOBS`] jobs wait at most, [`BATCH`] events share a commit.
mod circuit;
mod ledger;
pub mod local;
pub mod party;

pub use circuit::{Kind, Route};
pub use ledger::{FUNDS, SimLedger};

use crate::error::{Error, Result};
use crate::gateway::core::message::{Id, Message};
use crate::gateway::port::{Answer, CircuitId, Effect, Event, SiteAsk};
use party::{CLIENT, NODES, SITE, Setup};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};

/// Events of one node that share one commit.
pub const BATCH: usize = 256;
/// Jobs that may wait; more mean that the nodes never stop talking.
pub const MAX_JOBS: usize = 1 << 22;
/// Jobs done within one simulated millisecond, for the same reason.
const MAX_AT_ONCE: usize = 1 << 22;
/// Passphrase of every world.
pub const PASSPHRASE: &str = "a network in simulated time";
/// Unix seconds at which every world begins.
pub const START: u64 = 1_700_000_000;

/// What became of the process that was given events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It handled them.
    Lives,
    /// It was killed on the way. What it let go before is under way.
    Died,
}

/// One gateway with its store, wherever it runs.
pub trait Node {
    /// Handles events that came at the same time; what was let go is appended to `effects`, in order.
    fn handle(&mut self, now: u64, events: Vec<Event>, effects: &mut Vec<Effect>) -> Result<Fate>;
    /// A new process begins on the store of the one that died.
    fn restart(&mut self, now: u64) -> Result<()>;
}

/// How badly the world behaves, in percent of the messages (of the ledger's answers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Messages that do not arrive.
    pub loss: u32,
    /// Messages that arrive twice.
    pub repeat: u32,
    /// Messages that come up to [`LATE_MS`] later than those after them.
    pub reorder: u32,
    /// Answers of the ledger that nobody gets to know.
    pub unknown: u32,
}

/// How late a message comes that is overtaken.
pub const LATE_MS: u64 = 900;

/// Something that is going to happen.
#[derive(Debug)]
enum Job {
    /// An event for a node, if it is still the process that is meant.
    Event { node: usize, life: u32, event: Event },
    /// A message over a circuit: to the `k`th hop of the path, or from it to the origin.
    Message { circ: CircuitId, k: usize, inward: bool, message: Message },
    /// An effect that was let go.
    Effect { node: usize, life: u32, effect: Effect },
}

/// A simulated world.
pub struct Sim<N> {
    /// The nodes: relays first, then the client and the site (`party`).
    pub nodes: Vec<N>,
    /// The ledger.
    pub ledger: SimLedger,
    /// Unix milliseconds.
    pub now: u64,
    /// Of the schedule.
    pub rng: SmallRng,
    /// As it is from now on.
    pub weather: Weather,
    /// One way over one hop, milliseconds.
    pub hop_ms: u64,
    /// Between two ticks of a node, milliseconds.
    pub tick_ms: u64,
    /// Circuits that are open.
    pub routes: BTreeMap<CircuitId, Route>,
    /// Answers to calls: (node, call, answer).
    pub answers: VecDeque<(usize, u64, Answer)>,
    /// Processes that began on each store, less one.
    pub lives: Vec<u32>,
    setup: Setup,
    exchanges: BTreeMap<u64, Option<Id>>,
    queue: BTreeMap<(u64, u64), Job>,
    counter: u64,
    ticked: u64,
    closed: u64,
}

impl<N: Node> Sim<N> {
    /// A world of [`NODES`] nodes, their accounts funded. `MW-SIM-1`: the ledger refused a step of that.
    pub fn new(setup: Setup, nodes: Vec<N>) -> Result<Self> {
        let mut ledger = SimLedger::new();
        (0..NODES).try_for_each(|node| ledger.fund(&setup, node))?;
        Ok(Sim {
            lives: vec![0; nodes.len()],
            nodes,
            ledger,
            now: START * 1000,
            rng: SmallRng::seed_from_u64(setup.seed ^ 0x5eed),
            weather: Weather::default(),
            hop_ms: 10,
            tick_ms: 1000,
            routes: BTreeMap::new(),
            answers: VecDeque::new(),
            setup,
            exchanges: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 1000,
            ticked: START * 1000,
            closed: START * 1000,
        })
    }

    /// How the nodes are set up.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// A number that names nothing else in this world.
    pub fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }

    fn schedule(&mut self, after: u64, job: Job) {
        let number = self.fresh();
        self.queue.insert((self.now.saturating_add(after), number), job);
    }

    /// An event for a node as it is now, to be handled with all that comes at the same time.
    pub fn event(&mut self, node: usize, event: Event) {
        let life = self.lives[node];
        self.schedule(0, Job::Event { node, life, event });
    }

    /// Time passes: a ledger closes each second, nodes get their ticks, jobs are done when they are due. `MW-SIM-2`:
    /// the nodes never stop talking; else what a node failed with.
    pub fn run(&mut self, ms: u64) -> Result<()> {
        let end = self.now.saturating_add(ms);
        loop {
            self.settle()?;
            let due = self.queue.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let next = due.min(self.ticked + self.tick_ms).min(self.closed + 1000);
            if next > end {
                self.now = end;
                return Ok(());
            }
            self.now = next;
            if self.now >= self.closed + 1000 {
                self.closed = self.now;
                self.close_ledger();
            }
            if self.now >= self.ticked + self.tick_ms {
                self.ticked = self.now;
                (0..self.nodes.len()).for_each(|node| self.event(node, Event::Tick));
            }
        }
    }

    /// Does all that is due now. `MW-SIM-2`, see [`Sim::run`].
    pub fn settle(&mut self) -> Result<()> {
        for _ in 0..MAX_AT_ONCE {
            let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) else { return Ok(()) };
            match entry.remove() {
                Job::Effect { node, life, effect } => self.release(node, life, effect),
                Job::Message { circ, k, inward, message } => self.arrive(circ, k, inward, message),
                Job::Event { node, life, event } => {
                    let events = self.batch(node, life, event);
                    if !events.is_empty() {
                        self.handle(node, events)?;
                    }
                }
            }
            if self.queue.len() > MAX_JOBS {
                break;
            }
        }
        Err(Error::never("MW-SIM-2", "the nodes of this world never stop talking"))
    }

    /// This event and those for the same node that are due now.
    fn batch(&mut self, node: usize, life: u32, first: Event) -> Vec<Event> {
        let mut events: Vec<Event> = Some(first).filter(|_| life == self.lives[node]).into_iter().collect();
        let due = self.queue.range(..=(self.now, u64::MAX)).filter_map(|(key, job)| match job {
            Job::Event { node: to, .. } if *to == node => Some(*key),
            _ => None,
        });
        let due: Vec<(u64, u64)> = due.take(BATCH - 1).collect();
        for key in due {
            if let Some(Job::Event { life, event, .. }) = self.queue.remove(&key)
                && life == self.lives[node]
            {
                events.push(event);
            }
        }
        events
    }

    fn handle(&mut self, node: usize, events: Vec<Event>) -> Result<()> {
        let mut effects = Vec::new();
        let fate = self.nodes[node].handle(self.now, events, &mut effects)?;
        let life = self.lives[node];
        effects.into_iter().for_each(|effect| self.schedule(0, Job::Effect { node, life, effect }));
        if fate == Fate::Died {
            self.forget_process(node);
            self.nodes[node].restart(self.now)?;
        }
        Ok(())
    }

    /// The process of a node is gone: what was meant for it is lost, its circuits end.
    pub fn forget_process(&mut self, node: usize) {
        self.lives[node] += 1;
        self.end_circuits_of(node);
    }

    fn release(&mut self, node: usize, life: u32, effect: Effect) {
        let here = life == self.lives[node];
        match effect {
            Effect::Send { circ, hop, message } => self.send(node, circ, hop, message),
            Effect::Http { exchange, message } => {
                let session = self.exchanges.get(&exchange).copied().flatten();
                match circuit::over_the_wire(&message).filter(|_| !self.chance(self.weather.loss)) {
                    Some(message) => {
                        let ask = SiteAsk::Message { session, message };
                        self.schedule(
                            self.site_ms(),
                            Job::Event {
                                node: SITE,
                                life: self.lives[SITE],
                                event: Event::Site { call: exchange, ask },
                            },
                        );
                    }
                    None => self.event(node, Event::Http { exchange, messages: vec![] }),
                }
            }
            Effect::Answer { call, answer: Answer::Messages(messages) } if node == SITE => {
                let lost = self.chance(self.weather.loss);
                let messages = messages.iter().filter(|_| !lost).filter_map(circuit::over_the_wire).collect();
                let (node, life) = (CLIENT, self.lives[CLIENT]);
                let event = Event::Http { exchange: call, messages };
                self.schedule(self.site_ms(), Job::Event { node, life, event });
            }
            Effect::Answer { call, answer } => self.answers.push_back((node, call, answer)),
            Effect::Grant { circ, cells } => self.grant(node, circ, cells),
            Effect::Watch { circ, hop, cells } => self.watch(node, circ, hop, cells),
            Effect::Query { circ } => self.query(node, circ),
            // A process that died builds no circuit, and nobody is there for the ledger's answer.
            Effect::Launch { token, relay, one_hop } if here => self.launch(node, token, relay, one_hop),
            Effect::Launch { .. } => {}
            Effect::Close { circ } => self.cut(circ),
            // No new streams on it: those who use this world build another circuit when one stands still.
            Effect::Abandon { .. } => {}
            Effect::Ledger(call) => {
                let answer = self.ledger.call(node, life, call);
                answer.into_iter().for_each(|(tag, result)| self.tell(node, life, tag, result));
            }
        }
    }

    /// The person's browser asks the site for a response of `need` bytes in a session; the number of the question,
    /// answered with `Serve` or `Pay` in `answers`.
    pub fn require(&mut self, session: Option<Id>, need: u64) -> u64 {
        let call = self.fresh();
        self.event(SITE, Event::Site { call, ask: SiteAsk::Require { session, need } });
        call
    }

    /// The person's program pays what the site asked for (`Answer::Pay`); the number of the call, answered with `Paid`,
    /// `Failed` or `Lost`.
    pub fn pay(
        &mut self,
        circ: CircuitId,
        offer: crate::gateway::core::message::Offer,
        request: crate::gateway::core::message::PaymentRequest,
    ) -> u64 {
        let call = self.fresh();
        self.exchanges.insert(call, Some(offer.session));
        let site = "site.example".to_owned();
        self.event(CLIENT, Event::Pay { call, circ, exchange: call, offer, request, site });
        call
    }

    /// Takes the answer to a call, once it is there.
    pub fn answer(&mut self, call: u64) -> Option<Answer> {
        let at = self.answers.iter().position(|(_, of, _)| *of == call)?;
        self.exchanges.remove(&call);
        self.answers.remove(at).map(|(_, _, answer)| answer)
    }

    /// One way from the client to the site: over all hops of a circuit, and one more.
    fn site_ms(&self) -> u64 {
        self.hop_ms.saturating_mul(CLIENT as u64 + 1)
    }

    fn late(&mut self) -> u64 {
        if self.chance(self.weather.reorder) { self.rng.random_range(1..=LATE_MS) } else { 0 }
    }
}
