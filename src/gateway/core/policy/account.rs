//! How the account of a paying node stands: one word, a sentence, and what to do. A pure function of what is known.
use crate::units::Stroops;
use serde::Serialize;

/// An account is low when what is left lasts less than so many days of recent use.
pub const LOW_DAYS: u64 = 3;
/// A budget is low when less than this part of it is left.
pub const LOW_BUDGET_PART: u64 = 10;
/// Without a word of the ledger for so long, while it is asked, the account is offline.
pub const OFFLINE_MS: u64 = 180_000;

/// One word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Nothing was paid yet; free windows are used.
    #[default]
    Trial,
    /// Payments are made.
    Paying,
    /// Payments are made, and what is left will not last.
    Low,
    /// Too little of the payment asset.
    OutOfFundsAsset,
    /// Too little of the native asset for reserves and fees.
    OutOfFundsNative,
    /// The ledger or tor cannot be reached.
    Offline,
}

/// How the account stands. Amounts are what the ledger last said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// One word.
    pub state: AccountState,
    /// What that means, one sentence.
    pub text: &'static str,
    /// What to do, one sentence; empty when nothing is to be done.
    pub advice: &'static str,
    /// Number of the account that this is about: of several in use the one that is worst off.
    pub own: u8,
    /// Payment asset on the account and in open escrows, stroops; none before the first look.
    pub spendable: Option<Stroops>,
    /// Native asset above what the ledger holds back, stroops; none before the first look.
    pub native: Option<u64>,
    /// Unix milliseconds of that look, 0 = never.
    pub seen_ms: u64,
    /// Circuits are used unpaid, since one after the other had a hop above the ceilings.
    pub no_circuit: bool,
}

/// What a node's links know of its money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purse {
    /// Number of the account, of several the one that is worst off.
    pub own: u8,
    /// Payment asset on the account, stroops; none before the first look.
    pub asset: Option<Stroops>,
    /// Native asset above what the ledger holds back and what is kept for fees of what stands; none before the first
    /// look.
    pub native: Option<u64>,
    /// Unix milliseconds of that look, 0 = never.
    pub seen_ms: u64,
    /// What can still be signed away on escrows that are open.
    pub in_escrows: Stroops,
    /// Deposit of the next escrow.
    pub deposit: Stroops,
    /// Native stroops that the next escrow takes in reserves and fees.
    pub escrow_native: u64,
    /// Something was signed away once.
    pub paid: bool,
    /// Unix milliseconds: since when the ledger was asked in vain, 0 = it was not.
    pub deaf_since_ms: u64,
}

/// What the state follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// tor builds circuits.
    pub tor_up: bool,
    /// No hop holds our cells back for want of payment.
    pub credit_left: bool,
    /// See [`Purse`].
    pub purse: Purse,
    /// What a day took lately: the larger of today and yesterday.
    pub day_use: Stroops,
    /// Budget of the day.
    pub budget: Stroops,
    /// What is left of it.
    pub budget_left: Stroops,
    /// See [`Account`].
    pub no_circuit: bool,
}

impl Account {
    /// The state that follows, the worst first. Nothing is remembered: a top-up counts as soon as the ledger shows it.
    pub fn of(facts: &Facts) -> Account {
        let (state, text, advice) = judge(facts);
        let purse = &facts.purse;
        Account {
            state,
            text,
            advice,
            own: purse.own,
            spendable: purse.asset.map(|asset| asset.add(purse.in_escrows).unwrap_or(Stroops::MAX)),
            native: purse.native,
            seen_ms: purse.seen_ms,
            no_circuit: facts.no_circuit,
        }
    }
}

fn judge(f: &Facts) -> (AccountState, &'static str, &'static str) {
    use AccountState::*;
    let purse = &f.purse;
    if !f.tor_up {
        return (Offline, "tor builds no circuits.", "Look at the connection and at tor's log.");
    }
    let deaf = purse.deaf_since_ms != 0 && f.now_ms >= purse.deaf_since_ms.saturating_add(OFFLINE_MS);
    if deaf {
        return (Offline, "The ledger has not answered for minutes.", "It is asked again by itself; look at [ledger].");
    }
    let asset_short = purse.asset.is_some_and(|asset| asset < purse.deposit);
    let native_short = purse.native.is_some_and(|native| native < purse.escrow_native);
    let nothing_open = purse.in_escrows.is_zero();
    // Who never paid is not out of funds before its free windows are.
    let trial = !purse.paid && f.credit_left;
    if nothing_open && !trial && native_short {
        let advice = "Send XLM to the account; payments go on by themselves.";
        return (OutOfFundsNative, "The account holds too little XLM for the reserve and fees of an escrow.", advice);
    }
    if nothing_open && !trial && asset_short {
        let advice = "Send the payment asset to the account; payments go on by themselves.";
        return (OutOfFundsAsset, "The account holds too little of the payment asset for an escrow.", advice);
    }
    if !purse.paid {
        return match (asset_short || native_short, nothing_open) {
            (true, true) => (
                Trial,
                "Nothing was paid yet; relays and sites serve a free window.",
                "Fund the account with XLM and the payment asset to go on after it.",
            ),
            _ => (Trial, "Nothing was paid yet; the first payment comes by itself when a free window is used.", ""),
        };
    }
    if f.budget_left.get() <= f.budget.get() / LOW_BUDGET_PART {
        return (Low, "The budget of the day is nearly used up.", "Raise it, or wait for the next day (UTC).");
    }
    let whole = purse.asset.map(|asset| asset.add(purse.in_escrows).unwrap_or(Stroops::MAX));
    if native_short {
        return (
            Low,
            "There is too little XLM for another escrow when the open one is used.",
            "Send XLM to the account.",
        );
    }
    let days = f.day_use.get().saturating_mul(LOW_DAYS);
    if whole.is_some_and(|whole| whole < purse.deposit || whole.get() < days) {
        let text =
            "What is left of the payment asset lasts less than three days like the last, or is less than a deposit.";
        return (Low, text, "Send the payment asset to the account.");
    }
    if f.no_circuit {
        let text = "Payments are made where they can be; circuit after circuit had a hop above the ceilings.";
        return (Paying, text, "Raise the ceilings, or wait: other circuits are tried again after ten minutes.");
    }
    (Paying, "Payments are made.", "")
}
