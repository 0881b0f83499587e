//! What a running network is made of, as it is written to `devnet.json` and read back by `status`, `logs`, `down`.
use super::child::ProcessId;
use super::place;
use super::topology::{Binary, NodeSpec, Role};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the file.
pub const STATE: &str = "devnet.json";

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
    /// Its first account on the ledger, when it takes part.
    pub account: Option<String>,
    /// Further accounts of its wallet that were made.
    #[serde(default)]
    pub more_accounts: Vec<String>,
}

impl NodeView {
    /// All its accounts on the ledger.
    pub fn accounts(&self) -> impl Iterator<Item = &String> {
        self.account.iter().chain(&self.more_accounts)
    }

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
            more_accounts: Vec::new(),
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
    /// Reads what lies in `dir`; an error when there is no network in it, or when it may be somebody else's.
    pub fn load(dir: &Path) -> Result<Self> {
        let none = || format!("no devnet in {}; `magicwave devnet up` makes one", dir.display());
        Self::find(dir)?.ok_or_else(|| Error::never("MW-NET-5", none()))
    }
    /// The same, `None` when there is no network in `dir`.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let Some(text) = place::read_own(dir, STATE)? else { return Ok(None) };
        let unreadable = |why: String| Error::never("MW-NET-5", format!("{}: {why}", dir.join(STATE).display()));
        let state: State = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        if state.version == VERSION { Ok(Some(state)) } else { Err(unreadable(format!("version {}", state.version))) }
    }
    /// Replaces `devnet.json` in one step; nobody else reads or writes it.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::never("MW-NET-5", e.to_string()))?;
        let (new, path) = (dir.join("devnet.json.new"), dir.join(STATE));
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new);
        let written = file.and_then(|mut file| file.write_all(&text));
        written.and_then(|()| fs::rename(&new, &path)).map_err(|e| io("write", &path, &e))
    }
    /// Every process of the network, tor nodes first.
    pub fn processes(&self) -> impl Iterator<Item = (&str, ProcessId)> {
        let nodes = self.nodes.iter().filter_map(|n| Some((n.name.as_str(), n.process?)));
        let ledger = self.ledger.iter().filter_map(|s| Some(("ledger", s.process?)));
        nodes.chain(ledger).chain(self.web.iter().filter_map(|s| Some(("web", s.process?))))
    }
}

/// An error of the file system, with the path in it.
pub fn io(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::never("MW-NET-7", format!("cannot {verb} {}: {error}", path.display()))
}
