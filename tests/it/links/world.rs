//! Nodes with links, circuits between them that lose, repeat and reorder on demand, and a real (embedded) ledger.
//!
//! A node's durable state goes through JSON, as it does in the store. A crash loses the effects of a step, or the
//! whole step, and all circuits.
use magicwave::devnet::ledger::{Frame, Genesis, Ledger, Submission, TxError, Verdict, xdr};
use magicwave::gateway::core::message::{AccountKey, Carried, Id, Message, RefusalCode};
use magicwave::gateway::link::{
    CircuitNews, EscrowRow, Identity, Limits, LinkRefInfo, LinkRow, Links, Partner, PayeeRef, PayerRef, Role,
};
use magicwave::gateway::port::{
    AccountView, CircuitId, Effect, LedgerAnswer, LedgerCall, LedgerResult, MoneyEvent, Out, RelayId, Row,
    TrustlineView,
};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, Source};
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
    pub limits: Limits,
    link_rows: BTreeMap<Id, String>,
    escrow_rows: BTreeMap<AccountKey, String>,
    pub events: Vec<MoneyEvent>,
    /// Crash at this many steps from now, before its rows are durable or after.
    pub crash: Option<(u32, bool)>,
    pub crashes: u32,
}

struct Circuit {
    origin: usize,
    end: usize,
    hop: u32,
    one_hop: bool,
}

pub struct World {
    pub ledger: Ledger,
    pub now_ms: u64,
    pub rng: SmallRng,
    pub nodes: Vec<Node>,
    pub chaos: Chaos,
    circuits: BTreeMap<CircuitId, Circuit>,
    queue: VecDeque<(usize, Effect)>,
    waiting: Vec<(usize, u64, [u8; 32])>,
    landed: HashMap<[u8; 32], LedgerResult>,
    next_circ: u64,
    /// Relays that nobody reaches.
    pub down: Vec<usize>,
    /// Messages that were delivered, for a look by a test.
    pub log: Vec<(usize, Message)>,
}

pub fn asset() -> Asset {
    Asset::credit("MWT", issuer().public()).expect("asset")
}

fn issuer() -> SecretSeed {
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
            log: Vec::new(),
        };
        world.transact(&SecretSeed::from_bytes(&network().0), |source| {
            template::create_account(source, &issuer().public(), amount(100 * UNIT)).expect("create")
        });
        for number in 0..relays + others {
            let wallet = Wallet::new(SecretSeed::from_bytes(&[number as u8 + 1; 32]));
            let relay = (number < relays).then(|| relay_id(number));
            let links = load(&wallet, limits, vec![], vec![]);
            world.nodes.push(Node {
                links,
                relay,
                wallet,
                limits: limits.clone(),
                link_rows: BTreeMap::new(),
                escrow_rows: BTreeMap::new(),
                events: Vec::new(),
                crash: None,
                crashes: 0,
            });
            world.create(number, 1000 * UNIT);
            world.fund(number, 1000 * UNIT);
        }
        world
    }

    pub fn create(&mut self, node: usize, native: u64) {
        let key = self.nodes[node].wallet.account_key();
        self.transact(&SecretSeed::from_bytes(&network().0), |source| {
            template::create_account(source, &key.public(), amount(native)).expect("create")
        });
        self.transact(&key, |source| template::change_trust(source, &asset(), Stroops::MAX).expect("trust"));
    }

    pub fn fund(&mut self, node: usize, stroops: u64) {
        let to = self.nodes[node].wallet.account();
        self.transact(&issuer(), |source| template::payment(source, &to, &asset(), amount(stroops)).expect("payment"));
    }

    /// Applies a transaction at once.
    pub fn transact(&mut self, key: &SecretSeed, build: impl FnOnce(&Source) -> template::Unsigned) {
        let sequence = self.ledger.state().accounts.get(&key.public()).expect("account").seq;
        let source = Source { network: network(), account: key.public(), sequence, fee_per_op: 100, max_time: 0 };
        let signed = build(&source).sign(&[key]).expect("signed");
        let frame = Frame::from_bytes(&signed.to_xdr().expect("xdr"), &network().0).expect("frame");
        assert_eq!(self.ledger.submit(frame, 0), Submission::Pending);
        let closed = self.ledger.close(self.now_ms / 1000);
        assert!(closed.transactions.iter().all(|t| t.outcome.is_success()), "{closed:?}");
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

    fn commit(&mut self, node: usize, rows: Vec<Row>) {
        let node = &mut self.nodes[node];
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

    /// The process of a node ends and another begins, with what is durable.
    pub fn restart(&mut self, node: usize) {
        let (links, lanes) = (self.link_rows(node), self.lanes(node));
        self.nodes[node].links = load(&self.nodes[node].wallet, &self.nodes[node].limits, links, lanes);
        self.nodes[node].crashes += 1;
        self.queue.retain(|(of, _)| *of != node);
        self.waiting.retain(|(of, ..)| *of != node);
        let gone: Vec<u64> =
            self.circuits.iter().filter(|(_, c)| c.origin == node || c.end == node).map(|(circ, _)| *circ).collect();
        for circ in gone {
            self.drop_circuit(circ, Some(node));
        }
    }

    pub fn drop_circuits(&mut self) {
        let all: Vec<u64> = self.circuits.keys().copied().collect();
        all.into_iter().for_each(|circ| self.drop_circuit(circ, None));
    }

    fn drop_circuit(&mut self, circ: CircuitId, but: Option<usize>) {
        let Some(circuit) = self.circuits.remove(&circ) else { return };
        for node in [circuit.origin, circuit.end] {
            if Some(node) != but {
                self.step(node, |links, now, _, out| links.on_closed(now, circ, out));
            }
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
                self.landed.insert(applied.frame.hash(), result);
            }
            let waiting = std::mem::take(&mut self.waiting);
            for (node, tag, hash) in waiting {
                let lost = LedgerResult::Unknown { why: "timed out".into() };
                let result = self.landed.get(&hash).cloned().unwrap_or(lost);
                self.answer(node, tag, result);
            }
            for node in 0..self.nodes.len() {
                self.step(node, |links, now, rng, out| links.on_tick(now, rng, out));
            }
            self.drain();
        }
    }

    fn answer(&mut self, node: usize, tag: u64, result: LedgerResult) {
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

    fn release(&mut self, node: usize, effect: Effect) {
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
                let end = self.nodes.iter().position(|n| n.relay == Some(relay)).expect("a relay of this world");
                let opened = !self.down.contains(&end);
                let circ = self.next_circ;
                self.next_circ += 1;
                let hop = if one_hop { 1 } else { 3 };
                if opened {
                    self.circuits.insert(circ, Circuit { origin: node, end, hop, one_hop });
                }
                let news = CircuitNews { circ, token: Some(token), hop, end: Partner::Relay(relay), opened };
                self.step(node, |links, now, rng, out| links.on_circuit(now, rng, news, out));
            }
            Effect::Close { circ } => self.drop_circuit(circ, None),
            Effect::Ledger(call) => self.call(node, call),
            other => panic!("links do not ask for {other:?}"),
        }
    }

    fn deliver(&mut self, from: usize, circ: CircuitId, hop: u32, message: Message) {
        let Some(circuit) = self.circuits.get(&circ) else { return };
        let to_end = circuit.origin == from;
        assert_eq!(hop, if to_end { circuit.hop } else { 0 }, "a message to the wrong hop");
        let (to, partner) = if to_end {
            let known = self.nodes[circuit.origin].relay.filter(|_| circuit.one_hop);
            (circuit.end, known.map_or(Partner::Anonymous, Partner::Relay))
        } else {
            (circuit.origin, Partner::Relay(self.nodes[circuit.end].relay.expect("a relay")))
        };
        self.log.push((to, message.clone()));
        self.step(to, |links, now, rng, out| links.on_message(now, rng, circ, partner, message, out));
    }

    /// A circuit of a stranger to `end`.
    pub fn stranger(&mut self, origin: usize, end: usize, one_hop: bool) -> CircuitId {
        let circ = self.next_circ;
        self.next_circ += 1;
        self.circuits.insert(circ, Circuit { origin, end, hop: if one_hop { 1 } else { 3 }, one_hop });
        circ
    }

    fn call(&mut self, node: usize, call: LedgerCall) {
        match call {
            LedgerCall::Submit { tag, envelope, hash } => {
                let frame = Frame::from_bytes(&envelope, &network().0).expect("an envelope");
                assert_eq!(frame.hash(), hash);
                match self.ledger.submit(frame, 0) {
                    Submission::Pending | Submission::Duplicate => self.waiting.push((node, tag, hash)),
                    Submission::TryAgainLater => {
                        self.answer(node, tag, LedgerResult::Unknown { why: "try again later".into() })
                    }
                    Submission::Refused(outcome) => {
                        let code = code(&outcome.verdict);
                        self.answer(node, tag, LedgerResult::Rejected { code })
                    }
                }
            }
            LedgerCall::Account { tag, account } => {
                let result = self.view(&account).map_or(LedgerResult::NotFound, |v| LedgerResult::Account(v.into()));
                self.answer(node, tag, result);
            }
            LedgerCall::Transaction { tag, hash } => {
                let result = self.landed.get(&hash).cloned().unwrap_or(LedgerResult::NotFound);
                self.answer(node, tag, result);
            }
        }
    }

    pub fn view(&self, account: &AccountKey) -> Option<AccountView> {
        let state = self.ledger.state();
        let found = state.accounts.get(account)?;
        let mut signers: Vec<(String, u8)> =
            found.signers.iter().map(|s| (s.key.to_string(), u8::try_from(s.weight).expect("weight"))).collect();
        signers.push((account_id(account), found.thresholds[0]));
        let line = |line: &magicwave::devnet::ledger::entry::TrustLine| {
            let xdr::Asset::CreditAlphanum4(a) = &line.asset else { panic!("the test asset has a short code") };
            TrustlineView {
                code: String::from_utf8_lossy(&a.asset_code.0).trim_end_matches('\0').to_owned(),
                issuer: magicwave::devnet::ledger::entry::id_of(&a.issuer),
                balance: line.balance,
                limit: line.limit,
                authorized: line.flags & 1 != 0,
                clawback: line.flags & 4 != 0,
            }
        };
        Some(AccountView {
            account: *account,
            sequence: found.seq,
            sequence_ledger: found.seq_ledger,
            sequence_time: found.seq_time,
            native: found.balance,
            subentries: found.subentries,
            sponsoring: found.sponsoring,
            sponsored: found.sponsored,
            thresholds: [found.thresholds[1], found.thresholds[2], found.thresholds[3]],
            signers,
            trustlines: state.trust_of(account).map(line).collect(),
            data_entries: u32::try_from(state.data_of(account).count()).expect("few"),
            latest_ledger: self.ledger.header().ledger,
            ..AccountView::default()
        })
    }

    /// Stroops of the asset that an account holds.
    pub fn balance(&self, account: &AccountKey) -> u64 {
        self.view(account).and_then(|v| v.trustlines.first().map(|l| l.balance.unsigned_abs())).unwrap_or(0)
    }

    pub fn node_balance(&self, node: usize) -> u64 {
        self.balance(&self.nodes[node].wallet.account())
    }

    pub fn relay(&self, node: usize) -> RelayId {
        self.nodes[node].relay.expect("a relay")
    }

    /// A fresh payment id.
    pub fn hop(&mut self) -> Id {
        let mut id = Id::default();
        self.rng.fill_bytes(&mut id);
        id
    }

    /// Opens a link from `payer` to the relay `payee` and waits until it can pay.
    pub fn open(&mut self, payer: usize, payee: usize) {
        let relay = self.relay(payee);
        self.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        for _ in 0..200 {
            self.run(1);
            if self.nodes[payer].links.can_pay(&relay) == magicwave::gateway::link::Readiness::Ready {
                return;
            }
        }
        panic!("no link: {:?}", self.nodes[payer].links.summary());
    }

    pub fn payer_ref(&self, payer: usize, payee: usize) -> PayerRef {
        match self.nodes[payer].relay {
            Some(relay) => PayerRef::Relay(relay),
            None => PayerRef::Tag(
                self.nodes[payer]
                    .links
                    .summary()
                    .iter()
                    .find(|s| s.role == Role::Payer && s.partner == Partner::Relay(self.relay(payee)))
                    .and_then(|s| self.link_rows(payer).into_iter().find(|row| row.id == s.link))
                    .expect("a link")
                    .tag,
            ),
        }
    }

    /// The payer's half of a payment.
    pub fn signed(&mut self, payer: usize, payee: usize, hop: Id, stroops: u64) -> Result<Carried, RefusalCode> {
        let (from, relay) = (self.payer_ref(payer, payee), self.relay(payee));
        let dead = Err(RefusalCode::INTERNAL);
        let template = self
            .step(payee, |links, _, rng, _| links.template(rng, from, hop, amount(stroops)))
            .unwrap_or(dead.clone())?;
        let signed = self.step(payer, |links, now, rng, out| {
            links.sign(now, rng, hop, PayeeRef::Relay(relay), amount(stroops), &template, out)
        });
        signed.unwrap_or(dead)
    }

    /// The payee's half.
    pub fn accepted(
        &mut self,
        payee: usize,
        hop: Id,
        stroops: u64,
        claim: &Carried,
    ) -> Result<LinkRefInfo, RefusalCode> {
        self.step(payee, |links, now, _, out| links.accept(now, hop, amount(stroops), claim, out))
            .unwrap_or(Err(RefusalCode::INTERNAL))
    }

    /// A payment as a client would make it, tried once.
    pub fn pay(&mut self, payer: usize, payee: usize, stroops: u64) -> Result<LinkRefInfo, RefusalCode> {
        let hop = self.hop();
        let claim = self.signed(payer, payee, hop, stroops)?;
        self.accepted(payee, hop, stroops, &claim)
    }

    /// Holds at any moment, whatever happened: nothing is lost, nothing is paid twice.
    pub fn check(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            for lane in self.lanes(number).into_iter().filter(|l| l.state.is_usable() || l.state.name() == "spent") {
                let frozen = lane.frozen.as_ref().map_or(0, |f| f.held.cumulative.get());
                let held = lane.landed.get() + frozen + lane.held.cumulative.get();
                let gone = lane.deposit.get() - self.balance(&lane.escrow).min(lane.deposit.get());
                match lane.role {
                    Role::Payer => {
                        assert!(lane.total <= lane.deposit, "signed more than is there: {lane:?}");
                        assert!(gone <= lane.total.get(), "more left the escrow than was signed: {lane:?}");
                        assert_eq!(held, lane.total.get(), "the books of the payer: {lane:?}");
                    }
                    Role::Payee => {
                        assert!(lane.landed.get() <= gone, "landed what did not leave: {lane:?}");
                        let payer = self.lanes_by(&lane.escrow, Role::Payer).expect("the payer's lane");
                        assert!(held <= payer.total.get(), "holds more than was signed: {lane:?} {payer:?}");
                        assert!(lane.total <= payer.total, "credited more than was signed: {lane:?} {payer:?}");
                    }
                }
            }
            let sum =
                |what: &str| -> u64 { node.events.iter().filter(|e| e.what == what).map(|e| e.amount.get()).sum() };
            let total =
                |role| -> u64 { self.lanes(number).iter().filter(|l| l.role == role).map(|l| l.total.get()).sum() };
            assert_eq!(sum("claim_signed") + sum("claim_adopted"), total(Role::Payer), "journal and lanes differ");
            assert_eq!(sum("claim_accepted"), total(Role::Payee), "journal and lanes differ");
        }
    }

    pub fn lanes_by(&self, escrow: &AccountKey, role: Role) -> Option<EscrowRow> {
        (0..self.nodes.len()).flat_map(|n| self.lanes(n)).find(|l| l.escrow == *escrow && l.role == role)
    }
}

pub fn relay_id(number: usize) -> RelayId {
    [number as u8 + 1; 20]
}

pub fn load(wallet: &Wallet, limits: &Limits, links: Vec<LinkRow>, lanes: Vec<EscrowRow>) -> Links {
    let me = Identity::new(wallet.clone(), network(), asset());
    Links::load(me, limits.clone(), links, lanes).expect("own rows")
}

fn code(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Success(_) => "tx_success".into(),
        Verdict::Failed(_) => "tx_failed".into(),
        Verdict::Error(TxError::BadSeq) => "tx_bad_seq".into(),
        Verdict::Error(TxError::InsufficientFee) => "tx_insufficient_fee".into(),
        Verdict::Error(TxError::InsufficientBalance) => "tx_insufficient_balance".into(),
        Verdict::Error(other) => format!("tx_{other:?}"),
    }
}
