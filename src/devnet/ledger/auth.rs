//! Which signatures of an envelope count, and for how much.
use super::entry::{Account, Id};
use super::xdr::{DecoratedSignature, SignerKey, Uint256};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Strict ed25519 verification; false for anything malformed.
pub fn verify(key: &Id, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

fn hint(bytes: &[u8]) -> [u8; 4] {
    let mut hint = [0; 4];
    let tail = &bytes[bytes.len().saturating_sub(4)..];
    hint[..tail.len()].copy_from_slice(tail);
    hint
}

/// Counts weights over the signatures of one envelope and remembers which were used.
pub struct Checker<'a> {
    hash: [u8; 32],
    signatures: &'a [DecoratedSignature],
    used: Vec<bool>,
    // (signature, key) -> whether it verifies over `hash`; at most 20 signatures times the keys of the accounts named
    verified: Vec<(usize, Id, bool)>,
}

impl<'a> Checker<'a> {
    /// Over the signatures of the envelope whose hash is `hash`.
    pub fn new(hash: [u8; 32], signatures: &'a [DecoratedSignature]) -> Self {
        Checker { hash, signatures, used: vec![false; signatures.len()], verified: Vec::new() }
    }

    /// Whether signers of `account` reach `needed` (at least one must sign, even when `needed` is 0).
    pub fn account(&mut self, account: &Account, needed: u8) -> bool {
        let mut signers = Vec::with_capacity(account.signers.len() + 1);
        if account.thresholds[0] > 0 {
            signers.push((SignerKey::Ed25519(Uint256(account.id)), u32::from(account.thresholds[0])));
        }
        signers.extend(account.signers.iter().map(|s| (s.key.clone(), s.weight)));
        self.check(signers, u32::from(needed))
    }

    /// Whether the key of an account that does not exist yet has signed.
    pub fn missing_account(&mut self, id: &Id) -> bool {
        self.check(vec![(SignerKey::Ed25519(Uint256(*id)), 1)], 0)
    }

    /// Whether each of `keys` has signed.
    pub fn all_of(&mut self, keys: &[SignerKey]) -> bool {
        let needed = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        keys.is_empty() || self.check(keys.iter().map(|k| (k.clone(), 1)).collect(), needed)
    }

    /// Whether every signature counted somewhere.
    pub fn all_used(&self) -> bool {
        self.used.iter().all(|used| *used)
    }

    // The order (hashes of transactions, then preimages, keys, payloads) and stopping at the threshold decide which
    // signatures count as used, and so what is txBAD_AUTH_EXTRA.
    fn check(&mut self, signers: Vec<(SignerKey, u32)>, needed: u32) -> bool {
        let mut total = 0;
        for (key, weight) in &signers {
            if matches!(key, SignerKey::PreAuthTx(Uint256(hash)) if *hash == self.hash) {
                total += (*weight).min(255);
                if total >= needed {
                    return true;
                }
            }
        }
        let kinds: [fn(&SignerKey) -> bool; 3] = [
            |k| matches!(k, SignerKey::HashX(_)),
            |k| matches!(k, SignerKey::Ed25519(_)),
            |k| matches!(k, SignerKey::Ed25519SignedPayload(_)),
        ];
        for kind in kinds {
            let mut left: Vec<_> = signers.iter().filter(|(key, _)| kind(key)).collect();
            for index in 0..self.signatures.len() {
                let Some(at) = left.iter().position(|(key, _)| self.matches(index, key)) else { continue };
                self.used[index] = true;
                total += left.remove(at).1.min(255);
                if total >= needed {
                    return true;
                }
            }
        }
        false
    }

    fn matches(&mut self, index: usize, key: &SignerKey) -> bool {
        let signatures = self.signatures;
        let DecoratedSignature { hint: given, signature } = &signatures[index];
        let bytes = signature.0.as_slice();
        match key {
            SignerKey::PreAuthTx(_) => false,
            SignerKey::HashX(Uint256(hash)) => given.0 == hint(hash) && sha256(bytes) == *hash,
            SignerKey::Ed25519(Uint256(id)) => {
                if given.0 != hint(id) {
                    return false;
                }
                if let Some((_, _, known)) = self.verified.iter().find(|(i, k, _)| *i == index && k == id) {
                    return *known;
                }
                let good = verify(id, &self.hash, bytes);
                self.verified.push((index, *id, good));
                good
            }
            SignerKey::Ed25519SignedPayload(signed) => {
                let (of_key, of_payload) = (hint(&signed.ed25519.0), hint(signed.payload.as_slice()));
                let both: [u8; 4] = std::array::from_fn(|i| of_key[i] ^ of_payload[i]);
                given.0 == both && verify(&signed.ed25519.0, signed.payload.as_slice(), bytes)
            }
        }
    }
}
