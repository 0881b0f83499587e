//! Questions to the ledger and what their answers mean for the lane that asked.
use super::links::Links;
use super::refund::Fate;
use super::rows::{EscrowRow, EscrowState, Role};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{AccountView, Effect, LedgerAnswer, LedgerCall, LedgerResult, Out};
use rand::Rng;

/// Tags of links have these upper 16 bits; all others are somebody else's.
const SPACE: u64 = 0x4c4b << 48;
const SPACE_MASK: u64 = 0xffff << 48;

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// How does our account of this number stand?
    Own(u8),
    /// The same, only to know.
    Purse(u8),
    /// Take the lane's transaction.
    Submit(AccountKey),
    /// Is the lane's transaction in a ledger?
    Lookup(AccountKey),
    /// Was its sequence number used?
    Sequence(AccountKey),
    /// It was used: by this transaction?
    LastLookup(AccountKey),
    /// No look-up finds the transaction, and its number is used: what does E say?
    Displaced(AccountKey),
    /// The transaction is in a ledger, cost this fee and did not apply: did another copy of it?
    Failed(AccountKey, u64),
    /// The transaction was refused for a reason of its own: what does E say?
    Refused(AccountKey),
    /// How does E stand?
    Escrow(AccountKey),
    /// E was not found, time after time: does this ledger know our own account, as we know it?
    Home(AccountKey),
    /// Can our account take what is to be flushed?
    Destination(AccountKey),
    /// What did E do lately?
    History(AccountKey),
}

impl Links {
    pub(super) fn tag(&mut self, ask: Ask) -> u64 {
        let tag = SPACE | (self.fresh() & !SPACE_MASK);
        self.asks.insert(tag, ask);
        tag
    }

    /// Asks on behalf of a lane, which then waits for the answer.
    fn ask(&mut self, now_ms: u64, ask: Ask, escrow: &AccountKey, call: impl FnOnce(u64) -> LedgerCall, out: &mut Out) {
        let tag = self.tag(ask);
        out.effects.push(Effect::Ledger(call(tag)));
        if let Some(lane) = self.lanes.get_mut(escrow)
            && let Some((old, _)) = lane.busy.replace((tag, now_ms))
        {
            self.asks.remove(&old);
        }
    }

    pub(super) fn ask_own(&mut self, now_ms: u64, own: u8, out: &mut Out) {
        let tag = self.tag(Ask::Own(own));
        self.own_mut(own).waits = Some((tag, now_ms));
        let account = self.me.account(own);
        out.effects.push(Effect::Ledger(LedgerCall::Account { tag, account }));
    }

    /// Hands the lane's transaction to the ledger. Its row is in `out` or older.
    pub(super) fn submit(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let Some(lane) = self.lanes.get_mut(&escrow) else { return };
        let Some(tx) = lane.row.pending_tx().cloned() else { return };
        lane.submitted = true;
        let call = |tag| LedgerCall::Submit { tag, envelope: tx.envelope, hash: tx.hash };
        self.ask(now_ms, Ask::Submit(escrow), &escrow, call, out);
    }

    pub(super) fn look_up(&mut self, now_ms: u64, escrow: AccountKey, last: bool, out: &mut Out) {
        let Some(hash) = self.lanes.get(&escrow).and_then(|l| l.row.pending_tx()).map(|tx| tx.hash) else { return };
        let ask = if last { Ask::LastLookup(escrow) } else { Ask::Lookup(escrow) };
        self.ask(now_ms, ask, &escrow, |tag| LedgerCall::Transaction { tag, hash }, out);
    }

    pub(super) fn ask_escrow(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        self.ask(now_ms, Ask::Escrow(escrow), &escrow, |tag| LedgerCall::Account { tag, account: escrow }, out);
    }

    pub(super) fn ask_sequence(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let lane = self.lanes.get(&escrow).map(|l| &l.row).filter(|row| row.state.uses_own_number());
        let account = lane.map_or(escrow, |row| self.me.account(row.own));
        self.ask(now_ms, Ask::Sequence(escrow), &escrow, |tag| LedgerCall::Account { tag, account }, out);
    }

    pub(super) fn ask_refused(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        self.ask_fate(now_ms, Ask::Refused(escrow), escrow, out);
    }

    pub(super) fn ask_home(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let account = self.home_of(&escrow);
        self.ask(now_ms, Ask::Home(escrow), &escrow, |tag| LedgerCall::Account { tag, account }, out);
    }

    pub(super) fn ask_destination(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let account = self.home_of(&escrow);
        self.ask(now_ms, Ask::Destination(escrow), &escrow, |tag| LedgerCall::Account { tag, account }, out);
    }

    /// Our own account at the end of a lane.
    fn home_of(&self, escrow: &AccountKey) -> AccountKey {
        self.me.account(self.lanes.get(escrow).map_or(0, |l| l.row.own))
    }

    pub(super) fn ask_history(&mut self, now_ms: u64, escrow: AccountKey, out: &mut Out) {
        let known = self.lanes.get(&escrow).map(|lane| lane.row.clone());
        let from =
            known.and_then(|row| self.terms(&row)?.claim_sequence(row.lock.as_ref()?.epoch).ok()).unwrap_or(i64::MAX);
        self.ask(now_ms, Ask::History(escrow), &escrow, |tag| LedgerCall::History { tag, account: escrow, from }, out);
    }

    fn ask_fate(&mut self, now_ms: u64, ask: Ask, account: AccountKey, out: &mut Out) {
        self.ask(now_ms, ask, &account, |tag| LedgerCall::Account { tag, account }, out);
    }

    /// The ledger's answer to a call of ours; false when the tag is not ours. Late answers change nothing.
    pub fn on_ledger(&mut self, now_ms: u64, rng: &mut impl Rng, answer: LedgerAnswer, out: &mut Out) -> bool {
        if answer.tag & SPACE_MASK != SPACE {
            return false;
        }
        let ask = self.asks.remove(&answer.tag);
        self.heard(now_ms, ask, &answer.result);
        let Some(ask) = ask else { return true };
        if let Ask::Purse(own) = ask {
            self.on_purse(now_ms, rng, own);
            return true;
        }
        if let Ask::Own(own) = ask {
            let account = self.own_mut(own);
            account.waits = None;
            if let LedgerResult::Account(view) = &answer.result {
                account.sequence = account.sequence.max(view.sequence);
            }
            match answer.result {
                LedgerResult::Account(view) => self.on_own_account(now_ms, own, &view, out),
                LedgerResult::NotFound => self.wait_for_funds(now_ms, own, true),
                _ => self.wait_for_funds(now_ms, own, false),
            }
            return true;
        }
        let (Ask::Submit(escrow)
        | Ask::Lookup(escrow)
        | Ask::Sequence(escrow)
        | Ask::LastLookup(escrow)
        | Ask::Displaced(escrow)
        | Ask::Failed(escrow, _)
        | Ask::Refused(escrow)
        | Ask::Escrow(escrow)
        | Ask::Home(escrow)
        | Ask::Destination(escrow)
        | Ask::History(escrow)) = ask
        else {
            return true;
        };
        let Some(lane) = self.lanes.get_mut(&escrow) else { return true };
        lane.busy = None;
        let row = lane.row.clone();
        match (ask, answer.result) {
            (Ask::Escrow(_), LedgerResult::Account(view)) => self.on_view(now_ms, row, Some(&view), out),
            (Ask::Escrow(_), LedgerResult::NotFound) => self.on_view(now_ms, row, None, out),
            (Ask::Home(_), LedgerResult::Account(view)) => self.on_home(now_ms, row, &view, out),
            (Ask::Destination(_), LedgerResult::Account(view)) => self.on_destination(now_ms, row, &view, out),
            // Nobody tells whether there is room, and time runs out: a flush that may fail is better than none.
            (Ask::Destination(_), _) if now_ms >= row.clock_ms(12) => self.flush_unseen(now_ms, row, out),
            (Ask::History(_), LedgerResult::History(history)) => self.on_history(now_ms, row, &history, out),
            (Ask::Sequence(_), LedgerResult::Account(view)) => self.on_sequence(now_ms, row, &view, out),
            // A payee's flush that is refused past the period: E may be gone.
            (Ask::Sequence(_), LedgerResult::NotFound) if !row.state.uses_own_number() => {
                self.on_missing(now_ms, row, out)
            }
            (Ask::LastLookup(_), LedgerResult::NotFound) if row.state.tx().is_some() => {
                self.ask_fate(now_ms, Ask::Displaced(escrow), escrow, out)
            }
            // E tells what became of it.
            (Ask::LastLookup(_), LedgerResult::NotFound) if row.net_tx().is_some() => {
                self.ask_escrow(now_ms, escrow, out)
            }
            (Ask::LastLookup(_), LedgerResult::NotFound) => self.on_flush_displaced(now_ms, row, out),
            (Ask::Displaced(_), LedgerResult::Account(view)) => self.on_displaced(now_ms, row, Some(&view), out),
            (Ask::Displaced(_), LedgerResult::NotFound) => self.on_displaced(now_ms, row, None, out),
            (Ask::Failed(_, fee), LedgerResult::Account(view)) => self.on_failed(now_ms, row, Some(&view), fee, out),
            (Ask::Failed(_, fee), LedgerResult::NotFound) => self.on_failed(now_ms, row, None, fee, out),
            (Ask::Refused(_), LedgerResult::Account(view)) if matches!(row.state, EscrowState::Creating { .. }) => {
                self.on_displaced(now_ms, row, Some(&view), out)
            }
            (Ask::Refused(_), LedgerResult::NotFound) if matches!(row.state, EscrowState::Creating { .. }) => {
                self.pause(now_ms, &escrow)
            }
            (Ask::Refused(_), LedgerResult::Account(view)) => {
                self.on_return_fate(now_ms, row, Some(&view), Fate::default(), out)
            }
            (Ask::Refused(_), LedgerResult::NotFound) => self.on_return_fate(now_ms, row, None, Fate::default(), out),
            (Ask::Lookup(_), LedgerResult::NotFound) if row.net_tx().is_some() && !self.net_pends(now_ms, &row) => {
                self.ask_escrow(now_ms, escrow, out) // past its end
            }
            (Ask::Lookup(_), LedgerResult::NotFound) => self.submit(now_ms, escrow, out),
            (Ask::Submit(_), LedgerResult::Rejected { code }) => self.on_rejected(now_ms, row, &code, out),
            (
                Ask::Submit(_) | Ask::Lookup(_) | Ask::LastLookup(_),
                LedgerResult::Landed { ledger, success, fee, .. },
            ) => self.on_landed(now_ms, rng, row, ledger, success, fee, out),
            _ => self.pause(now_ms, &escrow), // nobody knows: the next step looks up by hash
        }
        true
    }

    /// The lane's next step waits, longer each time.
    pub(super) fn pause(&mut self, now_ms: u64, escrow: &AccountKey) {
        let limits = self.limits.clone();
        if let Some(lane) = self.lanes.get_mut(escrow) {
            // Who waits to read a secret has no time to waste.
            let over = lane.row.lock.as_ref().is_some_and(|lock| now_ms / 1000 > lock.max_time);
            let most = if over { limits.lock_secs.saturating_mul(1000) / 8 } else { u64::MAX };
            lane.due_ms = now_ms.saturating_add(limits.backoff_ms(lane.tries).min(most.max(500)));
            lane.tries = lane.tries.saturating_add(1);
        }
    }

    fn on_landed(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        row: EscrowRow,
        ledger: u32,
        ok: bool,
        fee: u64,
        out: &mut Out,
    ) {
        let escrow = row.escrow;
        match row.state {
            _ if !ok && row.state.tx().is_some() => {
                return self.ask_fate(now_ms, Ask::Failed(escrow, fee), escrow, out);
            }
            EscrowState::Creating { .. } => self.on_created(now_ms, row, ledger, fee, out),
            EscrowState::Funding { .. } => self.on_funded(now_ms, row, fee, out),
            EscrowState::Refunding { .. } => self.on_refunded(now_ms, row, fee, out),
            EscrowState::Reclaiming { .. } => self.on_reclaimed(now_ms, row, fee, out),
            _ if row.net_tx().is_some() => self.on_net_landed(now_ms, row, ok, fee, out),
            _ if row.pending_tx().is_some() => self.on_flushed(now_ms, rng, row, ok, fee, out),
            _ => return,
        }
        self.poke(now_ms, escrow, out);
    }

    /// E as the ledger shows it.
    fn on_view(&mut self, now_ms: u64, row: EscrowRow, view: Option<&AccountView>, out: &mut Out) {
        let escrow = row.escrow;
        if row.state == EscrowState::Offered {
            return self.on_offered_view(now_ms, row, view, out);
        }
        if matches!(row.state, EscrowState::Closed { .. }) {
            return self.on_closed_view(now_ms, row, view, out);
        }
        if row.state == EscrowState::Refunded {
            return self.on_refunded_view(now_ms, row, view, out);
        }
        let Some(view) = view else { return self.on_missing(now_ms, row, out) };
        let left = self.left(&row, view);
        if let Some(lane) = self.lanes.get_mut(&escrow) {
            (lane.look, lane.gone) = (false, 0);
            lane.seen = Some((left, view.sequence));
        }
        match row.role {
            Role::Payer => self.on_payer_view(now_ms, row, view, out),
            Role::Payee => {
                self.on_payee_view(now_ms, row, view, out);
                self.poke(now_ms, escrow, out);
            }
        }
    }
}
