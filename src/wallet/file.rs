//! The wallet file, and the other files that hold secrets. They appear whole or not at all, and only their owner may
//! look at them.
use super::passphrase::Passphrase;
use super::sealed::{self, Cost};
use super::secret::Secret;
use crate::error::{Error, Result};
use crate::stellar::keys::SecretSeed;
use rand::TryRng;
use rand::rngs::SysRng;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The secret in a wallet file; without a passphrase only one that is not sealed. `MW-WALLET-6`: it is sealed.
pub(super) fn load(path: &Path, passphrase: Option<&Passphrase>) -> Result<Secret> {
    let bytes = read(path).unwrap_or_else(|error| {
        Err(Error::never("MW-WALLET-1", format!("The seed file cannot be read ({error}); check its path and owner.")))
    })?;
    if !sealed::is_sealed(&bytes) {
        return std::str::from_utf8(&bytes).map_err(|_| none()).and_then(Secret::parse);
    }
    let passphrase = passphrase.ok_or_else(|| {
        let text = format!(
            "The wallet file is encrypted. Name a file with its passphrase: --passphrase-file, {}, or passphrase_file \
             in [wallet].",
            super::passphrase::VARIABLE
        );
        Error::never("MW-WALLET-6", text)
    })?;
    sealed::open(&bytes, passphrase)
}

/// Whether the file is sealed; errors as `load`.
pub(super) fn is_sealed(path: &Path) -> Result<bool> {
    let bytes = read(path).unwrap_or_else(|error| {
        Err(Error::never("MW-WALLET-1", format!("The seed file cannot be read ({error}); check its path and owner.")))
    })?;
    Ok(sealed::is_sealed(&bytes))
}

/// A file with a fresh seed and without a passphrase, unless there is a file already.
pub(super) fn load_or_create(path: &Path) -> Result<Secret> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => return load(path, None),
    }
    let seed = SecretSeed::from_bytes(&*random::<32>()?);
    // Another maker may have been faster; then its seed is the one.
    write_new(path, &line(&seed.expose())).map_err(not_made)?;
    load(path, None)
}

/// A new wallet file. `MW-WALLET-11`: there is something of this name; `MW-WALLET-5`: it cannot be made.
pub(super) fn create(path: &Path, secret: &Secret, passphrase: Option<(&Passphrase, &Cost)>) -> Result<()> {
    let text = match passphrase {
        Some((passphrase, cost)) => Zeroizing::new(sealed::seal(secret, passphrase, cost, &*random()?)?),
        None => line(&secret.expose()),
    };
    write_secret(path, &text)
}

/// Any new file of mode 0600. Errors as `create`.
pub(super) fn write_secret(path: &Path, text: &Zeroizing<String>) -> Result<()> {
    if write_new(path, text).map_err(not_made)? {
        return Ok(());
    }
    let text = format!(
        "{} exists and is left as it is. Move it away first if you are sure that nothing depends on it; there is no \
         way to overwrite a wallet.",
        path.display()
    );
    Err(Error::never("MW-WALLET-11", text))
}

fn not_made(error: io::Error) -> Error {
    Error::later("MW-WALLET-5", format!("The seed file cannot be made ({error}); check its directory."))
}

fn none() -> Error {
    Error::never("MW-WALLET-4", "The seed file holds neither words of a wallet nor a Stellar secret seed (`S…`).")
}

/// Why a file is not read although it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    NoFile,
    Others,
    Long,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::NoFile => "it is no plain file",
            Unfit::Others => "others may read or write it; `chmod 600` it if nobody has",
            Unfit::Long => "it is too long",
        })
    }
}

/// Whether a pipe is as good as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipes {
    Yes,
    No,
}

/// A file of at most `limit` bytes that only its owner may look at. Outer error: the system's.
pub(super) fn read_own(path: &Path, limit: usize, pipes: Pipes) -> io::Result<Result<Zeroizing<Vec<u8>>, Unfit>> {
    // A pipe or a device that is not wanted is not opened at all: that could wait for ever.
    if pipes == Pipes::No && !fs::metadata(path)?.is_file() {
        return Ok(Err(Unfit::NoFile));
    }
    let file = File::open(path)?;
    // Of the open file, not of the path: what was checked is what is read.
    let about = file.metadata()?;
    let fit = about.is_file() || (pipes == Pipes::Yes && about.file_type().is_fifo());
    if !fit {
        return Ok(Err(Unfit::NoFile));
    }
    if about.mode() & 0o077 != 0 {
        return Ok(Err(Unfit::Others));
    }
    // Room from the start: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > limit { Err(Unfit::Long) } else { Ok(bytes) })
}

/// Outer error: the system's; inner: ours.
fn read(path: &Path) -> io::Result<Result<Zeroizing<Vec<u8>>>> {
    Ok(read_own(path, sealed::MAX_FILE, Pipes::No)?.map_err(|unfit| match unfit {
        Unfit::NoFile => Error::never("MW-WALLET-3", "The seed file is no plain file."),
        Unfit::Others => {
            let text = "Others may read or write the seed file; make a new seed, or `chmod 600` it if nobody has.";
            Error::never("MW-WALLET-2", text)
        }
        Unfit::Long => none(),
    }))
}

/// Bytes of the system's generator.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    SysRng.try_fill_bytes(&mut *bytes).map_err(|error| not_made(io::Error::other(error)))?;
    Ok(bytes)
}

fn line(text: &Zeroizing<String>) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
    line.push_str(text);
    line.push('\n');
    line
}

/// Writes a draft beside `path` and links it there: the first of several who try wins, nobody sees half a file.
/// False when there is a file already.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    let mut name = [0; 8];
    SysRng.try_fill_bytes(&mut name).map_err(io::Error::other)?;
    let draft = draft_name(path, &name)?;
    let written = write(&draft, text).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    });
    let removed = fs::remove_file(&draft);
    let written = written?;
    removed?;
    sync_directory(path)?;
    Ok(written)
}

/// Writes a file of mode 0600 in place of the one that is there, if any; durable when it returns.
#[cfg(feature = "node")]
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = [0; 8];
    SysRng.try_fill_bytes(&mut name).map_err(io::Error::other)?;
    let draft = draft_name(path, &name)?;
    if let Err(error) = write(&draft, text).and_then(|()| fs::rename(&draft, path)) {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    sync_directory(path)
}

/// What was done to `path` in its directory outlasts a crash.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn draft_name(path: &Path, random: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    let mut draft = name.to_os_string();
    draft.push(format!(".{}.new", hex::encode(random)));
    Ok(directory(path).join(draft))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What a file of the first form holds.
    fn seed(secret: Secret) -> SecretSeed {
        match secret {
            Secret::Seed(seed) => seed,
            Secret::Phrase(_) => panic!("words"),
        }
    }

    #[test]
    fn a_seed_file_is_made_once_and_read_after_that() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        let made = seed(load_or_create(&path).expect("made"));
        let mode = fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(seed(load_or_create(&path).expect("read")).public(), made.public());
        assert_eq!(seed(load(&path, None).expect("read")).public(), made.public());
        assert_eq!(fs::read_dir(home.path()).expect("directory").count(), 1, "nothing but the seed stays behind");
        let other = seed(load_or_create(&home.path().join("other")).expect("made"));
        assert_ne!(other.public(), made.public());
    }

    #[test]
    fn several_makers_at_once_get_one_seed() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| seed(load_or_create(&path).expect("made")).public())).collect();
            makers.into_iter().map(|maker| maker.join().expect("a maker")).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        seed(load_or_create(&path).expect("made"));
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            assert_eq!(load(&path, None).expect_err("open to others").code, "MW-WALLET-2");
            assert_eq!(load_or_create(&path).expect_err("open to others").code, "MW-WALLET-2");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("mode");
        load(&path, None).expect("its owner's alone");
    }

    #[test]
    fn what_is_no_seed_file_is_refused_and_left_alone() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        assert_eq!(load(&path, None).expect_err("missing").code, "MW-WALLET-1");
        assert_eq!(load_or_create(&home.path().join("no/such/seed")).expect_err("no directory").code, "MW-WALLET-5");
        let directory = home.path().join("directory");
        fs::create_dir(&directory).expect("directory");
        assert_eq!(load(&directory, None).expect_err("a directory").code, "MW-WALLET-3");
        for text in ["", "hello", "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ", &"S".repeat(500)] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
            let error = load_or_create(&path).expect_err("no seed");
            assert_eq!(error.code, "MW-WALLET-4");
            assert!(text.is_empty() || !error.to_string().contains(text));
            assert_eq!(fs::read_to_string(&path).expect("kept"), *text);
        }
    }

    #[test]
    fn a_wallet_prints_nothing_and_derives_its_account() {
        let wallet = super::super::Wallet::new(SecretSeed::from_bytes(&[5; 32]));
        assert_eq!(format!("{wallet:?}"), "Wallet([…])");
        assert!(wallet.account_id().starts_with('G'));
        assert_eq!(wallet.account(), wallet.derive("account", b"").public());
        assert_ne!(wallet.account(), wallet.derive("escrow", b"").public());
    }
}
