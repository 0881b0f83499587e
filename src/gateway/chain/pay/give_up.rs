//! Circuits that carry no paid traffic: one hop is not to be paid, so nobody is, and tor is told to use another.
//!
//! A hop can say a price that nobody takes to be rid of a path that it does not like, and a guard so choose who stands
//! behind it. So only so many circuits are given up for another in a while; what comes then is used unpaid.
use super::Pay;
use crate::gateway::core::message::RefusalCode;
use crate::gateway::port::{CircuitId, Effect, Out};

/// Circuits given up for another within `WHILE_MS`, at most; one whose hops all are to be paid begins the count anew.
pub const GIVEN_UP_MAX: usize = 8;
/// Milliseconds.
pub const WHILE_MS: u64 = 600_000;

impl Pay {
    /// Nothing more is paid on this circuit and on the other legs of its set, for streams ride them all. What they
    /// carry already stays.
    pub(super) fn give_up(&mut self, now: u64, circ: CircuitId, code: RefusalCode, out: &mut Out) {
        let Some(c) = self.circuits.get(&circ) else { return };
        let set = c.set;
        let same = |(id, c): (&CircuitId, &super::Circuit)| {
            let leg = *id == circ || (set.is_some() && c.set == set);
            (leg && c.given_up.is_none()).then_some(*id)
        };
        let mut legs: Vec<CircuitId> = self.circuits.iter().filter_map(same).collect();
        legs.sort_unstable();
        if legs.is_empty() {
            return;
        }
        self.drop_unsigned(RefusalCode::CIRCUIT_UNPAID, |p| legs.contains(&p.circ), out);
        self.given_up.retain(|at| now < at.saturating_add(WHILE_MS));
        let another = self.given_up.len() < GIVEN_UP_MAX;
        for leg in legs {
            if let Some(c) = self.circuits.get_mut(&leg) {
                c.given_up = Some(code);
            }
            if another {
                out.effects.push(Effect::Abandon { circ: leg });
            }
        }
        if another {
            self.given_up.push(now);
        } else {
            self.refuse(now, "tor".into(), RefusalCode::NO_CIRCUIT, true);
        }
    }

    /// A leg of a set that was given up comes late.
    pub(super) fn join_given_up(&mut self, circ: CircuitId, out: &mut Out) {
        let Some(set) = self.circuits.get(&circ).and_then(|c| c.set) else { return };
        let code = self.circuits.values().filter(|c| c.set == Some(set)).find_map(|c| c.given_up);
        if let (Some(code), Some(c)) = (code, self.circuits.get_mut(&circ))
            && c.given_up.is_none()
        {
            c.given_up = Some(code);
            out.effects.push(Effect::Abandon { circ });
        }
    }

    /// All hops of a circuit are to be paid: there are such circuits.
    pub(super) fn note_payable(&mut self, circ: CircuitId) {
        let payable =
            |c: &super::Circuit| c.given_up.is_none() && c.hops.iter().take(c.speaking).all(|h| h.offer.is_some());
        if self.circuits.get(&circ).is_some_and(payable) {
            self.given_up.clear();
        }
    }

    /// Are circuits used unpaid because too many were given up?
    pub(super) fn out_of_circuits(&self, now: u64) -> bool {
        self.given_up.iter().filter(|at| now < at.saturating_add(WHILE_MS)).count() >= GIVEN_UP_MAX
    }
}
