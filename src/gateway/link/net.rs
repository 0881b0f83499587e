//! Two relays that owe each other settle an epoch of each direction by the difference, instead of two flushes: what is
//! set off stays in the escrows and can be claimed again. Never with a client: both links name the other relay.
//!
//! ```text
//!   proposer P                                    the other Q
//!   a flush is due, Q owes P and P owes Q
//!   freezes what Q owes it ── NetPropose ──────→ freezes both epochs, signs N
//!   freezes what it owes Q ←───────── NetAccept ─
//!   N → ledger (from P's account, with an end)
//!   sees N                                        sees that the number of the escrow that pays it was used
//! ```
//! N fails as a whole when a claim of either epoch landed before, and no such claim can land after it
//! (`stellar::template::net`). Until its end nobody flushes these epochs; after it each flushes its own as ever. Each side
//! learns from the lane that *pays* it what became of N: its number is used and no flush of ours used it. Only then is
//! what was set off taken off the lane on which it pays, and what is left there signed anew (this file: the proposer;
//! `net_answer`: the other, and what became of it).
use super::flush_payer;
use super::limits::{NET_MARGIN_SECS, NET_SECS};
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Frozen, Held, Net, Partner, Role};
use crate::gateway::core::message::{AccountKey, Id, Message, NetAccept, NetPropose, RefusalCode};
use crate::gateway::port::Out;
use crate::stellar::template::{BASE_FEE, MAX_EPOCH, NetSide, NetTerms};
use crate::units::Stroops;

/// What N may cost: ten times the least for its 7 operations and the bump. It is not raised, a flush does as well.
const NET_FEE: u64 = 10 * 8 * BASE_FEE as u64;
/// What is set off is at least this part of the deposit, or two flushes are cheaper.
const LEAST_PART: u64 = 16;

/// A settlement that we want or have proposed. In memory alone: we sign nothing before the other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetWish {
    /// The escrow that pays us.
    pub inward: AccountKey,
    /// The escrow that pays the other.
    pub outward: AccountKey,
    /// Given up then, unix milliseconds.
    pub until_ms: u64,
    /// Once proposed: the number of our account, and N's end.
    pub proposed: Option<(i64, u64)>,
}

impl Links {
    /// Payee: a flush of this lane is due. True when it waits because both directions are to be settled together.
    pub(super) fn nets_instead(&mut self, now_ms: u64, escrow: &AccountKey) -> bool {
        if let Some(wish) = &self.net {
            return wish.inward == *escrow;
        }
        let Some(lane) = self.lanes.get(escrow).map(|l| l.row.clone()) else { return false };
        let Some(outward) = self.counterpart(now_ms, &lane) else { return false };
        let until_ms = now_ms.saturating_add(NET_SECS * 1000);
        self.net = Some(NetWish { inward: *escrow, outward, until_ms, proposed: None });
        true
    }

    /// The lane of the other direction with which this one, which pays us, is worth settling.
    fn counterpart(&self, now_ms: u64, lane: &EscrowRow) -> Option<AccountKey> {
        let link = self.links.get(&lane.link).filter(|l| l.circ.is_some())?;
        if self.lanes.get(&lane.escrow).is_none_or(|l| l.failures > 0) {
            return None;
        }
        let worth = |row: &EscrowRow| self.is_worth(lane, lane.held.cumulative.min(row.held.cumulative));
        let rows = self.lanes.values().map(|l| &l.row).filter(|row| row.role == Role::Payer);
        let ours = rows.filter(|row| self.pair(&link.row.id, row) && self.may_net(now_ms, row) && worth(row));
        let best = ours.max_by_key(|row| row.held.cumulative)?;
        self.may_net(now_ms, lane).then_some(best.escrow)
    }

    /// Is so much to be set off worth more than two flushes?
    fn is_worth(&self, lane: &EscrowRow, set_off: Stroops) -> bool {
        self.limits.rounded(set_off).get().saturating_mul(LEAST_PART) >= lane.deposit.get().max(1)
    }

    /// Do this lane and that link join us with the same relay, one each way?
    pub(super) fn pair(&self, id: &Id, row: &EscrowRow) -> bool {
        let (Some(a), Some(b)) = (self.links.get(id), self.links.get(&row.link)) else { return false };
        // Relays have one account; N has its number.
        let relay = matches!(a.row.partner, Partner::Relay(_)) && (a.row.own, b.row.own) == (0, 0);
        relay && a.row.partner == b.row.partner && a.row.account == b.row.account && a.row.role != b.row.role
    }

    /// Nothing is under way on this lane, and its clock leaves time for N and for a flush after it.
    pub(super) fn may_net(&self, now_ms: u64, row: &EscrowRow) -> bool {
        let busy = self.lanes.get(&row.escrow).is_none_or(|l| l.ahead.is_some() || l.close_asked.is_some());
        let longer = u64::from(row.clock()) >= 8 * (NET_SECS + NET_MARGIN_SECS);
        row.state == EscrowState::Open
            && row.frozen.is_none()
            && row.lock.is_none()
            && row.carry.is_none()
            && row.epoch < MAX_EPOCH
            && longer
            && now_ms < row.clock_ms(5)
            && !busy
    }

    /// Both escrows as N takes them, `lane` being the one that pays the proposer.
    pub(super) fn net_terms(
        &self,
        (inward, in_epoch, in_amount): (&EscrowRow, u32, Stroops),
        (outward, out_epoch, out_amount): (&EscrowRow, u32, Stroops),
        sequence: i64,
        max_time: u64,
    ) -> Option<NetTerms> {
        let side = |row: &EscrowRow, epoch, amount| {
            Some(NetSide { terms: self.terms(row)?, epoch, amount, landed: row.landed })
        };
        let (inward, outward) = (side(inward, in_epoch, in_amount)?, side(outward, out_epoch, out_amount)?);
        Some(NetTerms { inward, outward, sequence, max_time })
    }

    /// Our account's next number is free, and a wish waits for it.
    pub(super) fn net_waits(&self) -> bool {
        self.net.is_some_and(|wish| wish.proposed.is_none())
    }

    /// Our account's next number is held by N, proposed or signed.
    pub(super) fn net_holds_number(&self) -> bool {
        self.net.is_some_and(|wish| wish.proposed.is_some()) || self.lanes.values().any(|l| l.row.net_tx().is_some())
    }

    /// Freezes the epoch that pays us and proposes, our account's number being `sequence`.
    pub(super) fn propose_net(&mut self, now_ms: u64, sequence: i64, out: &mut Out) {
        let Some(mut wish) = self.net.take() else { return };
        let Some(mut lane) = self.lanes.get(&wish.inward).map(|l| l.row.clone()) else { return };
        let amount = self.limits.rounded(lane.held.cumulative);
        let next = sequence.checked_add(1);
        let (true, false, Some(number)) = (self.may_net(now_ms, &lane), amount.is_zero(), next) else { return };
        wish.until_ms = now_ms.saturating_add(NET_SECS * 1000);
        wish.proposed = Some((number, wish.until_ms / 1000));
        lane.frozen = Some(Frozen::new(now_ms, lane.epoch, lane.held, amount));
        lane.epoch += 1;
        lane.held = Held::default();
        self.net = Some(wish);
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&wish.inward) {
            (entry.due_ms, entry.tries, entry.flush_ms) = (0, 0, 0);
        }
        self.poke(now_ms, wish.inward, out);
    }

    /// Says the proposal (again); false when this lane waits for no answer to one.
    pub(super) fn say_proposal(&self, lane: &EscrowRow, out: &mut Out) -> bool {
        let Some(wish) = self.net.filter(|wish| wish.inward == lane.escrow) else { return false };
        let (Some((sequence, until)), Some(frozen)) = (wish.proposed, &lane.frozen) else { return false };
        let propose = NetPropose {
            inward: lane.escrow,
            epoch: frozen.epoch,
            amount: frozen.amount,
            outward: wish.outward,
            sequence: sequence.unsigned_abs(),
            until,
        };
        self.say(&lane.link, Message::NetPropose(propose), out)
    }

    /// Time ends a wish: what is due is flushed.
    pub(super) fn end_net_wish(&mut self, now_ms: u64, out: &mut Out) {
        // An answer that comes at the last moment would be of no use.
        let late = |wish: &NetWish| now_ms.saturating_add(NET_SECS * 1000 / 3) >= wish.until_ms;
        let Some(wish) = self.net.filter(late) else { return };
        self.net = None;
        if wish.proposed.is_none() {
            self.begin_flush(now_ms, &wish.inward, false, out);
        }
    }

    pub(super) fn on_net_accept(
        &mut self,
        now_ms: u64,
        link: &Id,
        accept: &NetAccept,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &accept.inward).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let wish = self.net.filter(|w| w.inward == accept.inward);
        let Some((outward, (sequence, until))) = wish.and_then(|w| Some((w.outward, w.proposed?))) else {
            // A repeat of what we have, or too late: nothing of ours is signed.
            return if lane.net_tx().is_some() || lane.frozen.is_some() {
                Ok(())
            } else {
                Err(RefusalCode::UNEXPECTED)
            };
        };
        let mut other = self.lanes.get(&outward).map(|l| l.row.clone()).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let Some(frozen) = lane.frozen.as_mut().filter(|f| f.flush.is_none()) else {
            return Err(RefusalCode::UNEXPECTED);
        };
        let (epoch, amount) = (frozen.epoch, frozen.amount);
        let over = frozen.held.cumulative.saturating_sub(amount) > self.promise();
        let row = self.lanes.get(&accept.inward).map(|l| &l.row).ok_or(RefusalCode::INTERNAL)?;
        let worth = self.is_worth(row, amount.min(accept.amount));
        if over || !worth || !self.pair(link, &other) || !self.may_net(now_ms, &other) {
            self.net = None; // more came in meanwhile than a promise should stand for, or too little is owed: a flush
            return Err(RefusalCode::BUSY);
        }
        if accept.epoch != other.epoch {
            return Err(RefusalCode::EPOCH);
        }
        if accept.amount.is_zero() || accept.amount > other.held.cumulative {
            return Err(RefusalCode::AMOUNT_ABOVE);
        }
        let row = self.lanes.get(&accept.inward).map(|l| &l.row).ok_or(RefusalCode::INTERNAL)?;
        let terms = self
            .net_terms((row, epoch, amount), (&other, accept.epoch, accept.amount), sequence, until)
            .ok_or(RefusalCode::INTERNAL)?;
        let signer = |id: &Id| self.links.get(id).map(|l| &l.signer);
        let keys = signer(&lane.link).zip(signer(&other.link)).ok_or(RefusalCode::INTERNAL)?;
        let fee = NET_FEE.min(self.limits.fee_ceiling);
        let tx = self.me.net(&terms, keys, &[accept.payer, accept.payee], fee);
        let tx = tx.map_err(|_| RefusalCode::CLAIM_INVALID)?;
        let net = Net { other: other.escrow, set_off: terms.set_off(), sequence, until, tx: None };
        frozen.net = Some(Net { tx: Some(tx), ..net.clone() });
        flush_payer::freeze(&mut other, accept.amount, now_ms);
        if let Some(frozen) = &mut other.frozen {
            frozen.net = Some(Net { other: lane.escrow, ..net });
        }
        self.net = None;
        self.note(now_ms, "net_submitted", &lane, terms.set_off(), fee, out);
        self.save(other, out);
        self.save(lane, out);
        self.submit(now_ms, accept.inward, out);
        Ok(())
    }
}
