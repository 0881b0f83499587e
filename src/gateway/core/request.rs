//! Payment requests: what a payee says is owed, authenticated by a MAC that proves nothing to a third party.
use super::codec::{Writer, body};
use super::message::{Id, Offer, PaymentRequest};
use super::offer::offer_hash;
use crate::units::Stroops;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The service goes on in full.
pub const STATE_OPEN: u8 = 0;
/// The service runs at the trickle rate.
pub const STATE_TRICKLE: u8 = 1;
/// The service has stopped.
pub const STATE_STOPPED: u8 = 2;

/// Where a session stands; all numbers cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Cells (tor) or bytes (else) towards the payer.
    pub units_in: u64,
    /// Cells or bytes from the payer.
    pub units_out: u64,
    /// Stroops due: what was served, and at most what may be asked ahead.
    pub amount_due: Stroops,
    /// Stroops credited.
    pub amount_paid: Stroops,
    /// `STATE_OPEN`, `STATE_TRICKLE` or `STATE_STOPPED`.
    pub state: u8,
}

/// Makes a request in the session of `offer` at `now` (unix seconds), valid for `ttl_s`. `id` is random and fresh;
pub fn build(offer: &Offer, standing: Standing, id: Id, now: u64, ttl_s: u32) -> PaymentRequest {
    let mut request = PaymentRequest {
        id,
        session: offer.session,
        kind: offer.kind,
        units_in: standing.units_in,
        units_out: standing.units_out,
        amount_due: standing.amount_due,
        amount_paid: standing.amount_paid,
        offer_hash: offer_hash(offer),
        issued: now,
        expires: now.saturating_add(u64::from(ttl_s)),
        state: standing.state.min(STATE_STOPPED),
        mac: [0; 16],
    };
    request.mac = mac(&offer.mac_key, &request);
    request
}

/// HMAC-SHA-256 over all fields before the MAC as they stand on the wire, first 16 bytes.
pub fn mac(key: &[u8; 32], request: &PaymentRequest) -> Id {
    let full = keyed(key, request).finalize().into_bytes();
    let mut out = [0; 16];
    out.copy_from_slice(&full[..16]);
    out
}

/// True when the request's MAC is right; takes the same time either way.
pub fn verify_mac(key: &[u8; 32], request: &PaymentRequest) -> bool {
    keyed(key, request).verify_truncated_left(&request.mac).is_ok()
}

fn keyed(key: &[u8; 32], request: &PaymentRequest) -> Hmac<Sha256> {
    let mut out = Writer::default();
    body::put_unsigned(request, &mut out);
    keyed_hash(key, &out.into_bytes())
}

/// HMAC-SHA-256 over `data`. HMAC fills a key up to the hash's block with zeros; it is given in that form here, so
/// that nothing can fail.
pub(crate) fn keyed_hash(key: &[u8; 32], data: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut hmac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    hmac.update(data);
    hmac
}
