//! Downloads that go on whatever happens to the network.
use super::Net;
use magicwave::devnet::demo::download::{Go, download};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What became of the downloads so far.
#[derive(Debug, Default)]
struct Tally {
    whole: AtomicU64,
    broken: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

/// A loop of downloads through a client; dropping it ends it.
pub struct Traffic {
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

impl Traffic {
    /// Begins. Each download that broke is followed by one under another isolation name, on another circuit.
    pub fn begin(net: &Net, client: &str, path: &'static str) -> Traffic {
        let tally = Arc::new(Tally::default());
        let task = tokio::spawn(run(tally.clone(), net.socks(client), net.web(), path));
        Traffic { tally, task }
    }

    /// Downloads that arrived whole, that broke, and bytes of all of them.
    pub fn counts(&self) -> (u64, u64, u64) {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (of(&self.tally.whole), of(&self.tally.broken), of(&self.tally.bytes))
    }

    /// Ends after the download at hand.
    pub async fn end(mut self) -> (u64, u64, u64) {
        self.tally.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.expect("the loop of downloads");
        self.counts()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(tally: Arc<Tally>, socks: SocketAddr, web: SocketAddr, path: &'static str) {
    while !tally.stop.load(Ordering::Relaxed) {
        let user = format!("loop{}", tally.broken.load(Ordering::Relaxed));
        let mut seen = 0;
        let mut idle = Duration::ZERO;
        let watch = |bytes: u64, at: Duration| {
            tally.bytes.fetch_add(bytes - seen, Ordering::Relaxed);
            if bytes > seen {
                idle = at;
            }
            seen = bytes;
            // A hop behind the guard that dies tells nobody at once.
            if at.saturating_sub(idle) > Duration::from_secs(5) { Go::Enough } else { Go::On }
        };
        match download(socks, &user, web, path, Duration::from_secs(30), watch).await {
            Ok(fetched) if fetched.whole => tally.whole.fetch_add(1, Ordering::Relaxed),
            _ => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                tally.broken.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

/// A loop of `magicwave fetch` of a file that a web service wants to be paid for; dropping it ends it.
pub struct Purchases {
    bought: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Purchases {
    /// Begins.
    pub fn begin(net: &Net, client: &str, site: &str) -> Purchases {
        let listen = net.devnet.node(site).expect("node").listen.expect("a site listens");
        let api = net.devnet.node(client).expect("node").api_socket.clone().expect("API");
        let (socks, bought) = (net.socks(client), Arc::new(AtomicU64::new(0)));
        let count = bought.clone();
        let task = tokio::spawn(async move {
            loop {
                let mut fetch = tokio::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
                fetch.arg("fetch").arg(format!("http://{listen}/1m.bin")).arg("--socks").arg(socks.to_string());
                fetch.arg("--api").arg(&api).kill_on_drop(true);
                fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                match tokio::time::timeout(Duration::from_secs(60), fetch.status()).await {
                    Ok(Ok(status)) if status.success() => count.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Purchases { bought, task }
    }

    /// Files that came whole.
    pub fn count(&self) -> u64 {
        self.bought.load(Ordering::Relaxed)
    }
}

impl Drop for Purchases {
    fn drop(&mut self) {
        self.task.abort();
    }
}
