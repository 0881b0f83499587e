//! The payer opens escrows: one own-account transaction at a time, offer, funding. Which lanes are wanted: `lanes`.
use super::identity::{ESCROW_RESERVES, Identity};
use super::links::{Lane, Links};
use super::rows::{EscrowRow, EscrowState, Role};
use crate::gateway::core::message::{AccountKey, EscrowOffer, EscrowRef, Id, Message, RefundSigned, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::BASE_FEE;
use crate::units::Stroops;

/// Fee of O1 (4 operations) and of F (6 operations and the bump) at the ledger's least.
pub(super) const OPEN_FEE: u64 = 4 * BASE_FEE as u64;
pub(super) const FUND_FEE: u64 = 7 * BASE_FEE as u64;
/// What an account must have for the fees of one opening, in case the ledger is busy.
pub(super) const FEE_RESERVE: u64 = 10 * (OPEN_FEE + FUND_FEE);
/// Flushes at the fee ceiling that an opening leaves the fees for, on each lane that pays us and on one more: the one
/// that is due, and the one that makes good for it should it fail.
const FLUSHES_KEPT: u64 = 2;

impl Links {
    /// What may still be put into escrows.
    pub(super) fn liquidity_left(&self) -> Stroops {
        let ours = self.paying_lanes().map(|l| &l.row);
        ours.map(EscrowRow::tied_up)
            .fold(self.limits.liquidity_total.saturating_sub(self.stranded), Stroops::saturating_sub)
    }

    /// The planned lane of an account that is next: its partner is there.
    fn next_planned(&self, own: u8) -> Option<EscrowRow> {
        let connected = |row: &EscrowRow| self.links.get(&row.link).is_some_and(|l| l.circ.is_some());
        let rows = self.paying_lanes().map(|l| &l.row).filter(|row| row.own == own);
        rows.filter(|r| r.state == EscrowState::Planned && connected(r)).min_by_key(|r| r.index).cloned()
    }

    /// Asks how an account of ours stands when a lane waits for its number and no transaction of it is in flight.
    pub(super) fn pump_openings(&mut self, now_ms: u64, out: &mut Out) {
        let mut numbers = self.accounts_in_use();
        numbers.insert(0);
        for own in numbers {
            let nets = own == 0 && self.net_holds_number();
            let in_flight = nets || self.paying_lanes().any(|l| l.row.own == own && l.row.state.uses_own_number());
            let account = self.own(own);
            if in_flight || account.waits.is_some() || now_ms < account.due_ms {
                continue;
            }
            let planned = self.next_planned(own).is_some();
            self.own_mut(own).no_funds &= planned;
            if planned || own == 0 && self.net_waits() || self.next_reclaim(now_ms, own).is_some() {
                self.ask_own(now_ms, own, out);
            }
        }
    }

    /// No or not enough funds: tried again by itself, so that a topped-up wallet needs nobody's hand.
    pub(super) fn wait_for_funds(&mut self, now_ms: u64, own: u8, no_funds: bool) {
        let pause = self.limits.backoff_ms(self.own(own).tries);
        let account = self.own_mut(own);
        account.no_funds |= no_funds;
        account.due_ms = now_ms.saturating_add(pause);
        // The pause for funds stays short: 8 times the least.
        account.tries = if no_funds { (account.tries + 1).min(3) } else { account.tries.saturating_add(1) };
    }

    /// Our account as it stands: signs what empties the next lane that is over, else O1 for the next one, if there is
    /// enough.
    pub(super) fn on_own_account(&mut self, now_ms: u64, own: u8, view: &AccountView, out: &mut Out) {
        if let Some((lane, rest)) = self.next_reclaim(now_ms, own) {
            return self.begin_reclaim(now_ms, lane, rest, view.sequence, out);
        }
        if own == 0 && self.net_waits() {
            return self.propose_net(now_ms, view.sequence, out);
        }
        let Some(mut lane) = self.next_planned(own) else { return };
        let promised = self.paying_lanes().map(|l| &l.row).filter(|r| {
            use EscrowState::{Created, Creating, Funding};
            r.own == own && r.role == Role::Payer && matches!(r.state, Creating { .. } | Created | Funding { .. })
        });
        let (count, promised) =
            promised.fold((1u64, lane.deposit.get()), |(n, sum), r| (n + 1, sum.saturating_add(r.deposit.get())));
        let mut native = count.saturating_mul(ESCROW_RESERVES * self.limits.base_reserve + FEE_RESERVE);
        native = native.saturating_add(self.kept_for_flushes(own));
        if self.me.is_native() {
            native = native.saturating_add(promised);
        }
        let short = Identity::spendable_native(view, self.limits.base_reserve) < native
            || !self.me.is_native() && self.me.balance(view) < promised;
        if short {
            return self.wait_for_funds(now_ms, own, true);
        }
        let Ok(tx) = self.me.open(&lane, view.sequence, OPEN_FEE) else {
            return self.wait_for_funds(now_ms, own, false);
        };
        let account = self.own_mut(own);
        (account.no_funds, account.tries) = (false, 0);
        lane.state = EscrowState::Creating { tx };
        let escrow = lane.escrow;
        self.save(lane, out);
        self.submit(now_ms, escrow, out);
    }

    /// Native stroops that no opening may use up: strangers ask for openings, and without fees what we are paid is lost.
    pub(super) fn kept_for_flushes(&self, own: u8) -> u64 {
        let pays_us = |l: &&Lane| l.row.own == own && l.row.role == Role::Payee && l.row.state.is_usable();
        let lanes = 1 + self.lanes.values().filter(pays_us).count() as u64;
        self.limits.fee_ceiling.saturating_mul(FLUSHES_KEPT).saturating_mul(lanes)
    }

    /// O1 is in a ledger, or E is there.
    pub(super) fn on_created(&mut self, now_ms: u64, mut lane: EscrowRow, ledger: u32, fee: u64, out: &mut Out) {
        lane.created = ledger;
        lane.state = EscrowState::Created;
        self.note(now_ms, "escrow_created", &lane, Stroops::ZERO, fee, out);
        self.save(lane, out);
    }

    /// Nothing of ours is in E and nothing can come into it any more.
    pub(super) fn give_up(&mut self, now_ms: u64, mut lane: EscrowRow, fee: u64, out: &mut Out) {
        let link = lane.link;
        lane.state = EscrowState::Dropped;
        self.note(now_ms, "escrow_failed", &lane, Stroops::ZERO, fee, out);
        self.hold_off(now_ms, &link);
        self.save(lane, out);
    }

    /// No new lane on this link for a while.
    pub(super) fn hold_off(&mut self, now_ms: u64, link: &Id) {
        let pause = self.limits.backoff_ms(3);
        if let Some(link) = self.links.get_mut(link) {
            link.refused_ms = now_ms.saturating_add(pause);
        }
    }

    /// Says again what the partner has not answered yet on an opening lane. A funded escrow is offered once more with
    /// it: a payee that forgot the offer meanwhile signs the same refund again and goes on.
    pub(super) fn talk_opening(&self, lane: &EscrowRow, out: &mut Out) {
        let funded = lane.state == EscrowState::Funded;
        if !funded && lane.state != EscrowState::Created {
            return;
        }
        let (link, escrow, created) = (lane.link, lane.escrow, lane.created);
        let offer = EscrowOffer { link, escrow, created, deposit: lane.deposit, period: lane.period };
        self.say(&link, Message::EscrowOffer(offer), out);
        if funded {
            self.say(&link, Message::EscrowReady(EscrowRef { escrow }), out);
        }
    }

    pub(super) fn on_refund_signed(
        &mut self,
        now_ms: u64,
        link: &Id,
        signed: &RefundSigned,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &signed.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        if lane.state != EscrowState::Created {
            // A repeat of what we asked twice.
            let repeat = lane.refund == Some(signed.signature);
            return if repeat { Ok(()) } else { Err(RefusalCode::UNEXPECTED) };
        }
        let terms = self.terms(&lane).ok_or(RefusalCode::LINK_UNKNOWN)?;
        // Checks the signature over the refund as rebuilt here; a wrong one costs nothing.
        let tx = self.me.fund(&terms, &lane, &signed.signature, FUND_FEE);
        let tx = tx.map_err(|_| RefusalCode::CLAIM_INVALID)?;
        lane.refund = Some(signed.signature);
        lane.state = EscrowState::Funding { tx };
        self.save(lane, out);
        self.submit(now_ms, signed.escrow, out);
        Ok(())
    }

    /// F is in a ledger, or E shows what it does.
    pub(super) fn on_funded(&mut self, now_ms: u64, mut lane: EscrowRow, fee: u64, out: &mut Out) {
        let deposit = lane.deposit;
        lane.state = EscrowState::Funded;
        self.note(now_ms, "escrow_funded", &lane, deposit, fee, out);
        self.save(lane, out);
    }

    pub(super) fn on_escrow_open(
        &mut self,
        now_ms: u64,
        link: &Id,
        escrow: &EscrowRef,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &escrow.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        match lane.state {
            EscrowState::Funded => {}
            EscrowState::Open | EscrowState::Retired => return Ok(()),
            _ => return Err(RefusalCode::UNEXPECTED),
        }
        lane.state = EscrowState::Open;
        self.note(now_ms, "escrow_opened", &lane, lane.deposit, 0, out);
        self.save(lane, out);
        self.retire_others(now_ms, link, &escrow.escrow, out);
        Ok(())
    }

    /// Forgets the lanes of a link that is given up before it was of any use.
    pub(super) fn abandon(&mut self, link: &Id, out: &mut Out) {
        let rows: Vec<EscrowRow> = self.lanes_of(link).filter(|l| l.state != EscrowState::Spare).cloned().collect();
        for mut row in rows {
            row.state = if row.state == EscrowState::Created { EscrowState::Spare } else { EscrowState::Dropped };
            self.save(row, out);
        }
    }

    pub(super) fn lane_mut(&mut self, escrow: &AccountKey) -> Option<&mut Lane> {
        self.lanes.get_mut(escrow)
    }
}
