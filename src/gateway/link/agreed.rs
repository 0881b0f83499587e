//! What both partners signed beside claims, as rows keep it: the close of an escrow, the settlement of two.
use super::hexed;
use super::rows::{Frozen, Held, Tx};
use crate::gateway::core::message::{AccountKey, Signature};
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// Both partners froze an epoch of each direction for one transaction that pays the difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// The escrow of the other direction.
    #[serde(with = "hexed")]
    pub other: AccountKey,
    /// What is set off on either side, stroops.
    pub set_off: Stroops,
    /// The number of the proposer's account that it takes.
    pub sequence: i64,
    /// Unix seconds after which it can no longer land.
    pub until: u64,
    /// The proposer, on the lane that pays it: the transaction in its fee bump, signed by all.
    pub tx: Option<Tx>,
}

/// The close of an escrow, as its payee signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The epoch whose number it takes.
    pub epoch: u32,
    /// The payee's, over the hash of the close.
    #[serde(with = "hexed")]
    pub signature: Signature,
}

impl Frozen {
    /// An epoch that ends now; `amount` of it is going to land.
    pub fn new(now_ms: u64, epoch: u32, held: Held, amount: Stroops) -> Self {
        Frozen { epoch, held, amount, flush: None, since_ms: now_ms, carried: false, net: None }
    }
    /// A claim that was under a lock goes to the ledger by itself, without the plain ones.
    pub fn is_late_lock(&self) -> bool {
        self.flush.as_ref().is_some_and(|flush| flush.max_time != 0)
    }
    /// What is about to land or to be set off, once that is settled: the rest has to be signed anew.
    pub fn lands(&self) -> Option<Stroops> {
        self.flush.as_ref().map(|f| f.claim.cumulative).or(self.net.as_ref().map(|_| self.amount))
    }
}
