//! The parent's side: child processes, and when they are killed.
use super::child::{ENTRY, SOCKET};
use super::wire::{Be, Line, Order, Picture, Word};
use magicwave::devnet::sim::{Fate, Node};
use magicwave::error::{Error, Result};
use magicwave::gateway::port::{Effect, Event};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A child that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// When processes are killed; shared by the nodes of a world.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The next kills: how many barriers from the one before, and how.
    pub kills: Vec<Kill>,
    /// Barriers that were reached.
    pub reached: u64,
    /// Kills that were carried out: (barrier, what stood there).
    pub done: Vec<(u64, String)>,
    since: u64,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// At this many barriers after the kill before (or the start).
    pub after: u64,
    /// So many microseconds after the process was let go on at that barrier, wherever it is then; none: while it stands.
    pub within: Option<u64>,
}

impl Plan {
    pub fn of(kills: Vec<Kill>) -> Rc<RefCell<Plan>> {
        Rc::new(RefCell::new(Plan { kills, ..Plan::default() }))
    }

    /// A barrier was reached: is the process killed now?
    fn reach(&mut self, node: usize, what: &str) -> Option<Kill> {
        self.reached += 1;
        self.since += 1;
        let kill = *self.kills.first().filter(|kill| self.since > kill.after)?;
        self.kills.remove(0);
        self.since = 0;
        self.done.push((self.reached, format!("node {node} at {what}")));
        Some(kill)
    }
}

/// A child process and the way to talk to it.
struct Process {
    child: Child,
    line: Line,
}

impl Process {
    fn spawn() -> std::io::Result<Process> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", ENTRY, "--test-threads=1", "--quiet"])
            .env(SOCKET, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        listener.set_nonblocking(true)?;
        let start = Instant::now();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock && start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(e) => return Err(e),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Process { child, line: Line::new(stream)? })
    }

    /// SIGKILL, and it is gone when this returns.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway in a child process.
pub struct Remote {
    who: Be,
    plan: Rc<RefCell<Plan>>,
    process: Option<Process>,
}

fn gone(what: impl std::fmt::Display) -> Error {
    Error::never("MW-SIM-3", format!("a child process: {what}"))
}

impl Remote {
    /// A node, in a process of `pool` or a new one.
    pub fn start(who: Be, plan: &Rc<RefCell<Plan>>, pool: &mut Pool) -> Result<Remote> {
        std::fs::create_dir_all(&who.store).map_err(gone)?;
        let mut remote = Remote { who, plan: plan.clone(), process: pool.0.pop() };
        remote.be()?;
        Ok(remote)
    }

    fn be(&mut self) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(Process::spawn().map_err(gone)?);
        }
        match self.ask(&Order::Be(self.who.clone()))? {
            Word::Ready => Ok(()),
            other => Err(gone(format!("{other:?}"))),
        }
    }

    fn line(&mut self) -> Result<&mut Line> {
        self.process.as_mut().map(|p| &mut p.line).ok_or_else(|| gone("there is none"))
    }

    fn ask(&mut self, order: &Order) -> Result<Word> {
        let line = self.line()?;
        line.say(order).map_err(gone)?;
        self.hear()
    }

    fn hear(&mut self) -> Result<Word> {
        self.line()?.hear().map_err(gone)?.ok_or_else(|| gone("it ended by itself"))
    }

    /// What its store holds.
    pub fn look(&mut self, now: u64) -> Result<Picture> {
        match self.ask(&Order::Look { now })? {
            Word::Picture(picture) => Ok(*picture),
            other => Err(gone(format!("{other:?}"))),
        }
    }

    /// At a barrier: goes on, or dies. What leaves between the leave to go on and the kill has left.
    fn barrier(&mut self, what: &str, effects: &mut Vec<Effect>) -> Result<Fate> {
        let kill = self.plan.borrow_mut().reach(self.who.node, what);
        let Some(kill) = kill else {
            self.line()?.go().map_err(gone)?;
            return Ok(Fate::Lives);
        };
        let mut process = self.process.take().ok_or_else(|| gone("there is none"))?;
        if let Some(us) = kill.within {
            process.line.go().map_err(gone)?;
            std::thread::sleep(Duration::from_micros(us));
        }
        process.child.kill().map_err(gone)?;
        if let Ok(Some(Word::Left(effect))) = process.line.hear() {
            effects.push(effect);
        }
        process.kill();
        Ok(Fate::Died)
    }
}

impl Node for Remote {
    fn handle(&mut self, now: u64, events: Vec<Event>, effects: &mut Vec<Effect>) -> Result<Fate> {
        let mut word = self.ask(&Order::Handle { now, events })?;
        loop {
            let what = match &word {
                Word::Done => return Ok(Fate::Lives),
                Word::Commit => "a commit".to_owned(),
                Word::Committed => "rows that are durable".to_owned(),
                Word::Left(effect) => {
                    let name = format!("{effect:?}");
                    format!("{} that left", name.split([' ', '(', '{']).next().unwrap_or_default())
                }
                other => return Err(gone(format!("{other:?}"))),
            };
            if let Word::Left(effect) = word {
                effects.push(effect);
            }
            if self.barrier(&what, effects)? == Fate::Died {
                return Ok(Fate::Died);
            }
            word = self.hear()?;
        }
    }

    fn restart(&mut self, now: u64) -> Result<()> {
        self.who.life += 1;
        self.who.now = now;
        self.be()
    }
}

/// Processes that live from one run to the next: nothing of a run is left in one that gets another store.
#[derive(Default)]
pub struct Pool(Vec<Process>);

impl Pool {
    pub fn take_back(&mut self, nodes: Vec<Remote>) {
        self.0.extend(nodes.into_iter().filter_map(|node| node.process));
    }
}
