//! A payment is written down before it is sent, so that a command that is repeated after a lost answer sends the same
//! transaction again and never a second one (invariant 1).
use super::send::Wish;
use crate::error::{Error, Result};
use crate::stellar::network::NetworkId;
use crate::wallet::file;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The file is a few hundred bytes.
const MAX_BYTES: usize = 16 << 10;

/// The payment of a wallet that is under way on a network, if any. While this lives no other process has it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// A payment that was, or is about to be, sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What was wanted.
    pub wish: Wish,
    /// Whether it creates its destination.
    pub creates: bool,
    /// Hex.
    pub hash: String,
    /// Base64 XDR, signed.
    pub envelope: String,
    /// Unix seconds after which it cannot land any more.
    pub max_time: u64,
}

impl Pending {
    /// Its hash as bytes. `MW-WALLET-32`: the journal is damaged.
    pub(super) fn hash_bytes(&self) -> Result<[u8; 32]> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.hash, &mut hash).map_err(|_| damaged("its hash"))?;
        Ok(hash)
    }
    /// Its envelope as bytes. `MW-WALLET-32`: the journal is damaged.
    pub(super) fn envelope_bytes(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.envelope).map_err(|_| damaged("its envelope"))
    }
}

impl Journal {
    /// The journal beside `seed_file`, one per network. `MW-WALLET-31`: another process sends from this wallet;
    /// `MW-WALLET-32`: the files cannot be used.
    pub fn open(seed_file: &Path, network: &NetworkId) -> Result<Self> {
        let lock = File::open(seed_file).map_err(|error| unusable(seed_file, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = "Another command sends from this wallet right now. Wait for its end, then repeat yours.";
                return Err(Error::later("MW-WALLET-31", text));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(seed_file, &error)),
        }
        let mut name = seed_file.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".sending-{}", hex::encode(&network.0[..4])));
        Ok(Journal { path: seed_file.with_file_name(name), _lock: lock })
    }

    /// The payment that an earlier run left without a known end. `MW-WALLET-32`: it cannot be read.
    pub fn pending(&self) -> Result<Option<Pending>> {
        match file::read_own(&self.path, MAX_BYTES, file::Pipes::No) {
            Ok(Ok(bytes)) => serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged("its form")),
            Ok(Err(unfit)) => Err(unusable(&self.path, &unfit)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.path, &error)),
        }
    }

    /// Durable when it returns. `MW-WALLET-32`: it cannot be written.
    pub fn write(&self, pending: &Pending) -> Result<()> {
        let text = serde_json::to_string(pending).map_err(|error| unusable(&self.path, &error))?;
        file::replace(&self.path, &text).map_err(|error| unusable(&self.path, &error))
    }

    /// Its end is known. `MW-WALLET-32`: the file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => file::sync_directory(&self.path),
        };
        removed.map_err(|error: io::Error| unusable(&self.path, &error))
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let text = format!("The note of payments under way, {}, cannot be kept: {error}.", path.display());
    Error::later("MW-WALLET-32", text)
}

fn damaged(what: &str) -> Error {
    let text = format!(
        "The note of a payment under way is damaged ({what}). Look at `magicwave wallet history`, and remove the file \
         ending in .sending-… beside the seed file once you know that payment's end."
    );
    Error::never("MW-WALLET-32", text)
}
