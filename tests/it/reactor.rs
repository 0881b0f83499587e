//! The reactor: what is let go is durable before (invariant 1), and its end: when tor is gone and nothing is under way, though the world still holds a way back.
use super::links::world::{World as Pairs, asset, limits, network};
use magicwave::error::{Error, Result};
use magicwave::gateway::core::message::Message;
use magicwave::gateway::link::{Identity, Limits, Links};
use magicwave::gateway::node::{Gateway, Status};
use magicwave::gateway::port::{Effect, Event, Row};
use magicwave::gateway::reactor::{Onlooker, Reactor, World};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::store::{Snapshot, Sqlite, Store};
use magicwave::wallet::Wallet;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A world that can answer, with so many answers to come.
struct Answering {
    _back: SyncSender<Event>,
    awaited: Arc<AtomicUsize>,
}

impl World for Answering {
    fn release(&mut self, _: Effect) {}
    fn awaits(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }
}

#[test]
fn a_reactor_that_is_told_so_ends_as_soon_as_no_answer_is_to_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let issuer = SecretSeed::from_bytes(&[200; 32]).public();
    let asset = Asset::credit("MWT", issuer).expect("asset");
    let me = Identity::new(Wallet::new(SecretSeed::from_bytes(&[9; 32])), NetworkId::of("tests"), asset);
    let links = Links::load(me, Limits::default(), vec![], vec![]).expect("empty");
    let store = Sqlite::open(dir.path()).expect("a store");
    let (events, inbox) = sync_channel(8);
    let (over, awaited) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(1)));
    let world = Answering { _back: events.clone(), awaited: awaited.clone() };
    let gateway = Gateway::new(links, None, None);
    let reactor = Reactor::new(gateway, store, world, SmallRng::seed_from_u64(1), Arc::default());
    let told = over.clone();
    let running = std::thread::spawn(move || reactor.run(&inbox, &told));
    let goes_on = |running: &std::thread::JoinHandle<_>| {
        std::thread::sleep(Duration::from_millis(800));
        !running.is_finished()
    };
    assert!(goes_on(&running), "nobody told it to end");
    over.store(true, Ordering::Release);
    assert!(goes_on(&running), "an answer is to come");
    awaited.store(0, Ordering::Release);
    let end = Instant::now() + Duration::from_secs(3);
    while !running.is_finished() {
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.join().expect("no panic").expect("no error");
}

/// What happened, in order: rows that were committed (or were not), and effects that left.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Commit(usize),
    Failed,
    Seen(usize),
    Left,
}

type Steps = Arc<Mutex<Vec<Step>>>;

struct Noting {
    steps: Steps,
    works: bool,
}

impl Store for Noting {
    fn load(&mut self, _: u32, _: u64) -> Result<Snapshot> {
        Ok(Snapshot::default())
    }
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut steps = self.steps.lock().expect("not poisoned");
        steps.push(if self.works { Step::Commit(rows.len()) } else { Step::Failed });
        if self.works { Ok(()) } else { Err(Error::later("MW-STORE-4", "the disk is full")) }
    }
}

struct Leaving(Steps);

impl World for Leaving {
    fn release(&mut self, _: Effect) {
        self.0.lock().expect("not poisoned").push(Step::Left);
    }
    fn awaits(&self) -> bool {
        false
    }
}

struct Looking(Steps);

impl Onlooker for Looking {
    fn committed(&mut self, rows: &[Row]) {
        self.0.lock().expect("not poisoned").push(Step::Seen(rows.len()));
    }
    fn ticked(&mut self, _: &Status) {}
}

/// One batch of a relay for which a client opens an escrow.
fn one_batch(works: bool) -> (Result<bool>, Vec<Step>) {
    let mut pairs = Pairs::new(1, 1, 1, &limits());
    pairs.open(1, 0);
    let told: Vec<Message> = pairs.log.iter().filter(|(to, _)| *to == 0).map(|(_, message)| message.clone()).collect();
    assert!(told.iter().any(|message| matches!(message, Message::EscrowOffer(_))), "{told:?}");
    let me = Identity::new(pairs.nodes[0].wallet.clone(), network(), asset());
    let links = Links::load(me, limits(), vec![], vec![]).expect("empty");
    let steps = Steps::default();
    let store = Noting { steps: steps.clone(), works };
    let gateway = Gateway::new(links, None, None);
    let reactor = Reactor::new(gateway, store, Leaving(steps.clone()), SmallRng::seed_from_u64(1), Arc::default());
    let mut reactor = reactor.seen_by(Box::new(Looking(steps.clone())));
    let (events, inbox) = sync_channel(8);
    events.send(Event::Passing { circ: 5, prev: None, next: None }).expect("room");
    for message in told {
        let (own, peer) = Default::default();
        events.send(Event::Message { circ: 5, hop: 0, message, own, peer }).expect("room");
    }
    let result = reactor.run_once(&inbox);
    let steps = steps.lock().expect("not poisoned").clone();
    (result, steps)
}

#[test]
fn no_effect_leaves_before_its_rows_are_durable_and_none_when_they_are_not() {
    let (result, steps) = one_batch(true);
    assert!(result.expect("durable"));
    assert!(matches!(steps.first(), Some(Step::Commit(rows)) if *rows > 0), "{steps:?}");
    assert!(matches!(steps[..2], [Step::Commit(rows), Step::Seen(seen)] if seen == rows), "who looks on: {steps:?}");
    assert!(steps.len() > 2 && steps[2..].iter().all(|step| *step == Step::Left), "{steps:?}");
    let (result, steps) = one_batch(false);
    assert_eq!(result.expect_err("not durable").code, "MW-STORE-4");
    assert_eq!(steps, [Step::Failed], "nothing may leave");
}

/// A store that is lost, with whatever was not yet said to it.
struct Lost;

impl Store for Lost {
    fn load(&mut self, _: u32, _: u64) -> Result<Snapshot> {
        Ok(Snapshot::default())
    }
    fn commit(&mut self, _: &[Row]) -> Result<()> {
        panic!("there is no row in this test")
    }
    fn alive(&mut self) -> Result<()> {
        Err(Error::later("MW-STORE-7", "the connection is lost"))
    }
}

#[test]
fn no_effect_without_rows_leaves_when_the_store_is_lost() {
    let me = Identity::new(Wallet::new(SecretSeed::from_bytes(&[9; 32])), network(), asset());
    let links = Links::load(me, limits(), vec![], vec![]).expect("empty");
    let steps = Steps::default();
    let (gateway, world) = (Gateway::new(links, None, None), Leaving(steps.clone()));
    let mut reactor = Reactor::new(gateway, Lost, world, SmallRng::seed_from_u64(1), Arc::default());
    let (events, inbox) = sync_channel(8);
    events.send(Event::Close { call: 1 }).expect("room");
    assert_eq!(reactor.run_once(&inbox).expect_err("lost").code, "MW-STORE-7");
    assert_eq!(*steps.lock().expect("not poisoned"), [], "its answer may not leave");
}

#[test]
fn a_gateway_that_has_nothing_to_do_sees_at_a_tick_that_its_store_is_lost() {
    let me = Identity::new(Wallet::new(SecretSeed::from_bytes(&[9; 32])), network(), asset());
    let links = Links::load(me, limits(), vec![], vec![]).expect("empty");
    let world = Leaving(Steps::default());
    let reactor =
        Reactor::new(Gateway::new(links, None, None), Lost, world, SmallRng::seed_from_u64(1), Arc::default());
    let (_events, inbox) = sync_channel(8);
    assert_eq!(reactor.run(&inbox, &AtomicBool::new(false)).expect_err("lost").code, "MW-STORE-7");
}

#[test]
fn the_status_counts_what_shares_a_commit() {
    let mut pairs = Pairs::new(1, 1, 1, &limits());
    pairs.open(1, 0);
    let told: Vec<Message> = pairs.log.iter().filter(|(to, _)| *to == 0).map(|(_, message)| message.clone()).collect();
    let me = Identity::new(pairs.nodes[0].wallet.clone(), network(), asset());
    let links = Links::load(me, limits(), vec![], vec![]).expect("empty");
    let (steps, status) = (Steps::default(), Arc::new(Mutex::new(Default::default())));
    let store = Noting { steps: steps.clone(), works: true };
    let (gateway, world) = (Gateway::new(links, None, None), Leaving(steps.clone()));
    let mut reactor = Reactor::new(gateway, store, world, SmallRng::seed_from_u64(1), status.clone());
    let (events, inbox) = sync_channel(64);
    events.send(Event::Passing { circ: 5, prev: None, next: None }).expect("room");
    let count = told.len() as u64 + 1;
    for message in told {
        let (own, peer) = Default::default();
        events.send(Event::Message { circ: 5, hop: 0, message, own, peer }).expect("room");
    }
    reactor.run_once(&inbox).expect("durable");
    let commits = status.lock().expect("not poisoned").commits;
    let rows: u64 =
        steps.lock().expect("not poisoned").iter().map(|s| if let Step::Commit(n) = s { *n as u64 } else { 0 }).sum();
    assert!(rows > 1);
    assert_eq!((commits.batches, commits.events, commits.rows, commits.rows_max), (1, count, rows, rows));
}
