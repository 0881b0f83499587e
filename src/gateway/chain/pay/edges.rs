//! Between which neighbours signed payments came to nothing, whatever the circuit.
//!
//! A node that cannot or will not pass a payment on costs the client an increment each time, and a new circuit over
//! the same neighbours would do it again. The client cannot tell which of the two is to blame, so it remembers both.
use crate::gateway::port::{Hop, RelayId};
use std::collections::HashMap;

/// The client itself, before its guard.
pub(super) const CLIENT: RelayId = [0; 20];
/// A pause after the first failure; each one more takes four times as long, a day at most.
const PAUSE_MS: u64 = 10_000;
const LONGEST_MS: u64 = 86_400_000;
/// Pairs that are remembered; the one whose pause ends first makes room.
const MAX_PAIRS: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Edges {
    pauses: HashMap<(RelayId, RelayId), (u32, u64)>,
}

impl Edges {
    /// A signed payment got lost between these two.
    pub(super) fn failed(&mut self, now: u64, from: RelayId, to: RelayId) {
        let pair = (from, to);
        if self.pauses.len() >= MAX_PAIRS && !self.pauses.contains_key(&pair) {
            let first = self.pauses.iter().min_by_key(|(_, (_, until))| *until).map(|(pair, _)| *pair);
            first.and_then(|pair| self.pauses.remove(&pair));
        }
        let (failures, until) = self.pauses.entry(pair).or_default();
        let pause = 4u64.saturating_pow(*failures).saturating_mul(PAUSE_MS).min(LONGEST_MS);
        *failures = failures.saturating_add(1);
        *until = (*until).max(now.saturating_add(pause));
    }

    /// A payment went all the way over these hops.
    pub(super) fn passed<'a>(&mut self, hops: impl Iterator<Item = &'a Hop>) {
        let mut from = CLIENT;
        for hop in hops {
            self.pauses.remove(&(from, hop.relay));
            from = hop.relay;
        }
    }

    /// How many of these hops, from the guard on, may be paid now.
    pub(super) fn reach<'a>(&self, now: u64, hops: impl Iterator<Item = &'a Hop>) -> usize {
        let mut from = CLIENT;
        let open = |hop: &&Hop| {
            let pair = (std::mem::replace(&mut from, hop.relay), hop.relay);
            self.pauses.get(&pair).is_none_or(|(_, until)| *until <= now)
        };
        hops.take_while(open).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(n: u8) -> Hop {
        Hop { relay: [n; 20], nickname: String::new(), speaks: true }
    }

    #[test]
    fn a_pair_is_left_alone_longer_after_each_failure_and_forgiven_by_a_payment() {
        let mut edges = Edges::default();
        let path = [hop(1), hop(2), hop(3)];
        assert_eq!(edges.reach(0, path.iter()), 3);
        edges.failed(1_000, [1; 20], [2; 20]);
        assert_eq!((edges.reach(10_999, path.iter()), edges.reach(11_000, path.iter())), (1, 3));
        edges.failed(11_000, [1; 20], [2; 20]);
        assert_eq!((edges.reach(50_999, path.iter()), edges.reach(51_000, path.iter())), (1, 3));
        // The same relays in another order are other neighbours.
        assert_eq!(edges.reach(12_000, [hop(2), hop(1)].iter()), 2);
        edges.passed(path.iter());
        assert_eq!(edges.reach(12_000, path.iter()), 3);
        edges.failed(12_000, CLIENT, [1; 20]);
        assert_eq!(edges.reach(12_000, path.iter()), 0);
        (0..100).for_each(|_| edges.failed(12_000, CLIENT, [1; 20]));
        assert_eq!(edges.reach(12_000 + LONGEST_MS, path.iter()), 3);
    }

    #[test]
    fn the_memory_for_pairs_has_an_end() {
        let mut edges = Edges::default();
        for n in 0..MAX_PAIRS as u64 + 10 {
            let mut relay = [0; 20];
            relay[..8].copy_from_slice(&n.to_be_bytes());
            edges.failed(n, CLIENT, relay);
        }
        assert_eq!(edges.pauses.len(), MAX_PAIRS);
    }
}
