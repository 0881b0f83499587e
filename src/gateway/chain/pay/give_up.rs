//! Circuits that carry no paid traffic: one hop is not to be paid, so nobody is, and tor is told to use another.
//!
//! A hop can say a price that nobody takes to be rid of a path that it does not like, and a guard so choose who stands
//! behind it. So only so many circuits are left for another in a while; what comes then is used unpaid.
use super::{Circuit, Pay};
use crate::gateway::core::message::RefusalCode;
use crate::gateway::port::{CircuitId, Effect, Out};

/// Circuits left for another within `WHILE_MS`, at most; one whose hops all are to be paid begins the count anew.
pub const GIVEN_UP_MAX: usize = 8;
/// Milliseconds.
pub const WHILE_MS: u64 = 600_000;

impl Pay {
    /// Nothing more is paid on this circuit and on the other legs of its set, for streams ride them all. What they
    /// carry already stays.
    pub(super) fn give_up(&mut self, now: u64, circ: CircuitId, code: RefusalCode, out: &mut Out) {
        let legs: Vec<CircuitId> = self.legs(circ, |c| c.given_up.is_none());
        for leg in &legs {
            if let Some(c) = self.circuits.get_mut(leg) {
                c.given_up = Some(code);
            }
        }
        if !legs.is_empty() {
            self.drop_unsigned(RefusalCode::CIRCUIT_UNPAID, |p| legs.contains(&p.circ), out);
            self.leave(now, circ, out);
        }
    }

    /// Circuits on which a hop will never be paid again, because it counts wrong or passed nothing on, come to stand
    /// still: who stands before it is still paid, and new streams take another.
    pub(super) fn leave_stuck(&mut self, now: u64, out: &mut Out) {
        let stuck = |c: &Circuit| {
            !c.left && c.began && c.hops.iter().take(c.speaking).any(|h| h.offer.is_some() && h.not_before == u64::MAX)
        };
        let mut circs: Vec<CircuitId> = self.circuits.iter().filter(|(_, c)| stuck(c)).map(|(id, _)| *id).collect();
        circs.sort_unstable();
        for circ in circs {
            self.leave(now, circ, out);
        }
    }

    /// Tells tor to attach nothing new to a circuit and to the other legs of its set, unless that was too often.
    fn leave(&mut self, now: u64, circ: CircuitId, out: &mut Out) {
        let legs = self.legs(circ, |c| !c.left);
        if legs.is_empty() {
            return;
        }
        self.given_up.retain(|at| now < at.saturating_add(WHILE_MS));
        let another = self.given_up.len() < GIVEN_UP_MAX;
        for circ in legs {
            if let Some(c) = self.circuits.get_mut(&circ) {
                c.left = true;
            }
            if another {
                out.effects.push(Effect::Abandon { circ });
            }
        }
        if another {
            self.given_up.push(now);
        } else {
            self.refuse(now, "tor".into(), RefusalCode::NO_CIRCUIT, true);
        }
    }

    /// A circuit and the other legs of its set, of those that `which` picks, by number.
    fn legs(&self, circ: CircuitId, which: impl Fn(&Circuit) -> bool) -> Vec<CircuitId> {
        let set = self.circuits.get(&circ).and_then(|c| c.set);
        let leg = |id: CircuitId, c: &Circuit| id == circ || (set.is_some() && c.set == set);
        let legs = self.circuits.iter().filter(|(id, c)| leg(**id, c) && which(c));
        let mut legs: Vec<CircuitId> = legs.map(|(id, _)| *id).collect();
        legs.sort_unstable();
        legs
    }

    /// A leg of a set that was given up comes late; tor knows of the set.
    pub(super) fn join_given_up(&mut self, circ: CircuitId) {
        let Some(set) = self.circuits.get(&circ).and_then(|c| c.set) else { return };
        let others = self.circuits.values().filter(|c| c.set == Some(set));
        let (code, left) = others.fold((None, false), |(code, left), c| (code.or(c.given_up), left || c.left));
        if let Some(c) = self.circuits.get_mut(&circ) {
            (c.given_up, c.left) = (c.given_up.or(code), left);
        }
    }

    /// All hops of a circuit are to be paid: there are such circuits.
    pub(super) fn note_payable(&mut self, circ: CircuitId) {
        let payable = |c: &Circuit| c.given_up.is_none() && c.hops.iter().take(c.speaking).all(|h| h.offer.is_some());
        if self.circuits.get(&circ).is_some_and(payable) {
            self.given_up.clear();
        }
    }

    /// Are circuits used unpaid because too many were left?
    pub(super) fn out_of_circuits(&self, now: u64) -> bool {
        self.given_up.iter().filter(|at| now < at.saturating_add(WHILE_MS)).count() >= GIVEN_UP_MAX
    }
}
