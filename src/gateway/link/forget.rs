//! What goes after a time: wishes that nobody repeats, links of silent callers, links without a deposit.
//!
//! Whoever has no deposit on a link yet is a stranger, and strangers together hold at most half of the places: a flood
//! of hellos keeps out other strangers for a while, never a partner that put money in. A circuit carries one link.
use super::limits::{FORGET_MS, TENTATIVE_MS, WISH_MS};
use super::links::{Link, Links};
use super::rows::{EscrowRow, EscrowState, Partner, Role};
use crate::gateway::core::message::Id;
use crate::gateway::port::{CircuitId, Effect, Out, RelayId, Row};
use crate::units::Stroops;

/// No money is or may be on this lane.
fn is_worthless(lane: &EscrowRow) -> bool {
    use EscrowState::{Created, Offered, Planned};
    matches!(lane.state, Planned | Created | Offered) && lane.total == Stroops::ZERO
}

impl Links {
    /// May another link with such a partner be made?
    pub(super) fn has_room(&self, partner: Partner) -> bool {
        self.links_like(partner).count() < self.places(partner)
    }

    /// The same for one that somebody else asks for, who has no deposit on it yet.
    pub(super) fn has_room_for_stranger(&self, partner: Partner) -> bool {
        let strangers = self.links_like(partner).filter(|l| !l.row.dials && self.is_empty(&l.row.id)).count();
        self.has_room(partner) && strangers < (self.places(partner) / 2).max(1)
    }

    fn places(&self, partner: Partner) -> usize {
        match partner {
            Partner::Anonymous => self.limits.max_anonymous_links,
            Partner::Relay(_) => self.limits.max_links,
        }
    }

    fn links_like(&self, partner: Partner) -> impl Iterator<Item = &Link> {
        let anonymous = partner == Partner::Anonymous;
        self.links.values().filter(move |l| (l.row.partner == Partner::Anonymous) == anonymous)
    }

    fn is_empty(&self, link: &Id) -> bool {
        self.lanes_of(link).all(is_worthless)
    }

    /// A wish ends some time after it was last said, unless money is under way on its link.
    fn end_wishes(&mut self, now_ms: u64) {
        let is_busy = |id: &Id| self.lanes_of(id).any(|row| row.is_unsettled() && !is_worthless(row));
        let busy: Vec<Id> = self.dials.values().filter_map(|d| d.link).filter(is_busy).collect();
        for dial in self.dials.values_mut() {
            if dial.wish_ms == 0 {
                dial.wish_ms = now_ms; // just loaded
            }
            let said = dial.wanted && now_ms < dial.wish_ms.saturating_add(WISH_MS);
            dial.wanted = said || dial.link.is_some_and(|id| busy.contains(&id));
        }
    }

    /// A deposit is worth while here: a service asked for the link, or somebody of ours did a while ago at most.
    pub(super) fn is_wanted(&self, link: &Link) -> bool {
        !link.row.dials || self.dials.values().any(|d| d.wanted && d.link == Some(link.row.id))
    }

    /// Those of `links` without a partner and without a deposit go; what was set aside for them is free again.
    pub(super) fn sweep(&mut self, now_ms: u64, links: &[Id], out: &mut Out) {
        self.end_wishes(now_ms);
        for id in links {
            if let Some(link) = self.links.get_mut(id).filter(|l| l.idle_ms == 0) {
                link.idle_ms = now_ms; // just loaded
            }
        }
        let wanted = |id: &Id| self.dials.values().any(|d| d.wanted && d.link == Some(*id));
        let late = |l: &Link| match (l.tentative, l.circ) {
            (true, _) => now_ms >= l.row.since_ms.saturating_add(TENTATIVE_MS),
            (false, None) => now_ms >= l.idle_ms.saturating_add(FORGET_MS),
            (false, Some(_)) => now_ms >= l.idle_ms.max(l.row.since_ms).saturating_add(FORGET_MS),
        };
        let gone: Vec<Id> = links
            .iter()
            .filter_map(|id| self.links.get(id))
            .filter(|l| self.is_closed(&l.row.id) || late(l) && !wanted(&l.row.id) && self.is_empty(&l.row.id))
            .map(|l| l.row.id)
            .collect();
        for id in gone {
            self.abandon(&id, out);
            if let Some(mut link) = self.remove_link(&id) {
                if let Some(circ) = link.circ {
                    self.hang_up(circ, out);
                }
                if !link.tentative {
                    link.row.dropped = true;
                    out.rows.push(Row::Link(Box::new(link.row)));
                }
            }
            for dial in self.dials.values_mut().filter(|d| d.link == Some(id)) {
                dial.link = None;
                dial.wanted = false;
            }
        }
        let over: Vec<(RelayId, Role)> =
            self.dials.iter().filter(|(_, d)| !d.wanted && d.link.is_none()).map(|(key, _)| *key).collect();
        for key in over {
            if let Some(circ) = self.dials.remove(&key).and_then(|d| d.circ) {
                self.hang_up(circ, out);
            }
        }
    }

    /// No more talk on this circuit; one of ours is closed.
    pub(super) fn hang_up(&mut self, circ: CircuitId, out: &mut Out) {
        if self.circuits.remove(&circ).is_some_and(|c| c.ours) {
            out.effects.push(Effect::Close { circ });
        }
    }
}
