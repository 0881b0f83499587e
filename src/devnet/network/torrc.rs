//! torrc of one node (pure).
//!
//! Intervals are the shortest that tor allows in a testing network. With them 10 nodes on 2 cores bootstrap in 10 to
//! 22 seconds, with the defaults in about 170 (measured with tor 0.4.9.11).
use super::state::NodeView;
use super::topology::{NodeSpec, Role};
use std::fmt::Write;

/// What every node must know about the others.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// One per authority, see [`authority_line`].
    pub authorities: Vec<String>,
    /// Fingerprints of the authorities: origins leave them out of their paths.
    pub authority_fingerprints: Vec<String>,
    /// Fingerprints of the relays that may be guards.
    pub guard_fingerprints: Vec<String>,
    /// Fingerprints of the exits.
    pub exit_fingerprints: Vec<String>,
    /// See [`voting_offset`].
    pub voting_offset: u64,
}

/// Seconds between consensuses. tor's minimum in a testing network.
const VOTING_SECS: u64 = 10;
/// From the start of the nodes to the first consensus. The vote on it begins 2 + 2 seconds earlier (the delays below):
/// until then relays must have uploaded their descriptors, else they are listed 10 seconds later.
const FIRST_CONSENSUS_SECS: u64 = 8;

/// By how much the authorities' boundaries must be off the multiples of [`VOTING_SECS`] so that the first one comes
/// [`FIRST_CONSENSUS_SECS`] after `now`, in unix seconds. Without it an authority that starts between vote and boundary
/// votes at once, when it knows nobody yet.
pub fn voting_offset(now: u64) -> u64 {
    (now + FIRST_CONSENSUS_SECS) % VOTING_SECS
}

/// The `DirAuthority` line of an authority.
pub fn authority_line(node: &NodeView, v3ident: &str) -> Option<String> {
    let (or_port, dir_port, fingerprint) = (node.or_port?, node.dir_port?, node.fingerprint.as_ref()?);
    let name = &node.name;
    Some(format!("{name} orport={or_port} v3ident={v3ident} 127.0.0.1:{dir_port} {fingerprint}"))
}

/// In every torrc.
const EVERYBODY: &str = "\
TestingTorNetwork 1
Address 127.0.0.1
OutboundBindAddress 127.0.0.1
RunAsDaemon 0
ShutdownWaitLength 0
GeoIPFile /dev/null
GeoIPv6File /dev/null
TestingServerDownloadInitialDelay 0
TestingClientDownloadInitialDelay 0
TestingServerConsensusDownloadInitialDelay 0
TestingClientConsensusDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityDownloadInitialDelay 0
ClientBootstrapConsensusFallbackDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityOnlyDownloadInitialDelay 0
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
";

/// For relays: nothing of theirs leaves the machine, name look-ups included. Their own circuits (self-tests, link
/// partners' talk) take any guard: a guard has only the other one, and a first consensus may lack it.
const RELAY: &str = "\
AssumeReachable 1
UseEntryGuards 0
ServerDNSDetectHijacking 0
ServerDNSAllowBrokenConfig 1
ServerDNSAllowNonRFC953Hostnames 1
";

/// `accept *:*` makes the exit usable for clients that read policy summaries (a summary says nothing of single
/// networks); `OutboundBindAddress 127.0.0.1` keeps it on the loopback all the same.
const EXIT: &str = "\
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicy accept 127.0.0.0/8:*
ExitPolicy reject private:*
ExitPolicy accept *:*
";

/// Everybody is Stable and Fast from the first consensus on: a guard must be both, and by their short uptimes and first
/// measurements half of the relays are not, which leaves clients without any guard.
const AUTHORITY: &str = "\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo devnet@localhost
TestingAuthDirTimeToLearnReachability 0
TestingDirAuthVoteExitIsStrict 1
TestingDirAuthVoteHSDir *
TestingDirAuthVoteGuardIsStrict 1
TestingMinExitFlagThreshold 0
AuthDirVoteStableGuaranteeMinUptime 0
AuthDirVoteStableGuaranteeMTBF 0
AuthDirFastGuarantee 1 byte
";

const CLIENT: &str = "\
ClientRejectInternalAddresses 0
ClientDNSRejectInternalAddresses 0
";

/// The whole torrc of `node`.
pub fn render(spec: &NodeSpec, node: &NodeView, common: &Common) -> String {
    let mut text = String::from(EVERYBODY);
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format_args!("Nickname {}", node.name));
    line(format_args!("DataDirectory {}", quoted(&node.dir.join("data"))));
    // tor takes the rest of this line as the path, quotes included.
    line(format_args!("Log notice file {}", node.log.display()));
    line(format_args!("ControlPort unix:{}", quoted(&node.control)));
    for authority in &common.authorities {
        line(format_args!("DirAuthority {authority}"));
    }
    if let Some(port) = node.or_port {
        line(format_args!("ORPort 127.0.0.1:{port}"));
        line(format_args!("ServerDNSResolvConfFile {}", quoted(&node.dir.join("resolv.conf"))));
    }
    if let Some(port) = node.dir_port {
        line(format_args!("DirPort 127.0.0.1:{port}"));
    }
    match node.socks_port {
        Some(port) => line(format_args!("SocksPort 127.0.0.1:{port}")),
        None => line(format_args!("SocksPort 0")),
    }
    if spec.role == Role::Authority {
        line(format_args!("TestingV3AuthVotingStartOffset {}", common.voting_offset));
        line(format_args!("TestingDirAuthVoteGuard {}", common.guard_fingerprints.join(",")));
        line(format_args!("TestingDirAuthVoteExit {}", common.exit_fingerprints.join(",")));
    } else {
        line(format_args!("ExcludeNodes {}", common.authority_fingerprints.join(",")));
    }
    text.push_str(match spec.role {
        Role::Authority => AUTHORITY,
        Role::Exit => EXIT,
        Role::Relay | Role::Middle => "ExitRelay 0\n",
        Role::Client | Role::Site => CLIENT,
    });
    if spec.role.is_relay() {
        text.push_str(RELAY);
    }
    for extra in &spec.torrc {
        text.push_str(extra);
        text.push('\n');
    }
    text
}

/// A path as torrc wants it when it may hold blanks.
fn quoted(path: &std::path::Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devnet::network::topology::Topology;

    #[test]
    fn nobody_listens_or_connects_beyond_the_loopback() {
        for spec in Topology::default().nodes {
            let mut node = NodeView::planned(&spec, std::path::Path::new("/tmp/d"));
            (node.or_port, node.dir_port, node.socks_port) = (Some(5001), Some(5002), Some(5003));
            let text = render(&spec, &node, &Common::default());
            assert!(text.contains("\nOutboundBindAddress 127.0.0.1\n"), "{text}");
            for key in ["\nORPort ", "\nDirPort ", "\nSocksPort "] {
                let value = text.split(key).nth(1).expect("set").lines().next().expect("line");
                assert!(value.starts_with("127.0.0.1:"), "{key}{value}");
            }
        }
    }

    #[test]
    fn the_first_boundary_comes_eight_seconds_after_any_start() {
        for now in 1_763_900_000..1_763_900_025 {
            let next = (now + 1..).find(|t| t % VOTING_SECS == voting_offset(now));
            assert_eq!(next, Some(now + FIRST_CONSENSUS_SECS));
        }
    }

    #[test]
    fn a_path_with_blanks_and_quotes_stays_one_word() {
        assert_eq!(quoted(std::path::Path::new("/a b/\"c")), r#""/a b/\"c""#);
    }
}
