//! From words to keys: BIP-39 words, their 64-byte seed, and SLIP-10 keys on the paths of SEP-5. Pure.
use crate::error::{Error, Result};
use crate::stellar::keys::SecretSeed;
use bip39::{Language, Mnemonic};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Purpose and coin of SEP-5: m/44'/148'.
const STELLAR: [u32; 2] = [44, 148];
/// SLIP-10's key for the master key of ed25519.
const MASTER: &[u8; 12] = b"ed25519 seed";
const HARDENED: u32 = 1 << 31;
/// The last account of m/44'/148': its key is no account but what all keys by role are derived from. Whoever walks the
/// accounts from 0 on never comes by it, and who has the key of an account cannot compute it.
pub const ROLES: u32 = HARDENED - 1;
/// Longest text of a phrase: 24 words of at most 8 letters.
pub const MAX_TEXT: usize = 24 * 8 + 23;

/// The words of a wallet, 12 to 24 of the English list, their checksum right. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Phrase(Mnemonic);

impl Phrase {
    /// The 24 words of 32 random bytes.
    pub fn from_entropy(entropy: &[u8; 32]) -> Result<Self> {
        // 32 bytes are a length that BIP-39 knows.
        Mnemonic::from_entropy_in(Language::English, entropy).map(Phrase).map_err(|error| refused(&error))
    }

    /// Reads words however they are spaced and whatever their case. `MW-WALLET-10`: their number, one of them, or the
    /// checksum is wrong; the text names the place of a wrong word, never the word.
    pub fn parse(text: &str) -> Result<Self> {
        let mut plain = Zeroizing::new(String::with_capacity(text.len()));
        for word in text.split_whitespace() {
            if !plain.is_empty() {
                plain.push(' ');
            }
            plain.extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        }
        Mnemonic::parse_in_normalized(Language::English, &plain).map(Phrase).map_err(|error| refused(&error))
    }

    /// The words, in order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.words()
    }

    /// The words with a space between them: only for a file of mode 0600 or the owner's own screen.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        for word in self.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// BIP-39's seed. `password` is what some call the 25th word; ours is empty, it must be ASCII.
    pub fn seed(&self, password: &str) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed_normalized(password))
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase([…])")
    }
}

/// The key of m/44'/148'/`account`' (SEP-5), from BIP-39's seed. `account` is below 2^31.
pub fn account(seed: &[u8; 64], account: u32) -> SecretSeed {
    let [purpose, coin] = STELLAR;
    SecretSeed::from_bytes(&derive(seed, &[purpose, coin, account]))
}

/// SLIP-10 for ed25519, which has hardened steps only.
pub fn derive(seed: &[u8; 64], path: &[u32]) -> Zeroizing<[u8; 32]> {
    let mut node = mac(MASTER, &[seed]);
    for step in path {
        let (key, chain) = node.split_at(32);
        node = mac(chain, &[&[0], key, &(step | HARDENED).to_be_bytes()]);
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&node[..32]);
    key
}

/// HMAC-SHA512; the key is shorter than a block, so that it is padded with zeros.
fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 128]);
    block[..key.len()].copy_from_slice(key);
    let mut hmac = <Hmac<Sha512> as KeyInit>::new(&(*block).into());
    parts.iter().for_each(|part| hmac.update(part));
    let mut out = hmac.finalize().into_bytes();
    let mut node = Zeroizing::new([0; 64]);
    node.copy_from_slice(&out);
    out.zeroize();
    node
}

fn refused(error: &bip39::Error) -> Error {
    let what = match error {
        bip39::Error::BadWordCount(count) => format!("{count} words; a wallet has 12, 15, 18, 21 or 24"),
        bip39::Error::UnknownWord(at) => format!("word {} is not in the list (English, BIP-39)", at + 1),
        bip39::Error::InvalidChecksum => "each word is in the list, but not in this order: one is another".to_owned(),
        _ => "they are no words of a wallet".to_owned(),
    };
    Error::never("MW-WALLET-10", format!("These words open no wallet: {what}. Compare them with your copy."))
}
