//! Messages get lost, processes die: everybody is paid in the end, and no node loses anything.
use super::world::*;
use magicwave::gateway::core::message::Id;
use magicwave::gateway::port::CircuitId;

/// A download and a web service, as a patient person uses them. Circuits that are gone are built again.
pub struct Person {
    circ: CircuitId,
    session: Option<Id>,
}

impl Person {
    pub fn begin(world: &mut World) -> Person {
        Person { circ: world.stream(), session: None }
    }

    fn circuit(&mut self, world: &mut World) -> CircuitId {
        if !world.routes.contains_key(&self.circ) {
            self.circ = world.stream();
        }
        self.circ
    }

    fn download(&mut self, world: &mut World, cells: u64) {
        let mut left = cells;
        for _ in 0..240 {
            let circ = self.circuit(world);
            left -= world.flow(circ, left);
            if left == 0 {
                return;
            }
            world.run(1);
        }
        let states: Vec<_> = world.routes.values().map(|r| (&r.path, &r.state, &r.counted, &r.granted)).collect();
        panic!("stuck with {left} cells to go: {:?} {states:?}", world.nodes[CLIENT].gateway.status());
    }

    fn fetch(&mut self, world: &mut World) {
        for _ in 0..60 {
            let circ = self.circuit(world);
            let Some(call) = world.buy(circ, &mut self.session, 100_000) else { return };
            for _ in 0..60 {
                if world.answer(call).is_some() || !world.routes.contains_key(&circ) {
                    break;
                }
                world.run(1);
            }
            world.run(1);
        }
        panic!("the site never serves: {:?}", world.answers.last());
    }

    pub fn use_it(&mut self, world: &mut World) {
        self.download(world, 600);
        self.fetch(world);
        self.fetch(world);
        self.download(world, 1_200);
        world.run(30);
    }
}

/// The largest single payment of the client.
fn increment(world: &World) -> u64 {
    world.nodes[CLIENT].payments.values().map(|p| p.total.get()).max().unwrap_or(0)
}

pub fn all_paid(world: &World) {
    world.check();
    for node in [N1, N2, N3, SITE] {
        assert!(world.books(node).0 > 0, "node {node} is paid");
    }
}

#[test]
fn everybody_is_paid_whichever_message_is_lost() {
    let quiet = {
        let mut world = World::open_with_site(Setup::default());
        world.lose = Some(usize::MAX);
        Person::begin(&mut world).use_it(&mut world);
        all_paid(&world);
        assert_eq!(world.spent(), world.books(N1).0, "every claim arrived");
        usize::MAX - world.lose.expect("a count")
    };
    assert!(quiet > 60, "{quiet} messages");
    for unlucky in 0..quiet {
        let mut world = World::open_with_site(Setup::default());
        world.lose = Some(unlucky);
        println!("message {unlucky} gets lost");
        Person::begin(&mut world).use_it(&mut world);
        assert_eq!(world.lose, None, "message {unlucky} was lost");
        all_paid(&world);
        assert_eq!(world.spent(), world.books(N1).0, "every claim arrived, though message {unlucky} did not");
    }
}

/// One world per step of the node; so many at least.
fn crash_everywhere(node: usize, least: usize) {
    for before in [true, false] {
        for step in (0..).step_by(if before { 2 } else { 1 }) {
            let mut world = World::open_with_site(Setup::default());
            world.nodes[node].crash = Some((step, before));
            let mut person = Person::begin(&mut world);
            println!("node {node} dies at step {step}, before its rows: {before}");
            person.use_it(&mut world);
            if world.nodes[node].crash.take().is_some() {
                assert!(step >= least, "only {step} steps");
                break;
            }
            world.check();
            let lost = world.spent() - world.books(N1).0;
            assert!(lost <= increment(&world), "{lost} lost by a crash at step {step} of {node}, before: {before}");
        }
    }
}

#[test]
fn a_client_that_dies_at_any_step_loses_at_most_one_increment_and_no_node_loses_anything() {
    crash_everywhere(CLIENT, 80);
}

#[test]
fn a_relay_that_dies_at_any_step_loses_nothing() {
    crash_everywhere(N2, 40);
}

#[test]
fn a_site_that_dies_at_any_step_loses_nothing() {
    crash_everywhere(SITE, 20);
}
