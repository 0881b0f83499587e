//! Payments in-band over http: what both sides share. `docs/wire.md`, section 7.
#[cfg(feature = "node")]
pub mod client;
pub mod credit;
#[cfg(feature = "node")]
pub mod listen;
pub mod required;
pub mod sessions;
#[cfg(feature = "node")]
pub mod site;
#[cfg(feature = "node")]
mod stream;

use crate::gateway::core::message::{Id, Offer};
pub use crate::gateway::core::paths;
use crate::gateway::core::request::keyed_hash;
use hmac::Mac;

/// Names the session in every request of it.
pub const SESSION_HEADER: &str = "magicwave-session";
/// What an answer with status 402 asks for.
pub const REQUIRED_HEADER: &str = "payment-required";
/// Where messages are posted.
pub const ENDPOINT: &str = "/.well-known/magicwave/v1";
/// Content type of messages.
pub const CONTENT_TYPE: &str = "application/octet-stream";
/// Bytes of messages in one http body.
pub const BODY_MAX: usize = 4096;
/// Messages in one answer.
pub const ANSWERS_MAX: usize = 8;

const PROOF_TEXT: &[u8] = b"magicwave http session v1";

/// The proof that goes with a session id: only who got the offer can make it.
pub fn session_proof(offer: &Offer) -> [u8; 16] {
    let full = keyed_hash(&offer.mac_key, &[PROOF_TEXT, &offer.session[..]].concat()).finalize().into_bytes();
    let mut proof = [0; 16];
    proof.copy_from_slice(&full[..16]);
    proof
}

/// Value of the session header: 64 hex digits.
pub fn session_header(offer: &Offer) -> String {
    hex::encode([offer.session, session_proof(offer)].concat())
}

/// Session id and proof of a session header.
pub fn parse_session_header(value: &str) -> Option<(Id, [u8; 16])> {
    let mut bytes = [0; 32];
    if value.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(value, &mut bytes).ok()?;
    let (mut id, mut proof) = ([0; 16], [0; 16]);
    id.copy_from_slice(&bytes[..16]);
    proof.copy_from_slice(&bytes[16..]);
    Some((id, proof))
}
