//! The directory of a network: whose it is, what in it is the network's, and what may be removed.
//!
//! A directory is a network's when its `lock` holds our words or when it holds a `devnet.json` of ours. Inside, only
//! what a network makes is ever removed: the files named here and the directories of the nodes in `devnet.json`.
use super::state::{STATE, State, io};
use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg, OFlag};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a unix socket that the kernel takes, less the longest name that we put into a node's directory.
const MAX_DIR: usize = 107 - "/0123456789012345678/control.sock".len();
/// Characters beside letters and digits that neither torrc nor nginx.conf gives a meaning to.
const PLAIN: &str = " /._-+@,";
const LOCK: &str = "lock";
/// What the lock file of a network says; other programs have files of that name, too.
const MARK: &[u8] = b"magicwave devnet\n";
/// What a network makes beside `devnet.json`, the lock and the directories of its nodes.
const FIXED: [&str; 5] = ["devnet.json.new", "up.log", "issuer.seed", "ledger", "web"];
/// A file of ours is never longer.
const MAX_FILE: u64 = 16 << 20;

/// Held as long as a network runs in its directory; the kernel frees it when the holder dies.
#[derive(Debug)]
pub struct DirLock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

fn refused(dir: &Path, why: &str) -> Error {
    Error::never("MW-NET-4", format!("{} {why}", dir.display()))
}

/// Whether a network can live under this path: sockets in it must fit, configuration files must hold it.
pub fn check_path(dir: &Path) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || PLAIN.contains(c);
    if dir.as_os_str().len() > MAX_DIR {
        return Err(refused(dir, &format!("is longer than {MAX_DIR} bytes: too long for unix sockets in it")));
    }
    if !dir.to_str().is_some_and(|text| text.chars().all(plain)) {
        let why = "cannot stand in the configuration of tor and nginx; a path may hold letters, digits, blanks and";
        return Err(refused(dir, &format!("{why} /._-+@,")));
    }
    Ok(())
}

/// Without a slash at the end, which would make the system look behind a symbolic link.
fn bare(dir: &Path) -> PathBuf {
    dir.components().collect()
}

fn only_ours(meta: &Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0
}

/// An error unless `dir` is a directory, no link, that is ours and that nobody else may write to.
fn check_dir(dir: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(bare(dir)).map_err(|e| io("look at", dir, &e))?;
    if !meta.is_dir() {
        return Err(refused(dir, "is no directory (a symbolic link is none); name another"));
    }
    if !only_ours(&meta) {
        return Err(refused(dir, "belongs to somebody else or others may write to it; name another directory"));
    }
    Ok(())
}

/// The content of a file in `dir`, `None` when there is none. An error when directory or file may be of somebody else.
pub fn read_own(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(bare(dir)) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        _ => check_dir(dir)?,
    }
    let path = dir.join(name);
    // Without waiting: opening a pipe would.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => {
            return Err(refused(&path, "is a symbolic link; a devnet makes none"));
        }
        Err(e) => return Err(io("open", &path, &e)),
    };
    let meta = file.metadata().map_err(|e| io("look at", &path, &e))?;
    if !meta.is_file() || !only_ours(&meta) {
        return Err(refused(&path, "belongs to somebody else or others may write to it; it is not read"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| io("read", &path, &e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refused(&path, &format!("is longer than {MAX_FILE} bytes")));
    }
    Ok(Some(bytes))
}

/// Names of all that lies in `dir`.
fn names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(dir).map_err(|e| io("read", dir, &e))?;
    entries.map(|e| Ok(e.map_err(|e| io("read", dir, &e))?.file_name())).collect()
}

/// What in `dir` a network made, `devnet.json` last and without the lock; and what it did not make.
fn sorted(dir: &Path) -> Result<(Vec<OsString>, Vec<OsString>)> {
    let state = State::find(dir)?;
    let nodes = state.iter().flat_map(|s| s.nodes.iter().map(|n| n.name.as_str()));
    let ours: BTreeSet<&str> = nodes.chain(FIXED).collect();
    // The draft of a seed file lies there when its writer was killed.
    let is_ours = |n: &str| ours.contains(n) || (n.starts_with("issuer.seed.") && n.ends_with(".new"));
    let all = names(dir)?.into_iter().filter(|name| name != LOCK && name != STATE);
    let (mut made, foreign): (Vec<_>, Vec<_>) = all.partition(|n| n.to_str().is_some_and(is_ours));
    if state.is_some() {
        made.push(STATE.into());
    }
    Ok((made, foreign))
}

/// Whether `dir` holds what an earlier network left, or nothing at all.
fn is_free_or_ours(dir: &Path) -> Result<bool> {
    let there = names(dir)?;
    let lock = if there.contains(&OsString::from(LOCK)) { read_own(dir, LOCK)? } else { None };
    // An empty lock alone: the program ended between making it and writing to it.
    let fresh = there.is_empty() || (there.len() == 1 && lock.as_ref().is_some_and(Vec::is_empty));
    Ok(fresh || lock.is_some_and(|text| text == MARK) || State::find(dir).is_ok_and(|state| state.is_some()))
}

/// The lock of a directory that is known to be ours.
fn take_lock(dir: &Path) -> Result<DirLock> {
    let path = dir.join(LOCK);
    let mut open = OpenOptions::new();
    open.create(true).truncate(false).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = open.open(&path).map_err(|e| io("open", &path, &e))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let text = format!("a devnet is already up in {}; `magicwave devnet down` ends it", dir.display());
        Error::later("MW-NET-6", text)
    })?;
    let marked = lock.set_len(0).and_then(|()| lock.write_all(MARK));
    marked.map_err(|e| io("write", &path, &e))?;
    Ok(DirLock(lock))
}

/// Takes `dir` for a new network: makes it (0700), locks it, and clears what an earlier network left in it. A
/// directory that holds anything else is refused and left as it is.
pub fn claim(dir: &Path) -> Result<DirLock> {
    check_path(dir)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| io("make", dir, &e))?;
    check_dir(dir)?;
    if !is_free_or_ours(dir)? {
        return Err(refused(dir, "is not empty and holds no devnet; name another directory"));
    }
    let lock = take_lock(dir)?;
    let (_, foreign) = sorted(dir)?;
    if let Some(first) = foreign.first() {
        let why = format!("holds {first:?}, which no devnet made; move it away or name another directory");
        return Err(refused(dir, &why));
    }
    clear(dir)?;
    Ok(lock)
}

/// Removes what a network made in `dir`, but not the lock and nothing else that lies there. `devnet.json` goes last:
/// as long as anything is left it says whose it is.
pub fn clear(dir: &Path) -> Result<()> {
    for name in sorted(dir)?.0 {
        let path = dir.join(name);
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        let gone = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.map_err(|e| io("remove", &path, &e))?;
    }
    Ok(())
}

/// Removes a network that does not run, and its directory when nothing else lies in it; what does, by name.
pub fn purge(dir: &Path) -> Result<Vec<OsString>> {
    check_dir(dir)?;
    if !is_free_or_ours(dir)? {
        return Err(refused(dir, "holds no devnet; nothing is removed"));
    }
    let lock = take_lock(dir)?;
    clear(dir)?;
    let foreign = sorted(dir)?.1;
    let path = dir.join(LOCK);
    fs::remove_file(&path).map_err(|e| io("remove", &path, &e))?;
    if foreign.is_empty() {
        fs::remove_dir(bare(dir)).map_err(|e| io("remove", dir, &e))?;
    }
    drop(lock);
    Ok(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn root() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("net").tempdir().expect("temporary directory")
    }

    #[test]
    fn one_directory_holds_one_network_at_a_time() {
        let root = root();
        let dir = root.path().join("net");
        let held = claim(&dir).expect("first");
        fs::create_dir(dir.join("ledger")).expect("left over");
        assert_eq!(claim(&dir).expect_err("second").code, "MW-NET-6");
        assert!(dir.join("ledger").exists(), "a refused claim must not clear anything");
        drop(held);
        claim(&dir).expect("free again");
        assert!(!dir.join("ledger").exists());
    }

    #[test]
    fn a_directory_with_other_peoples_files_is_left_alone() {
        let root = root();
        fs::write(root.path().join("thesis.txt"), "years of work").expect("write");
        assert_eq!(claim(root.path()).expect_err("not ours").code, "MW-NET-4");
        assert_eq!(purge(root.path()).expect_err("not ours").code, "MW-NET-4");
        assert!(root.path().join("thesis.txt").exists());
        let long = root.path().join("x".repeat(100));
        assert_eq!(claim(&long).expect_err("too long").code, "MW-NET-4");
    }

    #[test]
    fn the_data_directory_of_a_real_tor_is_left_alone() {
        for lock in ["", "somebody else's"] {
            let root = root();
            fs::write(root.path().join("lock"), lock).expect("write");
            fs::create_dir(root.path().join("keys")).expect("keys");
            fs::write(root.path().join("keys/secret_id_key"), "precious").expect("write");
            assert_eq!(claim(root.path()).expect_err("not ours").code, "MW-NET-4");
            assert_eq!(purge(root.path()).expect_err("not ours").code, "MW-NET-4");
            assert_eq!(fs::read_to_string(root.path().join("lock")).expect("there"), lock);
            assert!(root.path().join("keys/secret_id_key").exists());
        }
    }

    #[test]
    fn what_a_network_did_not_make_outlives_it() {
        let root = root();
        let dir = root.path().join("net");
        drop(claim(&dir).expect("ours"));
        fs::create_dir(dir.join("web")).expect("made");
        fs::write(dir.join("my-notes.txt"), "mine").expect("write");
        assert_eq!(claim(&dir).expect_err("notes in it").code, "MW-NET-4");
        assert!(dir.join("web").exists() && dir.join("my-notes.txt").exists());
        assert_eq!(purge(&dir).expect("purged"), ["my-notes.txt"]);
        assert_eq!(names(&dir).expect("still there"), BTreeSet::from(["my-notes.txt".into()]));
        let empty = root.path().join("empty");
        drop(claim(&empty).expect("ours"));
        assert!(purge(&empty).expect("purged").is_empty() && !empty.exists());
    }

    #[test]
    fn nothing_is_read_through_a_link_or_from_where_others_write() {
        let root = root();
        let dir = root.path().join("net");
        fs::create_dir(&dir).expect("made");
        fs::write(root.path().join("elsewhere"), "{}").expect("write");
        symlink(root.path().join("elsewhere"), dir.join(STATE)).expect("link");
        assert_eq!(State::load(&dir).expect_err("a link").code, "MW-NET-4");
        fs::remove_file(dir.join(STATE)).expect("removed");
        fs::write(dir.join(STATE), "{}").expect("write");
        assert_eq!(State::load(&dir).expect_err("no state").code, "MW-NET-5");
        fs::set_permissions(dir.join(STATE), fs::Permissions::from_mode(0o666)).expect("mode");
        assert_eq!(State::load(&dir).expect_err("others may write").code, "MW-NET-4");
        fs::set_permissions(dir.join(STATE), fs::Permissions::from_mode(0o600)).expect("mode");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("mode");
        assert_eq!(State::load(&dir).expect_err("others may write").code, "MW-NET-4");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("mode");
        symlink(&dir, root.path().join("link")).expect("link");
        for link in ["link", "link/"] {
            assert_eq!(State::load(&root.path().join(link)).expect_err("a link").code, "MW-NET-4");
            assert_eq!(claim(&root.path().join(link)).expect_err("a link").code, "MW-NET-4");
        }
    }

    #[test]
    fn a_path_that_configuration_files_would_misread_is_refused_before_anything_is_made() {
        let root = root();
        for name in ["a\"b", "a$b", "a#b", "a;b", "a\\b", "a{b", "a'b", "a\nb"] {
            let dir = root.path().join(name);
            let error = claim(&dir).expect_err(name);
            assert_eq!(error.code, "MW-NET-4");
            assert!(error.text.contains("letters, digits, blanks and /._-+@,"), "{error}");
            assert!(!dir.exists());
        }
        claim(&root.path().join("a b-c_1.é")).expect("plain");
    }
}
