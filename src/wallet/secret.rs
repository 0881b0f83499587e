//! What a wallet file keeps, sealed or not: words, or a secret seed as in the first files.
use super::sep5::{self, Phrase};
use crate::error::{Error, Result};
use crate::stellar::keys::SecretSeed;
use crate::stellar::strkey;
use zeroize::Zeroizing;

/// Longest text of a secret.
pub const MAX_TEXT: usize = sep5::MAX_TEXT;

/// The secret of a wallet. Wiped when dropped, never printed.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Words of SEP-5.
    Phrase(Phrase),
    /// A secret seed `S…`, from which the account too is derived.
    Seed(SecretSeed),
}

impl Secret {
    /// Reads either form, white space around it left out. `MW-WALLET-4`: neither a seed nor anything with the number
    /// of words of a wallet; `MW-WALLET-10`: words that are none of a wallet.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_ascii();
        let none = || {
            Error::never("MW-WALLET-4", "This holds neither the words of a wallet nor a Stellar secret seed (`S…`).")
        };
        if text.len() == strkey::TEXT_LEN && !text.contains(|c: char| c.is_ascii_whitespace()) {
            return SecretSeed::parse(text).map(Secret::Seed).map_err(|_| none());
        }
        if text.split_whitespace().nth(1).is_none() {
            return Err(none());
        }
        Phrase::parse(text).map(Secret::Phrase)
    }

    /// One line without its end: only for a file of mode 0600, or to be sealed.
    pub fn expose(&self) -> Zeroizing<String> {
        match self {
            Secret::Phrase(phrase) => phrase.expose(),
            Secret::Seed(seed) => seed.expose(),
        }
    }

    /// How a person calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Secret::Phrase(_) => "words",
            Secret::Seed(_) => "seed",
        }
    }
}
