//! When a ledger says no to a transaction: a higher fee, a look-up, or the proof that it can never land.
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Tx};
use crate::gateway::port::{AccountView, Out};
use rand::Rng;

impl Links {
    /// The ledger refused the lane's transaction: it is in no ledger unless it is submitted again, which only we do.
    pub(super) fn on_rejected(&mut self, now_ms: u64, row: EscrowRow, code: &str, out: &mut Out) {
        let escrow = row.escrow;
        if code.contains("insufficient_fee") {
            return self.raise_fee(now_ms, row, out);
        }
        if code.contains("bad_seq") {
            // Either it landed before, or another transaction used its number.
            return self.ask_sequence(now_ms, escrow, out);
        }
        if code.contains("insufficient_balance") && row.state.is_opening() {
            self.opening.no_funds = true;
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
        match &mut row.state {
            EscrowState::Creating { tx: slot } | EscrowState::Funding { tx: slot } => *slot = tx,
            _ => match row.frozen.as_mut().and_then(|f| f.flush.as_mut()) {
                Some(flush) => flush.tx = tx,
                None => return,
            },
        }
        self.save(row, out);
        self.submit(now_ms, escrow, out);
    }

    fn with_fee(&self, row: &EscrowRow, old: &Tx, fee: u64) -> Option<Tx> {
        match &row.state {
            EscrowState::Creating { .. } => self.me.open(row.index, old.sequence.checked_sub(1)?, fee).ok(),
            EscrowState::Funding { .. } => self.me.fund(&self.terms(row)?, row.index, &row.refund?, fee).ok(),
            _ => {
                let frozen = row.frozen.as_ref()?;
                let signer = &self.links.get(&row.link)?.signer;
                let claim = frozen.flush.as_ref()?.claim;
                self.me.flush(&self.terms(row)?, signer, frozen.epoch, &claim, fee).ok()
            }
        }
    }

    /// The source account of a transaction that was refused for its sequence number.
    pub(super) fn on_sequence(&mut self, now_ms: u64, row: EscrowRow, view: &AccountView, out: &mut Out) {
        let escrow = row.escrow;
        let Some(tx) = row.pending_tx() else { return };
        if view.sequence < tx.sequence {
            return self.pause(now_ms, &escrow); // not used: looked up and submitted again
        }
        let left = self.left(&row, view);
        if let (false, Some(lane)) = (matches!(row.state, EscrowState::Creating { .. }), self.lanes.get_mut(&escrow)) {
            lane.seen = Some((left, view.sequence));
        }
        self.look_up(now_ms, escrow, true, out);
    }

    /// Another transaction used the number: this one can never land.
    pub(super) fn on_displaced(&mut self, now_ms: u64, mut row: EscrowRow, _rng: &mut impl Rng, out: &mut Out) {
        match row.state {
            EscrowState::Creating { .. } => {
                row.state = EscrowState::Planned; // the key is unused; O1 is made anew with the next number
                self.save(row, out);
                self.wait_for_funds(now_ms, false);
            }
            EscrowState::Funding { .. } => {
                let link = row.link;
                row.state = EscrowState::Dropped;
                self.note(now_ms, "escrow_failed", &row, crate::units::Stroops::ZERO, 0, out);
                self.save(row, out);
                self.hold_off(now_ms, &link);
            }
            _ => self.on_flush_displaced(now_ms, row, out),
        }
    }
}
