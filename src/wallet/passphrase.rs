//! The passphrase of a wallet file: from a file of its own or the terminal, never an argument, never plain environment.
use super::file;
use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Names a file with the passphrase on its first line.
pub const VARIABLE: &str = "MAGICWAVE_PASSPHRASE_FILE";
/// Shortest passphrase that a new file gets, in characters.
pub const MIN_NEW: usize = 8;
/// Longest passphrase, in bytes.
pub const MAX_BYTES: usize = 1_024;

/// A passphrase. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// `MW-WALLET-12`: empty or longer than 1024 bytes.
    pub fn new(text: Zeroizing<String>) -> Result<Self> {
        match text.len() {
            0 => Err(Error::never("MW-WALLET-12", "The passphrase is empty; write at least one character.")),
            1..=MAX_BYTES => Ok(Passphrase(text)),
            _ => Err(Error::never("MW-WALLET-12", format!("The passphrase is longer than {MAX_BYTES} bytes."))),
        }
    }

    /// For a new file. `MW-WALLET-12`: shorter than 8 characters.
    pub fn check_new(self) -> Result<Self> {
        if self.0.chars().count() < MIN_NEW {
            let text =
                format!("The passphrase is shorter than {MIN_NEW} characters; four random words are a good one.");
            return Err(Error::never("MW-WALLET-12", text));
        }
        Ok(self)
    }

    /// The first line of a file that only its owner may read (a pipe will do). `MW-WALLET-9`: it cannot be read, or
    /// others may; `MW-WALLET-12`: nothing in it.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |why: String| {
            Error::never("MW-WALLET-9", format!("The passphrase file {} cannot be used: {why}.", path.display()))
        };
        let bytes = match file::read_own(path, MAX_BYTES + 2, file::Pipes::Yes) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(unfit)) => return Err(refuse(unfit.to_string())),
            Err(error) => return Err(refuse(error.to_string())),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| refuse("it is no UTF-8 text".into()))?;
        Self::new(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether both are the same, for one that was typed twice.
impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([…])")
    }
}

/// The passphrase file to use: that of the flag, else `MAGICWAVE_PASSPHRASE_FILE`, else the configured one.
pub fn file_of(flag: Option<&Path>, configured: Option<&Path>) -> Option<PathBuf> {
    let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    flag.map(Path::to_owned).or_else(variable).or_else(|| configured.map(Path::to_owned))
}
