//! How far a node is, read from its log.
use super::state::NodeView;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// The end of a log is looked at, not all of it.
const TAIL: u64 = 256 << 10;

/// How far a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// 0 to 100 as tor says it.
    pub percent: u8,
    /// tor's word for what it is doing.
    pub doing: String,
    /// Its listeners are open.
    pub listening: bool,
}

/// Reads how far `node` came since it was started last.
pub fn read(node: &NodeView) -> Bootstrap {
    parse(&tail(node))
}

/// The last part of the node's log since its start; empty when there is none yet.
pub fn tail(node: &NodeView) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(&node.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(node.log_start.max(length.saturating_sub(TAIL)).min(length)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// "Nov 23 13:00:00.000 [notice] Bootstrapped 45% (requesting_descriptors): Asking for relay descriptors"
fn parse(log: &str) -> Bootstrap {
    let mut found = Bootstrap::default();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("] Bootstrapped ") else { continue };
        let Some((percent, rest)) = rest.split_once('%') else { continue };
        let Ok(percent) = percent.parse() else { continue };
        let doing = rest.split_once("): ").map_or(rest, |(_, words)| words);
        found = Bootstrap { percent, doing: doing.trim().to_owned(), listening: true };
    }
    found
}

/// A listener could not be opened because somebody else has the port: worth another try with other ports.
pub fn port_taken(log: &str) -> bool {
    log.contains("Address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_percentage_counts() {
        let log = "Nov 23 [notice] Bootstrapped 0% (starting): Starting\nNov 23 [notice] Opened x\n\
                   Nov 23 [notice] Bootstrapped 45% (requesting_descriptors): Asking for relay descriptors: no (0/1)\n";
        let found = parse(log);
        assert_eq!((found.percent, found.listening), (45, true));
        assert_eq!(found.doing, "Asking for relay descriptors: no (0/1)");
        assert!(!parse("Nov 23 [warn] Could not bind to 127.0.0.1:5: Address already in use").listening);
    }
}
