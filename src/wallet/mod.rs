//! The wallet: one secret seed in a file, and the keys that are derived from it by role.
mod file;

use crate::error::Result;
use crate::gateway::core::message::AccountKey;
use crate::stellar::keys::{self, SecretSeed};
use std::path::Path;
use zeroize::Zeroizing;

/// Role of the wallet's account on the ledger.
pub const ACCOUNT: &str = "account";
/// Role of escrow accounts' own keys; the context names link and lane.
pub const ESCROW: &str = "escrow";
/// Role of our signer in the escrows of a link; the context is the link's id.
pub const LINK_SIGNER: &str = "link-signer";

/// A secret seed and what is derived from it. Prints nothing of it.
#[derive(Clone, Debug)]
pub struct Wallet {
    seed: SecretSeed,
}

impl Wallet {
    /// A wallet of a seed that somebody else keeps.
    pub fn new(seed: SecretSeed) -> Self {
        Wallet { seed }
    }
    /// Reads the seed file, or makes one (mode 0600) with a fresh seed when there is none. When several processes do
    /// so at once, all get the same seed. `MW-WALLET-1` to `MW-WALLET-4` as `load`; `MW-WALLET-5`: cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        file::load_or_create(path).map(Wallet::new)
    }
    /// Reads the seed file: one line, `S…`. `MW-WALLET-1`: cannot be read; `MW-WALLET-2`: others may read or write
    /// it; `MW-WALLET-3`: no plain file; `MW-WALLET-4`: no seed in it.
    pub fn load(path: &Path) -> Result<Self> {
        file::load(path).map(Wallet::new)
    }
    /// The signing key of `role` for `context`: the same each time, and a leak of it is a leak of nothing else.
    pub fn derive(&self, role: &str, context: &[u8]) -> SecretSeed {
        self.seed.derive(role, context)
    }
    /// 32 secret bytes of `role` for `context`, for MACs and seals. Never use one pair for a key and for bytes.
    pub fn derive_bytes(&self, role: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
        self.seed.derive_bytes(role, context)
    }
    /// The key of the wallet's account.
    pub fn account_key(&self) -> SecretSeed {
        self.derive(ACCOUNT, b"")
    }
    /// The wallet's account.
    pub fn account(&self) -> AccountKey {
        self.account_key().public()
    }
    /// The wallet's account as text, `G…`.
    pub fn account_id(&self) -> String {
        keys::account_id(&self.account())
    }
}
