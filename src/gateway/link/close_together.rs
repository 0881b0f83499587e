//! Both partners close an escrow: the payee flushes, then signs what gives E to the payer at once. Nobody trusts anybody:
//! the payee signs when nothing of its own is in E any more, the payer submits when it likes, and a payer that hears
//! nothing waits for the refund. Also here: the payer's wish for a flush.
use super::dial::Dial;
use super::limits::after_ms;
use super::links::Links;
use super::rows::{Close, EscrowRow, EscrowState, Partner, Role};
use crate::gateway::core::message::{AccountKey, CloseAsk, CloseSigned, EscrowRef, Id, Message, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::{BASE_FEE, MAX_EPOCH};
use rand::Rng;

/// Fee of the close (2 operations and the bump) at the ledger's least.
const CLOSE_FEE: u64 = 3 * BASE_FEE as u64;

impl Links {
    /// Payer: asks every payee to flush soon; each decides for itself when and how often it does.
    pub(super) fn ask_flushes(&self, out: &mut Out) {
        let ours = self.lanes.values().map(|l| &l.row).filter(|row| row.role == Role::Payer && row.state.is_usable());
        for row in ours.filter(|row| row.frozen.is_none() && row.total > row.settled()) {
            self.say(&row.link, Message::FlushAsk(EscrowRef { escrow: row.escrow }), out);
        }
    }

    /// Payee: the payer wants a flush. Heard once in an interval, after our own jitter: each costs us a fee.
    pub(super) fn on_flush_ask(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        link: &Id,
        ask: &EscrowRef,
    ) -> Result<(), RefusalCode> {
        let (interval, jitter) = (self.limits.flush_interval_secs, self.limits.flush_jitter_secs);
        let known = |l: &&mut super::links::Lane| l.row.link == *link && l.row.state.is_usable();
        let entry = self.lanes.get_mut(&ask.escrow).filter(known).ok_or(RefusalCode::ESCROW_PENDING)?;
        if now_ms >= entry.asks_ms && entry.flush_ms != 0 {
            let jitter = rng.next_u64() % jitter.saturating_mul(1000).saturating_add(1);
            entry.asks_ms = after_ms(now_ms, interval);
            entry.flush_ms = entry.flush_ms.min(now_ms.saturating_add(jitter));
        }
        Ok(())
    }

    /// Payer: makes sure that the partner of a link that is to be closed can be asked.
    pub(super) fn call_to_close(&mut self, now_ms: u64, id: &Id, out: &mut Out) {
        let Some(row) = self.links.get(id).map(|l| &l.row) else { return };
        if let (true, Partner::Relay(relay)) = (row.dials, row.partner)
            && self.lanes_of(id).any(|lane| self.wants_close(lane))
        {
            self.dials.entry((relay, Role::Payer)).or_insert_with(|| Dial::new(Some(*id), true));
            self.wish(now_ms, relay, Role::Payer, out);
        }
    }

    /// Payer: nothing new is signed on this lane, and its deposit could come back at once.
    pub(super) fn wants_close(&self, lane: &EscrowRow) -> bool {
        let over = self.is_closing(&lane.link) || lane.total == lane.settled();
        let ahead = self.lanes.get(&lane.escrow).is_some_and(|l| l.ahead.is_some());
        lane.role == Role::Payer
            && lane.state == EscrowState::Retired
            && lane.frozen.is_none()
            && lane.lock.is_none()
            && over
            && !ahead
    }

    /// Payer: asks the partner to close, with all that was signed, so that what a carrier lost is not lost with it.
    pub(super) fn ask_close(&self, lane: &EscrowRow, out: &mut Out) {
        self.say_claim(lane, out);
        self.say(&lane.link, Message::CloseAsk(CloseAsk { escrow: lane.escrow, signed: lane.total }), out);
    }

    pub(super) fn on_close_ask(
        &mut self,
        now_ms: u64,
        link: &Id,
        ask: &CloseAsk,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &ask.escrow).ok_or(RefusalCode::ESCROW_PENDING)?;
        match lane.state {
            EscrowState::Closed { epoch } => {
                self.say_closed(&lane, epoch, out); // asked again: the same answer
                return Ok(());
            }
            EscrowState::Open => {
                lane.state = EscrowState::Retired;
                self.save(lane, out);
            }
            EscrowState::Retired | EscrowState::Offered => {}
            _ => return Err(RefusalCode::ESCROW_PENDING),
        }
        if let Some(entry) = self.lanes.get_mut(&ask.escrow) {
            entry.close_asked = Some(ask.signed);
        }
        self.close_if_asked(now_ms, &ask.escrow, out);
        Ok(())
    }

    /// Payee: flushes what it holds on a lane that the payer wants closed, and signs the close once that has landed. What
    /// the payer signed and still owes keeps it open.
    pub(super) fn close_if_asked(&mut self, now_ms: u64, escrow: &AccountKey, out: &mut Out) {
        let Some(entry) = self.lanes.get_mut(escrow) else { return };
        let (Some(signed), mut lane) = (entry.close_asked, entry.row.clone()) else { return };
        if lane.frozen.is_none() && !lane.held.cumulative.is_zero() {
            // At once, but not again and again: what fails or comes after goes by the schedule.
            if now_ms >= entry.asks_ms && entry.failures == 0 {
                entry.asks_ms = after_ms(now_ms, self.limits.flush_interval_secs);
                self.begin_flush(now_ms, escrow, false, out);
            }
            return;
        }
        let settled = lane.is_at_rest() && lane.settled() >= lane.total.max(signed);
        if !settled || lane.epoch > MAX_EPOCH {
            return;
        }
        let epoch = lane.epoch;
        lane.state = EscrowState::Closed { epoch };
        self.save(lane.clone(), out);
        self.say_closed(&lane, epoch, out);
    }

    fn say_closed(&self, lane: &EscrowRow, epoch: u32, out: &mut Out) {
        let signer = self.links.get(&lane.link).map(|l| &l.signer);
        let Some((terms, signer)) = self.terms(lane).zip(signer) else { return };
        if let Ok(signature) = self.me.sign_close(&terms, signer, epoch) {
            let signed = CloseSigned { escrow: lane.escrow, epoch, signature };
            self.say(&lane.link, Message::CloseSigned(signed), out);
        }
    }

    pub(super) fn on_close_signed(
        &mut self,
        now_ms: u64,
        link: &Id,
        signed: &CloseSigned,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &signed.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let close = Close { epoch: signed.epoch, signature: signed.signature };
        if lane.close == Some(close) {
            return Ok(());
        }
        if !self.wants_close(&lane) {
            return Err(RefusalCode::UNEXPECTED);
        }
        let (signer, terms) = (self.links.get(link).map(|l| &l.signer), self.terms(&lane));
        let Some((signer, terms)) = signer.zip(terms) else { return Err(RefusalCode::INTERNAL) };
        let tx = self.me.close(&terms, signer, &close, CLOSE_FEE).map_err(|_| RefusalCode::CLAIM_INVALID)?;
        if close.epoch != lane.epoch {
            // A landing that we have not seen: we ask again once E was read.
            if let Some(entry) = self.lanes.get_mut(&signed.escrow) {
                entry.look = true;
            }
            return Ok(());
        }
        lane.close = Some(close);
        lane.state = EscrowState::Refunding { tx };
        self.save(lane, out);
        self.submit(now_ms, signed.escrow, out);
        Ok(())
    }

    /// Payee: E of a lane whose close we signed. It is over once the payer has it, or has let its time pass.
    pub(super) fn on_closed_view(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        view: Option<&AccountView>,
        out: &mut Out,
    ) {
        let Some(view) = view else { return self.on_missing(now_ms, lane, out) };
        lane.seq_time = lane.seq_time.max(view.sequence_time);
        match self.is_ours(&lane, view) || now_ms >= lane.clock_ms(16) {
            true => self.end_lane(now_ms, lane, out),
            false => self.pause(now_ms, &lane.escrow),
        }
    }
}
