//! Pre-signatures: made by the payer, checked and completed by the payee, read back by whoever sees the completed one.
use super::{LockPoint, LockSecret, canonical_scalar, degenerate, prime_order_point};
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Signature};
use crate::stellar::keys::SecretSeed;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::Zeroizing;

/// Stands before everything in the nonce's hash. A plain ed25519 nonce is SHA-512(prefix || message): the two inputs
/// could only meet if the secret prefix were the first 32 bytes of this tag.
const NONCE_TAG: &[u8; 33] = b"magicwave ed25519 adaptor nonce 1";

/// A signature that lacks the secret of a lock. 64 bytes: R as it will stand in the signature, then s'. s' is
/// canonical; whether the whole fits a key, a message and a lock is for [`pre_verify`] to say. Prints as `[…]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PreSignature {
    r: [u8; 32],
    s: Scalar,
}

impl PreSignature {
    /// Reads R and s'. `MW-LOCK-4` when s' is not below the group order.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self> {
        let (r, s) = halves(bytes);
        canonical_scalar(&s).map(|s| PreSignature { r, s }).ok_or_else(unfit)
    }
    /// R, then s'.
    pub fn to_bytes(&self) -> [u8; 64] {
        joined(&self.r, &self.s)
    }
}

impl fmt::Debug for PreSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSignature([…])")
    }
}

/// A payer's public key that was found canonical and of prime order: the dearer half of [`pre_verify`], done once for
/// a link instead of once for a lock.
#[derive(Clone, Copy)]
pub struct CheckedKey {
    point: EdwardsPoint,
    bytes: AccountKey,
}

impl CheckedKey {
    /// `MW-LOCK-3`: not canonical, no point of the curve, of small or mixed order.
    pub fn from_bytes(key: &AccountKey) -> Result<Self> {
        let wrong =
            || Error::never("MW-LOCK-3", "The payer's key is no canonical point of prime order; it signs nothing.");
        prime_order_point(key).map(|point| CheckedKey { point, bytes: *key }).ok_or_else(wrong)
    }
    /// As [`pre_verify`], but for the key's own check.
    pub fn pre_verify(&self, message: &[u8], point: &LockPoint, pre: &PreSignature) -> Result<()> {
        let c = challenge(&pre.r, &self.bytes, message);
        // Variable time: all of this is public to the two parties.
        let nonce = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-c, &self.point, &pre.s);
        let r = nonce + point.point();
        // A and T are of prime order, hence so is this sum, and R, equal to its one encoding, is canonical. A neutral
        // nonce would give the payer's key away, a neutral R fails on the ledger.
        let fits = r.compress().to_bytes() == pre.r && !nonce.is_identity() && !r.is_identity();
        if fits { Ok(()) } else { Err(unfit()) }
    }
}

impl fmt::Debug for CheckedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckedKey([…])")
    }
}

/// Signs `message`, for a transaction its 32-byte hash, under the lock `point`: only with the point's secret does it
/// become a signature. The nonce is SHA-512(tag || secret prefix || T || A || message): the same call gives the same
/// bytes, and neither a plain signature of the message nor one under another lock shares the nonce, which would give
/// the key away. `MW-LOCK-8` when R vanishes, which no chosen input can bring about.
pub fn pre_sign(seed: &SecretSeed, message: &[u8], point: &LockPoint) -> Result<PreSignature> {
    let (key, public) = (seed.expand(), seed.public());
    let mut hash = Sha512::new_with_prefix(NONCE_TAG);
    hash.update(key.hash_prefix);
    hash.update(point.to_bytes());
    hash.update(public);
    hash.update(message);
    let wide: Zeroizing<[u8; 64]> = Zeroizing::new(hash.finalize().into());
    let k = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
    let sum = EdwardsPoint::mul_base(&k) + point.point();
    if *k == Scalar::ZERO || sum.is_identity() {
        return Err(degenerate());
    }
    let r = sum.compress().to_bytes();
    let c = challenge(&r, &public, message);
    Ok(PreSignature { r, s: *k + c * key.scalar })
}

/// Checks that `pre` becomes `public`'s signature of `message` once the secret of `point` is added. `MW-LOCK-3`: the key
/// is not canonical or not of prime order; `MW-LOCK-4`: the pre-signature does not fit.
pub fn pre_verify(public: &AccountKey, message: &[u8], point: &LockPoint, pre: &PreSignature) -> Result<()> {
    CheckedKey::from_bytes(public)?.pre_verify(message, point, pre)
}

/// The signature that a pre-signature under `point` becomes with the point's secret. It verifies strictly if `pre`
/// passed [`pre_verify`]. `MW-LOCK-5`: the secret does not open the lock.
pub fn adapt(pre: &PreSignature, point: &LockPoint, secret: &LockSecret) -> Result<Signature> {
    if secret.point() != *point {
        return Err(Error::never("MW-LOCK-5", "This secret does not open the lock; the claim stays incomplete."));
    }
    Ok(joined(&pre.r, &(pre.s + secret.scalar())))
}

/// The secret of `point`, from a signature that the pre-signature was completed to. `MW-LOCK-6`: the signature is
/// another one, is not canonical, or does not give the secret of this lock.
pub fn extract(pre: &PreSignature, signature: &Signature, point: &LockPoint) -> Result<LockSecret> {
    let other = || Error::never("MW-LOCK-6", "This signature does not complete the pre-signature; it gives no secret.");
    let (r, s) = halves(signature);
    let s = canonical_scalar(&s).filter(|_| r == pre.r).ok_or_else(other)?;
    let secret = LockSecret::from_scalar(Zeroizing::new(s - pre.s)).map_err(|_| other())?;
    if secret.point() == *point { Ok(secret) } else { Err(other()) }
}

/// c = SHA-512(R || A || message), as in RFC 8032.
fn challenge(r: &[u8; 32], public: &AccountKey, message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn unfit() -> Error {
    Error::never("MW-LOCK-4", "The pre-signature fits neither this claim nor this lock; nothing is delivered for it.")
}

fn halves(bytes: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut r, mut s) = ([0; 32], [0; 32]);
    r.copy_from_slice(&bytes[..32]);
    s.copy_from_slice(&bytes[32..]);
    (r, s)
}

fn joined(r: &[u8; 32], s: &Scalar) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(r);
    bytes[32..].copy_from_slice(s.as_bytes());
    bytes
}
