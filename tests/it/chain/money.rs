//! Review: free visitors.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::port::*;

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
        if n % 512 == 0 {
            world.run(1);
        }
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
    println!(
        "{:?}",
        world
            .answers
            .iter()
            .filter(|(n, ..)| *n == CLIENT)
            .map(|(.., a)| format!("{a:?}").chars().take(60).collect::<String>())
            .collect::<Vec<_>>()
    );
    let Answer::Serve { session: served, covered } = require(&mut world, Some(session), 1) else { panic!("paid") };
    assert_eq!(served, session);
    front.cover(session, covered);
    assert!(front.served(session, 1000) > 0, "paid for {covered} bytes and got none");
}
