//! The adapter's streams through a SOCKS port: isolated, unresolved, encrypted.
use crate::stellar_server::{json, not_found, serve};
use magicwave::gateway::port::{LedgerCall, LedgerResult};
use magicwave::stellar::horizon::{Endpoint, Failure, HorizonLedger, LoopbackAddr, Root, Timing};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CERTIFICATE: &[u8] = include_bytes!("../vectors/horizon.test.cert.pem");
const KEY: &[u8] = include_bytes!("../vectors/horizon.test.key.pem");

#[tokio::test]
async fn streams_of_different_accounts_never_share_credentials() {
    let proxy = Proxy::start(false).await;
    let ledger = HorizonLedger::new(Endpoint::tor(proxy.addr, "http://example.onion/h").expect("valid"), timing());
    for account in [[1; 32], [2; 32], [1; 32]] {
        let answer = ledger.call(LedgerCall::Account { tag: 0, account }).await;
        assert_eq!(answer.result, LedgerResult::NotFound);
    }
    ledger.root().await.expect("a root");
    let asked = proxy.asked();
    let users: Vec<_> = asked.iter().map(|ask| (&ask.user, &ask.password)).collect();
    assert_eq!(users[0], users[2]);
    assert!(users[0] != users[1] && users[3] != users[0] && users[3] != users[1]);
    // The name goes to the proxy as a name: nothing was resolved here.
    assert!(asked.iter().all(|ask| ask.target == "example.onion:80"));
    let paths = proxy.requests();
    assert!(paths[0].starts_with("GET /h/accounts/G"), "{paths:?}");
    assert_eq!(paths[3], "GET /h/");
}

#[tokio::test]
async fn https_through_the_proxy_is_believed_only_with_a_certificate_that_we_trust() {
    let proxy = Proxy::start(true).await;
    let trusting = |base, authority| Endpoint::tor_trusting(proxy.addr, base, authority).expect("valid");
    let ledger = HorizonLedger::new(trusting("https://horizon.test/", Some(CERTIFICATE)), timing());
    assert_eq!(ledger.root().await.expect("a root").network_passphrase, "a network");
    assert_eq!(proxy.asked()[0].target, "horizon.test:443");
    for endpoint in [trusting("https://horizon.test/", None), trusting("https://other.test/", Some(CERTIFICATE))] {
        let Err(failure) = HorizonLedger::new(endpoint, timing()).send(&Root).await else { panic!("believed") };
        assert!(matches!(failure, Failure::NotSent(_)), "{failure}");
    }
    assert_eq!(proxy.requests().len(), 1, "nothing was said before the certificate was checked");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_silent_means_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = LoopbackAddr::try_from(listener.local_addr().expect("bound")).expect("loopback");
    let silent = HorizonLedger::new(Endpoint::tor(addr, "http://example.onion/").expect("valid"), timing());
    let Err(failure) = silent.send(&Root).await else { panic!("an answer") };
    assert!(matches!(failure, Failure::NotSent(_)), "{failure}");
    drop(listener);
    let Err(failure) = silent.send(&Root).await else { panic!("an answer") };
    assert!(matches!(failure, Failure::NotSent(_)), "{failure}");
}

fn timing() -> Timing {
    Timing { connect: Duration::from_secs(2), ..Timing::devnet() }
}

/// What one connection asked the proxy for.
#[derive(Clone)]
pub struct Ask {
    pub user: String,
    pub password: String,
    pub target: String,
}

/// A SOCKS5 port behind which every name is one server.
pub struct Proxy {
    pub addr: LoopbackAddr,
    asks: Arc<Mutex<Vec<Ask>>>,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn start(tls: bool) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr: SocketAddr = listener.local_addr().expect("bound");
        let (asks, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (seen_asks, seen_requests) = (asks.clone(), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asks, requests) = (seen_asks.clone(), seen_requests.clone());
                tokio::spawn(async move { proxy(stream, tls, &asks, &requests).await });
            }
        });
        Proxy { addr: addr.try_into().expect("loopback"), asks, requests, task }
    }
    pub fn asked(&self) -> Vec<Ask> {
        self.asks.lock().expect("not poisoned").clone()
    }
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1928 and 1929, as far as a client of ours goes.
async fn proxy(mut stream: TcpStream, tls: bool, asks: &Mutex<Vec<Ask>>, requests: &Mutex<Vec<String>>) {
    let methods = part(&mut stream).await;
    assert!(methods.contains(&2), "no user and password offered");
    stream.write_all(&[5, 2]).await.expect("written");
    let user = text(part(&mut stream).await);
    let length = stream.read_u8().await.expect("length");
    let mut password = vec![0; length.into()];
    stream.read_exact(&mut password).await.expect("password");
    stream.write_all(&[1, 0]).await.expect("written");
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.expect("a command");
    assert_eq!(head, [5, 1, 0, 3], "not a connection to a name");
    let length = stream.read_u8().await.expect("length");
    let mut name = vec![0; length.into()];
    stream.read_exact(&mut name).await.expect("name");
    let port = stream.read_u16().await.expect("port");
    let target = format!("{}:{port}", text(name));
    asks.lock().expect("not poisoned").push(Ask { user, password: text(password), target });
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("written");
    let script = |request: &str, _| match request {
        "GET /" | "GET /h/" => json(200, serde_json::json!({ "network_passphrase": "a network" })),
        "GET /f/" => {
            let links = serde_json::json!({ "friendbot": { "href": "http://friendbot.onion/give{?addr}" } });
            json(200, serde_json::json!({ "network_passphrase": "a network", "_links": links }))
        }
        _ => not_found(),
    };
    if tls {
        let identity = native_tls::Identity::from_pkcs8(CERTIFICATE, KEY).expect("an identity");
        let acceptor = native_tls::TlsAcceptor::new(identity).expect("an acceptor");
        if let Ok(stream) = tokio_native_tls::TlsAcceptor::from(acceptor).accept(stream).await {
            serve(stream, requests, &script).await;
        }
    } else {
        serve(stream, requests, &script).await;
    }
}

/// A version byte, a length, and that many bytes.
async fn part(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.expect("a part");
    let mut bytes = vec![0; head[1].into()];
    stream.read_exact(&mut bytes).await.expect("a part");
    bytes
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}
