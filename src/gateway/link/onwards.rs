//! What a node may sign onwards: real money, so no more than came in as real money. A promise of the payer (what a flush
//! leaves over, until it is signed anew) buys the node's own service alone.
use super::links::Links;
use super::rows::{EscrowRow, Role};
use crate::gateway::core::message::{Carried, Id, RefusalCode};
use crate::gateway::port::Out;
use crate::units::Stroops;

impl EscrowRow {
    /// Payee: what landed, what is about to, and what is held in the open epoch. `promise`: so much may a flush leave
    /// over.
    fn backed(&self, promise: Stroops) -> Stroops {
        let lands = self.frozen.as_ref().map_or(Stroops::ZERO, |f| match f.lands() {
            Some(lands) if f.is_late_lock() => lands,
            Some(lands) => lands.min(f.held.cumulative),
            None if f.held.cumulative.saturating_sub(f.amount) > promise => f.held.cumulative,
            None => f.amount.min(f.held.cumulative),
        });
        let revealed = self.lock.as_ref().filter(|l| l.secret.is_some() && l.epoch == self.epoch);
        let held = revealed.map_or(self.held.cumulative, |lock| self.held.cumulative.max(lock.cumulative));
        [lands, held].into_iter().fold(self.settled(), |sum, part| sum.add(part).unwrap_or(sum))
    }
}

impl Links {
    /// Payee: may `amount` of the payment `hop_id` that this claim was accepted for be signed onwards? `flush_pending`:
    /// soon, once the payer has signed anew what the flush left over.
    pub fn covers(&self, hop_id: &Id, claim: &Carried, amount: Stroops) -> Result<(), RefusalCode> {
        let lane = self.lane_of_payment(hop_id, claim).ok_or(RefusalCode::NO_CAPACITY)?;
        let forwarded = lane.forwarded.add(amount).map_err(|_| RefusalCode::NO_CAPACITY)?;
        let covered = forwarded <= lane.backed(self.promise());
        if covered { Ok(()) } else { Err(RefusalCode::FLUSH_PENDING) }
    }

    /// Payee: so much of it was signed onwards.
    pub fn forwarded(&mut self, hop_id: &Id, claim: &Carried, amount: Stroops, out: &mut Out) {
        let Some(mut lane) = self.lane_of_payment(hop_id, claim).cloned() else { return };
        lane.forwarded = lane.forwarded.add(amount).unwrap_or(Stroops::MAX);
        self.save(lane, out);
    }

    /// Payee: so much was signed onwards for the payment `hop_id`, once its lock opened.
    pub(super) fn forwarded_for(&mut self, hop_id: &Id, amount: Stroops, out: &mut Out) {
        let Some(mut lane) = self.payee_lane_of(hop_id).cloned() else { return };
        lane.forwarded = lane.forwarded.add(amount).unwrap_or(Stroops::MAX);
        self.save(lane, out);
    }

    /// What is lost in the end when a payer never signs anew what a flush left over.
    pub(super) fn promise(&self) -> Stroops {
        self.limits.late_limit.add(self.limits.denomination).unwrap_or(Stroops::MAX)
    }

    fn lane_of_payment(&self, hop_id: &Id, claim: &Carried) -> Option<&EscrowRow> {
        let link = self.link_by_tag(&claim.link_tag, Role::Payee)?.row.id;
        self.lanes_of(&link).find(|lane| lane.recent(hop_id).is_some())
    }
}
