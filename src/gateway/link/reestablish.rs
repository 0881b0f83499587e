//! After a restart or a new circuit: both say where they believe the link stands; the higher valid signature wins.
use super::claim;
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Held, Role};
use crate::gateway::core::message::{Claim, Id, Message, Reestablish, RefusalCode};
use crate::gateway::port::Out;
use rand::Rng;

impl Links {
    /// Says where we believe the link stands.
    pub(super) fn reestablish(&self, link: &Id, out: &mut Out) {
        let newest = self.lanes_of(link).filter(|l| l.state.is_usable()).last();
        let claim = newest.and_then(|lane| {
            let open = lane.held.signature.map(|s| (lane.epoch, lane.held.cumulative, s));
            let frozen = lane.frozen.as_ref().and_then(|f| f.held.signature.map(|s| (f.epoch, f.held.cumulative, s)));
            let (epoch, cumulative, signature) = open.or(frozen)?;
            Some(Claim { escrow: lane.escrow, epoch, cumulative, signature })
        });
        self.say(link, Message::Reestablish(Reestablish { link: *link, claim }), out);
    }

    /// The partner is there again: says where we stand, and picks every step up that waits for it.
    pub(super) fn resume(&mut self, now_ms: u64, link: &Id, out: &mut Out) {
        if self.lanes_of(link).any(|lane| lane.state.is_usable()) {
            self.reestablish(link, out);
        }
        let lanes: Vec<_> = self.lanes_of(link).map(|lane| lane.escrow).collect();
        for escrow in lanes {
            if let Some(lane) = self.lanes.get_mut(&escrow) {
                lane.due_ms = 0;
                lane.look |= lane.row.state.is_usable() && lane.row.role == Role::Payer;
            }
            self.poke(now_ms, escrow, out);
        }
    }

    pub(super) fn on_reestablish(
        &mut self,
        now_ms: u64,
        _rng: &mut impl Rng,
        link: &Id,
        theirs: &Reestablish,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if theirs.link != *link {
            return Err(RefusalCode::LINK_UNKNOWN);
        }
        let Some(claim) = &theirs.claim else { return Ok(()) };
        let lane = self.lane_on(link, &claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        match lane.role {
            Role::Payee => self.keep(now_ms, lane, claim, false, out),
            Role::Payer => self.adopt(now_ms, lane, claim, out),
        }
    }

    /// Payee: a claim that the payer sends itself; `settled` when it says that the carry is in.
    pub(super) fn keep(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        claim: &Claim,
        settled: bool,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        self.check_claim(now_ms, &lane, claim)?;
        let before = lane.clone();
        claim::take(&mut lane, claim, self.limits.late_limit);
        lane.note_gap();
        if settled && lane.flushed.is_some_and(|f| claim.epoch > f.epoch) {
            lane.carry = None;
        }
        if lane != before {
            self.save(lane, out);
        }
        Ok(())
    }

    /// Payer: the payee holds a signature of ours that we do not remember, because our store is older than it was.
    /// What we signed, we owe.
    fn adopt(&mut self, now_ms: u64, mut lane: EscrowRow, claim: &Claim, out: &mut Out) -> Result<(), RefusalCode> {
        let known = match &lane.frozen {
            Some(frozen) if frozen.epoch == claim.epoch => frozen.held.cumulative,
            _ if claim.epoch == lane.epoch => lane.held.cumulative,
            _ if claim.epoch < lane.epoch => return Ok(()),
            _ => crate::units::Stroops::ZERO,
        };
        if claim.cumulative <= known || lane.state != EscrowState::Open && lane.state != EscrowState::Retired {
            return Ok(());
        }
        if !self.is_signed(&lane, claim) {
            return Err(RefusalCode::CLAIM_INVALID);
        }
        let more = claim.cumulative.saturating_sub(known);
        lane.total = lane.total.add(more).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        let held = Held { cumulative: claim.cumulative, signature: Some(claim.signature) };
        match &mut lane.frozen {
            Some(frozen) if frozen.epoch == claim.epoch => frozen.held = held,
            _ => (lane.epoch, lane.held) = (claim.epoch, held),
        }
        self.note(now_ms, "claim_adopted", &lane, more, 0, out);
        let escrow = lane.escrow;
        self.save(lane, out);
        if let Some(lane) = self.lanes.get_mut(&escrow) {
            lane.look = true;
        }
        Ok(())
    }
}
