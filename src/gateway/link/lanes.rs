//! Several lanes of one link: which of them take claims, which one a payment goes to, and when another is opened.
use super::lazy::Verdict;
use super::limits::{BUSY_LANES, MAX_KEPT, MAX_LANES};
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Role};
use crate::gateway::core::message::{AccountKey, Id};
use crate::gateway::port::Out;
use crate::units::Stroops;

impl EscrowRow {
    /// Payer: E is there for a link or about to be.
    pub(super) fn holds_deposit(&self) -> bool {
        self.state != EscrowState::Spare && !self.state.is_over()
    }
}

impl Links {
    /// The lanes of a link that take claims, oldest first.
    pub fn lanes_open(&self, link: &Id) -> impl Iterator<Item = &EscrowRow> {
        self.lanes_of(link).filter(|row| row.state == EscrowState::Open)
    }

    /// Stroops that may still be signed (payer) or credited (payee) on a lane, beside what is locked.
    pub fn room(&self, now_ms: u64, lane: &EscrowRow) -> Stroops {
        let used = if lane.role == Role::Payee { lane.total.max(lane.claimed(now_ms)) } else { lane.total };
        self.capacity(lane).saturating_sub(used.saturating_sub(lane.netted)).saturating_sub(lane.locked())
    }

    /// Payee: the open epoch of this lane is to be flushed as soon as nothing keeps it: nothing that would begins there.
    pub(super) fn is_due(&self, now_ms: u64, escrow: &AccountKey) -> bool {
        let due = |lane: &super::links::Lane| lane.flush_ms != 0 && now_ms >= lane.flush_ms;
        self.lanes.get(escrow).is_some_and(|lane| due(lane) || lane.close_asked.is_some())
    }

    /// The lane takes claims for a while yet: a quarter of it is left, and its clock is not far gone.
    pub(super) fn lasts(&self, now_ms: u64, lane: &EscrowRow) -> bool {
        let capacity = self.capacity(lane).get();
        self.room(now_ms, lane).get() >= capacity / 4 && now_ms < lane.clock_ms(7)
    }

    /// The open lane for a payment of `amount`: rather one without a lock; the one that the partner `named`
    /// when it has room, else the oldest that has, else the newest, which says why not.
    pub(super) fn lane_for(
        &self,
        now_ms: u64,
        link: &Id,
        amount: Stroops,
        named: Option<&AccountKey>,
    ) -> Option<&EscrowRow> {
        let fits = |row: &&EscrowRow| self.room(now_ms, row) >= amount && now_ms < row.clock_ms(7);
        let mut roomy: Vec<&EscrowRow> = self.lanes_open(link).filter(fits).collect();
        roomy.sort_by_key(|row| (row.lock.is_some(), Some(&row.escrow) != named, row.index));
        roomy.first().copied().or_else(|| self.open_lane(link))
    }

    /// Payer: all open lanes of the link are busy; another one is opened in the background, up to a few.
    pub fn want_lane(&mut self, now_ms: u64, link: &Id, out: &mut Out) {
        if self.lanes_open(link).count() < BUSY_LANES {
            self.plan_lane(now_ms, link, out);
        }
    }

    /// Plans another lane when the link has none that lasts.
    pub(super) fn plan_if_needed(&mut self, now_ms: u64, link: &Id, out: &mut Out) {
        if !self.lanes_open(link).any(|lane| self.lasts(now_ms, lane)) {
            self.plan_lane(now_ms, link, out);
        }
    }

    /// Plans another lane if limits permit and none is on its way; an escrow account that lost its link is used first.
    pub(super) fn plan_lane(&mut self, now_ms: u64, id: &Id, out: &mut Out) {
        let Some(link) = self.links.get(id) else { return };
        let row = link.row.clone();
        let not_now = link.tentative || row.closing || now_ms < link.refused_ms.max(self.rest_ms);
        if not_now || self.lanes_of(id).any(|l| l.state.is_opening()) || self.may_open(now_ms, id) != Verdict::Open {
            return;
        }
        let mut spares = self.lanes.values().map(|l| &l.row).filter(|lane| lane.state == EscrowState::Spare);
        let spare = spares.find(|lane| lane.own == row.own).cloned();
        let lane = match spare {
            Some(old) => {
                EscrowRow { created: old.created, ..EscrowRow::new(old.escrow, &row, old.index, EscrowState::Created) }
            }
            None => {
                let index = self.next_index;
                let Some(next) = index.checked_add(1) else { return };
                self.next_index = next;
                EscrowRow::new(self.me.escrow(row.own, index), &row, index, EscrowState::Planned)
            }
        };
        self.save(lane, out);
    }

    /// Payee: has the link as many lanes as it may? Lanes that wait for nothing but their end count much less.
    pub(super) fn is_full(&self, link: &Id) -> bool {
        let lanes = || self.lanes_of(link).filter(|l| l.state != EscrowState::Offered);
        let settled = |l: &&EscrowRow| {
            matches!(l.state, EscrowState::Closed { .. }) || l.state == EscrowState::Retired && l.is_at_rest()
        };
        lanes().count() >= MAX_KEPT || lanes().filter(|l| !settled(l)).count() >= MAX_LANES
    }

    /// A new lane opened: those that do not last take no more claims.
    pub(super) fn retire_others(&mut self, now_ms: u64, link: &Id, newest: &AccountKey, out: &mut Out) {
        let tired: Vec<EscrowRow> = self
            .lanes_open(link)
            .filter(|row| row.escrow != *newest && !self.lasts(now_ms, row))
            .map(|row| EscrowRow { state: EscrowState::Retired, ..row.clone() })
            .collect();
        for row in tired {
            self.save(row, out);
        }
    }
}
