//! What a running network is made of, as it is written to `devnet.json` and read back by `status`, `logs`, `down`.
use super::child::ProcessId;
use super::topology::{Binary, NodeSpec, Role};
use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a unix socket that the kernel takes, less the longest name that we put into a node's directory.
const MAX_DIR: usize = 107 - "/0123456789012345678/control.sock".len();
const STATE: &str = "devnet.json";
const LOCK: &str = "lock";

/// One node as it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its name and nickname.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Which tor it runs.
    pub binary: Binary,
    /// Its process; `None` before it was started and after it was ended on purpose.
    pub process: Option<ProcessId>,
    /// OR port on 127.0.0.1, for relays.
    pub or_port: Option<u16>,
    /// Directory port on 127.0.0.1, for authorities.
    pub dir_port: Option<u16>,
    /// SOCKS port on 127.0.0.1, for origins.
    pub socks_port: Option<u16>,
    /// Where a site's gateway listens for visitors.
    pub listen: Option<SocketAddr>,
    /// RSA identity, 40 hex digits, for relays.
    pub fingerprint: Option<String>,
    /// Everything of this node lies here.
    pub dir: PathBuf,
    /// Its torrc.
    pub torrc: PathBuf,
    /// Its control socket.
    pub control: PathBuf,
    /// tor's log.
    pub log: PathBuf,
    /// Bytes of `log` that were there before this start.
    pub log_start: u64,
    /// Standard output and error.
    pub output: PathBuf,
    /// Configuration of its payments, when it takes part.
    pub gateway: Option<PathBuf>,
    /// Socket of its local API, when it takes part.
    pub api_socket: Option<PathBuf>,
    /// Its account on the ledger, when it takes part.
    pub account: Option<String>,
}

impl NodeView {
    /// The node before ports and keys are known.
    pub fn planned(spec: &NodeSpec, state_dir: &Path) -> Self {
        let dir = state_dir.join(&spec.name);
        let pays = |file: &str| spec.funding.map(|_| dir.join(file));
        NodeView {
            name: spec.name.clone(),
            role: spec.role,
            binary: spec.binary,
            process: None,
            or_port: None,
            dir_port: None,
            socks_port: None,
            listen: None,
            fingerprint: None,
            torrc: dir.join("torrc"),
            control: dir.join("control.sock"),
            log: dir.join("tor.log"),
            log_start: 0,
            output: dir.join("output.log"),
            gateway: pays("gateway.toml"),
            api_socket: pays("api.sock"),
            account: None,
            dir,
        }
    }
}

/// A process of the network that is no tor: the ledger or the web server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its process.
    pub process: Option<ProcessId>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Everything of it lies here.
    pub dir: PathBuf,
    /// Standard output and error.
    pub output: PathBuf,
}

/// A file that the web server serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedFile {
    /// Path of its URL.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// Of the content, hex.
    pub sha256: String,
}

/// Money of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyView {
    /// What signatures on this ledger are bound to.
    pub passphrase: String,
    /// Code of the payment asset.
    pub asset_code: String,
    /// Account that issued it.
    pub issuer: String,
}

/// The whole network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Form of this file.
    pub version: u32,
    /// The program that holds the network up.
    pub supervisor: ProcessId,
    /// Whether everything was up once.
    pub ready: bool,
    /// Its tor nodes.
    pub nodes: Vec<NodeView>,
    /// Its ledger.
    pub ledger: Option<ServiceView>,
    /// Its web server.
    pub web: Option<ServiceView>,
    /// What the web server serves.
    pub files: Vec<ServedFile>,
    /// Its money, when there is a ledger.
    pub money: Option<MoneyView>,
}

/// The one form of `devnet.json` that this program reads.
pub const VERSION: u32 = 1;

impl State {
    /// Reads what lies in `dir`; an error when there is no network in it.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(STATE);
        let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::never("MW-NET-5", format!("no devnet in {}; `magicwave devnet up` makes one", dir.display()))
            }
            _ => io("read", &path, &e),
        })?;
        let unreadable = |why: String| Error::never("MW-NET-5", format!("{}: {why}", path.display()));
        let state: State = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        if state.version == VERSION { Ok(state) } else { Err(unreadable(format!("version {}", state.version))) }
    }
    /// Replaces `devnet.json` in one step.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::never("MW-NET-5", e.to_string()))?;
        let (new, path) = (dir.join("devnet.json.new"), dir.join(STATE));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|e| io("write", &path, &e))
    }
    /// Every process of the network, tor nodes first.
    pub fn processes(&self) -> impl Iterator<Item = (&str, ProcessId)> {
        let nodes = self.nodes.iter().filter_map(|n| Some((n.name.as_str(), n.process?)));
        let ledger = self.ledger.iter().filter_map(|s| Some(("ledger", s.process?)));
        nodes.chain(ledger).chain(self.web.iter().filter_map(|s| Some(("web", s.process?))))
    }
}

/// Held as long as a network runs in its directory; the kernel frees it when the holder dies.
#[derive(Debug)]
pub struct DirLock(#[allow(dead_code, reason = "held, not read")] Flock<File>);

/// Takes `dir` for a new network: makes it (0700), locks it, and clears what an earlier network left in it.
pub fn claim(dir: &Path) -> Result<DirLock> {
    if dir.as_os_str().len() > MAX_DIR {
        let text = format!("{} is longer than {MAX_DIR} bytes: too long for unix sockets in it", dir.display());
        return Err(Error::never("MW-NET-4", text));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| io("make", dir, &e))?;
    let meta = fs::metadata(dir).map_err(|e| io("look at", dir, &e))?;
    if meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        let text =
            format!("{} belongs to somebody else or others may write to it; name another directory", dir.display());
        return Err(Error::never("MW-NET-4", text));
    }
    let mut there = fs::read_dir(dir).map_err(|e| io("read", dir, &e))?;
    if there.next().is_some() && !dir.join(LOCK).exists() {
        let text = format!("{} is not empty and holds no devnet; name another directory", dir.display());
        return Err(Error::never("MW-NET-4", text));
    }
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|e| io("open", &path, &e))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let text = format!("a devnet is already up in {}; `magicwave devnet down` ends it", dir.display());
        Error::later("MW-NET-6", text)
    })?;
    clear(dir)?;
    Ok(DirLock(lock))
}

/// Removes everything in `dir` but the lock.
pub fn clear(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| io("read", dir, &e))? {
        let entry = entry.map_err(|e| io("read", dir, &e))?;
        if entry.file_name() == LOCK {
            continue;
        }
        let (path, is_dir) = (entry.path(), entry.file_type().is_ok_and(|t| t.is_dir()));
        let gone = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.map_err(|e| io("remove", &path, &e))?;
    }
    Ok(())
}

/// An error of the file system, with the path in it.
pub fn io(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::never("MW-NET-7", format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_holds_one_network_at_a_time() {
        let root = tempfile::tempdir().expect("temporary directory");
        let dir = root.path().join("net");
        let held = claim(&dir).expect("first");
        fs::write(dir.join("left-over"), "x").expect("write");
        assert_eq!(claim(&dir).expect_err("second").code, "MW-NET-6");
        assert!(dir.join("left-over").exists(), "a refused claim must not clear anything");
        drop(held);
        claim(&dir).expect("free again");
        assert!(!dir.join("left-over").exists());
    }

    #[test]
    fn a_directory_with_other_peoples_files_is_left_alone() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::write(root.path().join("thesis.txt"), "years of work").expect("write");
        assert_eq!(claim(root.path()).expect_err("not ours").code, "MW-NET-4");
        assert!(root.path().join("thesis.txt").exists());
        let long = root.path().join("x".repeat(100));
        assert_eq!(claim(&long).expect_err("too long").code, "MW-NET-4");
    }
}
