//! Whose program holds the other end of a TCP connection on this machine: the kernel tells, by user id.
//!
//! It is asked for exactly one socket where it lets itself be asked (`sock_diag`), which takes the same time however
//! many sockets there are; where it does not, its tables of sockets are read. A connection from another machine or from
//! another network namespace has no socket here, and so no user.
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

/// Tables of sockets are read so far; a row beyond that is not found.
const MAX_TABLE: u64 = 16 << 20;
/// Where they are.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// `struct nlmsghdr` before each message: length (4), type (2), flags (2), sequence (4), port (4).
const HEADER: usize = 16;
/// `SOCK_DIAG_BY_FAMILY`; the answer has the same type.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR`, with a negative errno behind the header.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `struct inet_diag_sockid`: ports (2 × 2) and addresses (2 × 16) in network order, interface (4), cookie (8).
const SOCKET_ID: usize = 48;
/// In `struct inet_diag_msg` it stands behind family, state, timer and retransmissions; behind it expiry, queues (3 × 4).
const ANSWER_ID: usize = HEADER + 4;
/// There, user id (4) and inode (4).
const ANSWER_UID: usize = ANSWER_ID + SOCKET_ID + 12;

/// The user id of who opened the socket at `client` that is connected to `server`; None when there is none on this
/// machine, or its program is gone.
pub fn uid(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    /// Whether the kernel answers about TCP sockets: one that has nobody to answer says that there is no such socket.
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let (client, server) = (canonical(client), canonical(server));
    let asked = if *ANSWERS.get_or_init(answers) { ask(client, server).ok() } else { None };
    asked.unwrap_or_else(|| in_tables(client, server))
}

/// Does it know a connection of our own?
fn answers() -> bool {
    let pair = || -> io::Result<(TcpListener, TcpStream)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        Ok((listener, stream))
    };
    let known = |(_, stream): &(TcpListener, TcpStream)| ask(stream.local_addr()?, stream.peer_addr()?);
    pair().and_then(|pair| known(&pair)).is_ok_and(|uid| uid.is_some())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Asks for this one socket.
///
/// # Errors
/// The kernel does not let itself be asked: no such protocol, or a filter before it.
fn ask(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkSockDiag,
    )?;
    // The kernel answers before `sendto` returns, so there is nothing to wait for.
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &question(client, server), &kernel, MsgFlags::empty())?;
    let mut answer = [0; 1_024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    read_answer(answer.get(..length).unwrap_or_default(), client, server)
}

fn question(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let length = HEADER + 8 + SOCKET_ID;
    let mut out = Vec::with_capacity(length);
    out.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    out.extend(BY_FAMILY.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    // Family, protocol, no extensions, padding; all states.
    out.extend([u8::try_from(family).unwrap_or_default(), u8::try_from(libc::IPPROTO_TCP).unwrap_or_default(), 0, 0]);
    out.extend(u32::MAX.to_ne_bytes());
    out.extend(client.port().to_be_bytes());
    out.extend(server.port().to_be_bytes());
    for ip in [client.ip(), server.ip()] {
        let mut bytes = [0; 16];
        match ip {
            IpAddr::V4(four) => bytes[..4].copy_from_slice(&four.octets()),
            IpAddr::V6(six) => bytes = six.octets(),
        }
        out.extend(bytes);
    }
    // Any interface, no cookie.
    out.extend([0; 4]);
    out.extend([0xff; 8]);
    out
}

fn read_answer(answer: &[u8], client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    let kind = u16::from_ne_bytes(field(answer, 4).ok_or_else(odd)?);
    if kind == ERROR {
        let code = i32::from_ne_bytes(field(answer, HEADER).ok_or_else(odd)?);
        return if code == -libc::ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(code.saturating_neg())) };
    }
    if kind != BY_FAMILY {
        return Err(odd());
    }
    let four = field::<1>(answer, HEADER).ok_or_else(odd)?.map(i32::from) == [libc::AF_INET];
    let end = |port: usize, ip: usize| -> Option<SocketAddr> {
        let ip = if four {
            IpAddr::V4(Ipv4Addr::from(field::<4>(answer, ANSWER_ID + ip)?))
        } else {
            IpAddr::V6(Ipv6Addr::from(field::<16>(answer, ANSWER_ID + ip)?))
        };
        Some(canonical(SocketAddr::new(ip, u16::from_be_bytes(field(answer, ANSWER_ID + port)?))))
    };
    // Where no connection fits the kernel tells of a listener at the client's port, which is somebody else's.
    if (end(0, 4), end(2, 20)) != (Some(client), Some(server)) {
        return Ok(None);
    }
    let uid = u32::from_ne_bytes(field(answer, ANSWER_UID).ok_or_else(odd)?);
    let inode = u32::from_ne_bytes(field(answer, ANSWER_UID + 4).ok_or_else(odd)?);
    Ok((inode != 0).then_some(uid))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn in_tables(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    TABLES.iter().find_map(|table| in_table(&read(table).unwrap_or_default(), client, server))
}

fn read(table: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(table)?.take(MAX_TABLE).read_to_string(&mut text)?;
    Ok(text)
}

/// The user id in the row of the socket at `client` that is connected to `server`.
fn in_table(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (local, remote) = (words.nth(1)?, words.next()?);
        if address(local)? != client || address(remote)? != server {
            return None;
        }
        let (uid, inode) = (words.nth(4)?.parse().ok()?, words.nth(1)?);
        // Without an inode it is the rest of a connection whose program is gone.
        (inode != "0").then_some(uid)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::unix::fs::MetadataExt;

    fn me() -> u32 {
        std::fs::metadata("/proc/self").expect("a process").uid()
    }

    /// Both ways of asking say the same.
    fn both(client: SocketAddr, server: SocketAddr) -> Option<u32> {
        let (client, server) = (canonical(client), canonical(server));
        let found = uid(client, server);
        assert_eq!(in_tables(client, server), found, "the tables know it otherwise");
        if let Ok(asked) = ask(client, server) {
            assert_eq!(asked, found, "the kernel says it otherwise");
        }
        found
    }

    #[test]
    fn the_kernel_tells_whose_connections_these_are() {
        for (listen, connect) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]"), ("127.0.0.1", "[::ffff:127.0.0.1]")] {
            let Ok(listener) = TcpListener::bind(format!("{listen}:0")) else {
                assert_ne!(listen, "127.0.0.1", "there is a loopback");
                let _ = writeln!(io::stderr(), "NOT RUN: no {listen} on this machine");
                continue;
            };
            let server = listener.local_addr().expect("bound");
            let stream = TcpStream::connect(format!("{connect}:{}", server.port())).expect("connected");
            let (accepted, client) = listener.accept().expect("accepted");
            assert_eq!(both(client, accepted.local_addr().expect("bound")), Some(me()), "{connect}");
            stream.shutdown(Shutdown::Write).expect("shut down");
            assert_eq!(both(client, server), Some(me()), "half closed is still somebody's");
            drop(stream);
            assert_eq!(both(client, server), None, "{connect}: its program is gone");
        }
    }

    #[test]
    fn a_listener_at_the_clients_port_is_not_the_client() {
        // Another machine's port may be one at which a program here listens for all addresses.
        let listener = TcpListener::bind("0.0.0.0:0").expect("bound");
        let there = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().expect("bound").port()));
        assert_eq!(both(there, SocketAddr::from(([127, 0, 0, 1], 9))), None);
    }

    #[test]
    fn answers_of_another_form_are_not_believed() {
        let (client, server) = (SocketAddr::from(([127, 0, 0, 1], 40_000)), SocketAddr::from(([127, 0, 0, 1], 9_050)));
        let mut good = vec![0; ANSWER_UID + 8];
        good[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        good[HEADER] = 2;
        good[ANSWER_ID..ANSWER_ID + SOCKET_ID].copy_from_slice(&question(client, server)[HEADER + 8..]);
        good[ANSWER_UID..ANSWER_UID + 4].copy_from_slice(&1_000_u32.to_ne_bytes());
        good[ANSWER_UID + 4] = 1;
        assert_eq!(read_answer(&good, client, server).expect("good"), Some(1_000));
        assert_eq!(read_answer(&good, server, client).expect("good"), None, "the other end");
        let mut gone = good.clone();
        gone[ANSWER_UID + 4] = 0;
        assert_eq!(read_answer(&gone, client, server).expect("good"), None, "without an inode");
        for length in 0..good.len() {
            assert_ne!(read_answer(&good[..length], client, server).ok().flatten(), Some(1_000), "{length} bytes");
        }
        let mut refused = vec![0; HEADER + 4];
        refused[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        for (code, fits) in [(libc::ENOENT, true), (libc::EPERM, false), (libc::EINVAL, false)] {
            refused[HEADER..].copy_from_slice(&(-code).to_ne_bytes());
            assert_eq!(read_answer(&refused, client, server).is_ok_and(|found| found.is_none()), fits, "{code}");
        }
    }

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
        assert_eq!(in_table(&format!("{head}{ours}"), client, server), None);
        assert_eq!(in_table(&format!("{head}{ours}{}", row(&a, &b, 1000, 6)), client, server), Some(1000));
        assert_eq!(in_table(&format!("{head}{}", row(&a, &b, 0, 0)), client, server), None, "a program that is gone");
        let six = row(&format!("{mapped}:9C40"), &format!("{mapped}:1F90"), 1001, 6);
        assert_eq!(in_table(&format!("{head}{six}"), client, server), Some(1001));
        for broken in ["", "x", "1: 01 02", "1: 0100007F:9C40 0100007F:zz 01", "1: é:1 é:2 3 4 5 6 7 8"] {
            assert_eq!(in_table(&format!("{head}{broken}\n"), client, server), None);
        }
    }
}
