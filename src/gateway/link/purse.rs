//! Our own accounts: what they held when the ledger last showed them, and which partner sees which.
use super::identity::{ESCROW_RESERVES, Identity};
use super::ledger::Ask;
use super::limits::ASK_TIMEOUT_MS;
use super::links::Links;
use super::open_payer::FEE_RESERVE;
use super::rows::{EscrowRow, EscrowState, Partner, Role};
use crate::gateway::core::policy::Purse;
use crate::gateway::port::{AccountView, Effect, LedgerCall, LedgerResult, Out};
use crate::stellar::keys::ACCOUNTS;
use crate::units::Stroops;
use rand::Rng;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// An account that is used is read so often, and more often while it holds too little: a top-up is to be seen soon.
const LOOK_MS: u64 = 60_000;
const LOOK_SHORT_MS: u64 = 10_000;
/// What was seen of one that no link has holds for so long, when a new partner might get it.
const LOOK_IDLE_MS: u64 = 600_000;
/// Accounts are looked at apart by up to so much, so that the times tell nobody that they belong together.
const APART_MS: u64 = 15_000;

/// An account of ours between two looks, and the queue for its sequence number: one transaction of it is in flight at a
/// time.
#[derive(Debug, Default)]
pub(super) struct Own {
    held: Option<Held>,
    /// Tag of the look that is open, and when it was asked for.
    busy: Option<(u64, u64)>,
    /// About when the last look was answered, and whether there was too little for an escrow.
    looked: Option<(u64, bool)>,
    /// A new partner might get to see it.
    wanted: bool,
    /// Tag of the question that is asked before its next transaction, while it is open, and when it was asked.
    pub waits: Option<(u64, u64)>,
    /// No such question before.
    pub due_ms: u64,
    /// Failed tries since the last success.
    pub tries: u32,
    /// The last look found too little.
    pub no_funds: bool,
    /// The highest sequence number that a ledger showed.
    pub sequence: i64,
}

/// What an account holds. One that is not there holds nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    asset: Stroops,
    /// Native stroops above what the ledger holds back.
    native: u64,
    /// It can be given the payment asset.
    takes: bool,
    /// Unix milliseconds.
    at_ms: u64,
}

/// An account of ours beside the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OwnAccount {
    /// Its number.
    pub number: u8,
    /// Payment asset on it, stroops.
    pub asset: Stroops,
    /// Native stroops above what the ledger holds back.
    pub native: u64,
    /// Unix milliseconds of the look, 0 = not yet.
    pub seen_ms: u64,
}

impl Links {
    /// The account of this number; rows with a number beyond them are refused when they are loaded.
    pub(super) fn own(&self, number: u8) -> &Own {
        &self.own[usize::from(number) % self.own.len()]
    }

    pub(super) fn own_mut(&mut self, number: u8) -> &mut Own {
        let numbers = self.own.len();
        &mut self.own[usize::from(number) % numbers]
    }

    /// Numbers of the accounts that links have.
    pub(super) fn accounts_in_use(&self) -> BTreeSet<u8> {
        let owned = self.index.owned();
        let first = (self.links.len() > owned.len()).then_some(0);
        owned.iter().map(|(number, _)| *number).chain(first).collect()
    }

    /// What the accounts beside the first one hold that partners see.
    pub fn more_accounts(&self) -> Vec<OwnAccount> {
        let numbers = self.accounts_in_use().into_iter().filter(|number| *number != 0);
        let held = |number| (number, self.own(number).held.unwrap_or_default());
        let shown = |(number, Held { asset, native, at_ms, .. })| OwnAccount { number, asset, native, seen_ms: at_ms };
        numbers.map(held).map(shown).collect()
    }

    /// Every answer of the ledger tells that it can be reached, and some how an account of ours stands.
    pub(super) fn heard(&mut self, now_ms: u64, ask: Option<Ask>, result: &LedgerResult) {
        if let LedgerResult::Unknown { .. } = result {
            if self.deaf_since_ms == 0 {
                self.deaf_since_ms = now_ms.max(1);
            }
            return;
        }
        self.deaf_since_ms = 0;
        match (result, ask) {
            (LedgerResult::Account(view), _) => {
                let Some(number) = self.me.number_of(&view.account) else { return };
                let native = Identity::spendable_native(view, self.limits.base_reserve);
                let held =
                    Held { asset: self.balance(view, native), native, takes: self.me.can_hold(view), at_ms: now_ms };
                self.own_mut(number).held = Some(held);
            }
            (LedgerResult::NotFound, Some(Ask::Own(number) | Ask::Purse(number))) => {
                self.own_mut(number).held = Some(Held { at_ms: now_ms, ..Held::default() });
            }
            _ => {}
        }
    }

    fn balance(&self, view: &AccountView, native: u64) -> Stroops {
        let held = if self.me.is_native() { native } else { self.me.balance(view) };
        Stroops::new(held).unwrap_or(Stroops::MAX)
    }

    /// Reads the first account, those that links have, and those that a new partner might get, each when that was not
    /// done for a while.
    pub(super) fn look_at_purses(&mut self, now_ms: u64, out: &mut Out) {
        let used = self.accounts_in_use();
        for number in 0..ACCOUNTS {
            let own = self.own(number);
            let due = own
                .looked
                .map_or(0, |(at_ms, short)| at_ms.saturating_add(if short { LOOK_SHORT_MS } else { LOOK_MS }));
            if now_ms >= due && (number == 0 || own.wanted || used.contains(&number)) {
                self.look_at_purse(now_ms, number, out);
            }
        }
    }

    fn look_at_purse(&mut self, now_ms: u64, number: u8, out: &mut Out) {
        if let Some((tag, since)) = self.own(number).busy {
            if now_ms < since.saturating_add(ASK_TIMEOUT_MS) {
                return;
            }
            self.asks.remove(&tag);
            self.heard(now_ms, None, &LedgerResult::Unknown { why: String::new() });
        }
        let tag = self.tag(Ask::Purse(number));
        self.own_mut(number).busy = Some((tag, now_ms));
        out.effects.push(Effect::Ledger(LedgerCall::Account { tag, account: self.me.account(number) }));
    }

    /// The answer to that.
    pub(super) fn on_purse(&mut self, now_ms: u64, rng: &mut impl Rng, number: u8) {
        let purse = self.purse_of(number);
        let short = purse.asset.is_none_or(|asset| asset < purse.deposit)
            || purse.native.is_none_or(|native| native < purse.escrow_native);
        let own = self.own_mut(number);
        if own.held.is_some_and(|held| held.at_ms == now_ms) {
            own.wanted = false;
        }
        let apart = if number == 0 { 0 } else { rng.next_u64() % APART_MS };
        (own.busy, own.looked) = (None, Some((now_ms.saturating_add(apart), short)));
    }

    /// The account that a new partner gets to see: the one that it saw before, else one of its own while there is one
    /// that serves, else one that the fewest others see. A service's first account stands in its offers: it comes last.
    /// None while it has to be looked which of them serve.
    pub(super) fn account_for(&mut self, now_ms: u64, partner: Partner, role: Role) -> Option<u8> {
        if let Partner::Relay(relay) = partner
            && let Some(link) = self.index.with(&relay).find_map(|id| self.links.get(id))
        {
            return Some(link.row.own);
        }
        if self.me.accounts() == 1 {
            return Some(0);
        }
        let mut seen: BTreeMap<u8, HashSet<Partner>> = BTreeMap::new();
        for link in self.links.values() {
            seen.entry(link.row.own).or_default().insert(link.row.partner);
        }
        // Whoever is asked to pay us gets to see it before there is a link.
        for ((relay, _), dial) in self.dials.iter().filter(|((_, role), d)| *role == Role::Payee && d.link.is_none()) {
            seen.entry(dial.own).or_default().insert(Partner::Relay(*relay));
        }
        let offered = |number: u8| number == 0 && role == Role::Payee;
        let unseen = (0..self.me.accounts()).filter(|number| !offered(*number) && !seen.contains_key(number));
        for number in unseen {
            let known = |held: &Held| number == 0 || now_ms < held.at_ms.saturating_add(LOOK_IDLE_MS);
            if !self.own(number).held.as_ref().is_some_and(known) {
                self.own_mut(number).wanted = true;
                return None;
            }
            if self.serves(number, role) {
                return Some(number);
            }
        }
        let shared = (0..self.me.accounts()).filter(|number| self.serves(*number, role));
        let others = |number: u8| seen.get(&number).map_or(0, HashSet::len);
        Some(shared.min_by_key(|number| (offered(*number), others(*number), *number)).unwrap_or(0))
    }

    /// As it was last seen: enough for an escrow, or for being paid.
    fn serves(&self, number: u8, role: Role) -> bool {
        let (purse, Some(held)) = (self.purse_of(number), self.own(number).held) else { return false };
        match role {
            Role::Payer => held.asset >= purse.deposit && purse.native >= Some(purse.escrow_native),
            Role::Payee => held.takes && held.native >= self.kept_for_flushes(number),
        }
    }

    /// What there is to pay with on the account that is worst off, of those whose partners are there; while none is, on
    /// the best one.
    pub fn purse(&self) -> Purse {
        if self.me.accounts() == 1 && self.index.owned().is_empty() {
            return self.purse_of(0);
        }
        let used: BTreeSet<u8> = self.links.values().filter(|l| l.circ.is_some()).map(|l| l.row.own).collect();
        let worth = |purse: &Purse| (purse.asset.map(|asset| asset.add(purse.in_escrows).ok()), purse.native);
        let of = |number| self.purse_of(number);
        let worst = used.into_iter().map(of).min_by_key(worth);
        worst
            .or_else(|| {
                (0..self.me.accounts()).map(of).max_by_key(|purse| (worth(purse), std::cmp::Reverse(purse.own)))
            })
            .unwrap_or_default()
    }

    fn purse_of(&self, number: u8) -> Purse {
        let payers = || self.paying_lanes().map(|lane| &lane.row);
        let ours = || payers().filter(|row| row.own == number);
        let sum = |amounts: &mut dyn Iterator<Item = Stroops>| {
            amounts.fold(Stroops::ZERO, |sum, amount| sum.add(amount).unwrap_or(Stroops::MAX))
        };
        // Checked when the opening began, and still on the account.
        let promised = |row: &&EscrowRow| {
            use EscrowState::{Created, Creating, Funding};
            matches!(row.state, Creating { .. } | Created | Funding { .. })
        };
        let waits = sum(&mut ours().filter(promised).map(|row| row.deposit));
        let open = |row: &&EscrowRow| matches!(row.state, EscrowState::Funded | EscrowState::Open);
        let left = sum(&mut ours().filter(open).map(|row| self.capacity(row).saturating_sub(row.total)));
        let native_deposit = if self.me.is_native() { self.limits.deposit.get() } else { 0 };
        let held = self.own(number).held;
        Purse {
            own: number,
            asset: held.map(|held| held.asset.saturating_sub(waits)),
            native: held.map(|held| held.native.saturating_sub(self.kept_for_flushes(number))),
            seen_ms: held.map_or(0, |held| held.at_ms),
            in_escrows: left.add(waits).unwrap_or(Stroops::MAX),
            deposit: self.limits.deposit,
            escrow_native: (ESCROW_RESERVES * self.limits.base_reserve + FEE_RESERVE).saturating_add(native_deposit),
            paid: self.paid || payers().any(|row| !row.total.is_zero()),
            deaf_since_ms: self.deaf_since_ms,
        }
    }
}
