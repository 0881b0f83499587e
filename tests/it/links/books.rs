//! The same links over the real store: its books add up, and a start from it goes on where the last process ended.
use super::world::*;
use magicwave::gateway::link::Limits;
use magicwave::gateway::port::LedgerResult;
use magicwave::store::{Sqlite, Store};

#[test]
fn the_books_in_the_store_add_up_after_crashes_and_flushes() {
    let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
    let mut world = World::new(40, 2, 0, &Limits { denomination: amount(1), ..limits() });
    for (node, dir) in dirs.iter().enumerate() {
        world.nodes[node].store = Some(Sqlite::open(dir.path()).expect("opened"));
    }
    for round in 0..12u64 {
        world.nodes[(round % 2) as usize].crash = Some((u32::try_from(round).expect("small"), round % 3 == 0));
        world.pay_for_sure(0, 1, 100 + round);
        world.pay_for_sure(1, 0, 7 * round + 1);
        world.step(0, |links, now, rng, out| links.flush_all(now, rng, out));
        world.run(2);
    }
    world.settle();
    let left: Vec<u64> =
        (0..2).map(|node| world.payer_lanes(node).iter().map(|l| l.deposit.get() - l.landed.get()).sum()).collect();
    for node in [0, 1] {
        world.close(node);
    }
    for node in [0, 1] {
        world.run_until_back(node);
    }
    for node in [0, 1] {
        let store = world.nodes[node].store.as_mut().expect("a store");
        let snapshot = store.load(10, 0).expect("loaded");
        let books = store.reader().and_then(|reader| reader.check()).expect("checked");
        assert_eq!(books.wrong, Vec::<String>::new());
        assert_eq!(books.signed, books.seen, "all that was signed has landed");
        assert_eq!(books.credited, books.flushed);
        assert_eq!(books.returned.get(), left[node], "all that did not land came back");
        let fees: u64 = world.nodes[node].events.iter().filter(|e| e.what != "flush_submitted").map(|e| e.fee).sum();
        assert_eq!(books.fees, fees);
        for event in world.nodes[node].events.iter().filter(|event| event.fee > 0) {
            let landed = event.tx.and_then(|hash| world.landed.get(&hash));
            let Some(LedgerResult::Landed { fee, .. }) = landed else { panic!("no such transaction: {event:?}") };
            assert!(event.what == "flush_submitted" || *fee == event.fee, "{event:?}: {fee}");
        }
        let sorted = |mut lanes: Vec<_>| {
            lanes.sort_by_key(|l: &magicwave::gateway::link::EscrowRow| l.escrow);
            lanes
        };
        assert_eq!(sorted(snapshot.escrows), sorted(world.lanes(node)));
        assert_eq!(snapshot.links.len(), world.link_rows(node).len());
    }
}
