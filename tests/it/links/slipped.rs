//! A payer writes the funding of its escrow itself: whatever it slips into it, its payee looks before it trusts.
use super::world::*;
use magicwave::devnet::ledger::xdr::{
    DataValue, ManageDataOp, Operation, OperationBody, String64, TransactionSignaturePayloadTaggedTransaction as Body,
};
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{EscrowRow, Role};
use magicwave::gateway::port::MoneyEvent;
use magicwave::stellar::asset::Asset;
use magicwave::stellar::escrow_check;
use magicwave::stellar::template::{self, EscrowTerms, Source, ops};
use magicwave::units::Stroops;
use magicwave::wallet;

type Slip = fn(&EscrowTerms) -> Vec<Operation>;

/// Operations of which the payer pays the reserves: the escrow has nothing of its own.
fn sponsored(terms: &EscrowTerms, operations: Vec<Operation>) -> Vec<Operation> {
    let begin = ops::begin_sponsoring(Some(&terms.payer_account), &terms.escrow);
    [vec![begin], operations, vec![ops::end_sponsoring(&terms.escrow)]].concat()
}

fn data(terms: &EscrowTerms) -> Operation {
    let name = String64("note".try_into().expect("short"));
    let value = Some(DataValue(b"mine".try_into().expect("short")));
    let body = OperationBody::ManageData(ManageDataOp { data_name: name, data_value: value });
    Operation { body, ..ops::merge(Some(&terms.escrow), &terms.escrow) }
}

/// The payer's own code comes as far as the refund's signature; then the rogue lands a funding of its own, and says
/// that the escrow is ready. The payee's lane, and what it answered.
fn funded(world: &mut World, slip: Slip) -> (EscrowRow, Message) {
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run_until(0, "creating");
    world.min_fee = i64::MAX;
    world.run_until(0, "funding");
    let lane = world.lanes(0)[0].clone();
    let terms = world.terms(0, &lane);
    let proper = template::fund(&terms).expect("F");
    let Body::Tx(proper) = proper.body() else { panic!("F is no fee bump") };
    let operations = [proper.operations.to_vec(), slip(&terms)].concat();
    let sequence = terms.funded_sequence() - 1;
    let source = Source { network: network(), account: lane.escrow, sequence, fee_per_op: 100, max_time: 0 };
    let keys =
        [world.nodes[0].wallet.derive(wallet::ESCROW, &lane.index.to_be_bytes()), world.nodes[0].wallet.account_key()];
    let signed = template::batch(&source, operations).expect("a transaction").sign(&[&keys[0], &keys[1]]);
    assert!(world.submit(0, &signed.expect("signed")), "the ledger takes it");
    world.min_fee = 0;
    let from = world.log.len();
    let decided = |m: &Message| match m {
        Message::EscrowOpen(_) => true,
        Message::Refusal(no) => no.code == RefusalCode::ESCROW_INVALID,
        _ => false,
    };
    for _ in 0..40 {
        let circ = world.circuit(0, 1);
        world.inject(0, circ, Message::EscrowReady(EscrowRef { escrow: lane.escrow }));
        let said: Vec<_> = world.log[from..].iter().filter(|(to, m)| *to == 0 && decided(m)).collect();
        if let [(_, said), ..] = &said[..] {
            return (world.lanes_by(&lane.escrow, Role::Payee).expect("offered"), said.clone());
        }
        world.run(1);
    }
    panic!("the payee never says what it thinks of it")
}

/// A claim on the escrow with the payer's real signature, sealed as its own code would.
fn claim_on(world: &mut World, lane: &EscrowRow, hop: Id, stroops: u64) -> Carried {
    let row = world.link_rows(1).into_iter().find(|row| row.id == lane.link).expect("the link");
    let (signer, amount) = (world.signer(0, &lane.link), amount(stroops));
    let signature = template::sign_claim(&world.terms(1, lane), 0, amount, &signer).expect("signed");
    let claim = Claim { escrow: lane.escrow, epoch: 0, cumulative: amount, signature };
    let body = ClaimBody { hop_id: hop, amount, claim, beside: Beside::Nothing };
    seal::seal_claim(&row.key, row.tag, [7; 24], &body).expect("sealed")
}

#[test]
fn a_funding_with_a_further_operation_opens_no_escrow() {
    let slips: [(&str, Slip); 7] = [
        ("MW-ESC-2", |t| vec![ops::bump_sequence(Some(&t.escrow), t.claim_sequence(0).expect("an epoch"))]),
        ("MW-ESC-2", |t| vec![ops::bump_sequence(Some(&t.escrow), i64::MAX)]),
        ("MW-ESC-5", |t| sponsored(t, vec![ops::set_signer(Some(&t.escrow), &[9; 32], 1)])),
        ("MW-ESC-6", |t| vec![ops::set_thresholds(Some(&t.escrow), 2, Some(2))]),
        ("MW-ESC-7", |t| sponsored(t, vec![data(t)])),
        ("MW-ESC-7", |t| {
            let other = Asset::credit("MWX", issuer().public()).expect("an asset");
            sponsored(t, vec![ops::change_trust(Some(&t.escrow), &other, Stroops::MAX)])
        }),
        ("MW-ESC-14", |t| vec![ops::payment(Some(&t.escrow), &t.payer_account, &t.asset, amount(1))]),
    ];
    for (seed, (code, slip)) in (820..).zip(slips) {
        let mut world = World::new(seed, 2, 0, &limits());
        let (lane, said) = funded(&mut world, slip);
        let view = world.view(&lane.escrow).expect("it is there");
        let reason = escrow_check::check(&view, &world.terms(1, &lane)).expect_err("not as agreed");
        assert_eq!(reason.code, code);
        assert_eq!(lane.state.name(), "dropped", "{code}");
        assert!(matches!(said, Message::Refusal(_)), "{code}: {said:?}");
        // Nor is anything credited on it, whatever its payer signs.
        let hop = world.hop();
        let claim = claim_on(&mut world, &lane, hop, 5_000);
        assert!(world.accepted(1, hop, 5_000, &claim).is_err(), "{code}");
        let credited = |e: &MoneyEvent| ["escrow_opened", "claim_accepted"].contains(&&*e.what);
        assert!(!world.nodes[1].events.iter().any(credited), "{code}");
    }
}

#[test]
fn a_funding_of_the_payers_own_with_nothing_slipped_in_opens_its_escrow() {
    let mut world = World::new(830, 2, 0, &limits());
    let (lane, said) = funded(&mut world, |_| vec![]);
    assert_eq!(lane.state.name(), "open");
    assert!(matches!(said, Message::EscrowOpen(open) if open.escrow == lane.escrow));
    let hop = world.hop();
    let claim = claim_on(&mut world, &lane, hop, 5_000);
    world.accepted(1, hop, 5_000, &claim).expect("credited");
    assert_eq!(world.lanes(1)[0].total.get(), 5_000);
}
