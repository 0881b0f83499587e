//! The paying side as a person sees it.
use super::{HopState, Pay};
use crate::gateway::core::message::RefusalCode;
use crate::gateway::port::{CircuitId, Counted};
use crate::units::{Price, Stroops};

/// Refusals kept for the person to see.
const MAX_REFUSED: usize = 256;
/// The same refusal within this time is one more of it.
const SAME_MS: u64 = 600_000;

/// A refusal that the person can see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Unix milliseconds, of the last one.
    pub at: u64,
    /// Unix milliseconds, of the first one.
    pub since: u64,
    /// How many.
    pub count: u64,
    /// Who is concerned, for people.
    pub who: String,
    /// Why.
    pub code: u16,
    /// In words.
    pub text: &'static str,
    /// True when we refused, false when we were refused.
    pub by_us: bool,
}

/// One circuit of the paying side.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CircuitStatus {
    /// tor's number.
    pub circ: CircuitId,
    /// The conflux set that it is a leg of, 16 hex digits.
    pub set: Option<String>,
    /// Guard first.
    pub hops: Vec<HopStatus>,
    /// Why nothing is paid on it any more: the name of a refusal.
    pub given_up: Option<&'static str>,
    /// Why nothing is paid on it just now.
    pub waits: Option<&'static str>,
}

/// The counters of both ends when a hop last spoke: circuits keep order, so this is one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Stamped {
    /// Ours when its cell arrived.
    pub client: Counted,
    /// Its own, from that cell.
    pub hop: Counted,
}

impl Stamped {
    /// Towards us the same cells; away from us it has seen at most what we sent.
    pub fn agrees(&self) -> bool {
        self.hop.inward == self.client.inward && self.hop.outward <= self.client.outward
    }
}

/// One hop of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HopStatus {
    /// The relay.
    pub nickname: String,
    /// Whether it understands payment cells.
    pub speaks: bool,
    /// Own count of cells towards us.
    pub inward: u64,
    /// Own count of cells away from us.
    pub outward: u64,
    /// Both ends' counts when it last spoke.
    pub stamped: Stamped,
    /// Paid on this circuit for carrying.
    pub paid: Stroops,
    /// What it asks, once it said so.
    pub offer: Option<OfferStatus>,
    /// Its newest valid request, cumulative over the circuit.
    pub due: Option<Stroops>,
}

/// What a hop asks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OfferStatus {
    /// Stroops per MiB.
    pub price: Price,
    /// Stroops kept of each payment that is passed on.
    pub fee: Stroops,
    /// Bytes before the first payment.
    pub credit_bytes: u32,
    /// Bytes that it asks to stay ahead.
    pub ahead_bytes: u32,
    /// Unix seconds.
    pub expires: u64,
}

impl Pay {
    /// What was refused lately, and why.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Our counters, paid amounts and the speakers' names, for status.
    pub fn circuits(&self) -> Vec<CircuitStatus> {
        let hop = |h: &HopState| HopStatus {
            nickname: h.hop.nickname.clone(),
            speaks: h.hop.speaks,
            inward: h.own.inward,
            outward: h.own.outward,
            stamped: h.stamped,
            paid: h.paid,
            offer: h.offer.as_ref().map(|offer| OfferStatus {
                price: offer.price,
                fee: offer.fee,
                credit_bytes: offer.credit_bytes,
                ahead_bytes: offer.ahead_bytes,
                expires: offer.expires,
            }),
            due: h.request.as_ref().map(|request| request.amount_due),
        };
        self.circuits
            .iter()
            .map(|(circ, c)| CircuitStatus {
                circ: *circ,
                set: c.set.map(|set| format!("{set:016x}")),
                hops: c.hops.iter().map(hop).collect(),
                given_up: c.given_up.map(RefusalCode::name),
                waits: c.waits.map(RefusalCode::name),
            })
            .collect()
    }

    pub(super) fn refuse(&mut self, at: u64, who: String, code: RefusalCode, by_us: bool) {
        let same =
            |r: &Refused| r.code == code.0 && r.by_us == by_us && r.who == who && at < r.since.saturating_add(SAME_MS);
        if let Some(known) = self.refused.iter_mut().rfind(|r| same(r)) {
            (known.at, known.count) = (at, known.count.saturating_add(1));
            return;
        }
        if self.refused.len() >= MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(Refused { at, since: at, count: 1, who, code: code.0, text: code.text(), by_us });
    }
}
