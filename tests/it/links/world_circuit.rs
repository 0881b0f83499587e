//! Circuits of the links' world: honest ones, strangers', and those of clients that pose as a relay.
use super::world::World;
use magicwave::gateway::core::message::Message;
use magicwave::gateway::link::Partner;
use magicwave::gateway::port::CircuitId;

/// One circuit of the world.
pub(super) struct Circuit {
    pub(super) origin: usize,
    pub(super) end: usize,
    pub(super) hop: u32,
    pub(super) one_hop: bool,
    /// What comes back is not handled by the origin's links.
    pub(super) stranger: bool,
    /// The relay before the end, when that is not the origin.
    pub(super) through: Option<usize>,
}

impl World {
    /// The circuit that carries the talk of two nodes.
    pub fn circuit(&self, origin: usize, end: usize) -> CircuitId {
        let both = [(origin, end), (end, origin)];
        let mut all = self.circuits.iter().filter(|(_, c)| both.contains(&(c.origin, c.end)) && !c.stranger);
        *all.next_back().expect("a circuit").0
    }

    /// Says something to the other end of a circuit, whatever the speaker's links think of it. What comes back.
    pub fn inject(&mut self, from: usize, circ: CircuitId, message: Message) -> Vec<Message> {
        let circuit = &self.circuits[&circ];
        let (hop, back) = if circuit.origin == from { (circuit.hop, from) } else { (0, from) };
        let before = self.log.len();
        self.deliver(from, circ, hop, message);
        self.drain();
        self.log[before..].iter().filter(|(to, _)| *to == back).map(|(_, m)| m.clone()).collect()
    }

    pub fn drop_circuits(&mut self) {
        let all: Vec<u64> = self.circuits.keys().copied().collect();
        all.into_iter().for_each(|circ| self.drop_circuit(circ, None));
    }

    pub(super) fn drop_circuit(&mut self, circ: CircuitId, but: Option<usize>) {
        let Some(circuit) = self.circuits.remove(&circ) else { return };
        for node in [circuit.origin, circuit.end] {
            if Some(node) != but {
                self.step(node, |links, now, _, out| links.on_closed(now, circ, out));
            }
        }
    }

    pub(super) fn deliver(&mut self, from: usize, circ: CircuitId, hop: u32, message: Message) {
        let Some(circuit) = self.circuits.get(&circ) else { return };
        let to_end = circuit.origin == from;
        assert_eq!(hop, if to_end { circuit.hop } else { 0 }, "a message to the wrong hop");
        let (to, partner) = if to_end {
            let known = self.nodes[circuit.through.unwrap_or(circuit.origin)].relay.filter(|_| circuit.one_hop);
            (circuit.end, known.map_or(Partner::Anonymous, Partner::Relay))
        } else {
            (circuit.origin, Partner::Relay(self.nodes[circuit.end].relay.expect("a relay")))
        };
        if self.mute && matches!(message, Message::CloseAsk(_)) {
            return;
        }
        self.log.push((to, message.clone()));
        if circuit.stranger && !to_end {
            return;
        }
        self.step(to, |links, now, rng, out| links.on_message(now, rng, circ, partner, message, out));
    }

    /// A circuit of a stranger to `end`.
    pub fn stranger(&mut self, origin: usize, end: usize, one_hop: bool) -> CircuitId {
        let circ = self.next_circ;
        self.next_circ += 1;
        let hop = if one_hop { 1 } else { 3 };
        self.circuits.insert(circ, Circuit { origin, end, hop, one_hop, stranger: true, through: None });
        circ
    }

    /// A circuit of a stranger to `end`, to whom it looks like one of the relay `through`.
    pub fn impostor(&mut self, origin: usize, through: usize, end: usize) -> CircuitId {
        let circ = self.stranger(origin, end, true);
        self.circuits.get_mut(&circ).expect("just made").through = Some(through);
        circ
    }
}
