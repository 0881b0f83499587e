//! `gateway.toml` of the nodes that take part in payments: prices and limits for a network whose minutes count.
use super::state::{MoneyView, NodeView, State};
use super::topology::{NodeSpec, Role};
use crate::config::{self, GatewayConfig, KindPay, Ledger, Links, Offer, Pay, Policy, Site, StockClients, Wallet};
use crate::error::{Error, Result};
use crate::gateway::core::locks::Locks;
use crate::gateway::core::policy::Mode;
use crate::units::{Price, Stroops};
use std::net::SocketAddr;
use std::path::PathBuf;

const MIB: u32 = 1 << 20;
/// Stroops per MiB and hop.
pub const PRICE: Price = Price(1 << 10);
/// Stroops that a hop keeps of each payment that it passes on.
const FEE: u64 = 1 << 3;
/// What a payer is asked to be ahead at first; its window grows with what it paid.
const AHEAD: u32 = 2 * MIB;
/// The most that a payer is ahead at one hop of one circuit.
const AHEAD_MOST: u32 = 32 * MIB;

/// Where the seed of a node's wallet lies.
pub fn seed_file(node: &NodeView) -> PathBuf {
    node.dir.join("wallet.seed")
}

/// The configuration of one node; an error when the network has no ledger.
pub fn of(spec: &NodeSpec, node: &NodeView, state: &State) -> Result<GatewayConfig> {
    let missing =
        |what: &str| Error::never("MW-NET-1", format!("{} takes part in payments but has no {what}", node.name));
    let ledger = state.ledger.as_ref().ok_or_else(|| missing("ledger"))?;
    let money = state.money.as_ref().ok_or_else(|| missing("asset"))?;
    let role = match spec.role {
        Role::Client => config::Role::Client,
        Role::Site => config::Role::Site,
        _ => config::Role::Relay,
    };
    let site = match (role, node.listen, &state.web) {
        (config::Role::Site, Some(listen), Some(web)) => {
            Some(Site { listen, upstream: web.address, paid_paths: vec!["/".into()] })
        }
        (config::Role::Site, ..) => return Err(missing("web server")),
        _ => None,
    };
    let config = GatewayConfig {
        role,
        state_dir: node.dir.join("payments"),
        database: None,
        api_socket: node.api_socket.clone().ok_or_else(|| missing("API socket"))?,
        api_listen: None,
        api_origins: Vec::new(),
        wallet: Wallet { seed_file: seed_file(node), passphrase_file: None, accounts: None },
        ledger: ledger_of(role, ledger.address, money),
        offer: (role != config::Role::Client).then(offer).transpose()?,
        pay: (role == config::Role::Client).then(|| pay(spec.locks)).transpose()?,
        links: links()?,
        policy: Policy { stock_clients: StockClients::PaidOnly, grace_ms: 10_000, ..Policy::default() },
        site,
    };
    config.check()?;
    Ok(config)
}

/// A client reaches the ledger through tor like everything else. Relays and sites use the loopback exception: they pay
/// nobody for circuits of their own, so in a network where everybody is paid those would be slowed and stopped.
fn ledger_of(role: config::Role, address: SocketAddr, money: &MoneyView) -> Ledger {
    let client = role == config::Role::Client;
    Ledger {
        horizon: client.then(|| format!("http://{address}")),
        witness: None,
        loopback_for_tests: (!client).then_some(address),
        passphrase: money.passphrase.clone(),
        asset_code: money.asset_code.clone(),
        asset_issuer: money.issuer.clone(),
    }
}

fn stroops(n: u64) -> Result<Stroops> {
    Stroops::new(n).map_err(|e| Error::never("MW-NET-1", e.to_string()))
}

fn offer() -> Result<Offer> {
    Ok(Offer { price: PRICE, fee: stroops(FEE)?, credit_bytes: 127 * 514, ahead_bytes: AHEAD, quote_secs: 3_600 })
}

fn pay(locks: Locks) -> Result<Pay> {
    let day = stroops(100 * 10_000_000)?;
    let (max_price, max_fee) = (Price(PRICE.0 * 4), stroops(FEE * 4)?);
    Ok(Pay {
        ahead_bytes: AHEAD_MOST,
        max_price,
        max_fee,
        day,
        site: day,
        mode: Mode::Auto,
        shared_socks: false,
        tor: KindPay::default(),
        ipfs: KindPay::default(),
        http: KindPay::default(),
        rule: Vec::new(),
        locks,
    })
}

fn links() -> Result<Links> {
    let (deposit, liquidity) = (stroops(10 * 10_000_000)?, stroops(500 * 10_000_000)?);
    Ok(Links {
        deposit,
        liquidity,
        period_secs: 600,
        flush_secs: 30,
        lock_secs: 5,
        denomination: stroops(1)?,
        ..Links::default()
    })
}
