//! ed25519 keys: secrets that wipe themselves and never print, signatures checked strictly, keys derived by role.
use super::strkey::{self, Kind};
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Signature};
use ed25519_dalek::hazmat::ExpandedSecretKey;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use std::fmt;
use zeroize::Zeroizing;

/// Accounts on the ledger that one wallet has, so that partners who should not know of each other need not share one.
pub const ACCOUNTS: u8 = 16;

/// Salt of the key derivation; another one would make other keys of the same wallet.
const DERIVE_SALT: &[u8; 26] = b"magicwave key derivation 1";

/// An ed25519 secret key (its 32-byte seed). Wiped when dropped, prints as `[…]`.
#[derive(Clone)]
pub struct SecretSeed(SigningKey);

impl SecretSeed {
    /// The key that these 32 bytes are the seed of (RFC 8032).
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        SecretSeed(SigningKey::from_bytes(seed))
    }
    /// Reads `S…`. `MW-KEY-1` when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        strkey::decode(Kind::Seed, text).map(|seed| Self::from_bytes(&seed))
    }
    /// `S…`: only for a file of mode 0600, never for a log or a screen.
    pub fn expose(&self) -> Zeroizing<String> {
        strkey::encode(Kind::Seed, self.0.as_bytes())
    }
    /// The public key: an account or a signer on the ledger.
    pub fn public(&self) -> AccountKey {
        self.0.verifying_key().to_bytes()
    }
    /// Signs `message`, which for a transaction is its 32-byte hash.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).to_bytes()
    }
    /// The scalar and the prefix that the seed stands for (RFC 8032, 5.1.5): for what signs otherwise than `sign` does.
    pub(super) fn expand(&self) -> ExpandedSecretKey {
        ExpandedSecretKey::from(self.0.as_bytes())
    }
    /// 32 bytes that only this secret gives for (role, context): HKDF-SHA512 (RFC 5869), its info the two parts, each
    /// after its length, so that no two pairs meet.
    pub fn derive_bytes(&self, role: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
        let extracted = mac(DERIVE_SALT, &[self.0.as_bytes()]);
        let lengths = [role.len() as u64, context.len() as u64].map(u64::to_be_bytes);
        let expanded = mac(&extracted, &[&lengths[0], role.as_bytes(), &lengths[1], context, &[1]]);
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(&expanded[..32]);
        out
    }
    /// The key of `role` for `context`; a leak of it says nothing about this secret or its other keys.
    pub fn derive(&self, role: &str, context: &[u8]) -> SecretSeed {
        SecretSeed::from_bytes(&self.derive_bytes(role, context))
    }
}

impl fmt::Debug for SecretSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSeed([…])")
    }
}

/// HMAC-SHA512 over the parts in order; the key is at most a block (128 bytes) long, padded with zeros as RFC 2104 says.
fn mac<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    const { assert!(N <= 128) };
    let mut block = Zeroizing::new([0u8; 128]);
    block[..N].copy_from_slice(key);
    let mut hmac = <Hmac<Sha512> as KeyInit>::new(&(*block).into());
    for part in parts {
        hmac.update(part);
    }
    Zeroizing::new(hmac.finalize().into_bytes().into())
}

/// `G…` of an account or signer.
pub fn account_id(key: &AccountKey) -> String {
    strkey::encode(Kind::Account, key).to_string()
}

/// Reads `G…`. `MW-KEY-1` when it is none.
pub fn parse_account_id(text: &str) -> Result<AccountKey> {
    strkey::decode(Kind::Account, text).map(|key| *key)
}

/// Checks a signature strictly: canonical, and no keys or points of small order, so that nobody can make one
/// signature that some accept and others refuse. `MW-KEY-2` when it is wrong.
pub fn verify(key: &AccountKey, message: &[u8], signature: &Signature) -> Result<()> {
    let wrong = |_| Error::never("MW-KEY-2", "The signature does not fit; what it signs is not accepted.");
    let key = VerifyingKey::from_bytes(key).map_err(wrong)?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_of_rfc_8032_is_made_and_accepted() {
        let bytes = |text: &str| hex::decode(text).expect("hex");
        let seed: [u8; 32] =
            bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").try_into().expect("32 bytes");
        let key = SecretSeed::from_bytes(&seed);
        assert_eq!(hex::encode(key.public()), "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let signature = key.sign(&[0xaf, 0x82]);
        assert_eq!(
            hex::encode(signature),
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        );
        verify(&key.public(), &[0xaf, 0x82], &signature).expect("valid");
        assert_eq!(verify(&key.public(), &[0xaf, 0x83], &signature).expect_err("other message").code, "MW-KEY-2");
    }

    #[test]
    fn a_signature_under_a_key_of_small_order_is_refused() {
        // A = R = the neutral element, s = 0 satisfies the loose equation for every message.
        let mut neutral = [0u8; 32];
        neutral[0] = 1;
        let mut signature = [0u8; 64];
        signature[0] = 1;
        assert!(verify(&neutral, b"anything", &signature).is_err());
    }

    #[test]
    fn a_secret_never_prints() {
        let key = SecretSeed::from_bytes(&[9; 32]);
        assert_eq!(format!("{key:?}"), "SecretSeed([…])");
        assert_eq!(SecretSeed::parse(&key.expose()).expect("own text").public(), key.public());
    }

    #[test]
    fn derived_keys_differ_by_role_and_context_and_by_where_the_two_part() {
        let key = SecretSeed::from_bytes(&[1; 32]);
        let derived: Vec<_> = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a", "bd"), ("b", "bc")]
            .iter()
            .map(|(role, context)| key.derive(role, context.as_bytes()).public())
            .collect();
        for (at, one) in derived.iter().enumerate() {
            assert!(!derived[at + 1..].contains(one) && *one != key.public());
        }
        assert_eq!(key.derive("a", b"bc").public(), derived[0]);
        assert_ne!(SecretSeed::from_bytes(&[2; 32]).derive("a", b"bc").public(), derived[0]);
    }

    #[test]
    fn derivation_stays_what_it_is() {
        // A change here would lose every wallet's accounts. The value was computed with Python's hmac module.
        let key = SecretSeed::from_bytes(&[1; 32]);
        assert_eq!(hex::encode(*key.derive_bytes("account", b"0")), DERIVED);
    }
    const DERIVED: &str = "ae783b5352b84e166f7f7dbd309190bd01f5aac0878576dac9c5f48c91d7d1d0";
}
