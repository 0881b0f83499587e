//! One link from its first hello to the merge of its escrow, over the Horizon adapter and the embedded ledger's server.
use crate::stellar_escrow::{PASSPHRASE, World, units, wallet};
use magicwave::gateway::link::{
    CircuitNews, Identity, LaneSummary, Limits, Links, Partner, PayeeRef, PayerRef, Readiness,
};
use magicwave::gateway::port::{Effect, Out, Row};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::horizon::Submission;
use magicwave::stellar::network::NetworkId;
use magicwave::units::Stroops;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const RELAY: [u8; 20] = [7; 20];
/// The one circuit.
const CIRC: u64 = 5;

/// A client that pays its guard: their links, a perfect circuit, and the ledger behind its port.
struct Pair {
    world: World,
    /// Payer, payee.
    links: [Links; 2],
    rng: SmallRng,
    /// Journal: who, what, amount, fee.
    journal: Vec<(usize, String, u64, u64)>,
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    u64::try_from(now).expect("in range")
}

impl Pair {
    fn new(world: World, asset: Asset) -> Pair {
        let limits = Limits {
            deposit: units(500),
            min_deposit: units(1),
            liquidity_total: units(600),
            denomination: Stroops::new(1).expect("one"),
            period_secs: 12,
            flush_interval_secs: 1,
            flush_jitter_secs: 0,
            retry_min_ms: 200,
            retry_max_ms: 1_000,
            ..Limits::default()
        };
        let load = |byte| {
            let me = Identity::new(wallet(byte), NetworkId::of(PASSPHRASE), asset);
            Links::load(me, limits.clone(), vec![], vec![]).expect("nothing to load")
        };
        Pair { world, links: [load(1), load(2)], rng: SmallRng::seed_from_u64(1), journal: Vec::new() }
    }

    /// A step of one of the two, and all that follows from it.
    async fn step<T>(&mut self, node: usize, f: impl FnOnce(&mut Links, u64, &mut SmallRng, &mut Out) -> T) -> T {
        let mut out = Out::default();
        let result = f(&mut self.links[node], now_ms(), &mut self.rng, &mut out);
        let mut queue = vec![(node, out)];
        while let Some((node, out)) = queue.pop() {
            for row in out.rows {
                if let Row::Event(event) = row {
                    self.journal.push((node, event.what, event.amount.get(), event.fee));
                }
            }
            for effect in out.effects {
                let mut next = Out::default();
                let to = self.release(node, effect, &mut next).await;
                queue.insert(0, (to, next));
            }
        }
        result
    }

    /// What an effect leads to, and at whom.
    async fn release(&mut self, node: usize, effect: Effect, out: &mut Out) -> usize {
        let (now, rng) = (now_ms(), &mut self.rng);
        match effect {
            Effect::Ledger(call) => {
                let answer = self.world.ledger.call(call).await;
                assert!(self.links[node].on_ledger(now_ms(), rng, answer, out));
                node
            }
            Effect::Send { circ, message, .. } => {
                let from = if node == 0 { Partner::Anonymous } else { Partner::Relay(RELAY) };
                self.links[1 - node].on_message(now, rng, circ, from, message, out);
                1 - node
            }
            Effect::Launch { token, .. } => {
                let end = Partner::Relay(RELAY);
                let news = CircuitNews { circ: CIRC, token: Some(token), hop: 1, end, opened: true };
                self.links[node].on_circuit(now, rng, news, out);
                node
            }
            Effect::Close { circ } => {
                self.links[1 - node].on_closed(now, circ, out);
                1 - node
            }
            other => panic!("links do not ask for {other:?}"),
        }
    }

    /// Ticks until the condition holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Pair) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < end, "never {what}: {:#?}", self.journal);
            for node in [0, 1] {
                self.step(node, |links, now, rng, out| links.on_tick(now, rng, out)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn lane(&self, node: usize) -> Option<LaneSummary> {
        self.links[node].summary().first().and_then(|l| l.lanes.first().cloned())
    }

    fn noted(&self, node: usize, what: &str) -> Vec<(u64, u64)> {
        self.journal
            .iter()
            .filter(|(who, name, ..)| (*who, name.as_str()) == (node, what))
            .map(|e| (e.2, e.3))
            .collect()
    }
}

#[tokio::test]
async fn a_link_lives_from_its_first_hello_to_the_merge_of_its_escrow_over_horizon() {
    let world = World::start(Submission::Waiting).await;
    let (payer, payee) = (wallet(1), wallet(2));
    let asset = world.issue("MWT", &payer, &payee).await;
    let before = world.view(&payer.account()).await;
    let mut pair = Pair::new(world, asset);
    pair.step(0, |links, now, rng, out| links.want_payee(now, rng, RELAY, out)).await;
    pair.until("open", |p| p.links[0].can_pay(&RELAY) == Readiness::Ready).await;

    let (hop, amount) = ([9; 16], units(13));
    let tag = pair.links[0].tag_of(&RELAY).expect("a link");
    let template = pair.step(1, |links, _, rng, _| links.template(rng, PayerRef::Tag(tag), hop, amount)).await;
    let template = template.expect("a template");
    let claim = pair
        .step(0, |links, now, rng, out| links.sign(now, rng, hop, PayeeRef::Relay(RELAY), amount, &template, out))
        .await;
    pair.step(1, |links, now, _, out| links.accept(now, hop, amount, &claim.expect("signed"), out))
        .await
        .expect("accepted");

    let coming = pair.step(0, |links, now, _, out| links.close(now, None, out)).await;
    assert_eq!((coming.len(), coming[0].amount), (1, units(500 - 13)));
    pair.until("landed", |p| p.lane(1).is_some_and(|l| l.landed == units(13))).await;
    let (escrow, landed) = (coming[0].escrow, now_ms());
    pair.until("back", |p| !p.noted(0, "escrow_reclaimed").is_empty()).await;
    assert!(now_ms() < landed + 12_000, "both closed it: nobody waited for its period");

    assert_eq!(pair.noted(0, "escrow_refunded"), [(0, 300)]);
    assert_eq!(pair.noted(0, "escrow_reclaimed"), [(units(500 - 13).get(), 300)]);
    assert!(pair.links[0].summary().is_empty() || pair.lane(0).is_none());
    assert!(pair.world.ledger.account(&escrow).await.expect("read").is_none(), "merged");
    let after = pair.world.view(&payer.account()).await;
    assert_eq!(after.trustlines[0].balance, units(1000 - 13).as_i64());
    assert_eq!((after.sponsoring, before.native - after.native), (0, 400 + 700 + 300 + 300));
    pair.until("over for the payee", |p| p.lane(1).is_none()).await;
    assert!(pair.noted(1, "claim_lost").is_empty());
}
