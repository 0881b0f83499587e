//! What a pass costs at each hop, and how far a payer pays ahead.
use super::message::ServiceKind;
use super::offer::denomination_at_most;
use crate::units::{AmountRange, Price, Stroops};

/// What `bytes` cost, rounded up to the stroop.
pub fn of_bytes(price: Price, bytes: u64) -> Result<Stroops, AmountRange> {
    let stroops = (u128::from(bytes) * u128::from(price.0)).div_ceil(1 << 20);
    u64::try_from(stroops).map_err(|_| AmountRange).and_then(Stroops::new)
}

/// How many whole bytes `amount` pays for (all of them when the price is 0).
pub fn bytes_for(price: Price, amount: Stroops) -> u64 {
    let bytes = (u128::from(amount.get()) << 20).checked_div(u128::from(price.0));
    bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(u64::MAX)
}

/// What `units` of a service cost: cells for tor, bytes else.
pub fn of_units(kind: ServiceKind, price: Price, units: u64) -> Result<Stroops, AmountRange> {
    match kind {
        ServiceKind::Tor => price.of_cells(units),
        ServiceKind::Ipfs | ServiceKind::Http => of_bytes(price, units),
    }
}

/// One payee of a pass, in the order of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopDue {
    /// What it is owed for its own service.
    pub due: Stroops,
    /// What it keeps when it forwards a claim.
    pub fee: Stroops,
}

/// AmountIn of each payee: its due, plus, when something goes on behind it, its fee and that amount. The last payee
/// gets its due alone; one with nothing due behind it forwards nothing and takes no fee.
pub fn pass_amounts(hops: &[HopDue]) -> Result<Vec<Stroops>, AmountRange> {
    let mut amounts = vec![Stroops::ZERO; hops.len()];
    let mut behind = Stroops::ZERO;
    for (amount, hop) in amounts.iter_mut().zip(hops).rev() {
        let forwarding = if behind.is_zero() { Stroops::ZERO } else { hop.fee.add(behind)? };
        behind = hop.due.add(forwarding)?;
        *amount = behind;
    }
    Ok(amounts)
}

/// So many times what was paid on a circuit is paid ahead there: what is spent on payment cells is a part of the
/// traffic that falls with the length of a download, and at most 0.5 % of one of 10 MiB.
pub const GROWTH: u64 = 3;

/// What decides how far ahead to pay at one hop of one circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Of the agreed offer.
    pub price: Price,
    /// Own count, both directions, cumulative over the circuit.
    pub counted_cells: u64,
    /// Paid to this hop on this circuit, cumulative.
    pub paid: Stroops,
    /// Bytes per second, as measured by ourselves.
    pub rate: u64,
    /// From the decision to pay to the hop's receipt, milliseconds.
    pub latency_ms: u64,
    /// What the offer suggests to pay ahead, bytes.
    pub ahead_bytes: u64,
    /// The most that the payer risks at this hop, bytes.
    pub cap_bytes: u64,
}

impl Ahead {
    /// How far ahead of the service a payment reaches, in bytes: what the offer suggests, [`GROWTH`] times what was paid
    /// (so that payments grow and become rare), and twice what flows while a payment is under way; never above
    /// the cap.
    pub fn window_bytes(&self) -> u64 {
        self.ahead_bytes.max(self.proven_bytes().saturating_mul(GROWTH)).max(self.flowing_bytes()).min(self.cap_bytes)
    }

    fn flowing_bytes(&self) -> u64 {
        let flowing = u128::from(self.rate).saturating_mul(2 * u128::from(self.latency_ms)) / 1000;
        u64::try_from(flowing).unwrap_or(u64::MAX)
    }

    fn proven_bytes(&self) -> u64 {
        if self.paid.is_zero() { 0 } else { bytes_for(self.price, self.paid) }
    }

    /// The cumulative amount to pay up to now. None while a quarter of what was paid is left, and one and a half times
    /// what flows while a payment is under way. The increment is a power of two stroops, so that it tells nobody what
    /// was consumed.
    pub fn target(&self) -> Result<Option<Stroops>, AmountRange> {
        self.target_below(1)
    }

    /// The same when somebody on the circuit has to be paid: none while half of what was paid is left. One pass for all
    /// is cheaper than one for each a moment later.
    pub fn target_along(&self) -> Result<Option<Stroops>, AmountRange> {
        self.target_below(2)
    }

    fn target_below(&self, quarters: u64) -> Result<Option<Stroops>, AmountRange> {
        let proven = self.proven_bytes().min(self.window_bytes()) / 4 * quarters;
        let low_bytes = proven.max(self.flowing_bytes() / 4 * (quarters + 2));
        let served = self.price.of_cells(self.counted_cells)?;
        let window = of_bytes(self.price, self.window_bytes())?;
        let low = of_bytes(self.price, low_bytes.min(self.window_bytes()))?;
        if window.is_zero() || self.paid.saturating_sub(served) > low {
            return Ok(None);
        }
        let need = served.add(window)?.saturating_sub(self.paid);
        let most = served.add(of_bytes(self.price, self.cap_bytes)?)?.saturating_sub(self.paid);
        let up = need.get().checked_next_power_of_two().unwrap_or(u64::MAX);
        let increment = if up <= most.get() { Stroops::new(up)? } else { denomination_at_most(need) };
        if increment.is_zero() { Ok(None) } else { self.paid.add(increment).map(Some) }
    }
}
