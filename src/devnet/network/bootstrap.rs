//! How far a node is, read from its log.
use super::state::NodeView;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// The end of a log that is looked at for anything but the bootstrap.
const TAIL: u64 = 256 << 10;
/// The log is searched for the last percentage in steps of this, from its end.
const STEP: u64 = 256 << 10;
/// Steps overlap by more than the longest line of interest: one that is cut by a step stands whole in the next.
const OVERLAP: u64 = 4 << 10;
/// No further back than this from its end.
const REACH: u64 = 256 << 20;

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

/// Reads how far `node` came since it was started last. A node that says more than 256 MiB after its last percentage
/// counts as one that said none.
pub fn read(node: &NodeView) -> Bootstrap {
    let search = || -> std::io::Result<Bootstrap> {
        let mut file = File::open(&node.log)?;
        let length = file.metadata()?.len();
        let first = node.log_start.max(length.saturating_sub(REACH)).min(length);
        let mut end = length;
        loop {
            let start = first.max(end.saturating_sub(STEP));
            let found = parse(&part(&mut file, start, end)?);
            if found.listening || start == first {
                return Ok(found);
            }
            end = start + OVERLAP;
        }
    };
    search().unwrap_or_default()
}

/// Bytes `start..end` of a log.
fn part(file: &mut File, start: u64, end: u64) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end.saturating_sub(start)).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last part of the node's log since its start; empty when there is none yet.
pub fn tail(node: &NodeView) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(&node.log)?;
        let length = file.metadata()?.len();
        part(&mut file, node.log_start.max(length.saturating_sub(TAIL)).min(length), length)
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

    #[test]
    fn the_last_percentage_is_found_however_much_was_said_after_it() {
        use super::super::topology::{NodeSpec, Role};
        use std::io::Write;
        let root = tempfile::tempdir().expect("temporary directory");
        let mut node = NodeView::planned(&NodeSpec::stock("n", Role::Client), root.path());
        std::fs::create_dir(&node.dir).expect("made");
        let mut log = File::create(&node.log).expect("log");
        let old = b"Nov 23 [notice] Bootstrapped 100% (done): Done\n";
        log.write_all(old).expect("written");
        node.log_start = old.len() as u64;
        let chatter = [b'x'; 99].iter().chain(b"\n").copied().collect::<Vec<_>>().repeat(10_000);
        log.write_all(&chatter).expect("written");
        assert_eq!(read(&node), Bootstrap::default(), "what it said before its last start does not count");
        log.write_all(b"Nov 23 [notice] Bootstrapped 75% (enough_dirinfo): Loaded enough\n").expect("written");
        log.write_all(&chatter).expect("written");
        assert_eq!((read(&node).percent, read(&node).doing.as_str()), (75, "Loaded enough"));
        let (stride, after) = (STEP - OVERLAP, chatter.len() as u64);
        let to_cut = (STEP + 10 * stride - after) % stride;
        log.write_all(&vec![b'\n'; usize::try_from(to_cut).expect("less than a step")]).expect("written");
        // Every place at which a step may cut the line.
        for _ in 0..80 {
            assert_eq!((read(&node).percent, read(&node).doing.as_str()), (75, "Loaded enough"));
            log.write_all(b"\n").expect("written");
        }
    }
}
