//! The payee's side of an opening: signs the refund, and trusts an escrow only after reading it from the ledger.
use super::identity;
use super::limits::MAX_LOOKS;
use super::links::Links;
use super::rows::{EscrowRow, EscrowState};
use crate::gateway::core::message::{EscrowOffer, EscrowRef, Id, Message, RefundSigned, RefusalCode};
use crate::gateway::port::{AccountView, Out, Row};
use crate::stellar::template;

impl Links {
    pub(super) fn on_escrow_offer(
        &mut self,
        now_ms: u64,
        id: &Id,
        offer: &EscrowOffer,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let Some(link) = self.links.get(id) else { return Err(RefusalCode::LINK_UNKNOWN) };
        if offer.link != *id {
            return Err(RefusalCode::LINK_UNKNOWN);
        }
        // One period for a link and all its escrows: our signer depends on it, so that there is never a second refund
        // for an escrow that is valid earlier than the one we go by.
        if !self.limits.accept(offer.deposit, offer.period) || offer.period != link.row.period {
            return Err(RefusalCode::DEPOSIT_REFUSED);
        }
        let clock = if link.row.by_period { 0 } else { self.limits.period_secs };
        let index = self.lanes_of(id).map(|l| l.index).max().map_or(0, |last| last.saturating_add(1));
        let lane = EscrowRow {
            created: offer.created,
            deposit: offer.deposit,
            period: offer.period,
            clock,
            ..EscrowRow::new(offer.escrow, &link.row, index, EscrowState::Offered)
        };
        let terms = self.me.terms(&link.row, &lane, &link.signer);
        // Signs what we rebuilt from the terms; terms that cannot be fail here.
        let signature = template::sign_refund(&terms, &link.signer).map_err(|_| RefusalCode::ESCROW_INVALID)?;
        let answer = RefundSigned { escrow: offer.escrow, signature };
        match self.lanes.get(&offer.escrow).map(|l| &l.row) {
            Some(known) if known.link != *id => return Err(RefusalCode::DUPLICATE_CONFLICT),
            Some(known) if known.refund == Some(signature) => {
                self.say(id, Message::RefundSigned(answer), out); // the same offer again, the same answer
                return Ok(());
            }
            Some(known) if known.state != EscrowState::Offered => return Err(RefusalCode::DUPLICATE_CONFLICT),
            _ => {}
        }
        // One offer at a time: a newer one takes the place of one that was never funded.
        let stale: Vec<EscrowRow> = self
            .lanes_of(id)
            .filter(|l| l.state == EscrowState::Offered)
            .map(|l| EscrowRow { state: EscrowState::Dropped, ..l.clone() })
            .collect();
        if self.is_full(id) {
            return Err(RefusalCode::NO_CAPACITY);
        }
        for row in stale {
            self.save(row, out);
        }
        if let Some(link) = self.links.get_mut(id).filter(|l| l.tentative) {
            link.tentative = false;
            link.row.since_ms = now_ms;
            out.rows.push(Row::Link(Box::new(link.row.clone())));
        }
        self.save(EscrowRow { refund: Some(signature), ..lane }, out);
        self.say(id, Message::RefundSigned(answer), out);
        Ok(())
    }

    pub(super) fn on_escrow_ready(
        &mut self,
        now_ms: u64,
        link: &Id,
        ready: &EscrowRef,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let lane = self.lane_on(link, &ready.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        match lane.state {
            EscrowState::Offered => {
                if let Some(lane) = self.lane_mut(&ready.escrow) {
                    lane.look = true;
                }
                self.poke(now_ms, ready.escrow, out);
            }
            _ => {
                self.say(link, Message::EscrowOpen(ready.clone()), out);
            }
        }
        Ok(())
    }

    /// The offered escrow as the ledger shows it (`None`: there is no such account).
    pub(super) fn on_offered_view(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        view: Option<&AccountView>,
        out: &mut Out,
    ) {
        let escrow = EscrowRef { escrow: lane.escrow };
        let Some(terms) = self.terms(&lane) else { return };
        let (link, good) = (lane.link, view.filter(|view| identity::check(&terms, view).is_ok()));
        if let Some(view) = good {
            lane.state = EscrowState::Open;
            lane.seq_time = view.sequence_time;
            self.note(now_ms, "escrow_opened", &lane, lane.deposit, 0, out);
            self.save(lane, out);
            if let Some(entry) = self.lane_mut(&escrow.escrow) {
                entry.look = false;
            }
            self.retire_others(now_ms, &link, &escrow.escrow, out);
            self.say(&link, Message::EscrowOpen(escrow), out);
            return;
        }
        let pause = self.limits.backoff_ms(self.lanes.get(&escrow.escrow).map_or(0, |l| l.tries));
        let Some(entry) = self.lane_mut(&escrow.escrow) else { return };
        entry.tries += 1;
        entry.due_ms = now_ms.saturating_add(pause);
        if entry.tries >= MAX_LOOKS {
            // A ledger may lag, but not for so long: the account is not what was agreed.
            lane.state = EscrowState::Dropped;
            self.save(lane, out);
            self.refuse(&link, RefusalCode::ESCROW_INVALID, out);
        }
    }
}
