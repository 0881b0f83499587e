//! The strkey text form of 32-byte keys (SEP-23), accounts `G…` and secret seeds `S…` only.
//!
//! Our own few lines because secret seeds pass through: nothing here leaves a copy behind that is not wiped.
use crate::error::{Error, Result};
use zeroize::{Zeroize, Zeroizing};

/// Length of the text form of a 32-byte key.
pub const TEXT_LEN: usize = 56;
/// Version byte, 32 bytes of key, checksum.
const BINARY_LEN: usize = 35;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What a strkey stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An account or an ed25519 signer, `G…`.
    Account = 6 << 3,
    /// An ed25519 secret seed, `S…`.
    Seed = 18 << 3,
}

/// Text form of `key`, wiped when dropped.
pub fn encode(kind: Kind, key: &[u8; 32]) -> Zeroizing<String> {
    let mut binary = Zeroizing::new([0u8; BINARY_LEN]);
    binary[0] = kind as u8;
    binary[1..33].copy_from_slice(key);
    let checksum = crc16(&binary[..33]).to_le_bytes();
    binary[33..].copy_from_slice(&checksum);
    let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
    for group in binary.chunks_exact(5) {
        let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            text.push(char::from(ALPHABET[(bits >> (5 * place) & 31) as usize]));
        }
    }
    text
}

/// Reads a text form back. `MW-KEY-1`: not 56 characters of the alphabet, another kind, or a wrong checksum.
pub fn decode(kind: Kind, text: &str) -> Result<Zeroizing<[u8; 32]>> {
    let refuse =
        || Error::never("MW-KEY-1", "This is no Stellar key of the expected kind; check it for typing errors.");
    if text.len() != TEXT_LEN {
        return Err(refuse());
    }
    let mut binary = Zeroizing::new([0u8; BINARY_LEN]);
    for (group, out) in text.as_bytes().chunks_exact(8).zip(binary.chunks_exact_mut(5)) {
        let mut bits = 0u64;
        for character in group {
            let value = ALPHABET.iter().position(|a| a == character).ok_or_else(refuse)?;
            bits = bits << 5 | value as u64;
        }
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
        bits.zeroize();
    }
    let checksum = u16::from_le_bytes([binary[33], binary[34]]);
    if binary[0] != kind as u8 || crc16(&binary[..33]) != checksum {
        return Err(refuse());
    }
    let mut key = Zeroizing::new([0u8; 32]);
    key.copy_from_slice(&binary[1..33]);
    Ok(key)
}

/// CRC-16/XMODEM: polynomial 0x1021, start 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stellar_base::crypto;

    proptest! {
        #[test]
        fn text_forms_agree_with_another_implementation(key: [u8; 32]) {
            prop_assert_eq!(encode(Kind::Account, &key).to_string(), crypto::encode_account_id(&key));
            prop_assert_eq!(encode(Kind::Seed, &key).to_string(), crypto::encode_secret_seed(&key));
            prop_assert_eq!(*decode(Kind::Seed, &crypto::encode_secret_seed(&key)).expect("valid"), key);
        }

        #[test]
        fn one_wrong_character_is_noticed(key: [u8; 32], place in 0usize..TEXT_LEN, with in 0usize..32) {
            let text = encode(Kind::Account, &key);
            let mut wrong = text.as_bytes().to_vec();
            wrong[place] = ALPHABET[with];
            let wrong = String::from_utf8(wrong).expect("ascii");
            prop_assert_eq!(decode(Kind::Account, &wrong).is_ok(), wrong == *text);
        }
    }

    #[test]
    fn a_seed_is_not_taken_for_an_account() {
        let seed = encode(Kind::Seed, &[7; 32]);
        assert_eq!(decode(Kind::Account, &seed).expect_err("kind").code, "MW-KEY-1");
        for text in ["", "G", "é", &"A".repeat(55), &"a".repeat(56), &"=".repeat(56)] {
            assert!(decode(Kind::Account, text).is_err());
        }
    }
}
