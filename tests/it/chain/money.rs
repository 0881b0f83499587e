//! Review: a node on the way that knows the payee's hop id takes the credit.
use super::world::*;
use super::world_circuit::Kind;
use magicwave::gateway::core::codec;
use magicwave::gateway::core::message::*;
use magicwave::gateway::port::*;

fn tell(world: &mut World, circ: CircuitId, to: usize, message: Message) -> Vec<Message> {
    let queued: Vec<_> = world.queue.drain(..).collect();
    world.event(to, Event::Message { circ, hop: 0, message: over_the_wire(message), own: Counted::default(), peer: Counted::default() });
    let new: Vec<_> = world.queue.drain(..).collect();
    world.queue.extend(queued);
    let mut said = Vec::new();
    for (node, effect) in new {
        match effect {
            Effect::Send { circ: c, hop: 0, message } if node == to && c == circ => said.push(message),
            other => world.queue.push_back((node, other)),
        }
    }
    said
}

fn steal(speaks: [bool; 3]) {
    let mut world = World::new(Setup { speaks, ..Setup::default() });
    world.link(CLIENT, N1);
    world.link(N1, N2);
    if speaks[2] {
        world.link(N2, N3);
    }
    // N1's own circuit through N2, with a session of its own.
    let thief = world.build(N1, &[N2], Kind::Streams);
    let hello = Hello { version: codec::VERSION, network: crate::links::world::network().short(), asset: world.terms(N2).asset, nonce: [7; 16] };
    let said = tell(&mut world, thief, N2, Message::Hello(hello));
    assert!(matches!(said[0], Message::Offer(_)));
    let circ = world.build(CLIENT, &[N1, N2, N3], Kind::Streams);
    world.event(CLIENT, Event::Begin { circ, set: None });
    let mut stolen = 0;
    let mut moved = 0;
    for _ in 0..60 {
        // N1 sees what it signs, and for which hop id and amount (both stand in the sealed template and claim).
        for _ in 0..20_000 {
            let Some((node, effect)) = world.queue.pop_front() else { break };
            if let (N1, Effect::Send { hop: 0, message: Message::Signed(signed), circ: c }) = (node, &effect)
                && *c == circ
            {
                let (hop_id, amount) = world.log.iter().rev().find_map(|(_, to, m)| match m {
                    Message::Create(create) if *to == N2 => Some((create.hop_id, create.amount)),
                    _ => None,
                }).expect("N2's template");
                let said = tell(&mut world, thief, N2, Message::Deliver(Deliver { hop_id, amount, claim: signed.claim.clone() }));
                if matches!(said.first(), Some(Message::Delivered(_))) { stolen += amount.get(); }
            }
            world.queue.push_front((node, effect));
            // one effect released
            let keep: Vec<_> = world.queue.drain(1..).collect();
            world.drain_one();
            let fresh: Vec<_> = world.queue.drain(..).collect();
            world.queue.extend(keep);
            world.queue.extend(fresh);
        }
        moved += world.flow_no_drain(circ);
        if world.queue.is_empty() { world.run_no_drain(); }
    }
    let status = world.nodes[CLIENT].gateway.status();
    println!("speaks {speaks:?}: stolen {stolen}, client signed {}, settled {}, cells {moved}", world.spent(), status.settled);
    for p in world.nodes[CLIENT].payments.values() { println!("  pass {:?} total {} payees {}", p.state, p.total.get(), p.payees.len()); }
    for r in status.refused.iter().take(12) { println!("  refused {} {} by_us {}", r.who, r.text, r.by_us); }
    assert_eq!(stolen, 0, "N1 has the credit that the client paid for");
}

#[test]
fn me_guard_steals_credit_two_hops() { steal([true, true, false]); }
#[test]
fn me_guard_steals_credit_three_hops() { steal([true, true, true]); }

/// `app::site::Front` as it stands (cover, served, forget), without its channel.
#[derive(Default)]
struct Front(std::collections::HashMap<Id, (u64, u64)>);
impl Front {
    fn cover(&mut self, session: Id, covered: u64) {
        if self.0.len() < 8_192 || self.0.contains_key(&session) {
            let entry = self.0.entry(session).or_default();
            entry.0 = entry.0.max(covered);
        }
    }
    fn served(&mut self, session: Id, bytes: u64) -> u64 {
        let Some(entry) = self.0.get_mut(&session) else { return 0 };
        let taken = bytes.min(entry.0.saturating_sub(entry.1));
        entry.1 += taken;
        taken
    }
}

/// 8192 requests without a session, each served out of the offer's credit; an hour later nobody is served any more.
#[test]
fn me_free_visitors_fill_the_front_for_good() {
    let mut world = World::open_with_site(Setup { ahead: 1 << 19, ..Setup::default() });
    let mut front = Front::default();
    let require = |world: &mut World, session, need| {
        let call = world.fresh();
        world.event(SITE, Event::Site { call, ask: SiteAsk::Require { session, need } });
        world.drain();
        let at = world.answers.iter().position(|(node, of, _)| (*node, *of) == (SITE, call)).expect("an answer");
        world.answers.remove(at).2
    };
    for n in 0..8_192 {
        match require(&mut world, None, 1) {
            Answer::Serve { session, covered } => {
                front.cover(session, covered);
                assert_eq!(front.served(session, 1), 1, "{n}");
                world.event(SITE, Event::Served { session, bytes: 1 });
            }
            other => panic!("{other:?}"),
        }
        if n % 512 == 0 { world.run(1); }
    }
    // Far beyond every time-out: the gateway has forgotten them all.
    world.now += 7_200_000;
    world.run(2);
    println!("sessions of the gateway {}, of the front {}", world.nodes[SITE].gateway.status().sessions, front.0.len());
    // A visitor who pays.
    let circ = world.stream();
    world.run(10);
    let Answer::Pay { offer, request } = require(&mut world, None, 1 << 20) else { panic!("asks for money") };
    let session = offer.session;
    let call = world.fresh();
    let exchange = world.fresh();
    world.exchanges.insert(exchange, Some(session));
    world.event(CLIENT, Event::Pay { call, circ, exchange, offer: *offer, request: *request, site: "x".into() });
    world.drain();
    world.run(30);
    println!("{:?}", world.answers.iter().filter(|(n, ..)| *n == CLIENT).map(|(.., a)| format!("{a:?}").chars().take(60).collect::<String>()).collect::<Vec<_>>());
    let Answer::Serve { session: served, covered } = require(&mut world, Some(session), 1) else { panic!("paid") };
    assert_eq!(served, session);
    front.cover(session, covered);
    assert!(front.served(session, 1000) > 0, "paid for {covered} bytes and got none");
}
