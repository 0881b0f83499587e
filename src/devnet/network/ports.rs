//! Free loopback ports.
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// Below the range that the kernel gives to outgoing connections, so that no client socket takes a port between our
/// look and the node's bind.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
/// Ports looked at before giving up.
const TRIES: usize = 2_000;

/// `n` different ports of 127.0.0.1 that nobody listens on now. Another program may take one before we do: whoever
/// starts listeners on them must be ready to ask again.
pub fn free(n: usize) -> Result<Vec<u16>> {
    let mut found = BTreeSet::new();
    for _ in 0..TRIES {
        if found.len() == n {
            break;
        }
        let port = rand::random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            found.insert(port);
        }
    }
    if found.len() < n {
        let text = format!("found {} of {n} free ports on 127.0.0.1 between {RANGE:?}", found.len());
        return Err(Error::later("MW-NET-3", text));
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(20).expect("twenty free ports");
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(ports.iter().all(|p| TcpListener::bind((Ipv4Addr::LOCALHOST, *p)).is_ok()));
    }

    #[test]
    fn a_port_in_use_is_never_given() {
        let held: Vec<_> = (0..50)
            .filter_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(RANGE))).ok())
            .map(|l| (l.local_addr().expect("bound").port(), l))
            .collect();
        let ports = free(200).expect("two hundred free ports");
        assert!(held.iter().all(|(port, _)| !ports.contains(port)));
    }
}
