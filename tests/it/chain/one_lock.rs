//! One lock per circuit: however many lanes there are, and however much it would carry at once.
use super::theft::say;
use super::world::*;
use super::world_weather::{Fault, Weather};
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::refusal::RetryClass;
use magicwave::gateway::link::{LinkRow, Role};
use magicwave::gateway::port::Answer;

const CREATE: u8 = 4;
const SIGN: u8 = 6;
const DELIVER: u8 = 8;

/// Everybody pays under locks, over links with three lanes each.
fn wide() -> World {
    let mut setup = Setup { locks: Locks::Always, ..Setup::default() };
    setup.limits.lock_secs = 20;
    let mut world = World::open_with_site(setup);
    for node in [CLIENT, N1, N2] {
        for _ in 0..2 {
            let link = world.rows::<LinkRow>(node).into_iter().find(|l| l.role == Role::Payer).expect("a link").id;
            world.with(node, |g, now, _, out| g.links.want_lane(now, &link, out));
            world.run(8);
        }
        let open = world.lanes(node).iter().filter(|l| l.role == Role::Payer && l.state.name() == "open").count();
        assert_eq!(open, 3, "lanes of {node}");
    }
    world
}

/// How many locks that a node signed were open at once at most, by its journal.
fn at_once(world: &World, node: usize) -> i32 {
    let mut open = 0;
    let depths = world.nodes[node].journal.iter().map(|(what, _)| {
        open += match what.as_str() {
            "lock_signed" => 1,
            "claim_signed" | "lock_expired" => -1,
            _ => 0,
        };
        open
    });
    depths.max().unwrap_or(0)
}

fn busy(message: &Message) -> bool {
    matches!(message, Message::Refusal(no) if no.code == RefusalCode::BUSY)
}

#[test]
fn a_circuit_has_one_lock_at_a_time_whatever_it_would_carry() {
    // Passes that overlap while a lock is open, and before any is.
    for late in [SIGN, CREATE] {
        let mut world = wide();
        let circ = world.stream();
        world.weather = Some(Weather::new(N3, late, Fault::Late(2)));
        let (mut sessions, mut calls, mut cells) = ([None; 4], Vec::new(), 0);
        for _ in 0..60 {
            for session in &mut sessions {
                calls.extend(world.buy(circ, session, 60_000));
            }
            cells += world.flow(circ, 100);
            world.run(1);
        }
        world.run(30);
        let answers = calls.iter().map(|call| world.answer(*call).expect("an answer"));
        let (paid, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| matches!(answer, Answer::Paid(_)));
        assert!(paid.len() > 20 && refused.len() > 20, "{} paid, {} not", paid.len(), refused.len());
        let later = |answer: &Answer| matches!(answer, Answer::Failed(code) if code.retry() == RetryClass::Later);
        assert!(refused.iter().all(|answer| later(answer)), "{refused:?}");
        assert!(cells > 5_000, "the stream goes on: {cells}");
        assert_eq!([CLIENT, N1, N2, N3].map(|node| at_once(&world, node)), [1; 4]);
        let told = world.log.iter().any(|(who, _, m)| *who == N1 && busy(m));
        assert!(!told, "the client's own code does not even ask");
        world.check();
    }
}

#[test]
fn two_circuits_have_two_locks_where_there_are_lanes_for_them() {
    let mut world = wide();
    let circs = [world.stream(), world.stream()];
    world.run(5);
    world.deaf.insert((SITE, DELIVER));
    for circ in circs {
        world.until_asked(circ, &mut None, 100_000);
    }
    assert_eq!([CLIENT, N1, N2].map(|node| at_once(&world, node)), [2; 3]);
    world.check();
}

/// The last message of the client to a node that `pick` takes.
fn last<T>(world: &World, to: usize, pick: impl Fn(&Message) -> Option<T>) -> T {
    world.log.iter().rev().filter(|(who, at, _)| (*who, *at) == (CLIENT, to)).find_map(|(.., m)| pick(m)).expect("said")
}

#[test]
fn a_client_that_brings_a_second_lock_on_a_circuit_is_told_busy() {
    let mut world = wide();
    let (circ, other) = (world.stream(), world.stream());
    world.run(5);
    world.deaf.insert((N2, SIGN));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    assert_eq!(world.lanes(N1).iter().filter(|l| l.lock.is_some()).count(), 2, "one in, one out");
    let create = last(&world, N1, |m| if let Message::Create(m) = m { Some(m.clone()) } else { None });
    let sign = last(&world, N1, |m| if let Message::Sign(m) = m { Some(m.clone()) } else { None });
    let named = |name: u8, lock| Message::Create(Create { hop_id: [name; 16], lock, ..create.clone() });
    assert!(busy(&say(&mut world, circ, N1, named(1, LockWish::Onwards))));
    // Nor by the name of a payment that was to be plain, behind more names than a session remembers.
    for name in 10..210 {
        say(&mut world, circ, N1, named(name, LockWish::Plain));
    }
    let hello = last(&world, N1, |m| if let Message::Hello(m) = m { Some(m.clone()) } else { None });
    say(&mut world, circ, N1, Message::Hello(hello));
    assert!(matches!(say(&mut world, circ, N1, named(2, LockWish::Plain)), Message::Template(_)));
    let second = |name: u8| Message::Sign(Sign { hop_id: [name; 16], ..sign.clone() });
    assert!(busy(&say(&mut world, circ, N1, second(2))));
    // Another circuit has its own; there a claim in the name of another payment is no claim at all.
    assert!(matches!(say(&mut world, other, N1, named(3, LockWish::Onwards)), Message::Template(_)));
    assert!(!busy(&say(&mut world, other, N1, second(3))));
    world.check();
}
