//! What we have: our own account as the ledger last showed it, what is in escrows, and what the operator set aside.
use super::identity::{ESCROW_RESERVES, Identity};
use super::ledger::Ask;
use super::limits::ASK_TIMEOUT_MS;
use super::links::Links;
use super::open_payer::FEE_RESERVE;
use super::rows::{EscrowRow, EscrowState, Partner, Role};
use crate::gateway::core::policy::Purse;
use crate::gateway::port::{AccountView, Effect, LedgerCall, LedgerResult, Out};
use crate::units::Stroops;
use serde::Serialize;
use std::collections::BTreeMap;

/// Our account is read so often, and more often while it holds too little: a top-up is to be seen soon.
const LOOK_MS: u64 = 60_000;
const LOOK_SHORT_MS: u64 = 10_000;

/// Our account between two looks.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Payment asset and free native asset, and when they were read. An account that is not there holds nothing.
    held: Option<(Stroops, u64, u64)>,
    /// Tag of the question that is open, and when it was asked.
    busy: Option<(u64, u64)>,
    due_ms: u64,
    /// Since when the ledger was asked in vain, 0 = it was not.
    deaf_since_ms: u64,
    /// A lane that is over was paid on.
    pub(super) paid: bool,
}

/// The operator's money in escrows. Stroops of the payment asset unless it says native.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Liquidity {
    /// Set aside for escrows, `links.liquidity`.
    pub total: Stroops,
    /// In escrows or promised to them.
    pub tied_up: Stroops,
    /// What another escrow may take.
    pub free: Stroops,
    /// `tied_up` by what becomes of it.
    pub states: Tied,
    /// Escrows of ours that are not over.
    pub escrows: usize,
    /// Native stroops of reserves that these escrows hold; they come back with the deposit.
    pub reserves: u64,
    /// By payee, the most first.
    pub payees: Vec<PayeeLiquidity>,
}

/// Where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tied {
    /// In escrows that are being opened.
    pub opening: Stroops,
    /// In escrows that claims go to.
    pub open: Stroops,
    /// In escrows that a newer one took over: waits for the last flush and for the period.
    pub retired: Stroops,
    /// On its way back.
    pub returning: Stroops,
    /// In escrows that are over, where nothing brings it back.
    pub stranded: Stroops,
}

/// What one payee ties up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PayeeLiquidity {
    /// Who.
    pub partner: Partner,
    /// How much.
    pub tied_up: Stroops,
    /// In how many escrows.
    pub escrows: usize,
}

impl Links {
    /// Every answer of the ledger tells that it can be reached, and some how our account stands.
    pub(super) fn heard(&mut self, now_ms: u64, ask: Option<Ask>, result: &LedgerResult) {
        if let LedgerResult::Unknown { .. } = result {
            if self.own.deaf_since_ms == 0 {
                self.own.deaf_since_ms = now_ms.max(1);
            }
            return;
        }
        self.own.deaf_since_ms = 0;
        match result {
            LedgerResult::Account(view) if view.account == self.me.account() => {
                let native = Identity::spendable_native(view, self.limits.base_reserve);
                self.own.held = Some((self.balance(view, native), native, now_ms));
            }
            LedgerResult::NotFound if matches!(ask, Some(Ask::Own | Ask::Purse)) => {
                self.own.held = Some((Stroops::ZERO, 0, now_ms));
            }
            _ => {}
        }
    }

    fn balance(&self, view: &AccountView, native: u64) -> Stroops {
        let held = if self.me.is_native() { native } else { self.me.balance(view) };
        Stroops::new(held).unwrap_or(Stroops::MAX)
    }

    /// Reads our account when that was not done for a while.
    pub(super) fn look_at_purse(&mut self, now_ms: u64, out: &mut Out) {
        if let Some((tag, since)) = self.own.busy {
            if now_ms < since.saturating_add(ASK_TIMEOUT_MS) {
                return;
            }
            self.asks.remove(&tag);
            self.heard(now_ms, None, &LedgerResult::Unknown { why: String::new() });
        }
        if now_ms < self.own.due_ms {
            return;
        }
        let tag = self.tag(Ask::Purse);
        self.own.busy = Some((tag, now_ms));
        out.effects.push(Effect::Ledger(LedgerCall::Account { tag, account: self.me.account() }));
    }

    /// The answer to that.
    pub(super) fn on_purse(&mut self, now_ms: u64) {
        self.own.busy = None;
        let purse = self.purse();
        let short = purse.asset.is_none_or(|asset| asset < purse.deposit)
            || purse.native.is_none_or(|native| native < purse.escrow_native);
        self.own.due_ms = now_ms.saturating_add(if short { LOOK_SHORT_MS } else { LOOK_MS });
    }

    /// What there is to pay with.
    pub fn purse(&self) -> Purse {
        let payers = || self.lanes.values().map(|lane| &lane.row).filter(|row| row.role == Role::Payer);
        let sum = |amounts: &mut dyn Iterator<Item = Stroops>| {
            amounts.fold(Stroops::ZERO, |sum, amount| sum.add(amount).unwrap_or(Stroops::MAX))
        };
        // Checked when the opening began, and still on the account.
        let promised = |row: &&EscrowRow| {
            use EscrowState::{Created, Creating, Funding};
            matches!(row.state, Creating { .. } | Created | Funding { .. })
        };
        let waits = sum(&mut payers().filter(promised).map(|row| row.deposit));
        let open = |row: &&EscrowRow| matches!(row.state, EscrowState::Funded | EscrowState::Open);
        let left = sum(&mut payers().filter(open).map(|row| self.capacity(row).saturating_sub(row.total)));
        let native_deposit = if self.me.is_native() { self.limits.deposit.get() } else { 0 };
        Purse {
            asset: self.own.held.map(|(asset, ..)| asset.saturating_sub(waits)),
            native: self.own.held.map(|(_, native, _)| native.saturating_sub(self.kept_for_flushes())),
            seen_ms: self.own.held.map_or(0, |(.., at)| at),
            in_escrows: left.add(waits).unwrap_or(Stroops::MAX),
            deposit: self.limits.deposit,
            escrow_native: (ESCROW_RESERVES * self.limits.base_reserve + FEE_RESERVE).saturating_add(native_deposit),
            paid: self.own.paid || payers().any(|row| !row.total.is_zero()),
            deaf_since_ms: self.own.deaf_since_ms,
        }
    }

    /// What `links.liquidity` is tied up in.
    pub fn liquidity(&self) -> Liquidity {
        let add = |sum: &mut Stroops, amount: Stroops| *sum = sum.add(amount).unwrap_or(Stroops::MAX);
        let mut all = Liquidity { total: self.limits.liquidity_total, ..Liquidity::default() };
        let mut payees: BTreeMap<_, PayeeLiquidity> = BTreeMap::new();
        for row in self.lanes.values().map(|lane| &lane.row).filter(|row| row.role == Role::Payer) {
            let tied_up = row.tied_up();
            add(&mut all.tied_up, tied_up);
            all.escrows += 1;
            let exists = !matches!(row.state, EscrowState::Planned | EscrowState::Creating { .. });
            all.reserves += if exists { ESCROW_RESERVES * self.limits.base_reserve } else { 0 };
            add(
                match &row.state {
                    EscrowState::Open => &mut all.states.open,
                    EscrowState::Retired => &mut all.states.retired,
                    state if state.is_returning() => &mut all.states.returning,
                    _ => &mut all.states.opening,
                },
                tied_up,
            );
            let Some(partner) = self.links.get(&row.link).map(|link| link.row.partner) else { continue };
            let payee =
                payees.entry(row.link).or_insert(PayeeLiquidity { partner, tied_up: Stroops::ZERO, escrows: 0 });
            add(&mut payee.tied_up, tied_up);
            payee.escrows += 1;
        }
        all.states.stranded = self.stranded;
        add(&mut all.tied_up, self.stranded);
        all.free = self.liquidity_left();
        all.payees = payees.into_values().collect();
        all.payees.sort_by_key(|payee| std::cmp::Reverse(payee.tied_up));
        all
    }
}
