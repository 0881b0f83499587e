//! When a ledger says no to a transaction: a higher fee, a look-up, or the proof that it can never land.
use super::limits::MAX_LOOKS;
use super::links::Links;
use super::refund::Fate;
use super::rows::{EscrowRow, EscrowState, Flush, Role, Tx};
use crate::gateway::port::{AccountView, Out};

/// Thresholds of E once F applied; nothing else sets them.
const LOCKED: [u8; 3] = [2; 3];

impl Links {
    /// The ledger refused the lane's transaction: it is in no ledger unless it is submitted again, which only we do.
    pub(super) fn on_rejected(&mut self, now_ms: u64, row: EscrowRow, code: &str, out: &mut Out) {
        let escrow = row.escrow;
        if row.net_tx().is_some() {
            return self.ask_escrow(now_ms, escrow, out); // E tells; at the same fee it is tried again until its end
        }
        if code.contains("insufficient_fee") {
            return self.raise_fee(now_ms, row, out);
        }
        let locked = row.frozen.as_ref().and_then(|f| f.flush.as_ref()).is_some_and(|flush| flush.max_time != 0);
        if code.contains("too_late") && locked {
            return self.ask_sequence(now_ms, escrow, out);
        }
        if code.contains("bad_seq") {
            // Either it landed before, or another transaction used its number.
            return self.ask_sequence(now_ms, escrow, out);
        }
        let late_flush = row.role == Role::Payee && row.seq_time != 0 && now_ms >= row.clock_ms(16);
        if late_flush {
            return self.ask_sequence(now_ms, escrow, out);
        }
        if row.state.is_returning() {
            return self.ask_refused(now_ms, escrow, out);
        }
        if code.contains("failed") && matches!(row.state, EscrowState::Creating { .. }) {
            return self.ask_refused(now_ms, escrow, out);
        }
        if code.contains("insufficient_balance") && row.state.is_opening() {
            self.own_mut(row.own).no_funds = true;
        }
        self.pause(now_ms, &escrow);
    }

    /// The same transaction at ten times the fee (what stellar-core wants for a replacement), up to the ceiling.
    fn raise_fee(&mut self, now_ms: u64, mut row: EscrowRow, out: &mut Out) {
        let escrow = row.escrow;
        let Some(old) = row.pending_tx().cloned() else { return };
        let fee = old.fee.saturating_mul(10).min(self.limits.fee_ceiling);
        let raised = if fee > old.fee { self.with_fee(&row, &old, fee) } else { None };
        let Some(tx) = raised else { return self.pause(now_ms, &escrow) };
        let flush = row.frozen.as_mut().and_then(|f| f.flush.as_mut()).map(|f| &mut f.tx);
        let Some(slot) = row.state.tx_mut().or(flush) else { return };
        *slot = tx;
        self.save(row, out);
        self.submit(now_ms, escrow, out);
    }

    fn with_fee(&self, row: &EscrowRow, old: &Tx, fee: u64) -> Option<Tx> {
        match &row.state {
            EscrowState::Creating { .. } => self.me.open(row, old.sequence.checked_sub(1)?, fee).ok(),
            EscrowState::Funding { .. } => self.me.fund(&self.terms(row)?, row, &row.refund?, fee).ok(),
            EscrowState::Refunding { .. } => self.refund_at(row, fee),
            EscrowState::Reclaiming { rest, .. } => self.reclaim_at(row, *rest, old.sequence.checked_sub(1)?, fee),
            _ => {
                let frozen = row.frozen.as_ref()?;
                let signer = &self.links.get(&row.link)?.signer;
                let flush = frozen.flush.as_ref()?;
                self.me.flush(&self.terms(row)?, signer, frozen.epoch, &flush.claim, flush.max_time, fee).ok()
            }
        }
    }

    /// The source account of a transaction that was refused for its sequence number.
    pub(super) fn on_sequence(&mut self, now_ms: u64, row: EscrowRow, view: &AccountView, out: &mut Out) {
        let escrow = row.escrow;
        let Some(tx) = row.pending_tx() else { return };
        if view.sequence < tx.sequence {
            let over = |flush: &Flush| flush.max_time != 0 && now_ms / 1000 > flush.max_time;
            if row.frozen.as_ref().and_then(|f| f.flush.as_ref()).is_some_and(over) {
                return self.on_too_late(now_ms, row, out);
            }
            return self.pause(now_ms, &escrow); // not used: looked up and submitted again
        }
        let left = self.left(&row, view);
        if let (false, Some(lane)) = (row.state.uses_own_number(), self.lanes.get_mut(&escrow)) {
            lane.seen = Some((left, view.sequence));
        }
        self.look_up(now_ms, escrow, true, out);
    }

    /// The lane's number is used and no look-up finds the transaction. That alone proves nothing: a server that
    /// trails answers so too, and a copy at another fee has another name. E itself decides (`view`; none: not found).
    pub(super) fn on_displaced(&mut self, now_ms: u64, mut row: EscrowRow, view: Option<&AccountView>, out: &mut Out) {
        match (&row.state, view) {
            (EscrowState::Creating { .. }, None) => {
                // O1 is made anew with the next number and for the same E: should the first one be in a ledger that
                // this server has not seen, the second one fails and E is read again.
                let own = row.own;
                row.state = EscrowState::Planned;
                self.save(row, out);
                self.wait_for_funds(now_ms, own, false);
            }
            (state, view) if state.is_returning() => {
                self.on_return_fate(now_ms, row, view, Fate { over: true, fee: None }, out)
            }
            _ => self.on_fate(now_ms, row, view, 0, out),
        }
    }

    /// O1 or F is in a ledger and did not apply, perhaps because another copy of it did.
    pub(super) fn on_failed(
        &mut self,
        now_ms: u64,
        row: EscrowRow,
        view: Option<&AccountView>,
        fee: u64,
        out: &mut Out,
    ) {
        let looks = self.lanes.get(&row.escrow).map_or(0, |l| l.tries);
        match (&row.state, view) {
            // No E, and no copy of O1 can make one: the next counter is tried, once a trailing server had its time.
            (EscrowState::Creating { .. }, None) if looks >= MAX_LOOKS => self.give_up(now_ms, row, fee, out),
            (state, view) if state.is_returning() => {
                self.on_return_fate(now_ms, row, view, Fate { over: true, fee: Some(fee) }, out)
            }
            _ => self.on_fate(now_ms, row, view, fee, out),
        }
    }

    /// What E shows of O1 or F. It is given up only on proof that our money is not in it and cannot come into it;
    /// else the look is repeated, however long it takes.
    fn on_fate(&mut self, now_ms: u64, row: EscrowRow, view: Option<&AccountView>, fee: u64, out: &mut Out) {
        let (escrow, Some(view)) = (row.escrow, view) else { return self.pause(now_ms, &row.escrow) };
        match &row.state {
            EscrowState::Creating { .. } => match u32::try_from(view.sequence >> 32) {
                Ok(created) if view.sequence & 0xffff_ffff == 0 && self.me.can_hold(view) => {
                    self.on_created(now_ms, row, created, 0, out);
                }
                // An account that did things which this store knows nothing of (an old wallet without its store).
                _ => return self.give_up(now_ms, row, fee, out),
            },
            EscrowState::Funding { tx } => match (view.sequence >= tx.sequence, view.thresholds == LOCKED) {
                (true, true) => self.on_funded(now_ms, row, 0, out),
                // Our store is older than it was: R came after F.
                (true, false) if self.is_ours(&row, view) => {
                    self.on_seen_refunded(now_ms, row, view, out);
                }
                // F applies as a whole or not at all.
                (true, false) => return self.give_up(now_ms, row, fee, out),
                (false, _) => return self.pause(now_ms, &escrow),
            },
            _ => return,
        }
        self.poke(now_ms, escrow, out);
    }
}
