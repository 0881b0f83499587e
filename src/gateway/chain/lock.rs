//! The locks of one chain, as its client picks them: one secret t of the last payee's, a lock of its own for each hop.
//!
//! ```text
//! K_k is under T_k = T + r_k*B until X_k        T = t*B from the last payee, r_k drawn by the client
//! node k gets d = r_k - r_(k+1), and computes T_(k+1) = T_k - d*B itself
//! X_1 > X_2 > … > X_n, each by a margin and a bit; X_1 says nothing of the route's length
//! ```
use crate::error::Result;
use crate::gateway::core::message::{LockBytes, LockOrder};
use crate::stellar::adaptor::{LockOffset, LockPoint, LockSecret};
use rand::Rng;

/// Payees of a chain: the hops of a circuit and a service.
pub const MAX_PAYEES: usize = 4;
/// In margins: how long the last payee's lock lasts at least, and the first one's. Between two neighbours lies one
/// margin and up to a quarter more, and the last one's gets up to half of one: 2.5 + 2 * 1.25 + 1 = 6.
const LAST: u64 = 2;
const FIRST: u64 = 6;

/// One attempt at one payment: nothing of it is ever used again.
#[derive(Clone, Debug)]
pub struct ChainLock {
    offsets: Vec<LockOffset>,
    times: Vec<u64>,
    point: Option<LockPoint>,
    secret: Option<LockSecret>,
}

impl ChainLock {
    /// Offsets and times for `payees` payees from `now` (unix seconds) on, `margin` seconds between neighbours.
    pub fn plan(rng: &mut impl Rng, payees: usize, now: u64, margin: u64) -> Result<Self> {
        let offsets = (0..payees).map(|_| LockOffset::random(rng)).collect::<Result<Vec<_>>>()?;
        let mut some = |most: u64| if most == 0 { 0 } else { rng.next_u64() % (most + 1) };
        let mut times = vec![0; payees];
        let mut time = now.saturating_add(LAST * margin).saturating_add(some(margin / 2));
        for slot in times.iter_mut().rev() {
            *slot = time;
            time = time.saturating_add(margin).saturating_add(some(margin / 4));
        }
        if let Some(first) = times.first_mut() {
            *first = now.saturating_add(FIRST * margin).saturating_add(some(margin / 2));
        }
        Ok(ChainLock { offsets, times, point: None, secret: None })
    }

    /// T, as the last payee said it. `MW-LOCK-2`: it is none.
    pub fn set_point(&mut self, bytes: &LockBytes) -> Result<()> {
        self.point = Some(LockPoint::from_bytes(bytes)?);
        Ok(())
    }

    /// T_k of the payee at `index`.
    pub fn point_of(&self, index: usize) -> Option<LockPoint> {
        self.point.as_ref()?.shift(self.offsets.get(index)?).ok()
    }

    /// X_k of the payee at `index`, unix seconds.
    pub fn time_of(&self, index: usize) -> u64 {
        self.times.get(index).copied().unwrap_or(0)
    }

    /// r of the payee at `index`: for the last one.
    pub fn offset_of(&self, index: usize) -> Option<[u8; 32]> {
        self.offsets.get(index).map(|offset| *offset.expose())
    }

    /// What the payer of the payee at `index`, a node, is told.
    pub fn order_for(&self, index: usize) -> Option<LockOrder> {
        let (up, down) = (self.offsets.get(index.checked_sub(1)?)?, self.offsets.get(index)?);
        let offset = *LockOffset::between(up, down).ok()?.expose();
        Some(LockOrder { offset, max_time: self.time_of(index) })
    }

    /// The last payee gave its lock's secret; false when it is none.
    pub fn open(&mut self, secret: &[u8; 32]) -> bool {
        let last = self.offsets.len().wrapping_sub(1);
        let (Ok(secret), Some(point)) = (LockSecret::from_bytes(secret), self.point_of(last)) else { return false };
        if secret.point() != point {
            return false;
        }
        self.secret = self.offsets.last().and_then(|r| secret.unshift(r).ok());
        self.secret.is_some()
    }

    /// The first payee's lock has opened with this; false when it is another lock's.
    pub fn open_first(&mut self, secret: &LockSecret) -> bool {
        let ours = self.point_of(0).is_some_and(|point| secret.point() == point);
        self.secret = self.offsets.first().filter(|_| ours).and_then(|r| secret.unshift(r).ok());
        self.secret.is_some()
    }

    /// The secret of the payee's lock at `index`, once the last one gave its own.
    pub fn secret_of(&self, index: usize) -> Option<LockSecret> {
        self.secret.as_ref()?.shift(self.offsets.get(index)?).ok()
    }

    /// Is the secret known?
    pub fn is_open(&self) -> bool {
        self.secret.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn each_lock_outlives_the_next_by_a_margin_and_the_first_tells_nothing_of_the_length() {
        let mut rng = SmallRng::seed_from_u64(7);
        for margin in [2, 5, 600] {
            for payees in 1..=MAX_PAYEES {
                for _ in 0..200 {
                    let lock = ChainLock::plan(&mut rng, payees, 1_000, margin).expect("random");
                    for k in 1..payees {
                        let (up, down) = (lock.time_of(k - 1), lock.time_of(k));
                        assert!(up >= down + margin, "{lock:?} {up} {down}");
                    }
                    assert!(lock.time_of(payees - 1) >= 1_000 + LAST * margin);
                    let first = lock.time_of(0);
                    assert!((1_000 + FIRST * margin..=1_000 + FIRST * margin + margin / 2).contains(&first));
                }
            }
        }
    }

    #[test]
    fn one_secret_opens_the_lock_of_each_hop_and_no_two_are_alike() {
        let mut rng = SmallRng::seed_from_u64(8);
        let mut lock = ChainLock::plan(&mut rng, 4, 0, 5).expect("random");
        let secret = LockSecret::random(&mut rng).expect("random");
        lock.set_point(&secret.point().to_bytes()).expect("a point");
        let points: Vec<_> = (0..4).map(|k| lock.point_of(k).expect("a lock")).collect();
        // A node computes the next lock from its own.
        for k in 1..4 {
            let order = lock.order_for(k).expect("an order");
            let d = LockOffset::from_bytes(&order.offset).expect("an offset");
            assert_eq!(points[k - 1].unshift(&d).expect("a point"), points[k]);
        }
        assert!(!lock.open(&secret.expose()), "T is not the last payee's lock");
        let last = LockOffset::from_bytes(&lock.offset_of(3).expect("r")).expect("r");
        assert!(lock.open(&secret.shift(&last).expect("sum").expose()));
        for (k, point) in points.iter().enumerate() {
            assert_eq!(lock.secret_of(k).expect("known").point(), *point);
            assert_eq!(points.iter().filter(|other| *other == point).count(), 1);
        }
    }
}
