//! Timers: every step that waits for something is tried again here, and what nobody wants any more is forgotten.
use super::limits::ASK_TIMEOUT_MS;
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Role};
use crate::gateway::core::message::{AccountKey, Id};
use crate::gateway::port::{AccountView, Effect, Out};
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Lanes, and links, that one tick looks after; of more, the next tick takes the next ones.
const TICK_MANY: usize = 4_096;

/// The next of all names behind the last one, `TICK_MANY` at most, round and round.
fn next<K: Copy + Ord, V>(all: &BTreeMap<K, V>, last: &mut K) -> Vec<K> {
    if all.len() <= TICK_MANY {
        return all.keys().copied().collect();
    }
    let behind = all.range((Bound::Excluded(*last), Bound::Unbounded)).map(|(name, _)| *name);
    let names: Vec<K> = behind.chain(all.keys().copied()).take(TICK_MANY).collect();
    *last = names.last().copied().unwrap_or(*last);
    names
}

impl Links {
    /// To be called about once a second, and once after `load`.
    pub fn on_tick(&mut self, now_ms: u64, rng: &mut impl Rng, out: &mut Out) {
        // Locks have an end: those are looked after at every tick.
        let locked: Vec<AccountKey> = self.index.locked().copied().collect();
        locked.into_iter().for_each(|escrow| self.poke(now_ms, escrow, out));
        let lanes = next(&self.lanes, &mut self.looked.0);
        let links = next(&self.links, &mut self.looked.1);
        self.forget_asks(now_ms, &lanes);
        self.forget_calls(now_ms, out);
        self.sweep(now_ms, &links, out);
        for escrow in lanes {
            self.age(now_ms, &escrow, out);
            let payee = self.lanes.get(&escrow).is_some_and(|l| l.row.role == Role::Payee && l.row.state.is_usable());
            if payee {
                self.flush_if_due(now_ms, rng, &escrow, out);
            }
            self.poke(now_ms, escrow, out);
        }
        let bare: Vec<Id> = links
            .iter()
            .filter_map(|id| self.links.get(id))
            .filter(|l| l.row.role == Role::Payer && !l.tentative && l.circ.is_some())
            .filter(|l| self.open_lane(&l.row.id).is_none() && self.is_wanted(l))
            .map(|l| l.row.id)
            .collect();
        for link in bare {
            self.plan_if_needed(now_ms, &link, out);
        }
        self.end_net_wish(now_ms, out);
        self.pump_openings(now_ms, out);
        self.look_at_purses(now_ms, out);
        let dials: Vec<_> = self.dials.keys().copied().collect();
        for (relay, role) in dials {
            self.dial(now_ms, relay, role, out);
        }
    }

    /// Does the lane's next step, if it waits for nothing.
    pub(super) fn poke(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let Some(entry) = self.lanes.get(&escrow) else { return };
        if entry.busy.is_some() || now_ms < entry.due_ms && !self.lock_is_pressing(now_ms, &entry.row) {
            return;
        }
        let (lane, look) = (entry.row.clone(), entry.look);
        if lane.pending_tx().is_some() {
            return self.look_up(now_ms, escrow, false, out);
        }
        match lane.state {
            EscrowState::Planned | EscrowState::Spare => return,
            EscrowState::Created => self.talk_opening(&lane, out),
            EscrowState::Funded if lane.seq_time == 0 => return self.ask_escrow(now_ms, escrow, out),
            EscrowState::Funded => self.talk_opening(&lane, out),
            EscrowState::Refunded if entry.rest.is_some() => return, // waits for our account's sequence number
            EscrowState::Refunded => return self.ask_escrow(now_ms, escrow, out),
            _ if look || self.is_unread(&lane) || self.is_refundable(now_ms, &lane) => {
                return self.ask_escrow(now_ms, escrow, out);
            }
            EscrowState::Offered => return,
            EscrowState::Closed { .. } => return self.ask_escrow(now_ms, escrow, out),
            _ if self.poke_lock(now_ms, &lane, out) => {}
            _ if lane.role == Role::Payer && lane.frozen.is_some() => return self.ask_escrow(now_ms, escrow, out),
            _ if lane.role == Role::Payee && self.poke_payee(now_ms, &lane, out) => {}
            _ if lane.role == Role::Payee => return self.close_if_asked(now_ms, &escrow, out),
            _ if self.wants_close(&lane) => self.ask_close(&lane, out),
            _ => return,
        }
        if self.lanes.get(&escrow).is_some_and(|l| l.busy.is_none()) {
            self.pause(now_ms, &escrow);
        }
    }

    /// A question whose answer got lost is asked again.
    fn forget_asks(&mut self, now_ms: u64, lanes: &[AccountKey]) {
        let old = |(_, since): (u64, u64)| now_ms >= since.saturating_add(ASK_TIMEOUT_MS);
        for own in &mut self.own {
            if let Some((tag, _)) = own.waits.filter(|waits| old(*waits)) {
                own.waits = None;
                self.asks.remove(&tag);
            }
        }
        for escrow in lanes {
            let Some(lane) = self.lanes.get_mut(escrow) else { continue };
            if let Some((tag, _)) = lane.busy.filter(|busy| old(*busy)) {
                lane.busy = None;
                self.asks.remove(&tag);
            }
        }
    }

    /// What time and the operator's wish do to a lane.
    pub(super) fn age(&mut self, now_ms: u64, escrow: &AccountKey, out: &mut Out) {
        use EscrowState::{Created, Dropped, Funded, Open, Planned, Retired, Spare};
        let Some(lane) = self.lanes.get(escrow).map(|l| l.row.clone()) else { return };
        let closing = self.is_closing(&lane.link);
        let reached = |sixteenths| lane.seq_time != 0 && now_ms >= lane.clock_ms(sixteenths);
        let next = match (lane.role, &lane.state) {
            (Role::Payer, Planned) if closing => Dropped,
            (Role::Payer, Created) if closing => Spare,
            (Role::Payer, Open) if closing => Retired,
            // The payee never took it: past half of the period it would be too late.
            (Role::Payer, Funded) if closing || reached(8) => Retired,
            (Role::Payee, Open | Retired) if self.ends_at(now_ms, &lane).is_some_and(reached) => {
                // Our clock may be wrong: E is read before the lane ends.
                if let Some(entry) = self.lanes.get_mut(escrow) {
                    entry.look = true;
                }
                return;
            }
            _ => return,
        };
        self.save(EscrowRow { state: next, ..lane }, out);
    }

    /// Payee: how many sixteenths of the period a lane lasts on which nothing waits to be flushed. Then its refund may
    /// be out, and before that nothing new comes on a lane that is retired.
    fn ends_at(&self, now_ms: u64, lane: &EscrowRow) -> Option<u64> {
        let settled = lane.frozen.is_none() && lane.carry.is_none() && lane.claimed(now_ms) == lane.settled();
        match lane.state {
            _ if lane.lock.is_some() => None,
            EscrowState::Retired if settled => Some(8),
            _ if lane.frozen.is_none() && lane.held.cumulative.is_zero() => Some(16),
            _ => None,
        }
    }

    /// Payee: E was read. Has the lane lasted long enough, by our clock and by the ledgers that closed since E last
    /// moved? A refund needs as many.
    pub(super) fn is_lapsed(&self, now_ms: u64, lane: &EscrowRow, view: &AccountView) -> Option<bool> {
        let sixteenths = self.ends_at(now_ms, lane)?;
        if lane.seq_time == 0 || now_ms < lane.clock_ms(sixteenths) {
            return None;
        }
        let gap = u64::from(self.terms(lane)?.refund_gap()) * sixteenths / 16;
        Some(u64::from(view.latest_ledger.saturating_sub(view.sequence_ledger)) >= gap)
    }

    /// Closes the circuits of links, before a shutdown.
    pub fn close_all(&mut self, out: &mut Out) {
        let ours: Vec<_> = self.circuits.iter().filter(|(_, c)| c.ours).map(|(circ, _)| *circ).collect();
        out.effects.extend(ours.into_iter().map(|circ| Effect::Close { circ }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_looked_after_at_each_tick_and_many_in_turn() {
        let few: BTreeMap<usize, ()> = (1..=TICK_MANY).map(|name| (name, ())).collect();
        let mut last = 0;
        assert_eq!((next(&few, &mut last).len(), next(&few, &mut last).len()), (TICK_MANY, TICK_MANY));
        let many: BTreeMap<usize, ()> = (1..=TICK_MANY * 5 / 2).map(|name| (name, ())).collect();
        let mut seen = BTreeMap::new();
        for _ in 0..5 {
            let names = next(&many, &mut last);
            assert_eq!(names.len(), TICK_MANY);
            names.into_iter().for_each(|name| *seen.entry(name).or_insert(0) += 1);
        }
        assert!(many.keys().all(|name| seen.get(name) == Some(&2)), "five times two fifths of them: each twice");
    }
}
