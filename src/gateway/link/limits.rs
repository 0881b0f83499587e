//! What an operator sets for links. Amounts in stroops of the payment asset unless they say native.
use crate::units::Stroops;

/// Payer: lanes to one payee that are not about to end. Payee: lanes of a link that are not settled.
pub(super) const MAX_LANES: usize = 4;
/// Payer: lanes of a link that are open because the others were busy, at most.
pub(super) const BUSY_LANES: usize = 3;
/// Payee: lanes of a link, those that are settled and only wait for their end too.
pub(super) const MAX_KEPT: usize = 16;
/// Payer: escrows towards payees that asked for them, on which nothing was signed yet.
pub(super) const MAX_UNTRIED: usize = 4;
/// Payer: so long after a client whose circuit ends here paid us a payee that asks gets an escrow.
pub(super) const BACKED_MS: u64 = 60_000;
/// Seconds in which a settlement of both directions has to be agreed on and land.
pub(super) const NET_SECS: u64 = 30;
/// Seconds after its end before an epoch of it is flushed: clocks and ledgers differ.
pub(super) const NET_MARGIN_SECS: u64 = 30;
/// Epochs before the open one whose claims still buy credit.
pub(super) const LATE_EPOCHS: u32 = 3;
/// Stretches of credited amounts per lane; beyond it the lowest gaps close and what was lost there stays lost.
pub(super) const MAX_SPANS: usize = 64;
/// An answer of the ledger that does not come in this time is asked for again.
pub(super) const ASK_TIMEOUT_MS: u64 = 330_000;
/// A circuit that does not open in this time is launched again.
pub(super) const LAUNCH_TIMEOUT_MS: u64 = 60_000;
/// A link without a circuit, an escrow or a deposit goes after this time.
pub(super) const FORGET_MS: u64 = 600_000;
/// A link on which no escrow was offered goes so long after it was proposed.
pub(super) const TENTATIVE_MS: u64 = 120_000;
/// A wish for a link ends so long after it was last said.
pub(super) const WISH_MS: u64 = 600_000;
/// A relay that said hello and does not answer when it is called back is forgotten after this time.
pub(super) const CALL_BACK_MS: u64 = 60_000;
/// How often an escrow may fail the payee's look at the ledger before it is refused (a ledger may lag).
pub(super) const MAX_LOOKS: u32 = 6;
/// The longest period that a payee accepts, in periods of its own: what it holds may have to wait that long for a payer
/// that is away, and an escrow whose payer is gone for good holds a place for that long.
const MAX_PERIODS: u32 = 4;
/// Protocol version of links.
pub(super) const VERSION: u8 = 1;

/// Limits and schedules of all links of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deposit of an escrow that this node opens.
    pub deposit: Stroops,
    /// Smallest deposit that it accepts as payee.
    pub min_deposit: Stroops,
    /// Largest deposit that it accepts as payee: bounds what one escrow can keep it waiting for.
    pub max_deposit: Stroops,
    /// Links with relays, both roles together.
    pub max_links: usize,
    /// Links with clients and services, both roles together.
    pub max_anonymous_links: usize,
    /// Sum of the deposits of this node's escrows that are not over.
    pub liquidity_total: Stroops,
    /// Flushed amounts are multiples of this (1 = exact), except when little money would else be lost.
    pub denomination: Stroops,
    /// Seconds between flushes of a lane.
    pub flush_interval_secs: u64,
    /// Up to so many seconds are added to each interval.
    pub flush_jitter_secs: u64,
    /// Observation period O of escrows that this node opens, and the least that it accepts as payee.
    pub period_secs: u32,
    /// Most that one transaction may cost, native stroops.
    pub fee_ceiling: u64,
    /// Payee: what claims of a frozen epoch may add beyond what it knew at the freeze; more waits for the carry.
    pub late_limit: Stroops,
    /// Seconds by which an incoming lock outlives the one that is signed onwards for it.
    pub lock_secs: u64,
    /// Payee: how long a carry counts before the payer has signed it.
    pub carry_grace_secs: u64,
    /// First pause before anything is tried again.
    pub retry_min_ms: u64,
    /// Longest pause.
    pub retry_max_ms: u64,
    /// Native stroops that the ledger holds back per entry.
    pub base_reserve: u64,
}

impl Default for Limits {
    /// For a public network: deposits of 10 units, a week of observation, a flush every six hours or so.
    fn default() -> Self {
        let units = |n: u64| Stroops::new(n * 10_000_000).unwrap_or(Stroops::MAX);
        Limits {
            deposit: units(10),
            min_deposit: units(1),
            max_deposit: units(1000),
            max_links: 512,
            max_anonymous_links: 512,
            liquidity_total: units(500),
            denomination: Stroops::new(100_000).unwrap_or(Stroops::ZERO),
            flush_interval_secs: 6 * 3600,
            flush_jitter_secs: 3 * 3600,
            period_secs: 7 * 24 * 3600,
            fee_ceiling: 100_000,
            late_limit: Stroops::new(1_000_000).unwrap_or(Stroops::ZERO),
            lock_secs: 600,
            carry_grace_secs: 600,
            retry_min_ms: 1_000,
            retry_max_ms: 300_000,
            base_reserve: crate::stellar::template::BASE_RESERVE,
        }
    }
}

impl Limits {
    /// Pause before try number `tries` (from 0), doubling.
    pub(super) fn backoff_ms(&self, tries: u32) -> u64 {
        self.retry_min_ms.max(1).saturating_mul(1 << tries.min(20)).min(self.retry_max_ms.max(1))
    }
    /// Payee: may an escrow have this deposit and this period?
    pub(super) fn accept(&self, deposit: Stroops, period: u32) -> bool {
        let longest = self.period_secs.saturating_mul(MAX_PERIODS);
        (self.min_deposit..=self.max_deposit).contains(&deposit) && (self.period_secs..=longest).contains(&period)
    }
    /// `amount` rounded down to the denomination.
    pub(super) fn rounded(&self, amount: Stroops) -> Stroops {
        let unit = self.denomination.get().max(1);
        amount.saturating_sub(Stroops::new(amount.get() % unit).unwrap_or(Stroops::ZERO))
    }
}

/// `secs` after `from`, both sides of the epoch saturating.
pub(super) fn after_ms(from_ms: u64, secs: u64) -> u64 {
    from_ms.saturating_add(secs.saturating_mul(1000))
}
