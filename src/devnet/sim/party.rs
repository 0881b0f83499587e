//! Who lives in a simulated world, and how each gateway is set up.
use super::PASSPHRASE;
use crate::error::Result;
use crate::gateway::chain::pay::{Pay, Terms as PayTerms};
use crate::gateway::chain::serve::Serve;
use crate::gateway::core::locks::Locks;
use crate::gateway::core::message::ServiceKind;
use crate::gateway::core::offer::Terms as OfferTerms;
use crate::gateway::core::policy::{Budget, Limits as BudgetLimits, Policy};
use crate::gateway::link::{Identity, Limits, Links};
use crate::gateway::node::Gateway;
use crate::gateway::port::RelayId;
use crate::stellar::asset::Asset;
use crate::stellar::keys::SecretSeed;
use crate::stellar::network::NetworkId;
use crate::store::Snapshot;
use crate::units::{Price, Stroops};
use crate::wallet::Wallet;
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The client; the relays before it are its path.
pub const CLIENT: usize = 3;
/// The web site.
pub const SITE: usize = 4;
/// Nodes of a world.
pub const NODES: usize = 5;
/// Stroops per MiB of every relay and of the site.
pub const PRICE: Price = Price(1 << 20);
/// Stroops that a relay keeps for a claim that it forwards.
pub const FEE: u64 = 16;

/// Seconds by which a lock outlives the one that is signed onwards.
pub const LOCK_SECS: u16 = 5;

/// How the nodes of a world are set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Names the world: its wallets are no other world's, so that many worlds may share a database.
    pub world: u64,
    /// Of the schedule, and of what the nodes draw.
    pub seed: u64,
    /// Deposit of an escrow, stroops.
    pub deposit: u64,
    /// Observation period of an escrow, seconds.
    pub period_secs: u32,
    /// Seconds between flushes of a lane, and what is added at random.
    pub flush_secs: (u64, u64),
    /// What a payee serves on credit and wants to be paid ahead, bytes.
    pub window_bytes: u32,
    /// Links that a node may have with strangers.
    pub max_links: usize,
    /// Which payments go under locks.
    pub locks: Locks,
}

impl Default for Setup {
    /// Periods of minutes: a world opens, pays, flushes and closes within some hundred seconds of its time.
    fn default() -> Self {
        Setup {
            world: 1,
            seed: 1,
            deposit: 10 * 10_000_000,
            period_secs: 60,
            flush_secs: (20, 5),
            window_bytes: 1 << 17,
            max_links: Limits::default().max_anonymous_links,
            locks: Locks::Never,
        }
    }
}

/// The network that all worlds are on.
pub fn network() -> NetworkId {
    NetworkId::of(PASSPHRASE)
}

/// Issues the payment asset.
pub fn issuer() -> SecretSeed {
    SecretSeed::from_bytes(&[200; 32])
}

/// The payment asset.
pub fn asset() -> Result<Asset> {
    Asset::credit("MWT", issuer().public())
}

/// A node's wallet in this world.
pub fn wallet(setup: &Setup, node: usize) -> Wallet {
    let name = format!("wallet {node} of world {}", setup.world);
    Wallet::new(SecretSeed::from_bytes(&Sha256::digest(name).into()))
}

/// A relay's identity.
pub fn relay_id(node: usize) -> RelayId {
    [u8::try_from(node + 1).unwrap_or(u8::MAX); 20]
}

fn stroops(amount: u64) -> Stroops {
    Stroops::new(amount).unwrap_or(Stroops::MAX)
}

fn limits(setup: &Setup) -> Limits {
    let deposit = stroops(setup.deposit);
    Limits {
        deposit,
        min_deposit: stroops(1),
        liquidity_total: stroops(setup.deposit.saturating_mul(8)),
        denomination: stroops(1),
        flush_interval_secs: setup.flush_secs.0,
        flush_jitter_secs: setup.flush_secs.1,
        period_secs: setup.period_secs,
        lock_secs: u64::from(LOCK_SECS),
        late_limit: stroops(100_000),
        carry_grace_secs: 30,
        retry_min_ms: 500,
        retry_max_ms: 4_000,
        max_anonymous_links: setup.max_links,
        ..Limits::default()
    }
}

/// The gateway of a node as a process starts with it. Errors as [`Links::load`].
pub fn gateway(setup: &Setup, node: usize, snapshot: Snapshot, now: u64, rng: &mut impl Rng) -> Result<Gateway> {
    let (wallet, limits) = (wallet(setup, node), limits(setup));
    let account = wallet.account();
    let spent = snapshot.spent(now);
    let links = Links::load(Identity::new(wallet, network(), asset()?), limits, snapshot.links, snapshot.escrows)?;
    let serve = (node != CLIENT).then(|| {
        let terms = OfferTerms {
            network: network().short(),
            payee: account,
            asset: links.asset(),
            kind: if node == SITE { ServiceKind::Http } else { ServiceKind::Tor },
            price: PRICE,
            fee: if node == SITE { Stroops::ZERO } else { stroops(FEE) },
            credit_bytes: setup.window_bytes,
            ahead_bytes: setup.window_bytes,
            lock_secs: LOCK_SECS,
            ttl_s: 3600,
        };
        Serve::new(terms, rng.next_u64().to_be_bytes(), snapshot.hops)
    });
    let pay = (node == CLIENT).then(|| {
        let terms = PayTerms {
            asset: links.asset(),
            network: network().short(),
            max_ahead_bytes: 1 << 23,
            max_increment: PayTerms::increment_of(stroops(setup.deposit)),
            locks: setup.locks,
        };
        let budget = BudgetLimits {
            day: Stroops::MAX,
            site: Stroops::MAX,
            kinds: [Stroops::MAX; 3],
            price_ceilings: [Price(1 << 24); 3],
            fee_ceiling: stroops(1024),
        };
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let configured = Policy::new(budget.clone());
        let mut pay = Pay::new(terms, secret, Budget::new(budget, spent)).with_policy(configured, snapshot.policy);
        pay.resume(snapshot.payments.iter());
        pay
    });
    Ok(Gateway::new(links, serve, pay))
}
