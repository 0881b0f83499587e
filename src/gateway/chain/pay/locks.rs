//! Locked passes: when a payment is locked, and what becomes of one whose secret did not come.
use super::super::pass::Pass;
use super::super::{ChainLock, MAX_PAYEES, PaymentRow, PaymentState};
use super::due::first_increment;
use super::{Pay, watch};
use crate::gateway::core::locks::Locks;
use crate::gateway::core::message::{Id, Offer, RefusalCode};
use crate::gateway::core::price::HopDue;
use crate::gateway::link::{Links, LockNews, Role};
use crate::gateway::port::*;
use crate::units::Stroops;
use rand::Rng;

/// Hops are paid in plain for so long when locks are not to be had.
const PLAIN_MS: u64 = 30_000;

/// A locked pass that was given up: it may still be paid until the time of its locks is over.
#[derive(Debug)]
pub(super) struct Waiting {
    row: PaymentRow,
    circ: CircuitId,
    web: Option<Id>,
}

impl Pay {
    /// The locks of a pass, when it is to have any; `now` in unix milliseconds.
    pub(super) fn plan_lock(
        &self,
        now: u64,
        rng: &mut impl Rng,
        dues: &[HopDue],
        offers: &[&Offer],
    ) -> Option<ChainLock> {
        let margin = offers.iter().map(|offer| offer.lock_secs).max().unwrap_or(0);
        let taken = offers.iter().all(|offer| offer.lock_secs > 0) && offers.len() == dues.len();
        let large = dues.iter().zip(offers).any(|(hop, offer)| hop.due > first_increment(offer));
        let wanted = match self.terms.locks {
            Locks::Always => true,
            Locks::Large => large,
            Locks::Never => false,
        };
        if !wanted || !taken || dues.len() > MAX_PAYEES {
            return None;
        }
        ChainLock::plan(rng, dues.len(), now / 1000, u64::from(margin)).ok()
    }

    /// Its dues are no longer under way: paid, or given up.
    pub(super) fn unlock(&mut self, pass: &Pass) {
        if pass.lock.is_none() {
            return;
        }
        let Some(c) = self.circuits.get_mut(&pass.circ) else { return };
        for (hop, payee) in c.hops.iter_mut().zip(&pass.payees) {
            hop.locked = hop.locked.saturating_sub(payee.share.due);
        }
    }

    /// Payments of the last process that may still be paid, or of which it did not write what became of them.
    pub fn resume<'a>(&mut self, rows: impl Iterator<Item = &'a PaymentRow>) {
        let open = rows.filter(|row| row.lock.is_some() && row.state == PaymentState::Signed);
        self.waiting.extend(open.map(|row| Waiting { row: row.clone(), circ: 0, web: None }));
        self.resumed = !self.waiting.is_empty();
    }

    /// A pass was given up while its locks are open. Its hops count as paid until these are over, so that nobody is paid
    /// twice; but where little may be risked, one that holds us gets that much once more.
    pub(super) fn wait_for_locks(&mut self, now: u64, pass: &Pass) {
        self.waiting.push(Waiting {
            row: pass.row(),
            circ: pass.circ,
            web: pass.service.as_ref().map(|offer| offer.session),
        });
        self.pay_in_plain(now, pass.circ);
        let Some(c) = self.circuits.get_mut(&pass.circ).filter(|_| self.terms.locks == Locks::Large) else { return };
        for (hop, payee) in c.hops.iter_mut().zip(&pass.payees) {
            hop.doubtful = hop.doubtful.max(payee.share.due).min(hop.first_increment());
        }
    }

    /// A lane with a free lock was not to be had, or a lock did not open: for a while hops are paid without.
    pub(super) fn pay_in_plain(&mut self, now: u64, circ: CircuitId) {
        if let Some(c) = self.circuits.get_mut(&circ) {
            c.plain_until = now.saturating_add(PLAIN_MS);
        }
    }

    /// The links know what became of locks.
    pub fn on_lock_news(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, out: &mut Out) {
        for LockNews { own, secret } in links.take_lock_news() {
            if let Some(index) = self.passes.iter().position(|p| p.is_locked_as(&own)) {
                // Our guard told, or the ledger's clock, before the pass heard of it.
                let steps = match &secret {
                    Some(secret) => self.passes[index].open(now, secret),
                    None => self.passes[index].fail(None, RefusalCode::TIMED_OUT, 0),
                };
                self.act(now, rng, links, index, steps, out);
            }
            self.end_wait(&own, secret.is_some(), out);
        }
        if std::mem::take(&mut self.resumed) {
            let gone = |own: &Id| !links.holds_lock(Role::Payer, own);
            let ended: Vec<Id> = self.waiting.iter().filter_map(|w| w.row.lock).filter(gone).collect();
            for own in ended {
                self.end_wait(&own, links.paid_under(&own), out);
            }
        }
    }

    fn end_wait(&mut self, own: &Id, settled: bool, out: &mut Out) {
        let Some(at) = self.waiting.iter().position(|w| w.row.lock == Some(*own)) else { return };
        let Waiting { mut row, circ, web } = self.waiting.swap_remove(at);
        row.state = if settled { PaymentState::Complete } else { PaymentState::Expired };
        if settled {
            self.budget.commit(&row.id, row.total);
            self.settled += 1;
            if let (Some(web), Some(service)) = (web, row.payees.last()) {
                self.web_paid(web, service.due);
            }
        } else {
            self.budget.release(&row.id);
            if let Some(c) = self.circuits.get_mut(&circ) {
                for (hop, share) in c.hops.iter_mut().zip(&row.payees) {
                    hop.paid = hop.paid.saturating_sub(share.due);
                    hop.doubtful = Stroops::ZERO;
                }
                watch(circ, c, out);
            }
        }
        out.rows.push(Row::Payment(Box::new(row)));
    }
}
