//! Cells of a hostile peer, from tor's event to the gateway's answer: no panic, a bounded answer, nothing of worth.
use super::wire_make::make::{Bytes, KINDS};
use magicwave::gateway::chain::pay::{Pay, Terms as PayTerms};
use magicwave::gateway::chain::serve::Serve;
use magicwave::gateway::core::codec;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::Terms;
use magicwave::gateway::core::policy::{Budget, Limits as BudgetLimits, Spent};
use magicwave::gateway::link::{EscrowRow, Identity, Limits, Links};
use magicwave::gateway::node::Gateway;
use magicwave::gateway::port::*;
use magicwave::gateway::transport::tor_cell::Cells;
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::tor::cell::{BODY_MAX, fragment};
use magicwave::tor::event::{Counters, Hop as TorHop, Role, Service, TorEvent};
use magicwave::units::{Price, Stroops};
use magicwave::wallet::Wallet;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const START: u64 = 1_700_000_000_000;
/// Circuits of the node under attack: a client's own, a link partner's talk, and two through a relay.
const STREAMS: u64 = 1;
const TALK: u64 = 2;
const FROM_CLIENT: u64 = 3;
const FROM_RELAY: u64 = 4;
/// One event of a hostile peer causes at most so many effects: a refusal, or an offer with its request and a watch.
const MOST_EFFECTS: usize = 8;

fn stroops(n: u64) -> Stroops {
    Stroops::new(n).expect("in range")
}

fn asset() -> Asset {
    Asset::credit("MWT", SecretSeed::from_bytes(&[200; 32]).public()).expect("asset")
}

/// A node in both roles, with all kinds of circuits, and what was let out of it.
struct Node {
    gateway: Gateway,
    cells: Cells,
    rng: SmallRng,
    now: u64,
    number: u32,
    /// What it was told.
    said: Vec<Message>,
}

impl Node {
    fn new(seed: u64) -> Node {
        let wallet = Wallet::new(SecretSeed::from_bytes(&[9; 32]));
        let network = NetworkId::of("a network of tests");
        let me = Identity::new(wallet.clone(), network, asset());
        let links = Links::load(me, Limits::default(), vec![], vec![]).expect("empty");
        let terms = Terms {
            network: network.short(),
            payee: wallet.account(),
            asset: asset().id(),
            kind: ServiceKind::Tor,
            price: Price(1024),
            fee: stroops(8),
            credit_bytes: 127 * 514,
            ahead_bytes: 2 << 20,
            lock_secs: 5,
            ttl_s: 3600,
        };
        let day = stroops(1_000_000_000);
        let limits = BudgetLimits {
            day,
            site: day,
            kinds: [day; 3],
            price_ceilings: [Price(4096); 3],
            fee_ceiling: stroops(32),
        };
        let max_increment = PayTerms::increment_of(stroops(100_000_000));
        let pays = PayTerms {
            asset: asset().id(),
            network: network.short(),
            max_ahead_bytes: 32 << 20,
            max_increment,
            locks: Locks::Never,
        };
        let pay = Pay::new(pays, [7; 32], Budget::new(limits, Spent::default()));
        let gateway = Gateway::new(links, Some(Serve::new(terms, [5; 8], vec![])), Some(pay));
        let rng = SmallRng::seed_from_u64(seed);
        let mut node = Node { gateway, cells: Cells::default(), rng, now: START, number: 0, said: Vec::new() };
        node.tor(origin(STREAMS, 0, 3));
        node.tor(origin(TALK, 77, 1));
        node.tor(passing(FROM_CLIENT, true));
        node.tor(passing(FROM_RELAY, false));
        node
    }

    /// One event of tor, as the daemon hands it on; what leaves.
    fn tor(&mut self, event: TorEvent) -> Out {
        let mut out = Out::default();
        if let Some(event) = self.cells.event(self.now, event) {
            self.gateway.handle(self.now, &mut self.rng, event, &mut out);
        }
        out
    }

    fn body(&mut self, circ: u64, hop: u32, body: Vec<u8>) -> Out {
        let own = Counters { in_cells: u64::from(self.number) * 7, out_cells: 3 };
        let role = if hop == 0 { Role::Relay } else { Role::Origin };
        self.tor(TorEvent::Cell { circ, role, hop, body, own, peer: own })
    }

    /// A whole message, in the order and with the numbers of an honest sender.
    fn message(&mut self, circ: u64, hop: u32, message: &Message) -> Out {
        self.number += 1;
        let mut all = Out::default();
        for body in fragment(&codec::encode(message), self.number).expect("fits") {
            let out = self.body(circ, hop, body);
            all.rows.extend(out.rows);
            all.effects.extend(out.effects);
        }
        self.said.push(message.clone());
        all
    }
}

fn hop(n: u8) -> TorHop {
    TorHop {
        rsa: Some([n; 20]),
        ed25519: Some([n; 32]),
        nickname: format!("n{n}"),
        address: magicwave::redact::Sensitive(String::new()),
        port: 0,
        speaks: true,
    }
}

fn origin(circ: u64, token: u64, hops: u8) -> TorEvent {
    let hops = (1..=hops).map(hop).collect();
    TorEvent::Circuit { circ, role: Role::Origin, token, channel: 0, hops, prev_is_client: false, purpose: 5 }
}

fn passing(circ: u64, prev_is_client: bool) -> TorEvent {
    let hops = vec![hop(8), hop(9)];
    TorEvent::Circuit { circ, role: Role::Relay, token: 0, channel: 1, hops, prev_is_client, purpose: 0 }
}

/// What a peer that paid nothing may cause: words, questions to the ledger, circuits; never a claim, a receipt, a
/// grant, a signature that moves money, or a row about any of these.
fn nothing_of_worth(out: &Out) {
    assert!(out.effects.len() <= MOST_EFFECTS, "{:?}", out.effects);
    for effect in &out.effects {
        let fine = match effect {
            Effect::Send { message, .. } => !matches!(
                message,
                Message::Signed(_)
                    | Message::Delivered(_)
                    | Message::Deliver(_)
                    | Message::Sign(_)
                    | Message::FlushAck(_)
                    | Message::Claim(_)
                    | Message::Complete(_)
                    | Message::EscrowOpen(_)
            ),
            Effect::Watch { .. } | Effect::Query { .. } | Effect::Launch { .. } | Effect::Close { .. } => true,
            // A hop whose words are not to be paid loses the circuit.
            Effect::Abandon { .. } => true,
            Effect::Ledger(call) => !matches!(call, LedgerCall::Submit { .. }),
            Effect::Grant { .. } | Effect::Http { .. } | Effect::Answer { .. } => false,
        };
        assert!(fine, "{effect:?}");
    }
    for row in &out.rows {
        let fine = match row {
            Row::Link(_) => true,
            Row::Escrow(row) => is_bare(row),
            Row::Event(event) => event.amount.is_zero(),
            Row::Policy(_) => false,
            Row::Hop(_) | Row::Payment(_) => false,
            Row::Request(_) => true, // moves nothing, and the store keeps a bounded number
        };
        assert!(fine, "{row:?}");
    }
}

fn is_offer(effect: &Effect) -> bool {
    matches!(effect, Effect::Send { message: Message::Offer(_), .. })
}

fn is_bare(row: &EscrowRow) -> bool {
    row.total.is_zero() && row.held.cumulative.is_zero() && row.landed.is_zero() && row.frozen.is_none()
}

/// (circuit, hop): every place where a cell can come from, some that do not exist among them.
fn place() -> impl Strategy<Value = (u64, u32)> {
    prop_oneof![
        (Just(STREAMS), 1u32..=3),
        Just((TALK, 1u32)),
        Just((FROM_CLIENT, 0u32)),
        Just((FROM_RELAY, 0u32)),
        (0u64..7, 0u32..5),
        (any::<u64>(), any::<u32>()),
    ]
}

/// Any message; with `ours` it names our network, asset and version where it names any.
fn message(kind: u8, entropy: &[u8], ours: bool) -> Message {
    let mut message = Bytes(entropy).message(kind);
    let network = NetworkId::of("a network of tests").short();
    if ours {
        match &mut message {
            Message::Hello(hello) => (hello.version, hello.network, hello.asset) = (1, network, asset().id()),
            Message::Offer(offer) => {
                (offer.version, offer.asset, offer.kind) = (1, asset().id(), ServiceKind::Tor);
                (offer.price, offer.fee, offer.expires) = (Price(1024), stroops(8), START / 1000 + 600);
            }
            Message::LinkHello(hello) => {
                (hello.version, hello.network, hello.asset) = (1, network, asset().id());
                hello.account = SecretSeed::from_bytes(&[40; 32]).public();
                hello.signer = SecretSeed::from_bytes(&[41; 32]).public();
                (hello.deposit, hello.period) = (stroops(100_000_000), 700_000);
            }
            _ => {}
        }
    }
    message
}

/// What a hostile peer does next.
#[derive(Clone, Debug)]
enum Act {
    Bytes(Vec<u8>),
    Message {
        kind: u8,
        entropy: Vec<u8>,
        ours: bool,
    },
    /// Fragments of a message cut, swapped, repeated, made longer.
    Mangled {
        kind: u8,
        entropy: Vec<u8>,
        cut: usize,
        swap: bool,
        twice: bool,
        longer: usize,
    },
    /// Something that it was told before, sent to another place.
    Echo(usize),
    Begin,
    Tick(u64),
    State(u8),
    Closed,
    Built(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let entropy = || proptest::collection::vec(any::<u8>(), 0..400);
    let kind = || proptest::sample::select(KINDS.to_vec());
    prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..BODY_MAX + 40).prop_map(Act::Bytes),
        8 => (kind(), entropy(), any::<bool>()).prop_map(|(kind, entropy, ours)| Act::Message { kind, entropy, ours }),
        3 => (kind(), entropy(), any::<usize>(), any::<bool>(), any::<bool>(), 0usize..600).prop_map(
            |(kind, entropy, cut, swap, twice, longer)| Act::Mangled { kind, entropy, cut, swap, twice, longer }
        ),
        2 => any::<usize>().prop_map(Act::Echo),
        1 => Just(Act::Begin),
        1 => (0u64..120_000).prop_map(Act::Tick),
        1 => (0u8..3).prop_map(Act::State),
        1 => Just(Act::Closed),
        1 => any::<bool>().prop_map(Act::Built),
    ]
}

fn perform(node: &mut Node, (circ, hop): (u64, u32), act: Act) {
    match act {
        Act::Bytes(body) => nothing_of_worth(&node.body(circ, hop, body)),
        Act::Message { kind, entropy, ours } => {
            let message = message(kind, &entropy, ours);
            nothing_of_worth(&node.message(circ, hop, &message));
        }
        Act::Mangled { kind, entropy, cut, swap, twice, longer } => {
            node.number += 1;
            let bytes = codec::encode(&message(kind, &entropy, true));
            let mut bodies = fragment(&bytes, node.number).expect("fits");
            if swap {
                bodies.reverse();
            }
            if twice {
                bodies.extend(bodies.clone());
            }
            let last = bodies.last_mut().expect("one at least");
            last.truncate(cut % (last.len() + 1));
            last.extend(std::iter::repeat_n(0xa5, longer));
            for body in bodies {
                nothing_of_worth(&node.body(circ, hop, body));
            }
        }
        Act::Echo(which) => {
            if let Some(message) = (!node.said.is_empty()).then(|| node.said[which % node.said.len()].clone()) {
                nothing_of_worth(&node.message(circ, hop, &message));
            }
        }
        // From here on it is our own tor that speaks, whose words may have other consequences.
        Act::Begin => drop(node.tor(TorEvent::Begin { circ, set: None, idle: false })),
        Act::Tick(ms) => {
            node.now += ms;
            let mut out = Out::default();
            node.gateway.handle(node.now, &mut node.rng, Event::Tick, &mut out);
        }
        Act::State(state) => {
            let state = [Service::Open, Service::Trickle, Service::Stopped][usize::from(state)];
            let own = Counters { in_cells: u64::from(node.number), out_cells: 0 };
            node.tor(TorEvent::State { circ, state, own, held: 0 });
        }
        Act::Closed => {
            let (own, role) = (Counters::default(), Role::Relay);
            node.tor(TorEvent::Closed { circ, role, hop: 0, token: 0, own, reason: 0 });
        }
        Act::Built(relay) => drop(node.tor(if relay { passing(circ, hop == 0) } else { origin(circ, 0, 3) })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_hostile_peer_sends_in_whatever_order_it_gets_words_alone(
        seed in any::<u64>(),
        acts in proptest::collection::vec((place(), act()), 1..80),
    ) {
        let mut node = Node::new(seed);
        for (place, act) in acts {
            perform(&mut node, place, act);
        }
        prop_assert!(node.gateway.status().links.iter().all(|l| l.lanes.iter().all(|lane| lane.total.is_zero())));
        // And it still serves who is honest.
        node.number = 0;
        node.tor(passing(1 << 40, true));
        let answer = node.message(1 << 40, 0, &message(1, &[1; 64], true));
        prop_assert!(answer.effects.iter().any(is_offer), "{:?}", answer.effects);
    }
}

#[test]
fn every_type_of_message_in_every_place_before_and_after_a_hello_is_taken_calmly() {
    let entropy: Vec<u8> = (0..=255u8).cycle().take(700).collect();
    for greeted in [false, true] {
        let mut node = Node::new(1);
        if greeted {
            let hello = message(1, &entropy, true);
            let answer = node.message(FROM_CLIENT, 0, &hello);
            assert!(answer.effects.iter().any(is_offer), "an honest hello is answered: {:?}", answer.effects);
            node.tor(TorEvent::Begin { circ: STREAMS, set: None, idle: false });
        }
        for kind in KINDS {
            for (circ, hop) in [(STREAMS, 1), (STREAMS, 2), (STREAMS, 3), (TALK, 1), (FROM_CLIENT, 0), (FROM_RELAY, 0)]
            {
                for ours in [false, true] {
                    nothing_of_worth(&node.message(circ, hop, &message(kind, &entropy, ours)));
                }
            }
        }
        let status = node.gateway.status();
        assert_eq!(status.settled, 0);
        assert!(status.links.iter().all(|l| l.lanes.is_empty()), "{:?}", status.links);
    }
}

#[test]
fn a_flood_of_garbage_is_answered_a_few_times_and_then_in_silence() {
    let mut node = Node::new(2);
    let mut answers = 0;
    for n in 0..20_000u32 {
        let out = node.body(FROM_CLIENT, 0, n.to_be_bytes().repeat(118));
        nothing_of_worth(&out);
        answers += out.effects.len();
    }
    assert!((1..=8).contains(&answers), "{answers} answers");
    // What is refused is also kept in bounds: circuits that do nothing but open leave nothing behind when they close.
    for circ in 100..5_100 {
        node.tor(passing(circ, true));
        let hello = message(1, &[1; 64], true);
        nothing_of_worth(&node.message(circ, 0, &hello));
    }
    assert!(node.gateway.status().sessions >= 5_000);
    for circ in 100..5_100 {
        let own = Counters::default();
        node.tor(TorEvent::Closed { circ, role: Role::Relay, hop: 0, token: 0, own, reason: 0 });
    }
    assert!(node.gateway.status().sessions <= 2, "{}", node.gateway.status().sessions);
}

#[test]
fn an_offer_or_a_request_that_goes_the_wrong_way_is_refused() {
    let entropy = [3; 400];
    let mut node = Node::new(3);
    // To a relay: what only payees say. To a client: what only payers say.
    for (circ, hop, kinds) in [(FROM_CLIENT, 0, [2u8, 3, 5, 7]), (STREAMS, 1, [1, 4, 6, 8])] {
        for kind in kinds {
            let out = node.message(circ, hop, &message(kind, &entropy, true));
            let only = out.effects.iter().all(|e| matches!(e, Effect::Send { message: Message::Refusal(_), .. }));
            assert!(only && out.rows.is_empty(), "type {kind}: {:?} {:?}", out.effects, out.rows);
            // A payee says so; a client keeps silent, else two could refuse each other for ever.
            assert_eq!(out.effects.len(), usize::from(hop == 0), "type {kind}");
        }
    }
    assert_eq!(node.gateway.status().sessions, 0);
}
