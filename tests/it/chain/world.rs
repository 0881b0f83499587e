//! A client, three relays and a site, each a whole [`Gateway`]; circuits with counters and a hold, all messages over
//! the real codec, and the embedded ledger. Nothing is lost or crashes unless a test says so.
use super::world_circuit::{Kind, Route};
use super::world_weather::{Leg, Weather};
use crate::links::world::{START, UNIT, World as Base, amount, asset, issuer, limits, load_for, network, relay_id};
use crate::links::world_ledger::code;
use magicwave::devnet::ledger::{Frame, Submission};
use magicwave::gateway::chain::pay::{Pay, Terms as PayTerms};
use magicwave::gateway::chain::serve::Serve;
use magicwave::gateway::chain::{HopRow, PaymentRow};
use magicwave::gateway::core::codec;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::{AccountKey, Id, Message, Offer, RefusalCode, ServiceKind};
use magicwave::gateway::core::offer::Terms;
use magicwave::gateway::core::policy::{Budget, Limits as BudgetLimits, Policy, PolicyRow, Rule};
use magicwave::gateway::link::{EscrowRow, Limits, LinkRow, Readiness, Role};
use magicwave::gateway::node::Gateway;
use magicwave::gateway::port::*;
use magicwave::stellar::asset::Asset;
use magicwave::units::{Price, Stroops};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Nodes by number; the relays come first, their identities are those of the links' world.
pub const N1: usize = 0;
pub const N2: usize = 1;
pub const N3: usize = 2;
pub const CLIENT: usize = 3;
pub const SITE: usize = 4;
const NODES: usize = 5;
/// Stroops per MiB of every relay and of the site.
pub const PRICE: Price = Price(1 << 20);
/// Of every relay.
pub const FEE: u64 = 16;
/// What a relay carries on credit, and what is paid ahead.
pub const WINDOW: u32 = 1 << 17;
/// Cells of a new stream: enough that its circuit is paid.
const FIRST: u64 = 140;
/// Bytes that the client is ready to pay ahead at one hop.
pub const MOST: u64 = 1 << 23;

/// How a test's world differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    pub seed: u64,
    /// Who understands payment cells on circuits that are built from now on.
    pub speaks: [bool; 3],
    /// Whose consensus names its neighbours already when a circuit is made.
    pub knows: [bool; 3],
    /// Bytes that the nodes want to be paid ahead.
    pub ahead: u32,
    pub day: u64,
    pub site: u64,
    pub max_price: Price,
    pub rules: Vec<Rule>,
    /// A node that asks for 64 times the price of the others.
    pub dear: Option<usize>,
    /// A node that was set up for another asset than the others, and whether its offers say so.
    pub odd: Option<(usize, bool)>,
    pub limits: Limits,
    pub locks: Locks,
}

impl Default for Setup {
    fn default() -> Self {
        // Flushes have their own tests; here a lane stays in one epoch unless a test flushes.
        let limits = Limits {
            deposit: amount(UNIT),
            flush_interval_secs: 40_000,
            flush_jitter_secs: 0,
            period_secs: 7 * 86_400,
            lock_secs: 5,
            ..limits()
        };
        Setup {
            seed: 1,
            speaks: [true; 3],
            knows: [true; 3],
            ahead: WINDOW,
            day: 100 * UNIT,
            site: 100 * UNIT,
            max_price: Price(1 << 24),
            rules: Vec::new(),
            dear: None,
            odd: None,
            limits,
            locks: Locks::Never,
        }
    }
}

/// What the odd node of a setup takes and pays.
pub fn other_asset() -> Asset {
    Asset::credit("MWX", issuer().public()).expect("asset")
}

pub struct Node {
    pub gateway: Gateway,
    pub links: BTreeMap<Id, String>,
    pub escrows: BTreeMap<AccountKey, String>,
    pub hops: Vec<HopRow>,
    pub payments: BTreeMap<Id, PaymentRow>,
    /// Payment requests as they stand.
    pub requests: BTreeMap<Id, RequestRow>,
    /// What the person set.
    pub policy: Option<PolicyRow>,
    /// (what, amount) of the journal.
    pub journal: Vec<(String, Stroops)>,
    /// Dies after so many more steps, before (true) or after its rows are durable.
    pub crash: Option<(usize, bool)>,
}

pub struct World {
    pub setup: Setup,
    pub base: Base,
    pub now: u64,
    pub rng: SmallRng,
    pub nodes: Vec<Node>,
    pub routes: BTreeMap<CircuitId, Route>,
    pub queue: VecDeque<(usize, Effect)>,
    waiting: Vec<(usize, u64, [u8; 32])>,
    landed: HashMap<[u8; 32], LedgerResult>,
    next: u64,
    /// Chain messages that went out: speaker, the relay or site concerned, message.
    pub log: Vec<(usize, usize, Message)>,
    /// What link partners said: speaker, hearer, message.
    pub talk: Vec<(usize, usize, Message)>,
    /// The n-th chain message from now is lost.
    pub lose: Option<usize>,
    /// Chain messages between the client and these nodes are lost.
    pub deaf: HashSet<(usize, u8)>,
    /// What befalls chain messages of one kind at one party.
    pub weather: Option<Weather>,
    /// Nodes that can build no circuits.
    pub away: HashSet<usize>,
    pub exchanges: HashMap<u64, Option<Id>>,
    pub answers: Vec<(usize, u64, Answer)>,
    /// Circuits that no new stream is to use.
    pub abandoned: Vec<CircuitId>,
}

impl World {
    pub fn new(setup: Setup) -> World {
        let base = Base::new(setup.seed, 3, 2, &setup.limits);
        let mut world = World {
            now: START * 1000,
            rng: SmallRng::seed_from_u64(setup.seed ^ 0x5eed),
            nodes: Vec::new(),
            routes: BTreeMap::new(),
            queue: VecDeque::new(),
            waiting: Vec::new(),
            landed: HashMap::new(),
            next: 1000,
            log: Vec::new(),
            talk: Vec::new(),
            lose: None,
            deaf: HashSet::new(),
            weather: None,
            away: HashSet::new(),
            exchanges: HashMap::new(),
            answers: Vec::new(),
            abandoned: Vec::new(),
            base,
            setup,
        };
        for number in 0..NODES {
            let gateway = world.load(number, &[], &[], vec![]);
            let node = Node {
                gateway,
                links: BTreeMap::new(),
                escrows: BTreeMap::new(),
                hops: Vec::new(),
                payments: BTreeMap::new(),
                requests: BTreeMap::new(),
                policy: None,
                journal: Vec::new(),
                crash: None,
            };
            world.nodes.push(node);
        }
        world
    }

    /// A world where the client's links, and those of the relays along the path, are open.
    pub fn open(setup: Setup) -> World {
        let mut world = World::new(setup);
        for (payer, payee) in [(CLIENT, N1), (N1, N2), (N2, N3)] {
            world.link(payer, payee);
        }
        world
    }

    /// As `open`, with the link from the exit to the site.
    pub fn open_with_site(setup: Setup) -> World {
        let mut world = World::open(setup);
        let exit = relay_id(N3);
        world.with(SITE, |g, now, rng, out| g.links.want_payer(now, rng, exit, out));
        for _ in 0..200 {
            // As if some client had paid the exit.
            world.with(N3, |g, now, _, _| g.links.money_came(now));
            world.run(1);
            let ready = world.rows::<LinkRow>(N3).iter().any(|l| l.role == Role::Payer && !l.dials);
            let open = world.lanes(N3).iter().any(|l| l.role == Role::Payer && l.state.name() == "open");
            if ready && open {
                return world;
            }
        }
        panic!("no link from the exit to the site: {:?}", world.nodes[N3].gateway.links.summary());
    }

    /// Opens the link from `payer` to the relay `payee`.
    pub fn link(&mut self, payer: usize, payee: usize) {
        let relay = relay_id(payee);
        self.with(payer, |g, now, rng, out| g.links.want_payee(now, rng, relay, out));
        for _ in 0..200 {
            self.run(1);
            if self.nodes[payer].gateway.links.can_pay(&relay) == Readiness::Ready {
                return;
            }
        }
        panic!("no link: {:?}", self.nodes[payer].gateway.links.summary());
    }

    pub fn terms(&self, node: usize) -> Terms {
        Terms {
            network: network().short(),
            payee: self.base.nodes[node].wallet.account(),
            asset: if self.setup.odd == Some((node, true)) { other_asset().id() } else { asset().id() },
            kind: if node == SITE { ServiceKind::Http } else { ServiceKind::Tor },
            price: if self.setup.dear == Some(node) { Price(64 * PRICE.0) } else { PRICE },
            fee: amount(if node == SITE { 0 } else { FEE }),
            credit_bytes: WINDOW,
            ahead_bytes: self.setup.ahead,
            lock_secs: u16::try_from(self.setup.limits.lock_secs).expect("short"),
            ttl_s: 3600,
        }
    }

    fn load(&mut self, node: usize, links: &[LinkRow], lanes: &[EscrowRow], hops: Vec<HopRow>) -> Gateway {
        let (wallet, limits) = (&self.base.nodes[node].wallet, &self.setup.limits);
        let asset = if self.setup.odd.is_some_and(|(odd, _)| odd == node) { other_asset() } else { asset() };
        let links = load_for(asset, wallet, limits, links.to_vec(), lanes.to_vec());
        let boot = self.rng.next_u64().to_be_bytes();
        let serve = (node != CLIENT).then(|| Serve::new(self.terms(node), boot, hops));
        let pay = (node == CLIENT).then(|| {
            let max_increment = PayTerms::increment_of(self.setup.limits.deposit);
            let network = network().short();
            let terms = PayTerms {
                asset: links.asset(),
                network,
                max_ahead_bytes: MOST,
                max_increment,
                locks: self.setup.locks,
            };
            let day = amount(self.setup.day);
            let limits = BudgetLimits {
                day,
                site: amount(self.setup.site),
                kinds: [day; 3],
                price_ceilings: [self.setup.max_price; 3],
                fee_ceiling: amount(1024),
            };
            let mut secret = [0; 32];
            self.rng.fill_bytes(&mut secret);
            let configured = Policy::new(limits.clone()).with_rules(self.setup.rules.clone()).expect("rules");
            let kept = self.nodes.get(node).and_then(|node| node.policy.clone());
            Pay::new(terms, secret, Budget::new(limits, Default::default())).with_policy(configured, kept)
        });
        Gateway::new(links, serve, pay)
    }

    pub fn rows<T: serde::de::DeserializeOwned>(&self, node: usize) -> Vec<T> {
        self.nodes[node].links.values().map(|row| serde_json::from_str(row).expect("own row")).collect()
    }

    pub fn lanes(&self, node: usize) -> Vec<EscrowRow> {
        self.nodes[node].escrows.values().map(|row| serde_json::from_str(row).expect("own row")).collect()
    }

    /// The process of a node ends and another begins with what is durable; its circuits are gone.
    pub fn restart(&mut self, node: usize) {
        let (links, lanes, hops) = (self.rows(node), self.lanes(node), self.nodes[node].hops.clone());
        self.nodes[node].gateway = self.load(node, &links, &lanes, hops);
        let Node { gateway, payments, .. } = &mut self.nodes[node];
        if let Some(pay) = &mut gateway.pay {
            pay.resume(payments.values());
        }
        self.queue.retain(|(of, _)| *of != node);
        self.waiting.retain(|(of, ..)| *of != node);
        let gone: Vec<CircuitId> =
            self.routes.iter().filter(|(_, r)| r.path.contains(&node) || r.origin == node).map(|(c, _)| *c).collect();
        for circ in gone {
            self.cut(circ, Some(node));
        }
    }

    /// As `restart`, and the answers to payments are forgotten; the books of this test are not.
    pub fn restart_without_answers(&mut self, node: usize) {
        let hops = std::mem::take(&mut self.nodes[node].hops);
        self.restart(node);
        self.nodes[node].hops = hops;
    }

    /// One event of a node.
    pub fn event(&mut self, node: usize, event: Event) {
        self.with(node, |g, now, rng, out| g.handle(now, rng, event, out));
    }

    /// One step of a node: its rows become durable, then its effects wait to be released.
    pub fn with(&mut self, node: usize, f: impl FnOnce(&mut Gateway, u64, &mut SmallRng, &mut Out)) {
        let mut out = Out::default();
        f(&mut self.nodes[node].gateway, self.now, &mut self.rng, &mut out);
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
            return self.restart(node);
        }
        self.queue.extend(out.effects.into_iter().map(|effect| (node, effect)));
    }

    fn commit(&mut self, node: usize, rows: Vec<Row>) {
        let node = &mut self.nodes[node];
        for row in rows {
            match row {
                Row::Link(row) if row.dropped => drop(node.links.remove(&row.id)),
                Row::Link(row) => drop(node.links.insert(row.id, serde_json::to_string(&row).expect("json"))),
                Row::Escrow(row) => drop(node.escrows.insert(row.escrow, serde_json::to_string(&row).expect("json"))),
                Row::Hop(row) => {
                    node.hops.retain(|known| known.hop_id != row.hop_id);
                    node.hops.push(*row);
                }
                Row::Payment(row) => drop(node.payments.insert(row.id, *row)),
                Row::Event(event) => node.journal.push((event.what, event.amount)),
                Row::Policy(row) => node.policy = Some(*row),
                Row::Request(row) => drop(node.requests.insert(row.id, *row)),
            }
        }
    }

    /// `secs` seconds pass, a ledger closes in each.
    pub fn run(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now += 1000;
            self.base.now_ms = self.now;
            let closed = self.base.ledger.close(self.now / 1000);
            for applied in closed.transactions {
                let result = LedgerResult::Landed {
                    ledger: closed.header.ledger,
                    success: applied.outcome.is_success(),
                    fee: applied.outcome.fee.unsigned_abs(),
                    code: code(&applied.outcome.verdict),
                };
                self.base.applied.push((applied.frame.source(), applied.frame.bytes.clone()));
                self.landed.insert(applied.frame.hash(), result);
            }
            for (node, tag, hash) in std::mem::take(&mut self.waiting) {
                let lost = LedgerResult::Unknown { why: "timed out".into() };
                let result = self.landed.get(&hash).cloned().unwrap_or(lost);
                self.event(node, Event::Ledger(LedgerAnswer { tag, result }));
            }
            self.late_arrivals();
            for node in 0..NODES {
                self.event(node, Event::Tick);
            }
            self.drain();
        }
    }

    /// Releases what waits until nothing does.
    pub fn drain(&mut self) {
        for _ in 0..20_000 {
            let Some((node, effect)) = self.queue.pop_front() else { return };
            self.release(node, effect);
        }
        panic!("the nodes never stop talking");
    }

    fn release(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send { circ, hop, message } => self.send(node, circ, hop, message),
            Effect::Http { exchange, message } => {
                let (message, session) = (over_the_wire(message), self.exchanges.get(&exchange).copied().flatten());
                self.log.push((node, SITE, message.clone()));
                if self.is_lost(SITE, &message) {
                    return self.event(node, Event::Http { exchange, messages: vec![] });
                }
                self.convey(SITE, Leg::Ask { exchange, session }, vec![message]);
            }
            Effect::Answer { call, answer: Answer::Messages(messages) } if node == SITE => {
                let messages: Vec<Message> = messages.into_iter().map(over_the_wire).collect();
                self.log.extend(messages.iter().map(|m| (SITE, SITE, m.clone())));
                let lost = messages.iter().any(|m| self.is_lost(SITE, m));
                if lost {
                    return self.event(CLIENT, Event::Http { exchange: call, messages: vec![] });
                }
                self.convey(SITE, Leg::Reply { exchange: call }, messages);
            }
            Effect::Answer { call, answer } => self.answers.push((node, call, answer)),
            Effect::Grant { circ, cells } => self.grant(node, circ, cells),
            Effect::Watch { circ, hop, cells } => self.watch(node, circ, hop, cells),
            Effect::Query { circ } => self.query(node, circ),
            Effect::Launch { token, relay, one_hop } => self.launch(node, token, relay, one_hop),
            Effect::Close { circ } => self.cut(circ, None),
            Effect::Abandon { circ } => self.abandoned.push(circ),
            Effect::Ledger(call) => self.call(node, call),
        }
    }

    fn call(&mut self, node: usize, call: LedgerCall) {
        let (tag, result) = match call {
            LedgerCall::Submit { tag, envelope, hash } => {
                let frame = Frame::from_bytes(&envelope, &network().0).expect("an envelope");
                match self.base.ledger.submit(frame, 0) {
                    Submission::Pending | Submission::Duplicate => return self.waiting.push((node, tag, hash)),
                    Submission::TryAgainLater => (tag, LedgerResult::Unknown { why: "try again later".into() }),
                    Submission::Refused(outcome) => (tag, LedgerResult::Rejected { code: code(&outcome.verdict) }),
                }
            }
            LedgerCall::Account { tag, account } => {
                let view = self.base.view(&account);
                (tag, view.map_or(LedgerResult::NotFound, |v| LedgerResult::Account(v.into())))
            }
            LedgerCall::Transaction { tag, hash } => {
                (tag, self.landed.get(&hash).cloned().unwrap_or(LedgerResult::NotFound))
            }
            LedgerCall::History { tag, account, .. } => (tag, self.base.history(&account)),
        };
        self.event(node, Event::Ledger(LedgerAnswer { tag, result }));
    }

    /// Is this chain message the one that gets lost?
    pub fn is_lost(&mut self, far: usize, message: &Message) -> bool {
        if message.kind() >= 32 {
            return false;
        }
        let unlucky = self.lose == Some(0);
        self.lose = self.lose.and_then(|left| left.checked_sub(1));
        unlucky || self.deaf.contains(&(far, message.kind()))
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Asks the site for a response of `need` bytes: none when it serves, else the call of the payment that begins.
    pub fn buy(&mut self, circ: CircuitId, session: &mut Option<Id>, need: u64) -> Option<u64> {
        let call = self.fresh();
        self.event(SITE, Event::Site { call, ask: SiteAsk::Require { session: *session, need } });
        self.drain();
        let Some(at) = self.answers.iter().position(|(node, of, _)| (*node, *of) == (SITE, call)) else {
            return Some(call); // the site died over it
        };
        match self.answers.remove(at).2 {
            Answer::Serve { session: served, .. } => {
                *session = Some(served);
                self.event(SITE, Event::Served { session: served, bytes: need });
                None
            }
            Answer::Pay { offer, request } => {
                *session = Some(offer.session);
                Some(self.pay(circ, *offer, *request))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Buys until the site asks for money: the call of the payment that begins.
    pub fn until_asked(&mut self, circ: CircuitId, session: &mut Option<Id>, need: u64) -> u64 {
        loop {
            if let Some(call) = self.buy(circ, session, need) {
                return call;
            }
        }
    }

    /// The person's program pays what a service asked for.
    pub fn pay(
        &mut self,
        circ: CircuitId,
        offer: Offer,
        request: magicwave::gateway::core::message::PaymentRequest,
    ) -> u64 {
        let call = self.fresh();
        self.exchanges.insert(call, Some(offer.session));
        let site = "site.example".to_owned();
        self.event(CLIENT, Event::Pay { call, circ, exchange: call, offer, request, site });
        self.drain();
        call
    }

    pub fn answer(&self, call: u64) -> Option<&Answer> {
        self.answers.iter().find(|(_, of, _)| *of == call).map(|(_, _, answer)| answer)
    }

    pub fn refused(&self, by_us: bool) -> Vec<RefusalCode> {
        let status = self.nodes[CLIENT].gateway.status();
        status.refused.iter().filter(|r| r.by_us == by_us).map(|r| RefusalCode(r.code)).collect()
    }

    /// Sum of what the journal of a node says.
    pub fn journal(&self, node: usize, what: &str) -> u64 {
        self.nodes[node].journal.iter().filter(|(w, _)| w == what).map(|(_, a)| a.get()).sum()
    }

    /// (accepted, signed) of a node over its lanes.
    pub fn books(&self, node: usize) -> (u64, u64) {
        let total = |role| self.lanes(node).iter().filter(|l| l.role == role).map(|l| l.total.get()).sum();
        (total(Role::Payee), total(Role::Payer))
    }

    /// At any moment, for every node that is paid: valid claims in hand >= what was accepted = signed out + credited,
    /// by the lanes, by the rows of payments and by the journal.
    pub fn check(&self) {
        for node in [N1, N2, N3, SITE] {
            let lanes = self.lanes(node);
            let held: u64 = lanes.iter().filter(|l| l.role == Role::Payee).map(in_hand).sum();
            let (accepted, signed) = self.books(node);
            assert!(
                held >= accepted,
                "node {node} credits {accepted} and holds claims for {held}: {lanes:#?} {:?}",
                self.nodes[node].journal
            );
            assert!(accepted >= signed, "node {node} signed {signed} and accepted {accepted}");
            for lane in lanes.iter().filter(|l| l.role == Role::Payee) {
                let held = in_hand(lane);
                assert!(lane.forwarded.get() <= held, "node {node} signs onwards against a promise: {lane:?}");
            }
            assert_eq!(self.journal(node, "claim_accepted"), accepted);
            assert_eq!(self.journal(node, "claim_signed"), signed);
            let hops = self.nodes[node].hops.iter().filter(|h| !h.locked);
            let (incoming, onwards) = hops.fold((0, 0), |(i, o), h| (i + h.amount_in.get(), o + h.amount_out.get()));
            if self.nodes[node].hops.iter().all(|h| !h.locked) {
                assert_eq!((incoming, onwards), (accepted, signed), "rows of payments at {node}");
            }
            assert!(incoming <= accepted && onwards <= signed, "rows of payments at {node}");
        }
    }

    /// What the client's rows say it signed.
    pub fn spent(&self) -> u64 {
        self.books(CLIENT).1
    }

    pub fn stream(&mut self) -> CircuitId {
        self.leg(None)
    }

    /// A circuit that is a leg of a conflux set, or of none.
    pub fn leg(&mut self, set: Option<u64>) -> CircuitId {
        let circ = self.build(CLIENT, &[N1, N2, N3], Kind::Streams);
        self.begin(circ, set);
        circ
    }

    /// A leg of a set whose stream began on another one.
    pub fn idle_leg(&mut self, set: u64) -> CircuitId {
        let circ = self.build(CLIENT, &[N1, N2, N3], Kind::Streams);
        self.event(CLIENT, Event::Begin { circ, set: Some(set), idle: true });
        self.drain();
        circ
    }

    /// A stream begins and carries its first cells.
    pub fn begin(&mut self, circ: CircuitId, set: Option<u64>) {
        self.event(CLIENT, Event::Begin { circ, set, idle: false });
        self.drain();
        self.flow(circ, FIRST);
    }
}

/// What a message is after it went over the wire.
pub fn over_the_wire(message: Message) -> Message {
    let bytes = codec::encode(&message);
    let decoded = codec::decode(&bytes).expect("our own messages decode");
    assert_eq!(decoded, message);
    decoded
}

/// What a payee holds claims for on a lane, and has got.
fn in_hand(lane: &EscrowRow) -> u64 {
    let revealed = lane.lock.as_ref().filter(|lock| lock.secret.is_some());
    let held = revealed.map_or(lane.held.cumulative, |lock| lane.held.cumulative.max(lock.cumulative));
    let frozen = lane.frozen.as_ref().map_or(0, |f| {
        let locked = f.flush.as_ref().filter(|flush| flush.max_time != 0);
        locked.map_or(f.held.cumulative, |flush| flush.claim.cumulative).get()
    });
    lane.settled().get() + frozen + held.get()
}
