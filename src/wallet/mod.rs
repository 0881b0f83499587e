//! The wallet: one secret in a file, and the keys that are derived from it by role. docs/wallet.md has the file's form
//! and the paths.
mod file;
#[cfg(feature = "node")]
pub mod ledger;
pub mod passphrase;
pub mod sealed;
pub mod secret;
pub mod sep5;
pub mod uri;

use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::stellar::keys::{self, ACCOUNTS, SecretSeed};
use passphrase::Passphrase;
use sealed::Cost;
use secret::Secret;
use sep5::Phrase;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Role of the wallet's account on the ledger.
pub const ACCOUNT: &str = "account";
/// Role of escrow accounts' own keys; the context names link and lane.
pub const ESCROW: &str = "escrow";
/// Role of our signer in the escrows of a link; the context is the link's id.
pub const LINK_SIGNER: &str = "link-signer";

/// A wallet's accounts and the secret that all its other keys are derived from. Prints nothing of them.
#[derive(Clone)]
pub struct Wallet {
    /// The one that is meant when none is named.
    account: SecretSeed,
    accounts: Vec<SecretSeed>,
    roles: SecretSeed,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet([…])")
    }
}

impl Wallet {
    /// A wallet of a seed that somebody else keeps; its accounts are derived like every other key.
    pub fn new(seed: SecretSeed) -> Self {
        let account = |number: u8| seed.derive(ACCOUNT, if number == 0 { &[] } else { std::slice::from_ref(&number) });
        Wallet { account: account(0), accounts: (0..ACCOUNTS).map(account).collect(), roles: seed }
    }
    /// The wallet of a secret: of words the accounts are those of SEP-5, m/44'/148'/0' and so on, which every Stellar
    /// wallet finds, and the other keys come from `sep5::ROLES`.
    pub fn of(secret: &Secret) -> Self {
        match secret {
            Secret::Seed(seed) => Wallet::new(seed.clone()),
            Secret::Phrase(phrase) => {
                let seed = phrase.seed("");
                let account = |number| sep5::account(&seed, number);
                Wallet {
                    account: account(0),
                    accounts: (0..ACCOUNTS.into()).map(account).collect(),
                    roles: account(sep5::ROLES),
                }
            }
        }
    }
    /// The same wallet with another account in the place of its first. `MW-WALLET-41`: it has fewer.
    pub fn numbered(self, number: u8) -> Result<Self> {
        let account = self.accounts.get(usize::from(number)).cloned().ok_or_else(|| {
            let text = format!("A wallet has the accounts 0 to {}; there is no number {number}.", ACCOUNTS - 1);
            Error::never("MW-WALLET-41", text)
        })?;
        Ok(Wallet { account, ..self })
    }
    /// The keys of its accounts, by number.
    pub fn account_keys(&self) -> &[SecretSeed] {
        &self.accounts
    }
    /// The number of an account of this wallet.
    pub fn number_of(&self, account: &AccountKey) -> Option<u8> {
        let mut numbered = (0..ACCOUNTS).zip(&self.accounts);
        numbered.find(|(_, key)| key.public() == *account).map(|(number, _)| number)
    }
    /// Reads the seed file, or makes one (mode 0600) with a fresh seed when there is none. When several processes do
    /// so at once, all get the same seed. `MW-WALLET-1` to `MW-WALLET-6` as `load`; `MW-WALLET-5`: cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        file::load_or_create(path).map(|secret| Wallet::of(&secret))
    }
    /// Reads a seed file that is not encrypted: one line, `S…` or words. `MW-WALLET-1`: cannot be read;
    /// `MW-WALLET-2`: others may read or write it; `MW-WALLET-3`: no plain file; `MW-WALLET-4` or `-10`: no secret in
    /// it; `MW-WALLET-6`: encrypted.
    pub fn load(path: &Path) -> Result<Self> {
        Self::open(path, None)
    }
    /// Reads a seed file, encrypted or not. As `load`, and `MW-WALLET-7`: another passphrase; `MW-WALLET-8`: damaged.
    pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self> {
        read(path, passphrase).map(|secret| Wallet::of(&secret))
    }
    /// Reads a node's seed file; the passphrase, when one is needed, comes from the file that
    /// `MAGICWAVE_PASSPHRASE_FILE` or `configured` names. As `open`, and `MW-WALLET-9`: no use of that file.
    pub fn open_configured(path: &Path, configured: Option<&Path>) -> Result<Self> {
        let passphrase = match passphrase::file_of(None, configured) {
            Some(file) if is_sealed(path)? => Some(Passphrase::read(&file)?),
            _ => None,
        };
        Self::open(path, passphrase.as_ref())
    }
    /// The signing key of `role` for `context`: the same each time, and a leak of it is a leak of nothing else.
    pub fn derive(&self, role: &str, context: &[u8]) -> SecretSeed {
        if role == ACCOUNT && context.is_empty() { self.account.clone() } else { self.roles.derive(role, context) }
    }
    /// 32 secret bytes of `role` for `context`, for MACs and seals. Never use one pair for a key and for bytes.
    pub fn derive_bytes(&self, role: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
        self.roles.derive_bytes(role, context)
    }
    /// The key of the wallet's account.
    pub fn account_key(&self) -> SecretSeed {
        self.account.clone()
    }
    /// The wallet's account.
    pub fn account(&self) -> AccountKey {
        self.account.public()
    }
    /// The wallet's account as text, `G…`.
    pub fn account_id(&self) -> String {
        keys::account_id(&self.account())
    }
}

/// The secret in a seed file, for a backup. Errors as `Wallet::open`.
pub fn read(path: &Path, passphrase: Option<&Passphrase>) -> Result<Secret> {
    file::load(path, passphrase)
}

/// Whether a seed file is encrypted. `MW-WALLET-1` to `MW-WALLET-3` as `Wallet::load`.
pub fn is_sealed(path: &Path) -> Result<bool> {
    file::is_sealed(path)
}

/// A fresh secret: 24 words. `MW-WALLET-5`: the system has no random numbers.
pub fn fresh() -> Result<Secret> {
    Phrase::from_entropy(&*file::random()?).map(Secret::Phrase)
}

/// Writes a new seed file (mode 0600), encrypted when there is a passphrase. It is complete and durable, or not there.
/// `MW-WALLET-5`: it cannot be made; `MW-WALLET-11`: there is something of this name, which is left alone.
pub fn create(path: &Path, secret: &Secret, passphrase: Option<(&Passphrase, &Cost)>) -> Result<()> {
    file::create(path, secret, passphrase)
}

/// Writes the words (or the seed) into a new file of mode 0600. Errors as `create`.
pub fn write_words(path: &Path, secret: &Secret) -> Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(secret::MAX_TEXT + 1));
    text.push_str(&secret.expose());
    text.push('\n');
    file::write_secret(path, &text)
}

/// Reads words (or a seed) from a file that only its owner may read. `MW-WALLET-14`: it cannot be read, or others may;
/// `MW-WALLET-4` or `-10`: no secret in it.
pub fn read_words(path: &Path) -> Result<Secret> {
    let refuse = |why: String| {
        Error::never("MW-WALLET-14", format!("The file with the words, {}, cannot be used: {why}.", path.display()))
    };
    match file::read_own(path, 2 * secret::MAX_TEXT, file::Pipes::Yes) {
        Ok(Ok(bytes)) => Secret::parse(std::str::from_utf8(&bytes).unwrap_or_default()),
        Ok(Err(unfit)) => Err(refuse(unfit.to_string())),
        Err(error) => Err(refuse(error.to_string())),
    }
}
