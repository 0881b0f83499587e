//! The seed file. It appears whole or not at all, and only its owner may look at it.
use crate::error::{Error, Result};
use crate::stellar::keys::SecretSeed;
use rand::TryRng;
use rand::rngs::SysRng;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A seed is 56 characters; a line end or two may follow.
const MAX_BYTES: u8 = 64;

pub(super) fn load(path: &Path) -> Result<SecretSeed> {
    read(path).unwrap_or_else(|error| {
        Err(Error::never("MW-WALLET-1", format!("The seed file cannot be read ({error}); check its path and owner.")))
    })
}

pub(super) fn load_or_create(path: &Path) -> Result<SecretSeed> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => return load(path),
    }
    let failed = |error: io::Error| {
        Error::later("MW-WALLET-5", format!("The seed file cannot be made ({error}); check its directory."))
    };
    create(path).map_err(failed)?;
    load(path)
}

/// Outer error: the system's; inner: ours.
fn read(path: &Path) -> io::Result<Result<SecretSeed>> {
    let file = File::open(path)?;
    // Of the open file, not of the path: what was checked is what is read.
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(Err(Error::never("MW-WALLET-3", "The seed file is no plain file.")));
    }
    if about.mode() & 0o077 != 0 {
        let text = "Others may read or write the seed file; make a new seed, or `chmod 600` it if nobody has.";
        return Ok(Err(Error::never("MW-WALLET-2", text)));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::from(MAX_BYTES) + 1));
    file.take(u64::from(MAX_BYTES) + 1).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim_ascii_end();
    let none = |_| Error::never("MW-WALLET-4", "The seed file holds no Stellar secret seed (one line, `S…`).");
    Ok(SecretSeed::parse(text).map_err(none))
}

/// Writes a fresh seed beside `path` and links it there: the first of several who try wins, nobody sees half a file.
fn create(path: &Path) -> io::Result<()> {
    let mut random = Zeroizing::new([0u8; 40]);
    SysRng.try_fill_bytes(&mut *random).map_err(io::Error::other)?;
    let mut seed = Zeroizing::new([0u8; 32]);
    seed.copy_from_slice(&random[..32]);
    let text = SecretSeed::from_bytes(&seed).expose();
    let draft = draft_name(path, &random[32..])?;
    let written = write(&draft, &text).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    written?;
    removed?;
    File::open(directory(path))?.sync_all()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
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

    #[test]
    fn a_seed_file_is_made_once_and_read_after_that() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        let made = load_or_create(&path).expect("made");
        let mode = fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load_or_create(&path).expect("read").public(), made.public());
        assert_eq!(load(&path).expect("read").public(), made.public());
        assert_eq!(fs::read_dir(home.path()).expect("directory").count(), 1, "nothing but the seed stays behind");
        let other = load_or_create(&home.path().join("other")).expect("made");
        assert_ne!(other.public(), made.public());
    }

    #[test]
    fn several_makers_at_once_get_one_seed() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_create(&path).expect("made").public())).collect();
            makers.into_iter().map(|maker| maker.join().expect("a maker")).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        load_or_create(&path).expect("made");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            assert_eq!(load(&path).expect_err("open to others").code, "MW-WALLET-2");
            assert_eq!(load_or_create(&path).expect_err("open to others").code, "MW-WALLET-2");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("mode");
        load(&path).expect("its owner's alone");
    }

    #[test]
    fn what_is_no_seed_file_is_refused_and_left_alone() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("seed");
        assert_eq!(load(&path).expect_err("missing").code, "MW-WALLET-1");
        assert_eq!(load_or_create(&home.path().join("no/such/seed")).expect_err("no directory").code, "MW-WALLET-5");
        let directory = home.path().join("directory");
        fs::create_dir(&directory).expect("directory");
        assert_eq!(load(&directory).expect_err("a directory").code, "MW-WALLET-3");
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
        assert_eq!(format!("{wallet:?}"), "Wallet { seed: SecretSeed([…]) }");
        assert!(wallet.account_id().starts_with('G'));
        assert_eq!(wallet.account(), wallet.derive("account", b"").public());
        assert_ne!(wallet.account(), wallet.derive("escrow", b"").public());
    }
}
