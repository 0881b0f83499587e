//! A network that is up: the handle that tests, the demo and the command line hold.
use super::bootstrap::{self, Bootstrap};
use super::child::Running;
use super::fund;
use super::keys::Tools;
use super::launch;
use super::place::{self, DirLock};
use super::state::{NodeView, State};
use super::topology::{Role, Topology};
use super::torrc;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whole starts that are tried when somebody else takes one of our ports.
const STARTS: usize = 3;
/// Every node opens its listeners within this time.
const LISTEN_PATIENCE: Duration = Duration::from_secs(60);
/// Every node is bootstrapped within this time; 10 nodes on 2 cores take about 15 seconds.
const READY_PATIENCE: Duration = Duration::from_secs(240);
/// A node that is asked to end has this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often logs are looked at.
const POLL: Duration = Duration::from_millis(100);

/// What to start and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything lies here. Must be new, empty, or left by an earlier network.
    pub state_dir: PathBuf,
    /// Who takes part.
    pub topology: Topology,
    /// The program that is `magicwave`.
    pub magicwave: PathBuf,
    /// What unpatched nodes run; the distribution's when none is named.
    pub tor: Option<PathBuf>,
}

impl Options {
    /// The default network in `state_dir`, with this very program as `magicwave`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Result<Self> {
        let magicwave = launch::this_program()?;
        Ok(Options { state_dir: state_dir.into(), topology: Topology::default(), magicwave, tor: None })
    }
}

/// How far one node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeProgress {
    /// Which.
    pub name: String,
    /// How far.
    pub bootstrap: Bootstrap,
}

/// How far the network is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Each node, in the order of the topology.
    pub nodes: Vec<NodeProgress>,
    /// Relays that the clients' consensus lists.
    pub listed: usize,
    /// Relays that it must list.
    pub relays: usize,
    /// Since the start.
    pub seconds: f64,
}

impl Progress {
    /// Every node is bootstrapped and every relay can be used by clients.
    pub fn is_ready(&self) -> bool {
        self.listed == self.relays && self.nodes.iter().all(|n| n.bootstrap.percent == 100)
    }
}

/// A network that is up. Dropping it kills every process of it.
#[derive(Debug)]
pub struct Devnet {
    options: Options,
    tools: Tools,
    state: State,
    running: BTreeMap<String, Running>,
    since: Instant,
    _lock: DirLock,
}

impl Devnet {
    /// Makes keys and configuration and starts everything; returns when every process listens.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_telling(options, |_| ()).await
    }

    /// The same; `tell` hears in words what is being done.
    pub async fn start_telling(options: Options, mut tell: impl FnMut(&str)) -> Result<Self> {
        options.topology.check()?;
        let mut tools = Tools::find(options.topology.web)?;
        if let Some(tor) = &options.tor {
            tools.tor.clone_from(tor);
        }
        let lock = place::claim(&options.state_dir)?;
        let mut net = Devnet {
            state: launch::plan(&options)?,
            options,
            tools,
            running: BTreeMap::new(),
            since: Instant::now(),
            _lock: lock,
        };
        for attempt in 1.. {
            match net.start_all(&mut tell).await {
                Err(e) if e.code == "MW-NET-3" && attempt < STARTS => {
                    tell(&format!("once more with other ports: {}", e.text));
                    net.running.clear();
                    place::clear(&net.options.state_dir)?;
                    net.state = launch::plan(&net.options)?;
                }
                other => {
                    other?;
                    break;
                }
            }
        }
        Ok(net)
    }

    async fn start_all(&mut self, tell: &mut impl FnMut(&str)) -> Result<()> {
        let accounts = if self.options.topology.ledger { "accounts on the ledger, " } else { "" };
        tell(&format!("making keys, {accounts}files of the web server"));
        // Saved first: whoever finds the directory after a crash must be able to tell what it is.
        self.state.save(&self.options.state_dir)?;
        launch::make_directories(&self.state)?;
        let State { nodes, ledger, web, money, files, .. } = &mut self.state;
        let wallets = fund::wallets(&self.options.topology, nodes)?;
        let with_money = async {
            let Some(ledger) = ledger else { return Ok(None) };
            let running = launch::start_ledger(&self.options, ledger).await?;
            *money = Some(fund::fund(ledger.address, &self.options.state_dir, &wallets).await?);
            Ok(Some(("ledger", running)))
        };
        let with_web = async {
            let Some(web) = web else { return Ok(None) };
            let (running, served) = launch::start_web(&self.tools, web).await?;
            *files = served;
            Ok(Some(("web", running)))
        };
        // Waiting for ledgers to close, making keys and writing files go on side by side.
        let keys = launch::make_keys(&self.tools, nodes);
        let (mut common, ledger, web) = futures::try_join!(keys, with_money, with_web)?;
        self.running.extend([ledger, web].into_iter().flatten().map(|(name, running)| (name.to_owned(), running)));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        common.voting_offset = torrc::voting_offset(now.as_secs());
        launch::configure(&self.options, &self.state, &common)?;
        tell(&format!("starting {} nodes", self.state.nodes.len()));
        for i in 0..self.state.nodes.len() {
            self.start_node(i)?;
        }
        self.state.save(&self.options.state_dir)?;
        let all: Vec<_> = (0..self.state.nodes.len()).collect();
        self.wait_listening(&all).await
    }

    fn start_node(&mut self, index: usize) -> Result<()> {
        let (Some(node), Some(spec)) = (self.state.nodes.get_mut(index), self.options.topology.nodes.get(index)) else {
            return Err(Error::never("MW-NET-12", format!("no node number {index}")));
        };
        node.log_start = std::fs::metadata(&node.log).map_or(0, |m| m.len());
        let command = launch::node_command(&self.options, &self.tools, spec, node);
        let running = launch::start(command, &node.dir, &node.output)?;
        node.process = Some(running.id());
        self.running.insert(node.name.clone(), running);
        Ok(())
    }

    async fn wait_listening(&mut self, nodes: &[usize]) -> Result<()> {
        let end = Instant::now() + LISTEN_PATIENCE;
        loop {
            self.check_alive()?;
            let views = nodes.iter().filter_map(|i| self.state.nodes.get(*i));
            let silent: Vec<_> = views.filter(|n| !bootstrap::read(n).listening).map(|n| n.name.as_str()).collect();
            if silent.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let text = format!("not listening after {LISTEN_PATIENCE:?}: {}", silent.join(", "));
                return Err(Error::later("MW-NET-11", text));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// An error when a process of the network ended without being asked to; says which, how, and its last words.
    pub fn check_alive(&mut self) -> Result<()> {
        for (name, running) in &mut self.running {
            let Some(status) = running.ended() else { continue };
            let node = self.state.nodes.iter().find(|n| n.name == *name);
            let services = self.state.ledger.iter().chain(&self.state.web);
            let service = services.map(|s| &s.output).find(|o| o.parent().is_some_and(|d| d.ends_with(name)));
            let output = node.map(|n| &n.output).or(service).map(|p| launch::last_lines(p)).unwrap_or_default();
            let log = node.map(bootstrap::tail).unwrap_or_default();
            // tor opens its listeners before its log.
            if bootstrap::port_taken(&log) || bootstrap::port_taken(&output) {
                return Err(Error::later("MW-NET-3", format!("somebody took a port of {name}")));
            }
            let log: Vec<_> = log.lines().collect();
            let log = log[log.len().saturating_sub(8)..].join("\n");
            let text = format!("{name} ended with {status}; its last words:\n{log}\n{output}");
            return Err(Error::later("MW-NET-11", text.trim_end().to_owned()));
        }
        Ok(())
    }

    /// How far everything is.
    pub fn progress(&self) -> Progress {
        let mut progress = progress_of(&self.state);
        progress.seconds = self.since.elapsed().as_secs_f64();
        progress
    }

    /// Calls `report` whenever something moved, returns when every node is bootstrapped and the clients know every
    /// relay.
    pub async fn wait_ready(&mut self, mut report: impl FnMut(&Progress)) -> Result<()> {
        let end = Instant::now() + READY_PATIENCE;
        let mut last = None;
        loop {
            self.check_alive()?;
            let progress = self.progress();
            let mark = (progress.nodes.clone(), progress.listed);
            if last.as_ref() != Some(&mark) {
                report(&progress);
                last = Some(mark);
            }
            if progress.is_ready() {
                self.state.ready = true;
                return self.state.save(&self.options.state_dir);
            }
            if Instant::now() > end {
                let behind = progress.nodes.iter().filter(|n| n.bootstrap.percent < 100);
                let words: Vec<_> = behind.map(|n| format!("{} {}%", n.name, n.bootstrap.percent)).collect();
                let (listed, relays) = (progress.listed, progress.relays);
                let words = words.join(", ");
                let text = format!("not up after {READY_PATIENCE:?}: {words}; {listed} of {relays} relays listed");
                return Err(Error::later("MW-NET-11", text));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What the network is made of.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Result<&NodeView> {
        let found = self.state.nodes.iter().find(|n| n.name == name);
        found.ok_or_else(|| Error::never("MW-NET-12", format!("no node {name:?} in this devnet")))
    }

    /// SIGKILL to a node, `ledger` or `web`; what it held stays on disk as it was.
    pub fn kill9(&mut self, name: &str) -> Result<()> {
        let running = self.running.get_mut(name);
        running.ok_or_else(|| Error::never("MW-NET-12", format!("{name:?} does not run")))?.kill9();
        self.running.remove(name);
        self.forget(name)
    }

    /// Asks a node, `ledger` or `web` to end, and waits for it.
    pub async fn stop_one(&mut self, name: &str) -> Result<()> {
        let running = self.running.get_mut(name);
        running.ok_or_else(|| Error::never("MW-NET-12", format!("{name:?} does not run")))?.stop(STOP_PATIENCE).await;
        self.running.remove(name);
        self.forget(name)
    }

    fn forget(&mut self, name: &str) -> Result<()> {
        match (name, self.state.nodes.iter_mut().find(|n| n.name == name)) {
            (_, Some(node)) => node.process = None,
            ("ledger", _) => self.state.ledger.iter_mut().for_each(|s| s.process = None),
            _ => self.state.web.iter_mut().for_each(|s| s.process = None),
        }
        self.state.save(&self.options.state_dir)
    }

    /// Starts a node, `ledger` or `web` again on the files that it left (SIGKILL first when it still runs); returns
    /// when it listens.
    pub async fn restart(&mut self, name: &str) -> Result<()> {
        if self.running.contains_key(name) {
            self.kill9(name)?;
        }
        if let Some(index) = self.state.nodes.iter().position(|n| n.name == name) {
            self.start_node(index)?;
            self.wait_listening(&[index]).await?;
        } else if let ("ledger", Some(view)) = (name, &mut self.state.ledger) {
            let running = launch::start_ledger(&self.options, view).await?;
            self.running.insert(name.into(), running);
        } else if let ("web", Some(view)) = (name, &mut self.state.web) {
            let (running, _) = launch::start_web(&self.tools, view).await?;
            self.running.insert(name.into(), running);
        } else {
            return Err(Error::never("MW-NET-12", format!("no node {name:?} in this devnet")));
        }
        self.state.save(&self.options.state_dir)
    }

    /// Ends everything: the nodes, then what they lean on.
    pub async fn stop(mut self) -> Result<()> {
        let (services, nodes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(name, _)| matches!(name.as_str(), "ledger" | "web"));
        for group in [nodes, services] {
            futures::future::join_all(group.into_iter().map(|(_, mut r)| async move { r.stop(STOP_PATIENCE).await }))
                .await;
        }
        self.state.nodes.iter_mut().for_each(|n| n.process = None);
        self.state.ledger.iter_mut().chain(&mut self.state.web).for_each(|s| s.process = None);
        self.state.save(&self.options.state_dir)
    }
}

/// How far a network is, seen from its files alone.
pub fn progress_of(state: &State) -> Progress {
    let nodes = state.nodes.iter().map(|n| NodeProgress { name: n.name.clone(), bootstrap: bootstrap::read(n) });
    let relays: BTreeSet<_> = state.nodes.iter().filter(|n| n.role.is_relay()).map(|n| n.name.as_str()).collect();
    let clients = state.nodes.iter().filter(|n| n.role == Role::Client);
    let listed = clients.map(|n| listed(n).iter().filter(|name| relays.contains(name.as_str())).count()).min();
    Progress { nodes: nodes.collect(), listed: listed.unwrap_or(0), relays: relays.len(), seconds: 0.0 }
}

/// Nicknames in the consensus that a client uses.
fn listed(client: &NodeView) -> BTreeSet<String> {
    let path = client.dir.join("data").join("cached-microdesc-consensus");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.strip_prefix("r ")?.split(' ').next()?.to_owned())).collect()
}
