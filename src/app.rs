//! Composition root: the only place that names concrete adapters and connects them.
mod backend;
mod calls;
mod news;
mod site;
mod till;
mod views;
mod world;

use crate::api::feed::Feed;
use crate::config::{GatewayConfig, LedgerRoute, Role};
use crate::error::{Error, Result};
use crate::gateway::chain::pay::{Pay, Terms as PayTerms};
use crate::gateway::chain::serve::Serve;
use crate::gateway::core::message::{AccountKey, ServiceKind};
use crate::gateway::core::offer::Terms as OfferTerms;
use crate::gateway::core::policy::Budget;
use crate::gateway::link::{Identity, Limits, Links};
use crate::gateway::node::{Gateway, Status};
use crate::gateway::port::Event;
use crate::gateway::reactor::{Reactor, now_ms};
use crate::gateway::transport::tor_cell::Cells;
use crate::stellar::horizon::{Endpoint, HorizonLedger, LoopbackAddr, Timing, WitnessedLedger};
use crate::stellar::keys::SecretSeed;
use crate::store::{Reader, Snapshot, Store};
use crate::tor::control::Signal;
use crate::tor::daemon::{TorHandle, run_tor};
use crate::tor::event::{StreamStatus, TorEvent};
use crate::tor::policy::Policy;
use crate::units::Stroops;
use crate::wallet::Wallet;
use backend::Backend;
use calls::{Calls, Exchanges, Streams};
use news::Reporter;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use till::Till;
use tokio::sync::mpsc;
use world::RealWorld;

/// Events that wait for the gateway.
const EVENTS: usize = 8_192;
/// Answers of the chain that are kept for repeats over a restart.
const HOPS_KEPT: u32 = 4_096;
/// What a command to a tor that is gone is answered.
const TOR_ENDED: &str = "MW-TOR-12";

/// A ledger of another network, and an issuer that can take back.
const UNFIT: [&str; 2] = ["MW-HZN-8", "MW-ESC-30"];
/// Between two questions to a ledger that cannot be reached yet.
const NETWORK_PAUSE: Duration = Duration::from_secs(10);

/// tor ends within this time after it was told to, when nothing runs yet.
const TOR_PATIENCE: Duration = Duration::from_secs(10);

/// Runs tor with payments until tor ends; its exit status.
pub async fn run(config: GatewayConfig, tor_args: Vec<String>) -> Result<i32> {
    let wallet = Wallet::open_configured(&config.wallet.seed_file, config.wallet.passphrase_file.as_deref())
        .map_err(|e| at(&config.wallet.seed_file, e))?;
    let (store, reader, snapshot) = open_store(config.clone(), wallet.account()).await?;
    let gateway = gateway(&config, &wallet, snapshot)?;
    let (listener, token) = crate::api::bind(&config.api_socket)?;
    let port = match config.api_listen {
        Some(address) => Some(crate::api::bind_tcp(address).await?),
        None => None,
    };

    let own_user = config.pay.as_ref().is_some_and(|pay| !pay.shared_socks);
    let policy = Policy { relay: config.role == Role::Relay, own_user, limits: config.policy };
    let (tor, tor_events) = run_tor(tor_args, Some(policy)).await?;
    let (events, inbox) = sync_channel(EVENTS);
    let (cells, calls, exchanges) =
        (Arc::new(Mutex::new(Cells::default())), Arc::new(Calls::default()), Arc::new(Exchanges::default()));
    let (status, streams) = (Arc::new(Mutex::new(Status::default())), Arc::new(Streams::default()));

    let pump = pump(tor_events, events.clone(), cells.clone(), streams.clone())?;
    let socks = match needs_socks(&config).then(|| socks_port(&tor)) {
        None => None,
        Some(port) => match port.await {
            Ok(port) => Some(port),
            // tor said on its log why; its status is ours.
            Err(e) if e.code == TOR_ENDED => return Ok(tor.wait().await),
            Err(e) => {
                // A process that ends under tor's own thread ends by a signal.
                let _ = tor.signal(Signal::Shutdown);
                let _ = tokio::time::timeout(TOR_PATIENCE, tor.wait()).await;
                return Err(e);
            }
        },
    };
    let ledger = Arc::new(ledger(&config, socks, &wallet)?);
    let network = tokio::spawn(check_ledger(ledger.clone(), tor.clone()));
    let till = Till::new(ledger.clone(), wallet.account(), config.ledger.asset()?);
    let world = RealWorld {
        tor: tor.clone(),
        cells,
        runtime: tokio::runtime::Handle::current(),
        ledger,
        events: events.clone(),
        calls: calls.clone(),
        exchanges: exchanges.clone(),
        slots: world::slots(),
    };
    let (over, feed) = (Arc::new(AtomicBool::new(false)), Feed::default());
    let reporter = Reporter::new(feed.clone());
    let reactor = spawn_reactor(gateway, store, world, status.clone(), reporter, inbox, tor.clone(), over.clone())?;

    let backend = Arc::new(Backend {
        accounts: wallet.account_keys().iter().map(SecretSeed::public).collect(),
        config: config.clone(),
        tor: tor.clone(),
        events: events.clone(),
        calls: calls.clone(),
        exchanges,
        streams,
        status,
        reader,
        socks,
        till,
        feed,
        services: Mutex::default(),
    });
    let api = tokio::spawn(crate::api::serve(listener, token.clone(), backend.clone()));
    let port = port.map(|port| {
        let origins = config.api_origins.clone();
        tokio::spawn(crate::api::serve_tcp(port, origins, token, backend))
    });
    let site = match &config.site {
        Some(site) => {
            let price = config.offer.as_ref().map_or(crate::units::Price(0), |o| o.price);
            Some(site::serve(site, price, config.ledger.network().short(), events.clone(), calls).await?)
        }
        None => None,
    };
    let signals = tokio::spawn(crate::tor::signals::forward(tor.clone()));

    let code = tor.wait().await;
    network.abort();
    signals.abort();
    api.abort();
    if let Some(port) = port {
        port.abort();
    }
    if let Some(site) = site {
        site.abort();
    }
    drop(events);
    // The pump ends with tor's last event; the reactor when it has handled that and nothing is under way any more, or
    // at the latest after that had its time: the next start looks for it.
    let _ = tokio::task::spawn_blocking(move || pump.join()).await;
    over.store(true, Ordering::Release);
    let end = tokio::task::spawn_blocking(move || reactor.join());
    match (tokio::time::timeout(Duration::from_secs(5), end).await, network.await) {
        (Ok(Ok(Ok(Err(e)))), _) | (_, Ok(Err(e))) => Err(e),
        _ => Ok(code),
    }
}

/// The store, and what it holds; on a thread that may wait for a database server.
async fn open_store(config: GatewayConfig, account: AccountKey) -> Result<(Box<dyn Store + Send>, Reader, Snapshot)> {
    let opened = tokio::task::spawn_blocking(move || {
        let opened = crate::store::open(&config, &account).and_then(|(mut store, reader)| {
            let snapshot = store.load(HOPS_KEPT, now_ms())?;
            Ok((store, reader, snapshot))
        });
        if config.database.is_some() { opened } else { opened.map_err(|e| at(&config.state_dir, e)) }
    });
    opened.await.map_err(|e| Error::never("MW-APP-4", format!("the store could not be opened: {e}")))?
}

/// Asks the ledger which network it is on, and what our asset's issuer may do, until it says so; nothing else of it
/// counts before. A ledger of another network ends this node, and an issuer that can take back. `MW-HZN-8`, `MW-ESC-30`.
async fn check_ledger(ledger: Arc<WitnessedLedger>, tor: TorHandle) -> Result<()> {
    while let Err(e) = ledger.check().await {
        if UNFIT.contains(&e.code) {
            tracing::error!(code = e.code, "{e}");
            let _ = tor.signal(Signal::Shutdown);
            return Err(e);
        }
        tokio::time::sleep(NETWORK_PAUSE).await;
    }
    Ok(())
}

/// Says of which file an error speaks.
fn at(path: &Path, error: Error) -> Error {
    let name = path.display().to_string();
    if error.text.contains(&name) { error } else { Error { text: format!("{name}: {}", error.text), ..error } }
}

fn needs_socks(config: &GatewayConfig) -> bool {
    config.role == Role::Client || matches!(config.ledger.route(), Ok(LedgerRoute::Tor(_)))
}

fn gateway(config: &GatewayConfig, wallet: &Wallet, snapshot: Snapshot) -> Result<Gateway> {
    let asset = config.ledger.asset()?;
    let accounts = config.wallet.accounts(config.role);
    let me = Identity::new(wallet.clone(), config.ledger.network(), asset).with_accounts(accounts);
    let spent = snapshot.spent(now_ms());
    let links = Links::load(me, limits(config), snapshot.links, snapshot.escrows)?;
    let serve = config.offer.as_ref().map(|offer| {
        let terms = OfferTerms {
            network: config.ledger.network().short(),
            payee: wallet.account(),
            asset: links.asset(),
            kind: if config.role == Role::Site { ServiceKind::Http } else { ServiceKind::Tor },
            price: offer.price,
            fee: offer.fee,
            credit_bytes: offer.credit_bytes,
            ahead_bytes: offer.ahead_bytes,
            lock_secs: config.links.lock_secs,
            ttl_s: offer.quote_secs,
        };
        Serve::new(terms, rand::random(), snapshot.hops)
    });
    let pay = config.pay.as_ref().map(|pay| {
        let terms = PayTerms {
            asset: links.asset(),
            network: config.ledger.network().short(),
            max_ahead_bytes: u64::from(pay.ahead_bytes),
            max_increment: PayTerms::increment_of(config.links.deposit),
            locks: pay.locks,
        };
        let configured = pay.policy()?;
        let budget = Budget::new(configured.limits.clone(), spent);
        let mut all = Pay::new(terms, rand::random(), budget).with_policy(configured, snapshot.policy);
        all.resume(snapshot.payments.iter());
        Ok::<_, Error>(all)
    });
    Ok(Gateway::new(links, serve, pay.transpose()?))
}

fn limits(config: &GatewayConfig) -> Limits {
    let links = &config.links;
    let test = config.ledger.loopback_for_tests.is_some();
    Limits {
        deposit: links.deposit,
        min_deposit: Stroops::new(1).unwrap_or(Stroops::ZERO),
        liquidity_total: links.liquidity,
        period_secs: links.period_secs,
        flush_interval_secs: u64::from(links.flush_secs),
        flush_jitter_secs: u64::from(links.flush_secs),
        fee_ceiling: u64::from(links.max_ledger_fee),
        denomination: links.denomination,
        lock_secs: u64::from(links.lock_secs),
        retry_max_ms: if test { 2_000 } else { Limits::default().retry_max_ms },
        ..Limits::default()
    }
}

fn ledger(config: &GatewayConfig, socks: Option<SocketAddr>, wallet: &Wallet) -> Result<WitnessedLedger> {
    let server = |route| -> Result<HorizonLedger> {
        let (endpoint, timing) = match route {
            LedgerRoute::Loopback(address) => (Endpoint::loopback(LoopbackAddr::try_from(address)?)?, Timing::devnet()),
            LedgerRoute::Tor(base) => {
                let socks = socks.ok_or_else(|| {
                    Error::never(
                        "MW-APP-1",
                        "the ledger is reached through tor, and this tor has no SocksPort; add one to its torrc",
                    )
                })?;
                let timing = if base.contains("//127.0.0.1:") { Timing::devnet() } else { Timing::default() };
                (Endpoint::tor(LoopbackAddr::try_from(socks)?, &base)?, timing)
            }
        };
        Ok(HorizonLedger::new(endpoint, timing))
    };
    let witness = config.ledger.witness_route()?.map(server).transpose()?;
    Ok(WitnessedLedger::new(server(config.ledger.route()?)?, witness)
        .isolated(&wallet.account())
        .on(config.ledger.network(), &config.ledger.asset()?))
}

/// The first loopback SOCKS listener of our own tor; it listens before it answers. `MW-APP-1`: it has none;
/// `MW-TOR-12`: it has ended.
async fn socks_port(tor: &TorHandle) -> Result<SocketAddr> {
    for _ in 0..100 {
        match tor.getinfo("net/listeners/socks").await {
            Ok(listeners) => {
                let mut found =
                    listeners.split_whitespace().filter_map(|word| word.trim_matches('"').parse::<SocketAddr>().ok());
                return found.find(|a| a.ip().is_loopback()).ok_or_else(|| {
                    Error::never(
                        "MW-APP-1",
                        "this tor has no SocksPort on the loopback; a client and a ledger behind tor need one",
                    )
                });
            }
            Err(e) if e.code == TOR_ENDED => return Err(e),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Error::later("MW-APP-5", "this tor does not say where its SocksPort is; try again"))
}

/// tor's events, on a thread that may wait: a gateway that is behind slows itself down, never tor.
fn pump(
    mut tor: mpsc::Receiver<TorEvent>,
    events: SyncSender<Event>,
    cells: Arc<Mutex<Cells>>,
    streams: Arc<Streams>,
) -> Result<std::thread::JoinHandle<()>> {
    let work = move || {
        while let Some(event) = tor.blocking_recv() {
            if let TorEvent::Stream(stream) = &event
                && matches!(stream.status, StreamStatus::Sent | StreamStatus::Succeeded)
                && let (Some(user), Some(circ)) = (&stream.socks_username, stream.circ)
            {
                streams.saw(user.0.clone(), circ);
            }
            let last = matches!(event, TorEvent::Exited { .. });
            let event = cells.lock().ok().and_then(|mut cells| cells.event(now_ms(), event));
            if event.is_some_and(|event| events.send(event).is_err()) || last {
                return;
            }
        }
    };
    thread("tor events", work)
}

fn spawn_reactor(
    gateway: Gateway,
    store: Box<dyn Store + Send>,
    world: RealWorld,
    status: Arc<Mutex<Status>>,
    reporter: Reporter,
    inbox: Receiver<Event>,
    tor: TorHandle,
    over: Arc<AtomicBool>,
) -> Result<std::thread::JoinHandle<Result<()>>> {
    thread("gateway", move || {
        let reactor = Reactor::new(gateway, store, world, rand::rng(), status).seen_by(Box::new(reporter));
        // All that was let go is explained by rows; what was not yet durable goes with the stack.
        let end = catch_unwind(AssertUnwindSafe(|| reactor.run(&inbox, &over)))
            .unwrap_or_else(|_| Err(Error::never("MW-APP-4", "the gateway panicked; this is a bug, please report it")));
        if let Err(e) = &end {
            // Without a durable row nothing may leave: better no node than one that forgets what it signed.
            tracing::error!(code = e.code, "the gateway stops: {e}");
            let _ = tor.signal(Signal::Shutdown);
        }
        end
    })
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|e| Error::later("MW-APP-2", format!("no thread for {name}: {e}")))
}
