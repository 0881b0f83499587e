//! What happens in every run: links open, circuits and a site are paid, epochs are flushed, everything is closed. Each
//! step is asked for until it is done, as people and their programs do; what is not done in time is stuck.
use magicwave::devnet::sim::party::{CLIENT, NODES, SITE};
use magicwave::devnet::sim::{Kind, Node, Sim};
use magicwave::error::Result;
use magicwave::gateway::core::message::Id;
use magicwave::gateway::core::refusal::RetryClass;
use magicwave::gateway::port::{Answer, CircuitId, Event};

/// Simulated time in which a step must be done, milliseconds.
const PATIENCE_MS: u64 = 900_000;
/// tor builds another circuit for a stream that got nothing for so long.
const CIRCUIT_MS: u64 = 30_000;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Rounds of paid traffic, a paid response and a flush.
    pub rounds: u32,
    /// Cells that a round carries.
    pub cells: u64,
}

/// The person at the client.
#[derive(Debug, Default)]
struct Person {
    circ: Option<CircuitId>,
    session: Option<Id>,
}

/// Plays a script to its end; what is stuck, in words.
pub fn play<N: Node>(sim: &mut Sim<N>, script: Script) -> Result<Vec<String>> {
    let mut person = Person::default();
    let mut stuck = Vec::new();
    for round in 0..script.rounds {
        if !person.carries(sim, script.cells)? {
            stuck.push(format!("round {round}: a circuit carries nothing"));
        }
        if !person.buys(sim)? {
            stuck.push(format!("round {round}: the site is not paid"));
        }
        for node in 0..NODES {
            sim.event(node, Event::Flush);
        }
        sim.run(3_000)?;
    }
    Ok(stuck)
}

/// The operators close all links.
pub fn close<N: Node>(sim: &mut Sim<N>) -> Result<()> {
    let streams: Vec<CircuitId> =
        sim.routes.iter().filter(|(_, r)| r.kind == Kind::Streams).map(|(circ, _)| *circ).collect();
    streams.into_iter().for_each(|circ| sim.cut(circ));
    for node in 0..NODES {
        let call = sim.fresh();
        sim.event(node, Event::Close { call });
    }
    sim.run(20_000)
}

impl Person {
    /// A circuit for streams: the one there is, or a new one.
    fn circuit<N: Node>(&mut self, sim: &mut Sim<N>) -> CircuitId {
        if let Some(circ) = self.circ.filter(|circ| sim.routes.contains_key(circ)) {
            return circ;
        }
        let circ = sim.build(CLIENT, &[0, 1, 2], Kind::Streams, 0);
        sim.event(CLIENT, Event::Begin { circ, set: None, idle: false });
        *self.circ.insert(circ)
    }

    /// Gets cells over paid circuits; false when they do not come.
    fn carries<N: Node>(&mut self, sim: &mut Sim<N>, mut cells: u64) -> Result<bool> {
        let (end, mut moved) = (sim.now + PATIENCE_MS, sim.now);
        while cells > 0 && sim.now < end {
            let circ = self.circuit(sim);
            let done = sim.flow(circ, cells.min(64));
            cells -= done;
            if done > 0 {
                moved = sim.now;
            } else if sim.now > moved + CIRCUIT_MS {
                sim.cut(circ);
                moved = sim.now;
            }
            sim.run(if done > 0 { 200 } else { 1_000 })?;
        }
        Ok(cells == 0)
    }

    /// Gets responses of the site until one was paid; false when none is.
    fn buys<N: Node>(&mut self, sim: &mut Sim<N>) -> Result<bool> {
        let end = sim.now + PATIENCE_MS;
        let need = u64::from(sim.setup().window_bytes) / 2;
        let (mut moved, mut paid) = (sim.now, false);
        while sim.now < end {
            let call = sim.require(self.session, need);
            match self.wait(sim, call)? {
                Some(Answer::Serve { session, .. }) => {
                    self.session = Some(session);
                    sim.event(SITE, Event::Served { session, bytes: need });
                    if paid {
                        return Ok(true);
                    }
                }
                Some(Answer::Pay { offer, request }) => {
                    self.session = Some(offer.session);
                    let circ = self.circuit(sim);
                    let call = sim.pay(circ, *offer, *request);
                    let answer = self.wait(sim, call)?;
                    paid |= matches!(answer, Some(Answer::Paid(_)));
                    // A client that died does not know what it paid for the session before: it begins another.
                    if matches!(answer, Some(Answer::Failed(code)) if code.retry() == RetryClass::Renew) {
                        self.session = None;
                    }
                    if !paid && sim.now > moved + CIRCUIT_MS {
                        sim.cut(circ);
                        moved = sim.now;
                    }
                }
                _ => {}
            }
            sim.run(1_000)?;
        }
        Ok(false)
    }

    /// The answer to a call; none when whoever was asked died over it.
    fn wait<N: Node>(&mut self, sim: &mut Sim<N>, call: u64) -> Result<Option<Answer>> {
        for _ in 0..300 {
            sim.run(100)?;
            if let Some(answer) = sim.answer(call) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}
