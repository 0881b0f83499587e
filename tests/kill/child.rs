//! The child process: one gateway over one store behind the real reactor, which stands still at each barrier.
use super::wire::{Be, Line, Order, Picture, Word};
use magicwave::devnet::sim::local::HOPS_KEPT;
use magicwave::devnet::sim::party;
use magicwave::error::{Error, Result};
use magicwave::gateway::node::Status;
use magicwave::gateway::port::{Effect, Row};
use magicwave::gateway::reactor::{Reactor, World};
use magicwave::store::{Postgres, Reader, Snapshot, Sqlite, Store};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Names the socket to a child process; unset in the process that runs the tests.
pub const SOCKET: &str = "MAGICWAVE_KILL_SOCKET";
/// The test that a child process runs.
pub const ENTRY: &str = "child::a_child_process_is_the_gateway_that_it_is_told_to_be";

type Shared = Rc<RefCell<Line>>;

/// The real store, with a barrier before and behind each commit.
struct Gated {
    store: Box<dyn Store>,
    reader: Reader,
    line: Shared,
    /// Of a store that lies: rows that are said to be durable.
    late: Option<Vec<Row>>,
}

impl Gated {
    /// Makes rows durable; a store that lies does so with the ones before.
    fn write(&mut self, rows: &[Row]) -> Result<()> {
        match &mut self.late {
            Some(late) => self.store.commit(&std::mem::replace(late, rows.to_vec())),
            None => self.store.commit(rows),
        }
    }
}

fn lost(error: std::io::Error) -> Error {
    Error::never("MW-STORE-5", format!("the parent is gone: {error}"))
}

fn stop(line: &Shared, word: &Word) -> Result<()> {
    let mut line = line.borrow_mut();
    line.say(word).and_then(|()| line.wait()).map_err(lost)
}

impl Store for Gated {
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        self.store.load(hops, now_ms)
    }
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        stop(&self.line, &Word::Commit)?;
        self.write(rows)?;
        stop(&self.line, &Word::Committed)
    }
    fn alive(&mut self) -> Result<()> {
        self.store.alive()
    }
}

/// Lets effects go to the parent, with a barrier behind each.
struct Outside(Shared);

impl World for Outside {
    fn release(&mut self, effect: Effect) {
        stop(&self.0, &Word::Left(effect)).expect("a parent");
    }
    fn awaits(&self) -> bool {
        false
    }
}

type Process = Reactor<Gated, Outside, SmallRng>;

fn open(be: &Be) -> Result<(Box<dyn Store>, Reader)> {
    let account = party::wallet(&be.setup, be.node).account();
    Ok(match &be.database {
        Some(database) => {
            let store = Postgres::open(database, &account)?;
            let reader = store.reader()?;
            (Box::new(store), reader)
        }
        None => {
            let store = Sqlite::open(&be.store)?;
            let reader = store.reader()?;
            (Box::new(store), reader)
        }
    })
}

fn begin(be: &Be, line: &Shared) -> Result<Process> {
    let Be { node, setup, life, now, .. } = be;
    // No two processes draw the same numbers, as in the real world.
    let seed = setup.seed.wrapping_mul(1000).wrapping_add(*node as u64).wrapping_add(u64::from(*life) << 32);
    let mut rng = SmallRng::seed_from_u64(seed);
    let (store, reader) = open(be)?;
    let mut store = Gated { store, reader, line: line.clone(), late: be.lying.then(Vec::new) };
    let snapshot = store.load(HOPS_KEPT, *now)?;
    let gateway = party::gateway(setup, *node, snapshot, *now, &mut rng)?;
    Ok(Reactor::new(gateway, store, Outside(line.clone()), rng, Arc::new(Mutex::new(Status::default()))))
}

fn picture(process: &mut Process, now: u64) -> Result<Picture> {
    process.store_mut().write(&[])?;
    let Gated { store, reader, .. } = process.store_mut();
    let Snapshot { links, escrows, hops, payments, .. } = store.load(1 << 20, now)?;
    let events = reader.events(1 << 20)?;
    Ok(Picture { links, escrows, hops, payments, events, wrong: reader.check()?.wrong })
}

fn obey(process: &mut Option<Process>, order: Order, line: &Shared) -> Result<Word> {
    match order {
        Order::Be(be) => {
            *process = None; // lets go of the store before the next one is opened
            *process = Some(begin(&be, line)?);
            Ok(Word::Ready)
        }
        Order::Handle { now, events } => {
            process.as_mut().expect("a node").step(now, events)?;
            Ok(Word::Done)
        }
        Order::Look { now } => Ok(Word::Picture(picture(process.as_mut().expect("a node"), now)?.into())),
    }
}

/// In the process that runs the tests there is nobody to obey.
#[test]
fn a_child_process_is_the_gateway_that_it_is_told_to_be() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let line = Rc::new(RefCell::new(Line::new(UnixStream::connect(path).expect("a socket")).expect("a line")));
    let mut process = None;
    loop {
        let order = line.borrow_mut().hear().expect("an order");
        let Some(order) = order else { return }; // the parent is done
        let word = obey(&mut process, order, &line).unwrap_or_else(|error| Word::Failed(error.to_string()));
        line.borrow_mut().say(&word).expect("a parent");
    }
}
