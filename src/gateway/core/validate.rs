//! Is a payment request what the payer itself counted, at the price that it agreed to?
use super::message::{Id, Offer, PaymentRequest, RefusalCode, ServiceKind};
use super::price;
use super::request::verify_mac;
use crate::units::Stroops;

/// How far in the future a request may be dated, seconds: two clocks differ.
pub const CLOCK_SKEW_S: u64 = 300;
/// The longest that a request may be valid, seconds.
pub const REQUEST_TTL_MAX_S: u64 = 24 * 3600;

/// What the payer counted itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Relay cells: own counts when the cell arrived, and the payee's stamp in that cell.
    Cells {
        /// Own count towards the payer.
        own_in: u64,
        /// Own count away from the payer.
        own_out: u64,
        /// The payee's count towards the payer when it sent the cell: equal to ours, circuits are first-in first-out.
        stamp_in: u64,
        /// The payee's count the other way: at most ours, the rest is under way.
        stamp_out: u64,
    },
    /// Bytes of bodies or blocks; 1 % tolerance.
    Bytes {
        /// Own count towards the payer.
        own_in: u64,
        /// Own count away from the payer.
        own_out: u64,
    },
}

/// What the payer knows of the session.
#[derive(Clone, Copy, Debug)]
pub struct Agreed<'a> {
    /// The offer that it agreed to.
    pub offer: &'a Offer,
    /// Its hash, as `offer_hash` gives it.
    pub offer_hash: Id,
    /// The last request of the session that was accepted.
    pub previous: Option<&'a PaymentRequest>,
    /// What the payee acknowledged so far (`Delivered::paid`), cumulative.
    pub acknowledged: Stroops,
    /// How many bytes ahead of the service the payer lets itself be asked (the offer's `ahead_bytes`, or its own
    /// window when that is larger).
    pub ahead_bytes: u64,
}

/// A request that may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Due and not yet acknowledged as paid.
    pub open: Stroops,
    /// True when this very request was accepted before.
    pub repeated: bool,
}

/// A request that is not paid as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: RefusalCode,
    /// Where only the counts differ: the cumulative amount that the payer's own count comes to. It pays that, says
    /// so, and the payee decides whether to go on.
    pub payable: Option<Stroops>,
}

impl From<RefusalCode> for Refused {
    fn from(code: RefusalCode) -> Self {
        Refused { code, payable: None }
    }
}

/// Checks `request` at `now` (unix seconds). Pure; the budget is asked afterwards.
pub fn check(agreed: &Agreed<'_>, request: &PaymentRequest, counts: Counts, now: u64) -> Result<Accepted, Refused> {
    authentic(agreed, request)?;
    in_time(request, now)?;
    let repeated = monotonic(agreed, request)?;
    let payable = payable(agreed, request.kind, counts);
    let differ = |code| Refused { code, payable };
    counted(request, counts).map_err(differ)?;
    let ceiling = ceiling(agreed, request).ok_or(RefusalCode::AMOUNT_ABOVE)?;
    if request.amount_due > ceiling {
        return Err(differ(RefusalCode::AMOUNT_ABOVE));
    }
    Ok(Accepted { open: request.amount_due.saturating_sub(agreed.acknowledged), repeated })
}

fn authentic(agreed: &Agreed<'_>, request: &PaymentRequest) -> Result<(), RefusalCode> {
    if request.session != agreed.offer.session {
        return Err(RefusalCode::SESSION_UNKNOWN);
    }
    if !verify_mac(&agreed.offer.mac_key, request) {
        return Err(RefusalCode::BAD_MAC);
    }
    if request.kind != agreed.offer.kind {
        return Err(RefusalCode::WRONG_KIND);
    }
    if request.offer_hash != agreed.offer_hash {
        return Err(RefusalCode::OFFER_MISMATCH);
    }
    Ok(())
}

fn in_time(request: &PaymentRequest, now: u64) -> Result<(), RefusalCode> {
    if request.expires <= now {
        return Err(RefusalCode::EXPIRED);
    }
    let future = request.issued > now.saturating_add(CLOCK_SKEW_S);
    let backwards = request.issued >= request.expires;
    if future || backwards || request.expires - request.issued > REQUEST_TTL_MAX_S {
        return Err(RefusalCode::NOT_YET);
    }
    Ok(())
}

/// Ok(true) when the request is the previous one once more.
fn monotonic(agreed: &Agreed<'_>, request: &PaymentRequest) -> Result<bool, RefusalCode> {
    if request.amount_paid < agreed.acknowledged {
        return Err(RefusalCode::WENT_BACKWARDS);
    }
    let Some(previous) = agreed.previous else { return Ok(false) };
    if request.id == previous.id {
        return if request == previous { Ok(true) } else { Err(RefusalCode::DUPLICATE_CONFLICT) };
    }
    if request.amount_due < previous.amount_due {
        return Err(RefusalCode::AMOUNT_BELOW);
    }
    let lower = request.units_in < previous.units_in
        || request.units_out < previous.units_out
        || request.amount_paid < previous.amount_paid
        || request.issued < previous.issued;
    if lower { Err(RefusalCode::WENT_BACKWARDS) } else { Ok(false) }
}

fn counted(request: &PaymentRequest, counts: Counts) -> Result<(), RefusalCode> {
    match counts {
        Counts::Cells { own_in, own_out, stamp_in, stamp_out } => {
            if stamp_in != own_in || stamp_out > own_out {
                return Err(RefusalCode::STAMP_MISMATCH);
            }
            if request.units_in > stamp_in || request.units_out > stamp_out {
                return Err(RefusalCode::UNITS_ABOVE);
            }
        }
        Counts::Bytes { own_in, own_out } => {
            if request.units_in > tolerated(own_in) || request.units_out > tolerated(own_out) {
                return Err(RefusalCode::UNITS_ABOVE);
            }
        }
    }
    Ok(())
}

/// One per cent more.
fn tolerated(own: u64) -> u64 {
    own.saturating_add(own / 100)
}

/// The most that the request may ask: the price of what it counts, and the window ahead.
fn ceiling(agreed: &Agreed<'_>, request: &PaymentRequest) -> Option<Stroops> {
    let units = request.units_in.checked_add(request.units_out)?;
    at_most(agreed, request.kind, units)
}

fn payable(agreed: &Agreed<'_>, kind: ServiceKind, counts: Counts) -> Option<Stroops> {
    let (Counts::Cells { own_in, own_out, .. } | Counts::Bytes { own_in, own_out }) = counts;
    at_most(agreed, kind, own_in.checked_add(own_out)?)
}

fn at_most(agreed: &Agreed<'_>, kind: ServiceKind, units: u64) -> Option<Stroops> {
    let served = price::of_units(kind, agreed.offer.price, units).ok()?;
    served.add(price::of_bytes(agreed.offer.price, agreed.ahead_bytes).ok()?).ok()
}
