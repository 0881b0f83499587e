//! Circuits: who is on them, what they counted, who holds.
use super::world::{CLIENT, WINDOW, World, over_the_wire};
use super::world_weather::Leg;
use crate::links::world::relay_id;
use magicwave::gateway::core::message::Message;
use magicwave::gateway::port::*;
use magicwave::units::CELL_BYTES;
use std::collections::{BTreeMap, VecDeque};

/// What a circuit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Streams of the client.
    Streams,
    /// The talk of link partners.
    Talk,
}

/// One circuit. Every hop counts the same as the origin: messages arrive at once.
pub struct Route {
    pub origin: usize,
    pub path: Vec<usize>,
    pub kind: Kind,
    pub counted: Vec<Counted>,
    /// Cells that each hop carries before it holds.
    pub granted: Vec<u64>,
    pub state: Vec<u8>,
    /// Messages towards the origin that a hop keeps: (from hop, message).
    held: VecDeque<(usize, Message)>,
    pub watches: BTreeMap<(usize, u32), u64>,
    /// Added to a hop's stamp: a hop that counts wrong.
    pub lie: Vec<u64>,
}

impl World {
    pub fn build(&mut self, origin: usize, path: &[usize], kind: Kind) -> CircuitId {
        self.build_with(origin, path, kind, 0)
    }

    fn build_with(&mut self, origin: usize, path: &[usize], kind: Kind, token: u64) -> CircuitId {
        let circ = self.fresh();
        let free = u64::from(WINDOW) / CELL_BYTES;
        self.routes.insert(
            circ,
            Route {
                origin,
                path: path.to_vec(),
                kind,
                counted: vec![Counted::default(); path.len()],
                granted: vec![free; path.len()],
                state: vec![0; path.len()],
                held: VecDeque::new(),
                watches: BTreeMap::new(),
                lie: vec![0; path.len()],
            },
        );
        for (k, node) in path.iter().enumerate() {
            self.pass(circ, k, self.setup.knows[*node]);
        }
        let hops: Vec<Hop> = path.iter().map(|node| self.hop(*node)).collect();
        self.event(origin, Event::Built { circ, token, path: hops });
        circ
    }

    /// The `k`th hop hears where a circuit leads, as its consensus `knows` it.
    fn pass(&mut self, circ: CircuitId, k: usize, knows: bool) {
        let Some(route) = self.routes.get(&circ) else { return };
        let before = if k == 0 { Some(route.origin).filter(|o| *o < CLIENT) } else { Some(route.path[k - 1]) };
        let prev = before.filter(|_| knows).map(relay_id);
        let next =
            route.path.get(k + 1).map(|node| Hop { speaks: knows && self.setup.speaks[*node], ..self.hop(*node) });
        self.event(route.path[k], Event::Passing { circ, prev, next });
    }

    pub fn hop(&self, node: usize) -> Hop {
        Hop { relay: relay_id(node), nickname: format!("n{}", node + 1), speaks: self.setup.speaks[node] }
    }

    pub(super) fn launch(&mut self, node: usize, token: u64, relay: RelayId, one_hop: bool) {
        let end = usize::from(relay[0]).wrapping_sub(1);
        if self.away.contains(&node) || end >= CLIENT || relay != relay_id(end) || end == node {
            return self.event(node, Event::LaunchFailed { token });
        }
        let path = if one_hop { vec![end] } else { vec![(end + 1) % 3, (end + 2) % 3, end] };
        self.build_with(node, &path, Kind::Talk, token);
    }

    pub fn cut(&mut self, circ: CircuitId, but: Option<usize>) {
        let Some(route) = self.routes.remove(&circ) else { return };
        for (k, node) in route.path.iter().enumerate().filter(|(_, n)| Some(**n) != but) {
            self.event(*node, Event::Closed { circ, token: 0, own: route.counted[k] });
        }
        if Some(route.origin) != but {
            self.event(route.origin, Event::Closed { circ, token: 0, own: Counted::default() });
        }
    }

    pub(super) fn send(&mut self, from: usize, circ: CircuitId, hop: u32, message: Message) {
        let Some(route) = self.routes.get(&circ) else { return };
        let message = over_the_wire(message);
        let streams = route.kind == Kind::Streams;
        if hop == 0 {
            let Some(k) = route.path.iter().position(|n| *n == from) else { return };
            if streams {
                self.log.push((from, from, message.clone()));
                if self.is_lost(from, &message) {
                    return;
                }
                return self.convey(from, Leg::Inward { circ, k }, vec![message]);
            } else {
                self.talk.push((from, route.origin, message.clone()));
            }
            self.towards_origin(circ, k, message);
        } else {
            let Some(to) = route.path.get(hop as usize - 1).copied() else { return };
            assert_eq!(route.origin, from, "only the origin speaks to hops");
            let own = route.counted[hop as usize - 1];
            if streams {
                self.log.push((from, to, message.clone()));
                if self.is_lost(to, &message) {
                    return;
                }
                return self.convey(to, Leg::Outward { circ, hop, to }, vec![message]);
            } else {
                self.talk.push((from, to, message.clone()));
            }
            if !self.setup.speaks[to] {
                return;
            }
            self.event(to, Event::Message { circ, hop: 0, message, own, peer: Counted::default() });
        }
    }

    pub(super) fn towards_origin(&mut self, circ: CircuitId, k: usize, message: Message) {
        let Some(route) = self.routes.get_mut(&circ) else { return };
        // A hop that holds keeps what comes from behind it; its own words pass.
        if route.kind == Kind::Streams && route.state[..k].iter().any(|s| *s > 0) {
            return route.held.push_back((k, message));
        }
        let (origin, own) = (route.origin, route.counted[k]);
        let peer = Counted { inward: own.inward + route.lie[k], outward: own.outward };
        let hop = u32::try_from(k + 1).expect("few hops");
        self.event(origin, Event::Message { circ, hop, message, own, peer });
    }

    pub(super) fn grant(&mut self, node: usize, circ: CircuitId, cells: u64) {
        let Some(route) = self.routes.get_mut(&circ) else { return };
        let Some(k) = route.path.iter().position(|n| *n == node) else { return };
        route.granted[k] = route.granted[k].max(cells + u64::from(WINDOW) / CELL_BYTES);
        if route.state[k] > 0 && route.granted[k] > route.counted[k].total() {
            route.state[k] = 0;
            let own = route.counted[k];
            self.event(node, Event::State { circ, state: 0, own });
            let held = self.routes.get_mut(&circ).map(|r| std::mem::take(&mut r.held)).unwrap_or_default();
            held.into_iter().for_each(|(from, message)| self.towards_origin(circ, from, message));
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
            self.pass(circ, k, true);
            return self.event(node, Event::Counters { circ, hop: 0, own: counted[k] });
        }
        for (hop, own) in (1..).zip(counted) {
            self.event(node, Event::Counters { circ, hop, own });
        }
    }

    /// Up to `cells` cells go over a circuit of the client, as long as nobody holds; how many did.
    pub fn flow(&mut self, circ: CircuitId, cells: u64) -> u64 {
        for done in 0..cells {
            let Some(route) = self.routes.get_mut(&circ) else { return done };
            if route.state.iter().any(|s| *s > 0) {
                return done;
            }
            let mut changed = Vec::new();
            for k in 0..route.path.len() {
                route.counted[k].inward += 1;
                let speaks = self.setup.speaks[route.path[k]];
                if speaks && route.counted[k].total() >= route.granted[k] {
                    route.state[k] = 1;
                    changed.push((route.path[k], route.counted[k]));
                }
            }
            let fired: Vec<(usize, u32)> = route
                .watches
                .iter()
                .filter(|((node, hop), cells)| {
                    let k = if *hop == 0 { route.path.iter().position(|n| n == node) } else { Some(*hop as usize - 1) };
                    k.and_then(|k| route.counted.get(k)).is_some_and(|c| c.total() >= **cells)
                })
                .map(|(key, _)| *key)
                .collect();
            for (node, hop) in fired {
                let Some(route) = self.routes.get_mut(&circ) else { return done };
                route.watches.remove(&(node, hop));
                let k =
                    route.path.iter().position(|n| *n == node).filter(|_| hop == 0).unwrap_or(hop.max(1) as usize - 1);
                let own = route.counted[k];
                self.event(node, Event::Watched { circ, hop, own });
            }
            for (node, own) in changed {
                self.event(node, Event::State { circ, state: 1, own });
            }
            self.drain();
        }
        cells
    }

    /// As much flow as `cells`, waiting up to `patience` seconds wherever somebody holds.
    pub fn flow_for_sure(&mut self, circ: CircuitId, cells: u64, patience: u64) {
        let mut left = cells - self.flow(circ, cells);
        for _ in 0..patience {
            if left == 0 {
                return;
            }
            self.run(1);
            left -= self.flow(circ, left);
        }
        assert_eq!(left, 0, "the circuit is stuck: {:#?}", self.nodes[CLIENT].gateway.status());
    }
}
