//! Which Stellar network: its passphrase is hashed into everything that is signed.
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Passphrase of the public network.
pub const PUBLIC: &str = "Public Global Stellar Network ; September 2015";
/// Passphrase of the test network.
pub const TESTNET: &str = "Test SDF Network ; September 2015";

/// SHA-256 of a network's passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub [u8; 32]);

impl NetworkId {
    /// The id of the network with this passphrase.
    pub fn of(passphrase: &str) -> Self {
        NetworkId(Sha256::digest(passphrase.as_bytes()).into())
    }
    /// The first 8 bytes, as a hello names the network (docs/wire.md).
    pub fn short(&self) -> [u8; 8] {
        let mut short = [0; 8];
        short.copy_from_slice(&self.0[..8]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_network_has_its_well_known_id() {
        let id = NetworkId::of(PUBLIC);
        assert_eq!(hex::encode(id.0), "7ac33997544e3175d266bd022439b22cdb16508c01163f26e5cb2a3e1045a979");
        assert_eq!(hex::encode(id.short()), "7ac33997544e3175");
        assert_ne!(id, NetworkId::of(TESTNET));
    }
}
