//! What a payee sells, and how a payer checks that an offer is one.
use super::codec::encode;
use super::message::{AccountKey, AssetId, Hello, Id, Message, Offer, RefusalCode, ServiceKind};
use crate::units::{Price, Stroops};
use sha2::{Digest, Sha256};

/// The highest exponent of the price table: 2^32 stroops are about 429 units of the asset per MiB.
pub const PRICE_EXPONENT_MAX: u32 = 32;
/// The longest that an offer may be valid, in seconds.
pub const OFFER_TTL_MAX_S: u64 = 24 * 3600;
/// The largest credit or suggestion to pay ahead that an offer may name, in bytes.
pub const WINDOW_MAX_BYTES: u32 = 1 << 30;

/// The table of prices, in stroops per MiB: powers of two alone, so that an amount is no fingerprint of a payee.
pub fn prices() -> impl Iterator<Item = Price> {
    (0..=PRICE_EXPONENT_MAX).map(|exponent| Price(1 << exponent))
}

/// True for a price of the table.
pub fn price_permitted(price: Price) -> bool {
    price.0.is_power_of_two() && price.0.ilog2() <= PRICE_EXPONENT_MAX
}

/// True for a forwarding fee of the table: nothing, or a power of two stroops.
pub fn fee_permitted(fee: Stroops) -> bool {
    fee.is_zero() || price_permitted(Price(fee.get()))
}

/// The highest price of the table that is not above `stroops` per MiB, none for 0.
pub fn price_at_most(stroops: u64) -> Option<Price> {
    let exponent = stroops.checked_ilog2()?.min(PRICE_EXPONENT_MAX);
    Some(Price(1 << exponent))
}

/// The largest power of two stroops that is not above `amount`, 0 for 0: the denomination of flushes and increments.
pub fn denomination_at_most(amount: Stroops) -> Stroops {
    let Some(exponent) = amount.get().checked_ilog2() else { return Stroops::ZERO };
    Stroops::new(1 << exponent).unwrap_or(Stroops::ZERO)
}

/// Names a ledger network on the wire: the first 8 bytes of SHA-256 of its passphrase.
pub fn network_id(passphrase: &str) -> [u8; 8] {
    first(&Sha256::digest(passphrase.as_bytes()))
}

/// Names an offer in requests: the first 16 bytes of SHA-256 of the encoded message.
pub fn offer_hash(offer: &Offer) -> Id {
    first(&Sha256::digest(encode(&Message::Offer(offer.clone()))))
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// Session ids: a nonce drawn at start, then a count, so that no session of an earlier run is ever named again.
#[derive(Clone, Debug)]
pub struct SessionIds {
    boot: [u8; 8],
    count: u64,
}

impl SessionIds {
    /// `boot` is random and drawn at each start.
    pub fn new(boot: [u8; 8]) -> Self {
        SessionIds { boot, count: 0 }
    }
    /// The next id.
    pub fn draw(&mut self) -> Id {
        self.count = self.count.wrapping_add(1);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.boot);
        id[8..].copy_from_slice(&self.count.to_be_bytes());
        id
    }
    /// True for an id of this run.
    pub fn is_ours(&self, id: &Id) -> bool {
        id[..8] == self.boot
    }
}

/// What an operator configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// First 8 bytes of SHA-256 of the passphrase.
    pub network: [u8; 8],
    /// Who is paid.
    pub payee: AccountKey,
    /// In what.
    pub asset: AssetId,
    /// For what.
    pub kind: ServiceKind,
    /// Stroops per MiB, of the table.
    pub price: Price,
    /// Stroops per forwarded claim, of the table.
    pub fee: Stroops,
    /// Bytes before the first payment.
    pub credit_bytes: u32,
    /// Bytes to pay ahead.
    pub ahead_bytes: u32,
    /// Seconds by which a lock on us has to outlive the one that we sign onwards; 0: no locks are taken.
    pub lock_secs: u16,
    /// Seconds for which an offer stands.
    pub ttl_s: u32,
}

impl Terms {
    /// Refuses terms that no payer would accept.
    pub fn check(&self) -> Result<(), RefusalCode> {
        if !price_permitted(self.price) || !fee_permitted(self.fee) {
            return Err(RefusalCode::BAD_PRICE);
        }
        let windows = [self.credit_bytes, self.ahead_bytes];
        if self.ttl_s == 0 || u64::from(self.ttl_s) > OFFER_TTL_MAX_S || windows.iter().any(|w| *w > WINDOW_MAX_BYTES) {
            return Err(RefusalCode::MALFORMED);
        }
        Ok(())
    }

    /// The answer to a hello at `now` (unix seconds): an offer, or why there is none. `session` comes from
    /// `SessionIds`, `mac_key` is random and fresh.
    pub fn offer(&self, hello: &Hello, session: Id, mac_key: [u8; 32], now: u64) -> Result<Offer, RefusalCode> {
        self.check()?;
        if hello.version == 0 {
            return Err(RefusalCode::BAD_VERSION);
        }
        if hello.network != self.network {
            return Err(RefusalCode::WRONG_NETWORK);
        }
        if hello.asset != self.asset {
            return Err(RefusalCode::WRONG_ASSET);
        }
        Ok(Offer {
            version: super::codec::VERSION,
            payee: self.payee,
            asset: self.asset,
            kind: self.kind,
            price: self.price,
            fee: self.fee,
            credit_bytes: self.credit_bytes,
            ahead_bytes: self.ahead_bytes,
            expires: now.saturating_add(u64::from(self.ttl_s)),
            session,
            mac_key,
            lock_secs: self.lock_secs,
            nonce: hello.nonce,
        })
    }
}

/// What a payer checks before it agrees to an offer; whether it likes the price is the policy's part.
/// `hello` is what it sent, `kind` what it uses, `now` unix seconds.
pub fn check_offer(offer: &Offer, hello: &Hello, kind: ServiceKind, now: u64) -> Result<(), RefusalCode> {
    if offer.version != super::codec::VERSION {
        return Err(RefusalCode::BAD_VERSION);
    }
    if offer.nonce != hello.nonce {
        return Err(RefusalCode::BAD_NONCE);
    }
    if offer.asset != hello.asset {
        return Err(RefusalCode::WRONG_ASSET);
    }
    if offer.kind != kind {
        return Err(RefusalCode::WRONG_KIND);
    }
    if !price_permitted(offer.price) || !fee_permitted(offer.fee) {
        return Err(RefusalCode::BAD_PRICE);
    }
    if offer.credit_bytes.max(offer.ahead_bytes) > WINDOW_MAX_BYTES {
        return Err(RefusalCode::MALFORMED);
    }
    if offer.expires <= now {
        return Err(RefusalCode::EXPIRED);
    }
    if offer.expires - now > OFFER_TTL_MAX_S + super::validate::CLOCK_SKEW_S {
        return Err(RefusalCode::NOT_YET);
    }
    Ok(())
}
