//! Who takes part in a private network.
use crate::error::{Error, Result};
use crate::gateway::core::locks::Locks;
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// What a node does in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Directory authority. Origins leave it out of their paths.
    Authority,
    /// Guard and middle.
    Relay,
    /// A relay that is middle only.
    Middle,
    /// Exit (and middle).
    Exit,
    /// Origin of circuits with a SOCKS port.
    Client,
    /// The small gateway beside the web server: an origin without visitors' traffic.
    Site,
}

impl Role {
    /// Has an OR port and stands in the consensus.
    pub fn is_relay(self) -> bool {
        matches!(self, Role::Authority | Role::Relay | Role::Middle | Role::Exit)
    }
    /// Has a SOCKS port.
    pub fn has_socks(self) -> bool {
        matches!(self, Role::Client | Role::Site)
    }
}

/// Which tor a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binary {
    /// `magicwave tor`.
    Ours,
    /// The distribution's `tor`: unpatched.
    Stock,
}

/// What a node's account holds when the network is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Units of the payment asset that the issuer pays to it; zero leaves an empty trustline.
    pub asset: Stroops,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Directory, log and command-line name, and tor's nickname: 1 to 19 letters and digits.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Which tor it runs.
    pub binary: Binary,
    /// `Some`: it takes part in payments, with an account funded so. Only for `Binary::Ours`.
    pub funding: Option<Funding>,
    /// Lines put behind its torrc as they stand.
    #[serde(default)]
    pub torrc: Vec<String>,
    /// A program and its first words to run instead of `magicwave tor`, with the same words behind them; empty: that
    /// one. Only for `Binary::Ours`: tests put nodes of their own making into a network with it.
    #[serde(default)]
    pub program: Vec<String>,
    /// Which of its payments go under locks, when it is a client.
    #[serde(default)]
    pub locks: Locks,
}

impl NodeSpec {
    /// A node of ours that takes no part in payments.
    pub fn ours(name: &str, role: Role) -> Self {
        NodeSpec {
            name: name.into(),
            role,
            binary: Binary::Ours,
            funding: None,
            torrc: Vec::new(),
            program: Vec::new(),
            locks: Locks::default(),
        }
    }
    /// A node on the distribution's tor.
    pub fn stock(name: &str, role: Role) -> Self {
        NodeSpec { binary: Binary::Stock, ..Self::ours(name, role) }
    }
    /// The same node with payments on and an account that holds `asset`.
    pub fn paying(self, asset: Stroops) -> Self {
        NodeSpec { funding: Some(Funding { asset }), ..self }
    }
    /// The same node with one more line in its torrc.
    pub fn with_torrc(mut self, line: impl Into<String>) -> Self {
        self.torrc.push(line.into());
        self
    }
    /// The same node run by another program.
    pub fn run_by(self, program: Vec<String>) -> Self {
        NodeSpec { program, ..self }
    }
}

/// A private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Its nodes; names are unique.
    pub nodes: Vec<NodeSpec>,
    /// Run a ledger and fund the accounts of the nodes that pay.
    pub ledger: bool,
    /// Run a web server.
    pub web: bool,
}

/// 1000 units.
const PURSE: Stroops = match Stroops::new(1_000 * 10_000_000) {
    Ok(purse) => purse,
    Err(_) => Stroops::ZERO,
};
/// Nodes in one network; each is a process of about 30 MiB.
const MAX_NODES: usize = 64;

impl Default for Topology {
    /// Three authorities, two guards, two exits, a client and a site of ours, and one unpatched middle relay.
    fn default() -> Self {
        let mut nodes: Vec<_> = (1..=3).map(|i| NodeSpec::ours(&format!("auth{i}"), Role::Authority)).collect();
        nodes.extend((1..=2).map(|i| NodeSpec::ours(&format!("relay{i}"), Role::Relay).paying(PURSE)));
        nodes.extend((1..=2).map(|i| NodeSpec::ours(&format!("exit{i}"), Role::Exit).paying(PURSE)));
        nodes.push(NodeSpec::stock("stock1", Role::Middle));
        // Behind an unpatched hop nobody can be paid, and relays here serve nobody who does not pay.
        nodes.push(
            NodeSpec::ours("client1", Role::Client).paying(PURSE).with_torrc("MiddleNodes relay1,relay2,exit1,exit2"),
        );
        nodes.push(NodeSpec::ours("site1", Role::Site).paying(PURSE));
        Topology { nodes, ledger: true, web: true }
    }
}

impl Topology {
    /// The same network without ledger and site: nobody asks for money.
    pub fn without_money(mut self) -> Self {
        self.nodes.retain(|n| n.role != Role::Site);
        self.nodes.iter_mut().for_each(|n| n.funding = None);
        self.ledger = false;
        self
    }
    /// The same network without money and with the distribution's tor everywhere: the base line of measurements.
    pub fn all_stock(self) -> Self {
        let mut all = self.without_money();
        all.nodes.iter_mut().for_each(|n| n.binary = Binary::Stock);
        all
    }
    /// The same network with one more node.
    pub fn with(mut self, node: NodeSpec) -> Self {
        self.nodes.push(node);
        self
    }
    /// Refuses what could not run, before anything is started.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::never("MW-NET-1", text));
        if self.nodes.len() > MAX_NODES {
            return refuse(format!("{} nodes; at most {MAX_NODES} in one network", self.nodes.len()));
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            if name.is_empty() || name.len() > 19 || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return refuse(format!("node name {name:?}: 1 to 19 letters and digits"));
            }
            if ["ledger", "web"].contains(&name.as_str()) || self.nodes.iter().take(i).any(|n| n.name == *name) {
                return refuse(format!("node name {name:?} is taken"));
            }
            if node.torrc.iter().any(|line| line.contains(['\n', '\r', '\0'])) {
                return refuse(format!("{name}: a torrc line holds a line break"));
            }
            if node.binary == Binary::Stock && !node.program.is_empty() {
                return refuse(format!("{name} is to run the distribution's tor and another program"));
            }
            if node.funding.is_some() && (node.binary == Binary::Stock || !self.ledger) {
                return refuse(format!("{name} is to pay, which takes a tor of ours and a ledger"));
            }
        }
        for (role, least) in [(Role::Authority, 1), (Role::Exit, 1), (Role::Client, 1)] {
            if self.nodes.iter().filter(|n| n.role == role).count() < least {
                return refuse(format!("at least {least} node of role {role:?} is needed"));
            }
        }
        if self.nodes.iter().any(|n| n.role == Role::Site) && !(self.web && self.ledger) {
            return refuse("a site stands before the web server and is paid: it takes both web and ledger".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_network_and_its_base_line_can_run() {
        Topology::default().check().expect("default");
        let stock = Topology::default().all_stock();
        stock.check().expect("all stock");
        assert!(stock.nodes.iter().all(|n| n.binary == Binary::Stock && n.funding.is_none()));
    }

    #[test]
    fn what_could_not_run_is_refused_before_it_starts() {
        let refused = |t: Topology| t.check().expect_err("must be refused").text;
        let base = Topology::default;
        assert!(refused(base().with(NodeSpec::ours("relay1", Role::Relay))).contains("taken"));
        assert!(refused(base().with(NodeSpec::ours("../x", Role::Relay))).contains("letters and digits"));
        assert!(refused(base().with(NodeSpec::stock("s", Role::Relay).paying(PURSE))).contains("tor of ours"));
        assert!(refused(base().with(NodeSpec::ours("a", Role::Relay).with_torrc("A\nB"))).contains("line break"));
        let other = NodeSpec::stock("o", Role::Relay).run_by(vec!["/bin/other".into()]);
        assert!(refused(base().with(other)).contains("another program"));
        assert!(refused(Topology { ledger: false, ..base() }).contains("ledger"));
        assert!(refused(Topology { nodes: Vec::new(), ..base() }).contains("Authority"));
    }
}
