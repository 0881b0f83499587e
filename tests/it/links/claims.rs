use super::world::*;
use magicwave::gateway::core::message::RefusalCode;
use magicwave::gateway::link::LinkRefInfo;

#[test]
fn thousands_of_claims_add_up_to_the_stroop() {
    let mut world = World::new(10, 2, 0, &limits());
    world.open(0, 1);
    let mut sum = 0;
    for i in 0..3000u64 {
        let stroops = 1 + i % 7;
        sum += stroops;
        let info = world.pay(0, 1, stroops).expect("paid");
        assert_eq!(info.credited.get(), sum);
    }
    world.check();
    assert_eq!(world.lanes(0)[0].total.get(), sum);
    assert_eq!(world.lanes(1)[0].held.cumulative.get(), sum);
}

#[test]
fn a_repeat_gets_the_same_claim_and_another_amount_is_a_conflict() {
    let mut world = World::new(11, 2, 0, &limits());
    world.open(0, 1);
    let hop = world.hop();
    let first = world.signed(0, 1, hop, 100).expect("signed");
    let again = world.signed(0, 1, hop, 100).expect("signed again");
    assert_eq!(world.signed(0, 1, hop, 101), Err(RefusalCode::DUPLICATE_CONFLICT));
    assert_eq!(world.lanes(0)[0].total.get(), 100);
    let one = world.accepted(1, hop, 100, &first).expect("accepted");
    let two = world.accepted(1, hop, 100, &again).expect("accepted again");
    assert_eq!((one.repeated, two.repeated, one.credited.get()), (false, true, 100));
    assert_eq!(LinkRefInfo { repeated: false, ..two }, one);
    world.check();
}

#[test]
fn claims_that_overtake_each_other_or_get_lost_all_find_their_credit() {
    let mut world = World::new(12, 2, 0, &limits());
    world.open(0, 1);
    let mut claims = Vec::new();
    for stroops in [10, 20, 30, 40, 50] {
        let hop = world.hop();
        claims.push((hop, stroops, world.signed(0, 1, hop, stroops).expect("signed")));
    }
    for (place, credited) in [(4, 50), (0, 60), (2, 90)] {
        let (hop, stroops, claim) = claims[place].clone();
        assert_eq!(world.accepted(1, hop, stroops, &claim).expect("accepted").credited.get(), credited);
    }
    world.check();
}

#[test]
fn one_claim_cannot_be_credited_for_two_payments() {
    let mut world = World::new(13, 2, 0, &limits());
    world.open(0, 1);
    // A lost payment leaves room that a replay could fill.
    let lost = world.hop();
    world.signed(0, 1, lost, 1000).expect("signed");
    let hop = world.hop();
    let claim = world.signed(0, 1, hop, 10).expect("signed");
    world.accepted(1, hop, 10, &claim).expect("accepted");
    for _ in 0..200 {
        world.pay(0, 1, 10).expect("paid"); // until the lane no longer remembers the name
    }
    assert_eq!(world.accepted(1, hop, 10, &claim), Err(RefusalCode::DUPLICATE_CONFLICT));
    let other = world.hop();
    assert_eq!(world.accepted(1, other, 10, &claim), Err(RefusalCode::HOP_UNKNOWN));
    assert_eq!(world.lanes(1)[0].total.get(), 2010);
    world.check();
}

#[test]
fn a_second_lane_opens_before_the_first_is_used_up() {
    let mut world = World::new(14, 2, 0, &limits());
    world.open(0, 1);
    let mut paid = 0;
    while paid < 25 * UNIT {
        match world.pay(0, 1, UNIT / 2) {
            Ok(_) => paid += UNIT / 2,
            Err(code) => {
                assert!([RefusalCode::ESCROW_PENDING, RefusalCode::FLUSH_PENDING].contains(&code), "{}", code.name())
            }
        }
        world.run(1);
    }
    assert!(world.lanes(0).len() >= 3);
    world.check();
}
