//! A wallet's secret under a passphrase: Argon2id and XChaCha20-Poly1305 in a file of text. Pure; docs/wallet.md has
//! the form.
use super::passphrase::Passphrase;
use super::secret::{self, Secret};
use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// First line of the file; another number is another form.
const MAGIC: &str = "magicwave-wallet 1";
/// First word of the file, of whatever version.
const WORD: &str = "magicwave-wallet ";
const SALT: usize = 16;
const NONCE: usize = 24;
const TAG: usize = 16;
/// All secrets are padded with spaces to this, so that the length does not tell of which kind it is.
const PADDED: usize = 256;
/// Bytes of the check against slips of the disk and the editor; what makes it safe is the seal's own tag.
const CHECK: usize = 8;
/// Longest file.
pub const MAX_FILE: usize = 1_024;
/// The most that a file may ask for: 1 GiB, 16 passes, 16 lanes.
const MOST: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };

const _: () = assert!(secret::MAX_TEXT <= PADDED);

/// What it costs to try a passphrase (Argon2id). It stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second recommended choice of RFC 9106, for machines that are no servers: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

/// Drawn afresh for every sealing: a salt and a nonce.
pub type Fresh = [u8; SALT + NONCE];

/// Whether a file of this beginning is sealed.
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(WORD.as_bytes())
}

/// The file's text. `MW-WALLET-8`: a cost that no file may have.
pub fn seal(secret: &Secret, passphrase: &Passphrase, cost: &Cost, fresh: &Fresh) -> Result<String> {
    let (salt, nonce) = fresh.split_at(SALT);
    let head = format!(
        "{MAGIC}\nkdf argon2id {} {} {}\nsalt {}\ncipher xchacha20poly1305\nnonce {}\n",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        hex::encode(salt),
        hex::encode(nonce)
    );
    let mut plain = Zeroizing::new([b' '; PADDED]);
    let text = secret.expose();
    plain[..text.len()].copy_from_slice(text.as_bytes());
    let key = key(passphrase, cost, salt)?;
    let payload = Payload { msg: &*plain, aad: head.as_bytes() };
    let sealed = cipher(&key).encrypt(&xnonce(nonce)?, payload).map_err(|_| damaged("it cannot be sealed"))?;
    let body = format!("{head}box {}\n", hex::encode(sealed));
    Ok(format!("{body}check {}\n", check(&body)))
}

/// The secret in a file. `MW-WALLET-7`: another passphrase (or a file that was changed on purpose); `MW-WALLET-8`:
/// damaged, or of a version that this program does not know.
pub fn open(bytes: &[u8], passphrase: &Passphrase) -> Result<Secret> {
    let file = File::parse(bytes)?;
    let key = key(passphrase, &file.cost, &file.salt)?;
    let payload = Payload { msg: &file.sealed, aad: file.head.as_bytes() };
    let opened = cipher(&key).decrypt(&xnonce(&file.nonce)?, payload).map(Zeroizing::new);
    let plain = opened.map_err(|_| {
        Error::never("MW-WALLET-7", "The passphrase does not open this wallet file. Try again; nothing was changed.")
    })?;
    let text = std::str::from_utf8(&plain).map_err(|_| damaged("no text inside"))?;
    Secret::parse(text).map_err(|_| damaged("no secret inside"))
}

/// What stands in a file, before anybody opened it.
struct File<'a> {
    /// All lines before the box: bound to it as additional data.
    head: &'a str,
    cost: Cost,
    salt: Vec<u8>,
    nonce: Vec<u8>,
    sealed: Vec<u8>,
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_FILE);
        let text = text.ok_or_else(|| damaged("it is no text of ours"))?;
        if !text.starts_with(&format!("{MAGIC}\n")) {
            return Err(damaged("this version of the program does not know its form"));
        }
        let (body, checked) = text.rsplit_once("check ").ok_or_else(|| damaged("its last line is missing"))?;
        if checked.trim_end() != check(body) {
            return Err(damaged("its check does not fit"));
        }
        let (head, sealed) = body.split_once("box ").ok_or_else(|| damaged("it has no box"))?;
        let mut lines = head.lines().skip(1);
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)).map(str::trim);
            line.ok_or_else(|| damaged(&format!("it has no {}", name.trim())))
        };
        let cost = Cost::parse(field("kdf argon2id ")?)?;
        let salt = bytes_of(field("salt ")?, SALT)?;
        if field("cipher ")? != "xchacha20poly1305" {
            return Err(damaged("this version of the program does not know its cipher"));
        }
        let nonce = bytes_of(field("nonce ")?, NONCE)?;
        let sealed = bytes_of(sealed.trim_end(), PADDED + TAG)?;
        Ok(File { head, cost, salt, nonce, sealed })
    }
}

impl Cost {
    fn parse(text: &str) -> Result<Self> {
        let mut numbers = text.split(' ').map(|number| number.parse::<u32>().ok());
        match [numbers.next(), numbers.next(), numbers.next(), numbers.next()] {
            [Some(Some(memory_kib)), Some(Some(passes)), Some(Some(lanes)), None] => {
                Ok(Cost { memory_kib, passes, lanes })
            }
            _ => Err(damaged("its kdf is not three numbers")),
        }
    }
}

fn key(passphrase: &Passphrase, cost: &Cost, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    if cost.memory_kib > MOST.memory_kib || cost.passes > MOST.passes || cost.lanes > MOST.lanes {
        return Err(damaged("its kdf asks for more than any file of ours"));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32));
    let params = params.map_err(|_| damaged("its kdf asks for less than Argon2 can do"))?;
    let mut key = Zeroizing::new([0; 32]);
    let derived = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        passphrase.bytes(),
        salt,
        &mut *key,
    );
    derived.map_err(|_| Error::later("MW-WALLET-8", "There is not enough memory to open the wallet file."))?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&(*key).into())
}

fn xnonce(bytes: &[u8]) -> Result<XNonce> {
    <[u8; NONCE]>::try_from(bytes).map(XNonce::from).map_err(|_| damaged("its nonce is too short"))
}

fn check(body: &str) -> String {
    hex::encode(&Sha256::digest(body.as_bytes())[..CHECK])
}

fn bytes_of(text: &str, length: usize) -> Result<Vec<u8>> {
    // One way to write a file: capitals would be a second one.
    let capital = text.bytes().any(|b| b.is_ascii_uppercase());
    let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == length && !capital);
    bytes.ok_or_else(|| damaged("a field is not lower-case hex of the right length"))
}

fn damaged(what: &str) -> Error {
    Error::never("MW-WALLET-8", format!("The wallet file cannot be used: {what}. Restore the wallet from its words."))
}
