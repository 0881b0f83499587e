//! Where the server is and how its streams get there (invariant 5: never past tor, loopback test networks excepted).
use super::Timing;
use super::http::Failure;
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::LazyLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;
use url::{Host, Url};

/// A socket address on the loopback interface; it can hold no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoopbackAddr(SocketAddr);

impl LoopbackAddr {
    /// The address.
    pub fn get(&self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<SocketAddr> for LoopbackAddr {
    type Error = Error;
    /// `MW-HZN-1`: not a loopback address.
    fn try_from(addr: SocketAddr) -> Result<Self> {
        if addr.ip().is_loopback() {
            Ok(LoopbackAddr(addr))
        } else {
            Err(Error::never("MW-HZN-1", "Only a loopback address (127.0.0.1 or ::1) may be connected to directly."))
        }
    }
}

impl FromStr for LoopbackAddr {
    type Err = Error;
    /// `MW-HZN-1`: no `address:port`, or not a loopback address. Names are not resolved.
    fn from_str(text: &str) -> Result<Self> {
        let none = |_| Error::never("MW-HZN-1", "A loopback address is written like 127.0.0.1:8000.");
        text.parse::<SocketAddr>().map_err(none)?.try_into()
    }
}

/// A Horizon server and the way to it.
#[derive(Debug)]
pub struct Endpoint {
    base: Url,
    way: Way,
    tls: Option<tokio_native_tls::TlsConnector>,
}

#[derive(Debug)]
enum Way {
    Direct(LoopbackAddr),
    Tor { socks: LoopbackAddr, host: String, port: u16 },
}

impl Endpoint {
    /// A server of a test network on this machine, without tor, by plain http.
    pub fn loopback(addr: LoopbackAddr) -> Result<Self> {
        let base = Url::parse(&format!("http://{}/", addr.get())).map_err(|_| no_url())?;
        Ok(Endpoint { base, way: Way::Direct(addr), tls: None })
    }

    /// A server behind tor's SOCKS port. `MW-HZN-2`: no http(s) URL with a host and without user, query or fragment;
    /// `MW-HZN-3`: plain http to a host where an exit could read and change it; `MW-HZN-4`: no TLS on this machine.
    pub fn tor(socks: LoopbackAddr, base: &str) -> Result<Self> {
        Self::tor_trusting(socks, base, None)
    }

    /// The same, trusting one more certificate authority (PEM), e.g. of a Horizon server of one's own.
    pub fn tor_trusting(socks: LoopbackAddr, base: &str, authority: Option<&[u8]>) -> Result<Self> {
        let mut base = Url::parse(base).map_err(|_| no_url())?;
        let bare = base.username().is_empty() && base.password().is_none();
        if !bare || base.query().is_some() || base.fragment().is_some() {
            return Err(no_url());
        }
        // Paths are joined to it, and without a slash at its end a join replaces its last part.
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let tls = match base.scheme() {
            "https" => Some(tls(authority)?),
            "http" if unread_by_exits(&base) => None,
            "http" => {
                let text =
                    "Plain http is for onion services and loopback test networks; write the server's URL with https.";
                return Err(Error::never("MW-HZN-3", text));
            }
            _ => return Err(no_url()),
        };
        let host = match base.host().ok_or_else(no_url)? {
            Host::Ipv6(address) => address.to_string(),
            host => host.to_string(),
        };
        let port = base.port_or_known_default().ok_or_else(no_url)?;
        Ok(Endpoint { base, way: Way::Tor { socks, host, port }, tls })
    }

    /// What request paths are joined to.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A fresh stream to the server. Every failure here is `NotSent`.
    pub(super) async fn connect(&self, isolation: &Isolation, timing: &Timing) -> Result<Box<dyn Stream>, Failure> {
        let connected = timeout(timing.connect, self.stream(isolation)).await;
        connected.unwrap_or_else(|_| Err(Failure::NotSent("no connection in time".into())))
    }

    async fn stream(&self, isolation: &Isolation) -> Result<Box<dyn Stream>, Failure> {
        let (tcp, host) = match &self.way {
            Way::Direct(addr) => (TcpStream::connect(addr.get()).await.map_err(not_sent)?, ""),
            Way::Tor { socks, host, port } => {
                let (user, password) = isolation.credentials();
                let target = (host.as_str(), *port);
                let stream = Socks5Stream::connect_with_password(socks.get(), target, user, &password).await;
                (stream.map_err(not_sent)?.into_inner(), host.as_str())
            }
        };
        tcp.set_nodelay(true).map_err(not_sent)?;
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some(tls) => Ok(Box::new(tls.connect(host, tcp).await.map_err(not_sent)?)),
        }
    }
}

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn tls(authority: Option<&[u8]>) -> Result<tokio_native_tls::TlsConnector> {
    let failed = |error| Error::never("MW-HZN-4", format!("TLS cannot be set up on this machine ({error})."));
    let mut builder = native_tls::TlsConnector::builder();
    builder.min_protocol_version(Some(native_tls::Protocol::Tlsv12));
    if let Some(pem) = authority {
        builder.add_root_certificate(native_tls::Certificate::from_pem(pem).map_err(failed)?);
    }
    Ok(builder.build().map_err(failed)?.into())
}

/// Whether nobody between us and the host can read along: an onion service, or this very machine.
fn unread_by_exits(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.ends_with(".onion"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn no_url() -> Error {
    Error::never("MW-HZN-2", "The ledger's server is written as an http(s) URL with a host and a path, nothing more.")
}

fn not_sent(error: impl fmt::Display) -> Failure {
    Failure::NotSent(error.to_string())
}

/// Names a set of streams that may share a circuit. tor keeps streams with different SOCKS credentials apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isolation([u8; 16]);

/// Drawn at start, so that the credentials say nothing about an account and differ from run to run.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(rand::random);

impl Isolation {
    /// What is about no account of ours.
    pub fn common() -> Self {
        Self::named(b"common", &[])
    }
    /// What is about this account.
    pub fn of(account: &AccountKey) -> Self {
        Self::named(b"account", account)
    }
    /// Looks for this transaction, when nothing says whose it is.
    pub fn of_transaction(hash: &[u8; 32]) -> Self {
        Self::named(b"transaction", hash)
    }
    fn named(kind: &[u8], name: &[u8]) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&*SECRET);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(kind);
        mac.update(name);
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        Isolation(short)
    }
    fn credentials(&self) -> (&'static str, String) {
        ("magicwave-ledger", hex::encode(self.0))
    }
}

impl fmt::Debug for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Isolation([…])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_can_be_written_for_a_direct_connection() {
        for text in ["127.0.0.1:80", "127.9.8.7:1", "[::1]:80"] {
            text.parse::<LoopbackAddr>().expect(text);
        }
        for text in ["10.0.0.1:80", "0.0.0.0:80", "[::]:80", "8.8.8.8:53", "localhost:80", "127.0.0.1", ""] {
            assert_eq!(text.parse::<LoopbackAddr>().expect_err(text).code, "MW-HZN-1");
        }
    }

    #[test]
    fn plain_http_is_refused_where_an_exit_could_read_it() {
        let socks: LoopbackAddr = "127.0.0.1:9050".parse().expect("loopback");
        for base in ["https://horizon.example", "http://abc.onion/", "http://127.0.0.1:8000", "http://[::1]:8000/x"] {
            Endpoint::tor(socks, base).expect(base);
        }
        for base in ["http://horizon.example/", "http://10.0.0.1/", "http://onion/", "http://x.onion.example/"] {
            assert_eq!(Endpoint::tor(socks, base).expect_err(base).code, "MW-HZN-3");
        }
        for base in ["", "horizon.example", "ftp://x/", "https://a@x/", "https://x/?q", "https://x/#f", "data:x"] {
            assert_eq!(Endpoint::tor(socks, base).expect_err(base).code, "MW-HZN-2");
        }
        let below = Endpoint::tor(socks, "https://horizon.example/api").expect("valid");
        assert_eq!(below.base().join("accounts").expect("joined").path(), "/api/accounts");
    }

    #[test]
    fn isolations_differ_by_what_they_are_about_and_print_nothing() {
        let all = [
            Isolation::common(),
            Isolation::of(&[1; 32]),
            Isolation::of(&[2; 32]),
            Isolation::of_transaction(&[1; 32]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
        assert_eq!(Isolation::of(&[1; 32]), all[1]);
        assert_eq!(format!("{:?}", all[1]), "Isolation([…])");
    }
}
