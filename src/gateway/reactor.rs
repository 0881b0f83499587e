//! The loop around a [`Gateway`]: take events, handle them, make the rows durable, let the effects go.
//!
//! One thread owns the gateway and the store. Events that wait are handled together and share one commit.
use super::node::{Commits, Gateway, Status};
use super::port::{Effect, Event, Out, Row};
use crate::error::Result;
use crate::store::Store;
use rand::Rng;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Events that share one commit.
const BATCH: usize = 256;
/// A picture of the gateway takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 20;
/// Time between two ticks.
const TICK: Duration = Duration::from_millis(250);

/// Where effects go. Must not block for long: the gateway stands still meanwhile.
pub trait World {
    /// Let one effect go.
    fn release(&mut self, effect: Effect);
    /// Is an answer to come to something that was let go?
    fn awaits(&self) -> bool;
}

/// Sees what happens, after it is durable; for those who watch. Must not block.
pub trait Onlooker: Send {
    /// These rows are durable.
    fn committed(&mut self, rows: &[Row]);
    /// The picture of the node was refreshed.
    fn ticked(&mut self, status: &Status);
}

/// A gateway with its store and its world.
pub struct Reactor<S, W, R> {
    gateway: Gateway,
    store: S,
    world: W,
    rng: R,
    status: Arc<Mutex<Status>>,
    onlooker: Option<Box<dyn Onlooker>>,
    ticked: Option<Instant>,
    /// The picture for status is made again at this time.
    picture: Instant,
    commits: Commits,
    /// The last batch was empty.
    idle: bool,
}

impl<S: Store, W: World, R: Rng> Reactor<S, W, R> {
    /// `status` is refreshed at each tick.
    pub fn new(gateway: Gateway, store: S, world: W, rng: R, status: Arc<Mutex<Status>>) -> Self {
        let commits = Commits::default();
        let picture = Instant::now();
        Reactor { gateway, store, world, rng, status, onlooker: None, ticked: None, picture, commits, idle: false }
    }

    /// The same, watched.
    pub fn seen_by(mut self, onlooker: Box<dyn Onlooker>) -> Self {
        self.onlooker = Some(onlooker);
        self
    }

    /// Until `over` is set, nothing waits and no answer is to come; until every sender of `events` is gone (the world
    /// holds one for its answers, so that alone would never be); or until the store fails: without a durable row no
    /// effect may leave.
    pub fn run(mut self, events: &Receiver<Event>, over: &AtomicBool) -> Result<()> {
        while self.run_once(events)? {
            if over.load(Ordering::Acquire) && self.idle && !self.world.awaits() {
                break;
            }
        }
        Ok(())
    }

    /// One batch. False when there will be no more events.
    pub fn run_once(&mut self, events: &Receiver<Event>) -> Result<bool> {
        let wait = self.ticked.map_or(Duration::ZERO, |at| TICK.saturating_sub(at.elapsed()));
        let mut batch = Vec::new();
        let mut open = true;
        self.idle = false;
        match events.recv_timeout(wait) {
            Ok(event) => batch.push(event),
            Err(RecvTimeoutError::Timeout) => self.idle = true,
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        batch.extend(events.try_iter().take(BATCH - 1));
        let tick = self.ticked.is_none_or(|at| at.elapsed() >= TICK);
        if tick {
            self.ticked = Some(Instant::now());
            batch.push(Event::Tick);
        }
        self.step(now_ms(), batch)?;
        if tick && Instant::now() >= self.picture {
            self.look();
        }
        Ok(open)
    }

    /// Handles events that came at the same time: all of them, then their rows in one commit, then their effects one by
    /// one. The only order in which anything leaves a node (invariant 1). Errors as [`Store::commit`]; then none left.
    pub fn step(&mut self, now: u64, batch: impl IntoIterator<Item = Event>) -> Result<()> {
        let (mut out, mut handled, mut tick) = (Out::default(), 0, false);
        for event in batch {
            tick |= event == Event::Tick;
            handled += u64::from(event != Event::Tick);
            self.gateway.handle(now, &mut self.rng, event, &mut out);
        }
        if !out.rows.is_empty() {
            self.store.commit(&out.rows)?;
            self.commits.count(&out.rows, handled);
            if let Some(onlooker) = &mut self.onlooker {
                onlooker.committed(&out.rows);
            }
        } else if tick || !out.effects.is_empty() {
            self.store.alive()?;
        }
        for effect in out.effects {
            self.world.release(effect);
        }
        Ok(())
    }

    /// Makes the picture for status; with very many links less often than at each tick.
    fn look(&mut self) {
        let begin = Instant::now();
        if let Ok(mut status) = self.status.lock() {
            *status = Status { commits: self.commits, ..self.gateway.status() };
            if let Some(onlooker) = &mut self.onlooker {
                onlooker.ticked(&status);
            }
        }
        self.picture = Instant::now() + begin.elapsed() * LOOK_SHARE;
    }

    /// What was made durable so far.
    pub fn commits(&self) -> Commits {
        self.commits
    }

    /// The gateway, to be looked at.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What effects go to.
    pub fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }

    /// The store, which nobody else may write to.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
