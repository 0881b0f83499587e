//! ed25519 adaptor signatures: a payer signs a claim so that the signature is complete only with the secret behind a
//! lock point, and the completed signature gives that secret to whoever holds the pre-signature. What lands on the
//! ledger is an ordinary signature (RFC 8032).
//!
//! With the payer's key `A = a*B`, the lock `T = t*B`, a nonce `k` and `c = SHA-512(R || A || message)`:
//!
//! ```text
//! pre_sign    R = k*B + T        s' = k + c*a          to the payee: R, s'
//! pre_verify  s'*B - c*A + T = R                       (no cofactor; A and T of prime order, R follows from them)
//! adapt       s = s' + t                               (R, s) is a signature of the message by A
//! extract     t = s - s'
//! ```
//!
//! Along a path each hop has a lock of its own, `T_k = T + r_k*B`; who stands between two locks gets their difference
//! `d` and checks `T_up = T_down + d*B` before it signs downstream ([`check_shift`]): else it pays and cannot collect.
//!
//! Whoever waits for an `extract` must have seen `pre_verify` succeed first; `adapt` and `extract` look at the lock
//! alone. Secrets are wiped when dropped, never print, and meet constant-time arithmetic only.
mod lock;
mod presign;

pub use lock::{LockOffset, LockPoint, LockSecret, check_shift};
pub use presign::{CheckedKey, PreSignature, adapt, extract, pre_sign, pre_verify};

use crate::error::{Error, Result};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;

/// The point of these bytes when they are its one canonical encoding and it lies in the prime-order group without
/// being neutral. A point with a torsion part passes a check against small orders, and so does its pre-signature; the
/// adapted signature would then fail.
fn prime_order_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let encoded = CompressedEdwardsY(*bytes);
    // Decoding takes y >= p and the sign of zero, too. On this curve only points of small or mixed order have such a
    // second encoding (adaptor.json lists them all); encoding again makes that nothing to rely on.
    encoded.decompress().filter(|p| p.compress() == encoded && !p.is_identity() && p.is_torsion_free())
}

/// The scalar of these bytes, little-endian, if below the group order.
fn canonical_scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(*bytes).into()
}

/// For sums that vanish: they happen to nobody who picks by chance, and would give a lock that anybody opens or two
/// hops that share one.
fn degenerate() -> Error {
    Error::never("MW-LOCK-8", "These locks cancel each other out; pick fresh ones.")
}

/// `Some` or the error of a vanished sum.
fn unless_vanished<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(degenerate)
}
