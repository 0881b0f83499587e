//! The networks that are measured against each other, up at the same time, loaded one at a time.
use crate::devnet::demo::download::{Fetched, Go, download};
use crate::devnet::network::{Devnet, Options, Role, Topology};
use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One download takes at most so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whose turn it is. The base line is measured twice in each round, which tells what chance alone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The network of ours, paid.
    Ours,
    /// A network of upstream's sources, built as ours but without our patches: tells what we cost from what the
    /// distribution's build does.
    Pristine,
    /// The unpatched network.
    Stock,
    /// The same unpatched network once more, under names (so circuits) of its own.
    Again,
}

impl Side {
    /// All, in the order of a round: mirrored in every second one, so that nobody is always first.
    pub fn order(round: usize) -> [Side; 4] {
        let mut order = [Side::Ours, Side::Pristine, Side::Stock, Side::Again];
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }
    /// Part of SOCKS user names.
    pub fn name(self) -> &'static str {
        match self {
            Side::Ours => "ours",
            Side::Pristine => "pristine",
            Side::Stock => "stock",
            Side::Again => "again",
        }
    }
}

/// Samples of the sides, in the order of rounds.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Of our network.
    pub ours: Vec<f64>,
    /// Of upstream's sources in our build.
    pub pristine: Vec<f64>,
    /// Of the base line.
    pub stock: Vec<f64>,
    /// Of the base line measured again.
    pub again: Vec<f64>,
}

impl Samples {
    /// The samples of a side.
    pub fn of(&mut self, side: Side) -> &mut Vec<f64> {
        match side {
            Side::Ours => &mut self.ours,
            Side::Pristine => &mut self.pristine,
            Side::Stock => &mut self.stock,
            Side::Again => &mut self.again,
        }
    }
}

/// One network.
#[derive(Debug)]
pub struct Arm {
    net: Devnet,
    socks: SocketAddr,
    web: SocketAddr,
    /// Socket of the client's local API, when it pays.
    pub client_api: Option<PathBuf>,
    /// Sockets of the relays' local APIs, of those that are paid.
    pub relay_apis: Vec<PathBuf>,
}

impl Arm {
    /// Starts a network in `dir` and waits until it is ready. `tor`: what its unpatched nodes run, else the
    /// distribution's.
    pub async fn start(dir: &Path, topology: Topology, tor: Option<&Path>) -> Result<Self> {
        let mut options = Options::new(dir)?;
        options.topology = topology;
        options.tor = tor.map(Path::to_owned);
        let mut net = Devnet::start(options).await?;
        net.wait_ready(|_| ()).await?;
        let missing =
            |what: &str| Error::never("MW-BENCH-4", format!("the network in {} has no {what}", dir.display()));
        let state = net.state();
        let client = state.nodes.iter().find(|n| n.role == Role::Client).ok_or_else(|| missing("client"))?;
        let port = client.socks_port.ok_or_else(|| missing("SOCKS port"))?;
        let relays = state.nodes.iter().filter(|n| matches!(n.role, Role::Relay | Role::Middle | Role::Exit));
        Ok(Arm {
            socks: SocketAddr::from(([127, 0, 0, 1], port)),
            web: state.web.as_ref().ok_or_else(|| missing("web server"))?.address,
            client_api: client.api_socket.clone(),
            relay_apis: relays.filter_map(|n| n.api_socket.clone()).collect(),
            net,
        })
    }

    /// Downloads a file of the web server over a circuit that belongs to `user`; an error unless every byte is right.
    pub async fn fetch(&self, user: &str, path: &str) -> Result<Fetched> {
        let fetched = download(self.socks, user, self.web, path, PATIENCE, |_, _| Go::On).await?;
        let file = self.net.state().files.iter().find(|f| f.path == path);
        if !fetched.whole || file.is_none_or(|f| f.sha256 != fetched.sha256) {
            let text = format!("{path} came as {} bytes after {:.1?}, not as it is", fetched.bytes, fetched.took);
            return Err(Error::later("MW-BENCH-1", text));
        }
        Ok(fetched)
    }

    /// Clock ticks of processor time that the tor nodes used since they were started.
    pub fn cpu_ticks(&self) -> Result<u64> {
        let pids = self.net.state().nodes.iter().filter_map(|n| n.process).map(|p| p.pid);
        let ticks: Option<Vec<u64>> = pids.map(ticks_of).collect();
        ticks.map(|t| t.iter().sum()).ok_or_else(|| Error::later("MW-BENCH-4", "a node is gone or /proc tells nothing"))
    }

    /// Resident memory of the relays, in KiB.
    pub fn relays_rss_kib(&self) -> Result<u64> {
        let relays =
            self.net.state().nodes.iter().filter(|n| matches!(n.role, Role::Relay | Role::Middle | Role::Exit));
        let kib: Option<Vec<u64>> = relays.map(|n| rss_kib_of(n.process?.pid)).collect();
        kib.map(|k| k.iter().sum()).ok_or_else(|| Error::later("MW-BENCH-4", "a relay is gone or /proc tells nothing"))
    }

    /// What the client's program says of its version, without the full stop.
    pub fn tor_version(&self) -> Option<String> {
        let client = self.net.state().nodes.iter().find(|n| n.role == Role::Client)?.process?;
        let program = std::fs::read_link(format!("/proc/{}/exe", client.pid)).ok()?;
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.lines().next()?.strip_prefix("Tor version ")?;
        Some(version.trim_end_matches('.').to_owned())
    }

    /// An error when a process of it died.
    pub fn check_alive(&mut self) -> Result<()> {
        self.net.check_alive()
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.net.stop().await
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`: time in user and kernel mode.
fn ticks_of(pid: u32) -> Option<u64> {
    parse_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_ticks(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses and may hold spaces: count from behind the last one.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(kernel)
}

/// `VmRSS` of `/proc/PID/status`.
fn rss_kib_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// All networks.
#[derive(Debug)]
pub struct World {
    /// Paid, ours.
    pub ours: Arm,
    /// Upstream's, in our build.
    pub pristine: Arm,
    /// The distribution's.
    pub stock: Arm,
}

impl World {
    /// Directories of the networks below the one that is given.
    pub const DIRS: [&'static str; 3] = ["ours", "pristine", "stock"];

    /// Starts all side by side below `dir`. `pristine`: upstream's tor, built as ours is.
    pub async fn start(dir: &Path, pristine: &Path) -> Result<Self> {
        let dirs = Self::DIRS.map(|name| dir.join(name));
        let unpatched = || one_leg(Topology::default().all_stock());
        let (ours, pristine, stock) = futures::try_join!(
            Arm::start(&dirs[0], Topology::default(), None),
            Arm::start(&dirs[1], unpatched(), Some(pristine)),
            Arm::start(&dirs[2], unpatched(), None),
        )?;
        Ok(World { ours, pristine, stock })
    }
    /// An error when a process of them died.
    pub fn check_alive(&mut self) -> Result<()> {
        self.ours.check_alive().and_then(|()| self.pristine.check_alive()).and_then(|()| self.stock.check_alive())
    }
    /// Ends all.
    pub async fn stop(self) -> Result<()> {
        futures::try_join!(self.ours.stop(), self.pristine.stop(), self.stock.stop()).map(|_| ())
    }
    /// The network of a side.
    pub fn arm(&self, side: Side) -> &Arm {
        match side {
            Side::Ours => &self.ours,
            Side::Pristine => &self.pristine,
            Side::Stock | Side::Again => &self.stock,
        }
    }
}

/// A payer of ours keeps to one leg; nobody it is compared with may have two.
fn one_leg(mut topology: Topology) -> Topology {
    for node in topology.nodes.iter_mut().filter(|n| n.role.has_socks()) {
        node.torrc.push("ConfluxEnabled 0".into());
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_blanks_and_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("7 (a) S 1"), None);
        assert!(ticks_of(std::process::id()).is_some());
        assert!(rss_kib_of(std::process::id()).is_some_and(|kib| kib > 100));
    }

    #[test]
    fn every_second_round_is_mirrored() {
        assert_eq!(Side::order(0), [Side::Ours, Side::Pristine, Side::Stock, Side::Again]);
        assert_eq!(Side::order(1), [Side::Again, Side::Stock, Side::Pristine, Side::Ours]);
    }
}
