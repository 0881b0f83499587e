//! The payer gets its deposit back alone. Once E was silent for the period, R makes E ours alone; then E is emptied and
//! merged into our account. R and the claims race by E's sequence number, so that one of them lands; a claim that lands
//! first restarts the clock. What E shows decides, never what we hoped for.
use super::limits::MAX_LOOKS;
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Held, Role};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::BASE_FEE;
use crate::units::Stroops;

/// Fee of R (2 operations and the bump) at the ledger's least.
const REFUND_FEE: u64 = 3 * BASE_FEE as u64;
/// The same for the transaction that empties and merges E (3 operations).
const RECLAIM_FEE: u64 = 3 * BASE_FEE as u64;
/// Thresholds of E once R applied; nothing else sets them.
const UNLOCKED: [u8; 3] = [1; 3];

/// What is known of a transaction that did not simply apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// Its sequence number is used, or it is in a ledger: this very transaction never applies any more.
    pub over: bool,
    /// It is in a ledger and cost this.
    pub fee: Option<u64>,
}

impl EscrowRow {
    /// Payer: what of the operator's liquidity this lane ties up: the deposit, and once nothing new is signed on it what
    /// of the deposit did not reach the payee and did not come back.
    pub(super) fn tied_up(&self) -> Stroops {
        use EscrowState::{Dropped, Retired, Spare, Spent};
        match &self.state {
            Spare | Dropped => Stroops::ZERO,
            state if *state == Retired || *state == Spent || state.is_returning() => {
                self.deposit.saturating_sub(self.landed).saturating_sub(self.returned.unwrap_or(Stroops::ZERO))
            }
            _ => self.deposit,
        }
    }
    /// Payer: only the deposit's way back is left of it.
    pub(super) fn is_ending(&self) -> bool {
        let settled = self.frozen.is_none() && self.total == self.settled();
        self.role == Role::Payer && (self.state.is_returning() || self.state == EscrowState::Retired && settled)
    }
}

impl Links {
    /// Payer: as far as we know E was silent for the whole period. E is read once more before R is signed.
    pub(super) fn is_refundable(&self, now_ms: u64, lane: &EscrowRow) -> bool {
        lane.role == Role::Payer
            && lane.state.is_usable()
            && lane.seq_time != 0
            && now_ms >= lane.clock_ms(16)
            && lane.lock.is_none()
    }

    /// Payer: E's clock is not known yet, because the lane was retired before E was read.
    pub(super) fn is_unread(&self, lane: &EscrowRow) -> bool {
        lane.role == Role::Payer && lane.state == EscrowState::Retired && lane.seq_time == 0
    }

    /// Signs R for a lane whose period is over, and submits it.
    pub(super) fn begin_refund(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let escrow = lane.escrow;
        let more = if lane.refund_fee == 0 { 0 } else { lane.refund_fee.saturating_add(BASE_FEE.into()) };
        // Beyond the ceiling it begins anew at the least: another name is all that it takes.
        let fee = if more > self.limits.fee_ceiling { REFUND_FEE } else { more.max(REFUND_FEE) };
        match self.refund_at(&lane, fee) {
            Some(tx) => {
                lane.state = EscrowState::Refunding { tx };
                self.save(lane, out);
                self.submit(now_ms, escrow, out);
            }
            None => self.pause(now_ms, &escrow),
        }
    }

    /// E shows that R or the close used its number: R has the last of all numbers, and nothing but them unlocks E.
    pub(super) fn is_ours(&self, lane: &EscrowRow, view: &AccountView) -> bool {
        view.thresholds == UNLOCKED || self.is_refunded(lane, view.sequence)
    }

    /// R or the close at this fee; none when it cannot be built.
    pub(super) fn refund_at(&self, lane: &EscrowRow, fee: u64) -> Option<super::Tx> {
        let (signer, terms) = (&self.links.get(&lane.link)?.signer, self.terms(lane)?);
        match &lane.close {
            Some(close) => self.me.close(&terms, signer, close, fee).ok(),
            None => self.me.refund(&terms, signer, &lane.refund?, fee).ok(),
        }
    }

    /// R is in a ledger, or E shows what it does.
    pub(super) fn on_refunded(&mut self, now_ms: u64, mut lane: EscrowRow, fee: u64, out: &mut Out) {
        lane.state = EscrowState::Refunded;
        self.note(now_ms, "escrow_refunded", &lane, Stroops::ZERO, fee, out);
        let escrow = lane.escrow;
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.rest, entry.gone, entry.failures) = (None, 0, 0);
        }
    }

    /// E shows that R used its number; true when it also shows that R applied.
    pub(super) fn on_seen_refunded(&mut self, now_ms: u64, lane: EscrowRow, view: &AccountView, out: &mut Out) -> bool {
        let applied = view.thresholds == UNLOCKED;
        match applied {
            true => self.on_refunded(now_ms, lane, 0, out),
            false => self.pause(now_ms, &lane.escrow),
        }
        applied
    }

    /// E after R: what landed in the end is known, and what is to be taken out.
    pub(super) fn on_refunded_view(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        view: Option<&AccountView>,
        out: &mut Out,
    ) {
        let escrow = lane.escrow;
        let Some(view) = view else { return self.on_missing(now_ms, lane, out) };
        if view.thresholds != UNLOCKED {
            return self.pause(now_ms, &escrow); // a server that trails
        }
        let before = lane.clone();
        lane.landed = self.left(&lane, view).min(lane.drawn()).max(lane.landed);
        let seen = lane.landed.saturating_sub(before.landed);
        // No claim of it can land any more: what was signed beyond that stays in the books, and with us.
        lane.frozen = None;
        lane.held = Held { cumulative: lane.total.saturating_sub(lane.settled()), signature: None };
        if !seen.is_zero() {
            self.note(now_ms, "landing_seen", &lane, seen, 0, out);
        }
        if lane != before {
            self.save(lane, out);
        }
        let rest = Stroops::new(self.me.balance(view)).unwrap_or(Stroops::MAX);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.rest, entry.gone, entry.look) = (Some(rest), 0, false);
        }
    }

    /// The lane that is next to be emptied, and what is in it. It takes our account's next sequence number, so it
    /// waits in the same queue as the openings, before them: it brings funds.
    pub(super) fn next_reclaim(&self, now_ms: u64, own: u8) -> Option<(EscrowRow, Stroops)> {
        let ours = self.paying_lanes().filter(|l| l.row.own == own);
        let ready = ours.filter(|l| l.row.state == EscrowState::Refunded && now_ms >= l.due_ms);
        let next = ready.filter(|l| l.rest.is_some()).min_by_key(|l| l.row.index)?;
        Some((next.row.clone(), next.rest?))
    }

    /// Signs the transaction that empties and merges E, our account's sequence number being `sequence`.
    pub(super) fn begin_reclaim(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        rest: Stroops,
        sequence: i64,
        out: &mut Out,
    ) {
        let escrow = lane.escrow;
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            entry.rest = None;
        }
        match self.reclaim_at(&lane, rest, sequence, RECLAIM_FEE) {
            Some(tx) => {
                lane.state = EscrowState::Reclaiming { tx, rest };
                self.save(lane, out);
                self.submit(now_ms, escrow, out);
            }
            None => self.pause(now_ms, &escrow),
        }
    }

    /// That transaction at this fee; none when it cannot be built.
    pub(super) fn reclaim_at(&self, lane: &EscrowRow, rest: Stroops, sequence: i64, fee: u64) -> Option<super::Tx> {
        let signer = &self.links.get(&lane.link)?.signer;
        self.me.reclaim(&self.terms(lane)?, signer, rest, sequence, fee).ok()
    }

    /// E is gone: the deposit is back, with all reserves.
    pub(super) fn on_reclaimed(&mut self, now_ms: u64, mut lane: EscrowRow, fee: u64, out: &mut Out) {
        let back = match lane.state {
            EscrowState::Reclaiming { rest, .. } => rest,
            // Some other copy of this store did it; there was nowhere else for it to go.
            _ => lane.deposit.saturating_sub(lane.landed),
        };
        lane.returned = Some(back);
        lane.state = EscrowState::Spent;
        self.note(now_ms, "escrow_reclaimed", &lane, back, fee, out);
        self.save(lane, out);
    }

    /// What E shows of R, or of the transaction that empties it, when that did not simply apply.
    pub(super) fn on_return_fate(
        &mut self,
        now_ms: u64,
        mut row: EscrowRow,
        view: Option<&AccountView>,
        fate: Fate,
        out: &mut Out,
    ) {
        let Some(view) = view else { return self.on_missing(now_ms, row, out) };
        let escrow = row.escrow;
        let Some(entry) = self.lanes.get_mut(&escrow) else { return };
        entry.gone = 0;
        let looked_enough = fate.fee.is_some() && entry.tries >= MAX_LOOKS;
        let failed = match &row.state {
            EscrowState::Refunding { .. } if self.is_ours(&row, view) => {
                self.on_seen_refunded(now_ms, row, view, out);
                return;
            }
            EscrowState::Refunding { tx } if view.sequence_time > row.seq_time || looked_enough => {
                // The payee's claim landed first: the clock has begun anew.
                row.seq_time = row.seq_time.max(view.sequence_time);
                row.refund_fee = fate.fee.map_or(row.refund_fee, |_| tx.fee);
                row.state = EscrowState::Retired;
                row.close = None;
                "refund_failed"
            }
            EscrowState::Reclaiming { .. } if fate.over => {
                row.state = EscrowState::Refunded;
                "reclaim_failed"
            }
            _ => return self.pause(now_ms, &escrow),
        };
        if let Some(fee) = fate.fee {
            self.note(now_ms, failed, &row, Stroops::ZERO, fee, out);
        }
        self.save(row, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            // Each failure costs a fee: the next try waits longer.
            entry.due_ms = now_ms.saturating_add(self.limits.backoff_ms(entry.failures));
            (entry.failures, entry.look, entry.rest) = (entry.failures.saturating_add(1), true, None);
        }
    }

    /// There is no E. A ledger that trails says so too, but not time after time; one that is not ours always does.
    pub(super) fn on_missing(&mut self, now_ms: u64, lane: EscrowRow, out: &mut Out) {
        let escrow = lane.escrow;
        let Some(entry) = self.lanes.get_mut(&escrow) else { return };
        let closed = matches!(lane.state, EscrowState::Closed { .. });
        let ends = closed
            || lane.state.is_returning()
            || lane.state.is_usable() && lane.seq_time != 0 && now_ms >= lane.clock_ms(16);
        entry.gone = if ends { entry.gone.saturating_add(1) } else { 0 };
        if entry.gone >= MAX_LOOKS { self.ask_home(now_ms, escrow, out) } else { self.pause(now_ms, &escrow) }
    }

    /// There is no E where our own account is as it was, or newer: E is over. Whoever shows it older, or not at all, is
    /// not believed, and E is looked for as long as it takes.
    pub(super) fn on_home(&mut self, now_ms: u64, lane: EscrowRow, view: &AccountView, out: &mut Out) {
        let escrow = lane.escrow;
        let gone = self.lanes.get(&escrow).is_some_and(|l| l.gone >= MAX_LOOKS);
        let own = self.own_mut(lane.own);
        let newer = view.sequence >= own.sequence && view.latest_ledger >= lane.created;
        if newer {
            own.sequence = view.sequence;
        }
        // A flush that nobody finds may have landed before E went: what E showed last says so, or it is looked up for
        // another period.
        let used = lane.pending_tx().map(|tx| tx.sequence);
        let seen = self.lanes.get(&escrow).and_then(|l| l.seen).map(|(_, sequence)| sequence);
        let open = used.is_some_and(|used| seen.is_some_and(|seen| seen >= used) || now_ms < lane.clock_ms(32));
        match (gone && newer, lane.role) {
            (false, _) => self.pause(now_ms, &escrow),
            (true, Role::Payee) if open => self.on_flush_displaced(now_ms, lane, out),
            (true, Role::Payer) => self.on_reclaimed(now_ms, lane, 0, out),
            (true, Role::Payee) => self.end_lane(now_ms, lane, out),
        }
    }
}
