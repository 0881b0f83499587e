//! What the tests of payments share: a network that is up, its nodes' own words, traffic, and the ledger's word.
pub mod audit;
pub mod schema;
pub mod traffic;

use magicwave::api::client::call;
use magicwave::devnet::network::{Devnet, Options, Topology};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// One network with payments at a time: two of them would slow each other beyond their time limits.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A network that is up, in a directory that goes with it.
pub struct Net {
    pub devnet: Devnet,
    pub since: Instant,
    _dir: tempfile::TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Net {
    /// Starts it and waits until every node is bootstrapped.
    pub async fn up(topology: Topology) -> Net {
        let turn = TURN.lock().await;
        let since = Instant::now();
        let dir = tempfile::tempdir().expect("temporary directory");
        let magicwave = env!("CARGO_BIN_EXE_magicwave").into();
        let options = Options { state_dir: dir.path().join("net"), topology, magicwave, tor: None };
        let mut devnet = Devnet::start(options).await.expect("starts");
        devnet.wait_ready(|_| ()).await.expect("bootstraps");
        eprintln!("{:5.1} s up", since.elapsed().as_secs_f64());
        Net { devnet, since, _dir: dir, _turn: turn }
    }

    /// A line on the test's progress.
    pub fn say(&self, what: &str) {
        eprintln!("{:5.1} s {what}", self.since.elapsed().as_secs_f64());
    }

    /// SIGKILL, then a new start on what was left.
    pub async fn crash(&mut self, name: &str) {
        self.devnet.kill9(name).expect("runs");
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.devnet.restart(name).await.expect("starts again");
        self.devnet.wait_ready(|_| ()).await.expect("bootstraps again");
    }

    /// Names of the nodes that take part in payments.
    pub fn payers(&self) -> Vec<String> {
        self.devnet.state().nodes.iter().filter(|n| n.account.is_some()).map(|n| n.name.clone()).collect()
    }

    /// Where the web server listens.
    pub fn web(&self) -> SocketAddr {
        self.devnet.state().web.as_ref().expect("web server").address
    }

    /// SOCKS port of an origin.
    pub fn socks(&self, name: &str) -> SocketAddr {
        let port = self.devnet.node(name).expect("node").socks_port.expect("SOCKS port");
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// An answer of a node's API; `POST` when `post`. Asked again while the node is not there yet.
    pub async fn api(&self, name: &str, path: &str, post: bool) -> Value {
        let socket = self.devnet.node(name).expect("node").api_socket.clone().expect("API");
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match ask(&socket, path, post).await {
                Ok(answer) => return answer,
                Err(e) if Instant::now() > end => panic!("{name} {path}: {e}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// The gateway's part of a node's status.
    pub async fn gateway(&self, name: &str) -> Value {
        self.api(name, "/api/status", false).await["gateway"].clone()
    }

    /// Payments of a client that every payee confirmed.
    pub async fn completed(&self, client: &str) -> usize {
        let payments = self.api(client, "/api/payments?limit=10000", false).await;
        payments.as_array().expect("a list").iter().filter(|p| p["state"] == "complete").count()
    }
}

async fn ask(socket: &Path, path: &str, post: bool) -> magicwave::error::Result<Value> {
    let body = json!({});
    call(socket, path, post.then_some(&body), Duration::from_secs(5)).await
}

/// Tries `done` four times a second until it says yes; the test fails with `what` after `patience`.
pub async fn until(what: &str, patience: Duration, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + patience;
    while !done().await {
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
