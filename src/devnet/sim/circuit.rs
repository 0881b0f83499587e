//! Circuits: who is on them, what they counted, who holds, and how messages travel over them.
use super::party::{CLIENT, relay_id};
use super::{Job, Node, Sim};
use crate::gateway::core::codec;
use crate::gateway::core::message::Message;
use crate::gateway::port::{CircuitId, Counted, Event, Hop, RelayId};
use crate::tor::cell::{Outbox, Reassembler};
use crate::units::CELL_BYTES;
use std::collections::{BTreeMap, VecDeque};

/// What a circuit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Streams of the client.
    Streams,
    /// The talk of link partners.
    Talk,
}

/// One circuit. Both ends count the same: stamps are of the moment at which a message arrives.
#[derive(Debug)]
pub struct Route {
    /// Who built it.
    pub origin: usize,
    /// The nodes on it, from the first hop on.
    pub path: Vec<usize>,
    /// What for.
    pub kind: Kind,
    /// Cells of each hop.
    pub counted: Vec<Counted>,
    /// Cells that each hop carries before it holds.
    granted: Vec<u64>,
    /// Service state of each hop.
    state: Vec<u8>,
    /// Messages towards the origin that a hop keeps.
    held: VecDeque<(usize, Message)>,
    watches: BTreeMap<(usize, u32), u64>,
}

impl Route {
    /// Somebody on it carries no more until it is paid.
    pub fn is_held(&self) -> bool {
        self.state.iter().any(|s| *s > 0)
    }
}

impl<N: Node> Sim<N> {
    /// Builds a circuit of `origin` over `path`; it is known to all at once.
    pub fn build(&mut self, origin: usize, path: &[usize], kind: Kind, token: u64) -> CircuitId {
        let circ = self.fresh();
        let free = u64::from(self.setup.window_bytes) / CELL_BYTES;
        let route = Route {
            origin,
            path: path.to_vec(),
            kind,
            counted: vec![Counted::default(); path.len()],
            granted: vec![free; path.len()],
            state: vec![0; path.len()],
            held: VecDeque::new(),
            watches: BTreeMap::new(),
        };
        self.routes.insert(circ, route);
        (0..path.len()).for_each(|k| self.pass(circ, k));
        let hops: Vec<Hop> = path.iter().map(|node| hop(*node)).collect();
        self.event(origin, Event::Built { circ, token, path: hops });
        circ
    }

    /// The `k`th hop hears where a circuit leads.
    fn pass(&mut self, circ: CircuitId, k: usize) {
        let Some(route) = self.routes.get(&circ) else { return };
        let before = if k == 0 { Some(route.origin).filter(|o| *o < CLIENT) } else { Some(route.path[k - 1]) };
        let next = route.path.get(k + 1).map(|node| hop(*node));
        let event = Event::Passing { circ, prev: before.map(relay_id), next };
        self.event(route.path[k], event);
    }

    pub(super) fn launch(&mut self, node: usize, token: u64, relay: RelayId, one_hop: bool) {
        let Some(end) = (0..CLIENT).find(|end| relay == relay_id(*end) && *end != node) else {
            return self.event(node, Event::LaunchFailed { token });
        };
        let path = if one_hop { vec![end] } else { vec![(end + 1) % 3, (end + 2) % 3, end] };
        self.build(node, &path, Kind::Talk, token);
    }

    /// A circuit ends; everybody on it hears so.
    pub fn cut(&mut self, circ: CircuitId) {
        let Some(route) = self.routes.remove(&circ) else { return };
        for (k, node) in route.path.iter().enumerate() {
            self.event(*node, Event::Closed { circ, token: 0, own: route.counted[k] });
        }
        self.event(route.origin, Event::Closed { circ, token: 0, own: Counted::default() });
    }

    /// All circuits of a process that died end.
    pub(super) fn end_circuits_of(&mut self, node: usize) {
        let on = |r: &Route| r.origin == node || r.path.contains(&node);
        let gone: Vec<CircuitId> = self.routes.iter().filter(|(_, r)| on(r)).map(|(circ, _)| *circ).collect();
        gone.into_iter().for_each(|circ| self.cut(circ));
    }

    pub(super) fn send(&mut self, from: usize, circ: CircuitId, hop: u32, message: Message) {
        let Some(route) = self.routes.get(&circ) else { return };
        let (k, inward) = match (hop as usize).checked_sub(1) {
            Some(k) if route.origin == from && k < route.path.len() => (k, false),
            None => match route.path.iter().position(|n| *n == from) {
                Some(k) => (k, true),
                None => return,
            },
            _ => return,
        };
        let Some(message) = over_the_wire(&message) else { return };
        if self.chance(self.weather.loss) {
            return;
        }
        let way = self.hop_ms.saturating_mul(k as u64 + 1);
        if self.chance(self.weather.repeat) {
            let after = way.saturating_add(self.late());
            self.schedule(after, Job::Message { circ, k, inward, message: message.clone() });
        }
        let after = way.saturating_add(self.late());
        self.schedule(after, Job::Message { circ, k, inward, message });
    }

    /// A message reaches the `k`th hop, or from it the origin.
    pub(super) fn arrive(&mut self, circ: CircuitId, k: usize, inward: bool, message: Message) {
        let Some(route) = self.routes.get_mut(&circ) else { return };
        let own = route.counted[k];
        if !inward {
            let node = route.path[k];
            return self.event(node, Event::Message { circ, hop: 0, message, own, peer: Counted::default() });
        }
        // A hop that holds keeps what comes from behind it; its own words pass.
        if route.kind == Kind::Streams && route.state[..k].iter().any(|s| *s > 0) {
            return route.held.push_back((k, message));
        }
        let (origin, hop) = (route.origin, wire_hop(k));
        self.event(origin, Event::Message { circ, hop, message, own, peer: own });
    }

    pub(super) fn grant(&mut self, node: usize, circ: CircuitId, cells: u64) {
        let free = u64::from(self.setup.window_bytes) / CELL_BYTES;
        let Some(route) = self.routes.get_mut(&circ) else { return };
        let Some(k) = route.path.iter().position(|n| *n == node) else { return };
        route.granted[k] = route.granted[k].max(cells.saturating_add(free));
        if route.state[k] > 0 && route.granted[k] > route.counted[k].total() {
            route.state[k] = 0;
            let (own, held) = (route.counted[k], std::mem::take(&mut route.held));
            self.event(node, Event::State { circ, state: 0, own });
            held.into_iter().for_each(|(from, message)| self.arrive(circ, from, true, message));
        }
    }

    pub(super) fn watch(&mut self, node: usize, circ: CircuitId, hop: u32, cells: u64) {
        if let Some(route) = self.routes.get_mut(&circ) {
            route.watches.insert((node, hop), cells);
        }
    }

    pub(super) fn query(&mut self, node: usize, circ: CircuitId) {
        let Some(route) = self.routes.get(&circ) else { return };
        let counted = route.counted.clone();
        if let Some(k) = route.path.iter().position(|n| *n == node) {
            self.pass(circ, k);
            return self.event(node, Event::Counters { circ, hop: 0, own: counted[k] });
        }
        for (k, own) in counted.into_iter().enumerate() {
            self.event(node, Event::Counters { circ, hop: wire_hop(k), own });
        }
    }

    /// Up to `cells` cells go over a circuit towards its origin, until somebody holds; how many did. What they set off
    /// happens when time goes on.
    pub fn flow(&mut self, circ: CircuitId, cells: u64) -> u64 {
        for done in 0..cells {
            let Some(route) = self.routes.get_mut(&circ).filter(|r| !r.is_held()) else { return done };
            let mut events = Vec::new();
            for k in 0..route.path.len() {
                route.counted[k].inward += 1;
                let own = route.counted[k];
                if own.total() >= route.granted[k] {
                    route.state[k] = 1;
                    events.push((route.path[k], Event::State { circ, state: 1, own }));
                }
            }
            let place = |node: usize, hop: u32| match hop.checked_sub(1) {
                None => route.path.iter().position(|n| *n == node),
                Some(k) => Some(k as usize),
            };
            let count = |(node, hop): (usize, u32)| place(node, hop).and_then(|k| route.counted.get(k)).copied();
            let fired: Vec<_> = route
                .watches
                .iter()
                .filter_map(|(key, cells)| count(*key).filter(|own| own.total() >= *cells).map(|own| (*key, own)))
                .collect();
            for ((node, hop), own) in fired {
                route.watches.remove(&(node, hop));
                events.insert(0, (node, Event::Watched { circ, hop, own }));
            }
            events.into_iter().for_each(|(node, event)| self.event(node, event));
        }
        cells
    }
}

fn hop(node: usize) -> Hop {
    Hop { relay: relay_id(node), nickname: format!("n{}", node + 1), speaks: true }
}

fn wire_hop(k: usize) -> u32 {
    u32::try_from(k + 1).unwrap_or(u32::MAX)
}

/// What a message is after it went over the wire: encoded, cut into cells, put together and decoded. Nothing of one
/// that does not survive that, which would be a bug of the codec.
pub(super) fn over_the_wire(message: &Message) -> Option<Message> {
    let (mut outbox, mut inbox) = (Outbox::default(), Reassembler::default());
    let cells = outbox.bodies(&codec::encode(message)).ok()?;
    let whole = cells.iter().find_map(|cell| inbox.push(0, cell).ok().flatten())?;
    codec::decode(&whole).ok()
}
