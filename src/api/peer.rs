//! Whose program is at the other end of a connection: only those of our own user may ask.
//!
//! A unix socket says it by itself. For TCP the kernel's table of sockets does: the row of the client's end carries the
//! user id of who opened it.
use crate::gateway::transport::http::listen::Listen;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::OnceCell;

/// Tables of sockets are read so far; a row beyond that is not found.
const MAX_TABLE: u64 = 16 << 20;
/// Where they are.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The user id that the socket told, if it did.
    Unix(Option<u32>),
    /// Looked up once, at the first request.
    Tcp {
        /// The client's end.
        client: SocketAddr,
        /// Ours.
        server: SocketAddr,
        /// What was found.
        uid: Arc<OnceCell<Option<u32>>>,
    },
}

impl Peer {
    /// Does a program of `uid` ask? No when that cannot be told.
    pub async fn is(&self, uid: u32) -> bool {
        let found = match self {
            Peer::Unix(found) => *found,
            Peer::Tcp { client, server, uid } => {
                let (client, server) = (*client, *server);
                let look =
                    move || TABLES.iter().find_map(|table| uid_of(&read(table).unwrap_or_default(), client, server));
                *uid.get_or_init(async || tokio::task::spawn_blocking(look).await.ok().flatten()).await
            }
        };
        found == Some(uid)
    }
}

fn read(table: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(table)?.take(MAX_TABLE).read_to_string(&mut text)?;
    Ok(text)
}

/// The user id in the row of the socket at `client` that is connected to `server`.
fn uid_of(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (local, remote) = (words.nth(1)?, words.next()?);
        if address(local)? != canonical(client) || address(remote)? != canonical(server) {
            return None;
        }
        let (uid, inode) = (words.nth(4)?.parse().ok()?, words.nth(1)?);
        // Without an inode it is the rest of a connection whose program is gone.
        (inode != "0").then_some(uid)
    })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: each 32-bit word of the address in the machine's own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

/// A listener that notes the other end of each connection.
pub(super) struct Door<L>(pub L);

impl Listen for Door<UnixListener> {
    type Stream = UnixStream;
    type Note = Peer;
    async fn next(&self) -> io::Result<(UnixStream, Option<IpAddr>, Peer)> {
        let (stream, _) = self.0.accept().await?;
        let uid = stream.peer_cred().ok().map(|who| who.uid());
        Ok((stream, None, Peer::Unix(uid)))
    }
}

impl Listen for Door<TcpListener> {
    type Stream = TcpStream;
    type Note = Peer;
    async fn next(&self) -> io::Result<(TcpStream, Option<IpAddr>, Peer)> {
        let (stream, client) = self.0.accept().await?;
        let server = stream.local_addr()?;
        Ok((stream, None, Peer::Tcp { client, server, uid: Arc::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_the_clients_own_end_tells_the_user() {
        let word = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let (home, zero) = (word([127, 0, 0, 1]), "00000000");
        let mapped = format!("{zero}{zero}{}{home}", format_args!("{:08X}", u32::from_ne_bytes([0, 0, 0xff, 0xff])));
        let row = |local: &str, remote: &str, uid: u32, inode: u32| {
            format!("   1: {local} {remote} 01 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0\n")
        };
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let (client, server) = (SocketAddr::from(([127, 0, 0, 1], 0x9c40)), SocketAddr::from(([127, 0, 0, 1], 0x1f90)));
        let (a, b) = (format!("{home}:9C40"), format!("{home}:1F90"));
        // Our own end, of another user id, is not the client's.
        let ours = row(&b, &a, 7, 5);
        assert_eq!(uid_of(&format!("{head}{ours}"), client, server), None);
        assert_eq!(uid_of(&format!("{head}{ours}{}", row(&a, &b, 1000, 6)), client, server), Some(1000));
        assert_eq!(uid_of(&format!("{head}{}", row(&a, &b, 0, 0)), client, server), None, "a program that is gone");
        let six = row(&format!("{mapped}:9C40"), &format!("{mapped}:1F90"), 1001, 6);
        assert_eq!(uid_of(&format!("{head}{six}"), client, server), Some(1001));
        for broken in ["", "x", "1: 01 02", "1: 0100007F:9C40 0100007F:zz 01", "1: é:1 é:2 3 4 5 6 7 8"] {
            assert_eq!(uid_of(&format!("{head}{broken}\n"), client, server), None);
        }
    }
}
