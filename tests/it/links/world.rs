//! Nodes with links, circuits between them that lose, repeat and reorder on demand, and a real (embedded) ledger.
//!
//! A node's durable state goes through JSON, as it does in the store. A crash loses the effects of a step, or the
//! whole step, and all circuits.
use super::world_circuit::Circuit;
use super::world_ledger::code;
use magicwave::devnet::ledger::{Genesis, Ledger};
use magicwave::gateway::core::message::{AccountKey, Id, Message};
use magicwave::gateway::link::{CircuitNews, EscrowRow, Identity, Limits, LinkRow, Links, Partner};
use magicwave::gateway::port::{
    CircuitId, Effect, LedgerAnswer, LedgerCall, LedgerResult, MoneyEvent, Out, RelayId, Row,
};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template;
use magicwave::units::Stroops;
use magicwave::wallet::Wallet;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap, VecDeque};

pub const PASSPHRASE: &str = "a network of tests";
pub const START: u64 = 1_700_000_000;
pub const UNIT: u64 = 10_000_000;

pub fn amount(stroops: u64) -> Stroops {
    Stroops::new(stroops).expect("an amount")
}

/// Small and quick: deposits of 10 units, O of ten minutes, flush every 60 s to the multiple of 1000 stroops.
pub fn limits() -> Limits {
    Limits {
        deposit: amount(10 * UNIT),
        min_deposit: amount(UNIT),
        max_deposit: amount(100 * UNIT),
        liquidity_total: amount(1000 * UNIT),
        denomination: amount(1000),
        flush_interval_secs: 60,
        flush_jitter_secs: 5,
        period_secs: 600,
        late_limit: amount(100_000),
        carry_grace_secs: 30,
        retry_min_ms: 500,
        retry_max_ms: 4_000,
        ..Limits::default()
    }
}

/// How badly the world behaves, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    pub loss: u32,
    pub repeat: u32,
    pub reorder: bool,
    /// Answers of the ledger that nobody gets to know.
    pub unknown: u32,
}

pub struct Node {
    pub links: Links,
    pub relay: Option<RelayId>,
    pub wallet: Wallet,
    /// Accounts of the wallet that partners may see.
    pub accounts: u8,
    pub limits: Limits,
    link_rows: BTreeMap<Id, String>,
    escrow_rows: BTreeMap<AccountKey, String>,
    pub events: Vec<MoneyEvent>,
    /// Crash at this many steps from now, before its rows are durable or after.
    pub crash: Option<(u32, bool)>,
    pub crashes: u32,
    /// Rows go here too, when a test wants to see them in a real store.
    #[cfg(feature = "node")]
    pub store: Option<magicwave::store::Sqlite>,
}

pub type Backup = (BTreeMap<Id, String>, BTreeMap<AccountKey, String>, usize);

pub struct World {
    pub ledger: Ledger,
    pub now_ms: u64,
    pub rng: SmallRng,
    pub nodes: Vec<Node>,
    pub chaos: Chaos,
    pub(super) circuits: BTreeMap<CircuitId, Circuit>,
    queue: VecDeque<(usize, Effect)>,
    pub(super) waiting: Vec<(usize, u64, [u8; 32])>,
    pub(super) landed: HashMap<[u8; 32], LedgerResult>,
    pub(super) next_circ: u64,
    /// Relays that nobody reaches.
    pub down: Vec<usize>,
    /// Nodes whose process stands still.
    pub asleep: Vec<usize>,
    /// Transactions that offer less are refused, as on a busy network.
    pub min_fee: i64,
    /// Look-ups of transactions find nothing and submissions are not answered: a server that trails its ledger.
    pub blind: bool,
    /// Looks at accounts that find none, in percent.
    pub flaky: u32,
    /// The ledger that is asked is far behind: our accounts' number there, and its own.
    pub behind: Option<(i64, u32)>,
    /// Nobody hears a wish to close: deposits come back alone.
    pub mute: bool,
    /// Messages of this type get lost.
    pub lost_kind: Option<u8>,
    /// Circuits that nodes asked for.
    pub launched: usize,
    /// What landed: (source of the inner transaction, envelope), oldest first.
    pub applied: Vec<(AccountKey, Vec<u8>)>,
    /// Messages that were delivered, and to whom.
    pub log: Vec<(usize, Message)>,
}

pub fn asset() -> Asset {
    Asset::credit("MWT", issuer().public()).expect("asset")
}

pub fn issuer() -> SecretSeed {
    SecretSeed::from_bytes(&[200; 32])
}

pub fn network() -> NetworkId {
    NetworkId::of(PASSPHRASE)
}

impl World {
    /// `relays` nodes that are relays (identity = number + 1), then `others` that are not; all with funds.
    pub fn new(seed: u64, relays: usize, others: usize, limits: &Limits) -> World {
        let mut world = World {
            ledger: Ledger::new(&Genesis::standalone(PASSPHRASE, START)),
            now_ms: START * 1000,
            rng: SmallRng::seed_from_u64(seed),
            nodes: Vec::new(),
            chaos: Chaos::default(),
            circuits: BTreeMap::new(),
            queue: VecDeque::new(),
            waiting: Vec::new(),
            landed: HashMap::new(),
            next_circ: 100,
            down: Vec::new(),
            asleep: Vec::new(),
            min_fee: 0,
            blind: false,
            flaky: 0,
            behind: None,
            mute: false,
            lost_kind: None,
            launched: 0,
            applied: Vec::new(),
            log: Vec::new(),
        };
        world.transact(&SecretSeed::from_bytes(&network().0), |source| {
            template::create_account(source, &issuer().public(), amount(100 * UNIT)).expect("create")
        });
        for number in 0..relays + others {
            let wallet = Wallet::new(SecretSeed::from_bytes(&[relay_id(number)[0]; 32]));
            let relay = (number < relays).then(|| relay_id(number));
            let links = load(&wallet, limits, vec![], vec![]);
            world.nodes.push(Node {
                links,
                relay,
                wallet,
                accounts: 1,
                limits: limits.clone(),
                link_rows: BTreeMap::new(),
                escrow_rows: BTreeMap::new(),
                events: Vec::new(),
                crash: None,
                crashes: 0,
                #[cfg(feature = "node")]
                store: None,
            });
            world.create(number, 1000 * UNIT);
            world.fund(number, 1000 * UNIT);
        }
        world
    }

    /// The same where no payee closes together with its payer: deposits come back alone.
    pub fn alone(seed: u64, relays: usize, others: usize, limits: &Limits) -> World {
        World { mute: true, ..World::new(seed, relays, others, limits) }
    }

    /// One step of a node: rows, then effects, with the crash that was ordered.
    pub fn step<T>(&mut self, node: usize, f: impl FnOnce(&mut Links, u64, &mut SmallRng, &mut Out) -> T) -> Option<T> {
        let mut out = Out::default();
        let result = f(&mut self.nodes[node].links, self.now_ms, &mut self.rng, &mut out);
        let crash = match &mut self.nodes[node].crash {
            Some((0, before)) => Some(*before),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if crash != Some(true) {
            self.commit(node, out.rows);
        }
        if crash.is_some() {
            self.nodes[node].crash = None;
            self.restart(node);
            return None;
        }
        self.queue.extend(out.effects.into_iter().map(|effect| (node, effect)));
        Some(result)
    }

    pub(super) fn commit(&mut self, node: usize, rows: Vec<Row>) {
        let node = &mut self.nodes[node];
        #[cfg(feature = "node")]
        if let Some(store) = &mut node.store {
            magicwave::store::Store::commit(store, &rows).expect("committed");
        }
        for row in rows {
            match row {
                Row::Link(row) if row.dropped => drop(node.link_rows.remove(&row.id)),
                Row::Link(row) => drop(node.link_rows.insert(row.id, serde_json::to_string(&row).expect("json"))),
                Row::Escrow(row) => {
                    drop(node.escrow_rows.insert(row.escrow, serde_json::to_string(&row).expect("json")))
                }
                Row::Event(event) => node.events.push(event),
                other => panic!("links do not write {other:?}"),
            }
        }
    }

    /// The durable lanes of a node.
    pub fn lanes(&self, node: usize) -> Vec<EscrowRow> {
        self.nodes[node].escrow_rows.values().map(|row| serde_json::from_str(row).expect("own row")).collect()
    }

    pub fn link_rows(&self, node: usize) -> Vec<LinkRow> {
        self.nodes[node].link_rows.values().map(|row| serde_json::from_str(row).expect("own row")).collect()
    }

    /// What is durable now, to be put back by `roll_back`.
    pub fn backup(&self, node: usize) -> Backup {
        let node = &self.nodes[node];
        (node.link_rows.clone(), node.escrow_rows.clone(), node.events.len())
    }

    /// Somebody restores an old backup of a node's store.
    pub fn roll_back(&mut self, node: usize, backup: Backup) {
        let entry = &mut self.nodes[node];
        (entry.link_rows, entry.escrow_rows) = (backup.0, backup.1);
        entry.events.truncate(backup.2);
        self.restart(node);
    }

    /// The process of a node ends and another begins, with what is durable.
    pub fn restart(&mut self, node: usize) {
        let (links, lanes) = (self.link_rows(node), self.lanes(node));
        let Node { wallet, accounts, limits, .. } = &self.nodes[node];
        let me = Identity::new(wallet.clone(), network(), asset()).with_accounts(*accounts);
        self.nodes[node].links = load_as(me, limits, links, lanes);
        self.nodes[node].crashes += 1;
        self.queue.retain(|(of, _)| *of != node);
        self.waiting.retain(|(of, ..)| *of != node);
        let gone: Vec<u64> =
            self.circuits.iter().filter(|(_, c)| c.origin == node || c.end == node).map(|(circ, _)| *circ).collect();
        for circ in gone {
            self.drop_circuit(circ, Some(node));
        }
    }

    /// `secs` seconds pass, a ledger closes in each.
    pub fn run(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now_ms += 1000;
            let closed = self.ledger.close(self.now_ms / 1000);
            for applied in closed.transactions {
                let result = LedgerResult::Landed {
                    ledger: closed.header.ledger,
                    success: applied.outcome.is_success(),
                    fee: applied.outcome.fee.unsigned_abs(),
                    code: code(&applied.outcome.verdict),
                };
                self.applied.push((applied.frame.source(), applied.frame.bytes.clone()));
                self.landed.insert(applied.frame.hash(), result);
            }
            let waiting = std::mem::take(&mut self.waiting);
            for (node, tag, hash) in waiting {
                let lost = LedgerResult::Unknown { why: "timed out".into() };
                let result = self.landed.get(&hash).cloned().filter(|_| !self.blind).unwrap_or(lost);
                self.answer(node, tag, result);
            }
            for node in (0..self.nodes.len()).filter(|node| !self.asleep.contains(node)).collect::<Vec<_>>() {
                self.step(node, |links, now, rng, out| links.on_tick(now, rng, out));
            }
            self.drain();
        }
    }

    pub(super) fn answer(&mut self, node: usize, tag: u64, result: LedgerResult) {
        let unknown = self.chance(self.chaos.unknown);
        let result = if unknown { LedgerResult::Unknown { why: "chaos".into() } } else { result };
        self.step(node, |links, now, rng, out| {
            assert!(links.on_ledger(now, rng, LedgerAnswer { tag, result }, out), "the tag is the links' own")
        });
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }

    /// Delivers what is under way until nothing is.
    pub fn drain(&mut self) {
        for _ in 0..20_000 {
            let Some((node, effect)) = self.queue.pop_front() else { return };
            self.release(node, effect);
        }
        panic!("the nodes never stop talking");
    }

    /// As `drain`, with something done before each effect.
    pub fn drain_each(&mut self, mut before: impl FnMut(&mut World, usize, &Effect)) {
        while let Some((node, effect)) = self.queue.pop_front() {
            before(self, node, &effect);
            self.release(node, effect);
        }
    }

    /// As `drain`, with something done before each submission to the ledger.
    pub fn drain_with(&mut self, mut before: impl FnMut(&mut World)) {
        while let Some((node, effect)) = self.queue.pop_front() {
            if matches!(effect, Effect::Ledger(LedgerCall::Submit { .. })) {
                before(self);
            }
            self.release(node, effect);
        }
    }

    pub(super) fn release(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send { circ, hop, message } => {
                if self.chance(self.chaos.loss) {
                    return;
                }
                if self.chaos.reorder && self.chance(20) && !self.queue.is_empty() {
                    let place = self.rng.random_range(0..=self.queue.len());
                    return self.queue.insert(place, (node, Effect::Send { circ, hop, message }));
                }
                if self.chance(self.chaos.repeat) {
                    self.queue.push_back((node, Effect::Send { circ, hop, message: message.clone() }));
                }
                self.deliver(node, circ, hop, message);
            }
            Effect::Launch { token, relay, one_hop } => {
                self.launched += 1;
                let end = self.nodes.iter().position(|n| n.relay == Some(relay)).expect("a relay of this world");
                let opened = !self.down.contains(&end);
                let circ = self.next_circ;
                self.next_circ += 1;
                let hop = if one_hop { 1 } else { 3 };
                if opened {
                    self.circuits
                        .insert(circ, Circuit { origin: node, end, hop, one_hop, stranger: false, through: None });
                }
                let news = CircuitNews { circ, token: Some(token), hop, end: Partner::Relay(relay), opened };
                self.step(node, |links, now, rng, out| links.on_circuit(now, rng, news, out));
            }
            Effect::Close { circ } => self.drop_circuit(circ, None),
            Effect::Ledger(call) => self.call(node, call),
            other => panic!("links do not ask for {other:?}"),
        }
    }

    pub fn relay(&self, node: usize) -> RelayId {
        self.nodes[node].relay.expect("a relay")
    }
}

pub fn relay_id(number: usize) -> RelayId {
    [u8::try_from(number + 1).expect("a small world"); 20]
}

pub fn load(wallet: &Wallet, limits: &Limits, links: Vec<LinkRow>, lanes: Vec<EscrowRow>) -> Links {
    load_for(asset(), wallet, limits, links, lanes)
}

/// A node that was set up for this asset.
pub fn load_for(asset: Asset, wallet: &Wallet, limits: &Limits, links: Vec<LinkRow>, lanes: Vec<EscrowRow>) -> Links {
    load_as(Identity::new(wallet.clone(), network(), asset), limits, links, lanes)
}

fn load_as(me: Identity, limits: &Limits, links: Vec<LinkRow>, lanes: Vec<EscrowRow>) -> Links {
    Links::load(me, limits.clone(), links, lanes).expect("own rows")
}
