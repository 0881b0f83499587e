//! Locks: a secret scalar, its point, and the offsets that give every hop of a path a lock of its own.
use super::{canonical_scalar, degenerate, prime_order_point, unless_vanished};
use crate::error::{Error, Result};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand::Rng;
use std::fmt;
use zeroize::Zeroizing;

/// t: what completes a pre-signature under `T = t*B`. Never zero; wiped when dropped, prints as `[…]`, compared in
/// constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct LockSecret(Zeroizing<Scalar>);

impl LockSecret {
    /// The secret of 32 bytes, little-endian. `MW-LOCK-1` unless 0 < t < the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        scalar_from(bytes).map(LockSecret)
    }
    /// A fresh secret; `rng` must be a cryptographic one outside tests. `MW-LOCK-8` when it gives a multiple of the
    /// group order: it is broken.
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Result<Self> {
        random_scalar(rng).map(LockSecret)
    }
    /// The 32 bytes: for the message that reveals it and for the store, never for a log.
    pub fn expose(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
    /// `T = t*B`.
    pub fn point(&self) -> LockPoint {
        LockPoint::computed(EdwardsPoint::mul_base(&self.0))
    }
    /// `t + r`, which opens `T.shift(r)`. `MW-LOCK-8` when the sum is zero.
    pub fn shift(&self, offset: &LockOffset) -> Result<LockSecret> {
        non_zero(Zeroizing::new(*self.0 + *offset.0)).map(LockSecret)
    }
    /// `t - r`, which opens `T.unshift(r)`. `MW-LOCK-8` when the difference is zero.
    pub fn unshift(&self, offset: &LockOffset) -> Result<LockSecret> {
        non_zero(Zeroizing::new(*self.0 - *offset.0)).map(LockSecret)
    }
    /// The secret that 64 bytes of a key derivation give: uniform but for 2^-259. `MW-LOCK-8` when that is zero.
    pub fn derived(wide: &[u8; 64]) -> Result<LockSecret> {
        non_zero(Zeroizing::new(Scalar::from_bytes_mod_order_wide(wide))).map(LockSecret)
    }
    pub(super) fn from_scalar(scalar: Zeroizing<Scalar>) -> Result<Self> {
        non_zero(scalar).map(LockSecret)
    }
    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for LockSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockSecret([…])")
    }
}

/// T: canonical, in the prime-order group and not neutral, so that what is adapted under it verifies strictly. Prints
/// as `[…]`, since it ties the messages of a hop to each other.
#[derive(Clone, Copy)]
pub struct LockPoint {
    point: EdwardsPoint,
    bytes: [u8; 32],
}

impl LockPoint {
    /// The point that these bytes encode (RFC 8032, 5.1.2). `MW-LOCK-2`: not canonical, no point of the curve, of
    /// small or mixed order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let wrong =
            || Error::never("MW-LOCK-2", "The lock is no canonical point of prime order; it is not signed under.");
        prime_order_point(bytes).map(|point| LockPoint { point, bytes: *bytes }).ok_or_else(wrong)
    }
    /// Its one encoding.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.bytes
    }
    /// `T + r*B`. `MW-LOCK-8` when the sum is neutral.
    pub fn shift(&self, offset: &LockOffset) -> Result<LockPoint> {
        let sum = self.point + EdwardsPoint::mul_base(&offset.0);
        if sum.is_identity() { Err(degenerate()) } else { Ok(LockPoint::computed(sum)) }
    }
    /// `T - r*B`. `MW-LOCK-8` when the difference is neutral.
    pub fn unshift(&self, offset: &LockOffset) -> Result<LockPoint> {
        let rest = self.point - EdwardsPoint::mul_base(&offset.0);
        if rest.is_identity() { Err(degenerate()) } else { Ok(LockPoint::computed(rest)) }
    }
    /// For sums of points of this group that are known not to vanish.
    fn computed(point: EdwardsPoint) -> Self {
        LockPoint { point, bytes: point.compress().to_bytes() }
    }
    pub(super) fn point(&self) -> &EdwardsPoint {
        &self.point
    }
}

impl PartialEq for LockPoint {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for LockPoint {}

impl fmt::Debug for LockPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockPoint([…])")
    }
}

/// r: what shifts a lock to another, or the difference d of two. Never zero: two hops would share a lock. As secret as
/// the path that it would link: wiped when dropped, prints as `[…]`, compared in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct LockOffset(Zeroizing<Scalar>);

impl LockOffset {
    /// The offset of 32 bytes, little-endian. `MW-LOCK-1` unless 0 < r < the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        scalar_from(bytes).map(LockOffset)
    }
    /// A fresh offset; `rng` must be a cryptographic one outside tests. `MW-LOCK-8` as for [`LockSecret::random`].
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Result<Self> {
        random_scalar(rng).map(LockOffset)
    }
    /// d = r_up - r_down, which the hop between `T + r_up*B` and `T + r_down*B` gets. `MW-LOCK-8` when they are equal.
    pub fn between(up: &LockOffset, down: &LockOffset) -> Result<LockOffset> {
        non_zero(Zeroizing::new(*up.0 - *down.0)).map(LockOffset)
    }
    /// The 32 bytes: for the hop that they are meant for and for the store, never for a log.
    pub fn expose(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

impl fmt::Debug for LockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockOffset([…])")
    }
}

/// Checks `up = down + d*B`: then what opens `down` opens `up`, once shifted by `d`. `MW-LOCK-7` when it does not hold,
/// and whoever signs downstream would pay without collecting.
pub fn check_shift(up: &LockPoint, down: &LockPoint, d: &LockOffset) -> Result<()> {
    if up.point == down.point + EdwardsPoint::mul_base(&d.0) {
        Ok(())
    } else {
        Err(Error::never("MW-LOCK-7", "The two locks do not differ by what was said; nothing is signed downstream."))
    }
}

fn scalar_from(bytes: &[u8; 32]) -> Result<Zeroizing<Scalar>> {
    let wrong = || Error::never("MW-LOCK-1", "This number is zero or not below the group order; it is not used.");
    canonical_scalar(bytes).filter(|scalar| *scalar != Scalar::ZERO).map(Zeroizing::new).ok_or_else(wrong)
}

/// 64 bytes make the reduced scalar uniform but for 2^-259.
fn random_scalar(rng: &mut (impl Rng + ?Sized)) -> Result<Zeroizing<Scalar>> {
    let mut wide = Zeroizing::new([0; 64]);
    rng.fill_bytes(&mut *wide);
    non_zero(Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide)))
}

fn non_zero(scalar: Zeroizing<Scalar>) -> Result<Zeroizing<Scalar>> {
    unless_vanished((*scalar != Scalar::ZERO).then_some(scalar))
}
