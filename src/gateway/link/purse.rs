//! What we have: our own accounts as the ledger last showed them and which partner sees which, what is in escrows, and
//! what the operator set aside.
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
/// One that no link has yet.
const LOOK_IDLE_MS: u64 = 600_000;
/// Accounts are looked at apart by up to so much, so that the times tell nobody that they belong together.
const FIRST_APART_MS: u64 = 3_000;
const APART_MS: u64 = 15_000;

/// An account of ours between two looks, and the queue for its sequence number: one transaction of it is in flight at a
/// time.
#[derive(Debug, Default)]
pub(super) struct Own {
    held: Option<Held>,
    /// Tag of the question how it stands that is asked only to know, and when it was asked.
    busy: Option<(u64, u64)>,
    /// About when that was answered, and whether there was too little for an escrow.
    looked: Option<(u64, bool)>,
    /// The first look is not before.
    first_ms: u64,
    /// The same for the question before its next transaction.
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

    /// Reads the accounts that links have or may get, each when that was not done for a while.
    pub(super) fn look_at_purses(&mut self, now_ms: u64, rng: &mut impl Rng, out: &mut Out) {
        let used = self.accounts_in_use();
        let numbers: Vec<u8> =
            (0..ACCOUNTS).filter(|number| *number < self.me.accounts() || used.contains(number)).collect();
        for number in numbers {
            let own = self.own_mut(number);
            if own.first_ms == 0 && number != 0 {
                own.first_ms = now_ms.saturating_add(rng.next_u64() % FIRST_APART_MS);
            }
            let due = own.looked.map_or(own.first_ms, |(at_ms, short)| {
                let idle = number != 0 && own.held.is_some() && !used.contains(&number);
                at_ms.saturating_add(if idle {
                    LOOK_IDLE_MS
                } else if short {
                    LOOK_SHORT_MS
                } else {
                    LOOK_MS
                })
            });
            if now_ms >= due {
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
        let apart = if number == 0 { 0 } else { rng.next_u64() % APART_MS };
        (own.busy, own.looked) = (None, Some((now_ms.saturating_add(apart), short)));
    }

    /// The account that a new partner gets to see: the one that it saw before, else one of its own while there is one
    /// that serves, else one that the fewest others see. A service's first account stands in its offers: it comes last.
    pub(super) fn account_for(&self, partner: Partner, role: Role) -> u8 {
        if self.me.accounts() == 1 {
            return 0;
        }
        let mut seen: BTreeMap<u8, HashSet<Partner>> = BTreeMap::new();
        for link in self.links.values() {
            if link.row.partner == partner && partner != Partner::Anonymous {
                return link.row.own;
            }
            seen.entry(link.row.own).or_default().insert(link.row.partner);
        }
        let serves = |number: &u8| {
            let purse = self.purse_of(*number);
            let Some(held) = self.own(*number).held else { return false };
            match role {
                Role::Payer => held.asset >= purse.deposit && purse.native >= Some(purse.escrow_native),
                Role::Payee => held.takes && held.native >= self.kept_for_flushes(*number),
            }
        };
        let others = |number: &u8| seen.get(number).map_or(0, HashSet::len);
        let offered = |number: &u8| *number == 0 && role == Role::Payee;
        let numbers = (0..self.me.accounts()).filter(serves);
        numbers.min_by_key(|number| (offered(number), others(number), *number)).unwrap_or(0)
    }

    /// Every account that a new link may have was looked at.
    pub(super) fn knows_accounts(&self) -> bool {
        self.me.accounts() == 1 || (0..self.me.accounts()).all(|number| self.own(number).held.is_some())
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
