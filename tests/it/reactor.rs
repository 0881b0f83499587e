//! The reactor's end: when tor is gone and nothing is under way, though the world still holds a way back.
use magicwave::gateway::link::{Identity, Limits, Links};
use magicwave::gateway::node::Gateway;
use magicwave::gateway::port::{Effect, Event};
use magicwave::gateway::reactor::{Reactor, World};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::store::Sqlite;
use magicwave::wallet::Wallet;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
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
