//! Offers, requests, their validation, prices and budgets.
mod budgets;
mod offers;
mod policies;
mod prices;
mod requests;

use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::{self, SessionIds, Terms, offer_hash};
use magicwave::gateway::core::policy::{Budget, Limits, RESERVATIONS_MAX, Spent};
use magicwave::gateway::core::price::{Ahead, HopDue, bytes_for, of_bytes, pass_amounts};
use magicwave::gateway::core::request::{Standing, build, mac, verify_mac};
use magicwave::gateway::core::validate::{Accepted, Agreed, Counts, Refused, check};
use magicwave::units::{Price, Stroops};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn amount(stroops: u64) -> Stroops {
    Stroops::new(stroops).expect("in range")
}

fn terms(kind: ServiceKind) -> Terms {
    Terms {
        network: offer::network_id("MagicWave devnet"),
        payee: [1; 32],
        asset: AssetId { code: *b"MWT\0\0\0\0\0\0\0\0\0", issuer: [2; 32] },
        kind,
        price: Price(1024),
        fee: amount(16),
        credit_bytes: 1 << 16,
        ahead_bytes: 1 << 18,
        lock_secs: 5,
        ttl_s: 3600,
    }
}

fn hello() -> Hello {
    let terms = terms(ServiceKind::Tor);
    Hello { version: 1, network: terms.network, asset: terms.asset, nonce: [9; 16] }
}

fn offer_of(kind: ServiceKind) -> Offer {
    terms(kind).offer(&hello(), [3; 16], [4; 32], NOW).expect("an offer")
}
