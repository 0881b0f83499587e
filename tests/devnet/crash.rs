//! Payments go on over kill -9 of everybody who takes part in them, and in the end the ledger agrees with all books.
use crate::common::audit::{Ledger, Pair, lanes, number};
use crate::common::traffic::{Purchases, Traffic};
use crate::common::{Net, until};
use magicwave::devnet::network::Topology;
use magicwave::gateway::link::EscrowRow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What the network gives to each account: native, and of the asset.
const NATIVE: i64 = 140 * 10_000_000;
const PURSE: i64 = 1_000 * 10_000_000;

/// Who dies: a hop that is on the client's busiest paid circuit, or a node by name.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Hop(usize),
    Named(&'static str),
}

const ROUND: [Victim; 6] = [
    Victim::Hop(0),
    Victim::Hop(1),
    Victim::Hop(2),
    Victim::Named("site1"),
    Victim::Named("client1"),
    Victim::Named("ledger"),
];

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_every_hop_site_client_and_ledger_loses_no_money_and_pays_nothing_twice() {
    let rounds = if std::env::var_os("MAGICWAVE_LONG").is_some() { 5 } else { 1 };
    let mut net = Net::up(Topology::default()).await;
    let traffic = Traffic::begin(&net, "client1", "/1m.bin");
    let purchases = Purchases::begin(&net, "client1", "site1");
    goes_on(&net, &traffic, &purchases).await;
    for victim in std::iter::repeat_n(ROUND, rounds).flatten() {
        let name = match victim {
            Victim::Hop(hop) => paid_hop(&net, hop).await,
            Victim::Named(name) => name.to_owned(),
        };
        net.say(&format!("kill -9 {name}, so far (whole, broken, bytes) {:?}", traffic.counts()));
        net.crash(&name).await;
        goes_on(&net, &traffic, &purchases).await;
        let lanes = net.nobody_claims_more_than_was_signed().await;
        net.say(&format!("on again after {name}; {lanes} lanes seen from both ends"));
    }
    let (whole, broken, bytes) = traffic.end().await;
    net.say(&format!("{whole} downloads whole, {broken} broken, {bytes} bytes, {} files bought", purchases.count()));
    drop(purchases);
    let (ledger, pairs) = at_rest(&net, async || all_landed(&net).await).await;
    net.say("all landed");
    the_asset_adds_up(&net, &ledger, &pairs);
    native_adds_up(&net, &ledger);
    for node in net.payers() {
        let books = net.books(&node);
        eprintln!("{node:8} {books:?}");
        assert_eq!(books.wrong, Vec::<String>::new(), "{node}");
        assert!(books.flushed.get() + netted(&net, &node) >= books.credited.get(), "{node} credited what never landed");
        assert!(books.signed >= books.seen, "{node}");
    }
    let completed = net.completed("client1").await;
    net.say(&format!("{completed} payments complete"));
    net.devnet.stop().await.expect("stops");
}

/// A dead hop is noticed after half a minute at the latest, locks that were open end as late, and links of a new way open
/// hop by hop.
const PATIENCE: Duration = Duration::from_secs(90);

/// Until three more downloads arrived whole, another file was bought and two more payments were confirmed by every payee.
async fn goes_on(net: &Net, traffic: &Traffic, purchases: &Purchases) {
    let (whole, bought) = (traffic.counts().0, purchases.count());
    let paid = net.completed("client1").await;
    let end = Instant::now() + PATIENCE;
    loop {
        let now = (traffic.counts().0 - whole, purchases.count() - bought, net.completed("client1").await - paid);
        if now.0 >= 3 && now.1 >= 1 && now.2 >= 2 {
            return;
        }
        if Instant::now() >= end {
            let gateway = net.gateway("client1").await;
            panic!("not within {PATIENCE:?} (downloads, purchases, payments): {now:?}; {:#}", gateway["refused"]);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The relay that is this hop (0 = guard) of the circuit with the most cells that were paid for.
async fn paid_hop(net: &Net, hop: usize) -> String {
    let gateway = net.gateway("client1").await;
    let circuits = gateway["circuits"].as_array().expect("circuits");
    let paid = circuits.iter().filter(|c| c["hops"].as_array().is_some_and(|h| h.len() == 3));
    let busiest = paid.max_by_key(|c| number(&c["hops"][hop]["paid"])).expect("a circuit");
    busiest["hops"][hop]["nickname"].as_str().expect("a name").to_owned()
}

/// Ledger and books when everything that is held has `landed` and nothing was signed or credited while they were read:
/// tor and the wallet may use circuits at any time, and circuits are paid.
pub async fn at_rest(net: &Net, landed: impl AsyncFn() -> bool) -> (Ledger, BTreeMap<String, Pair>) {
    let sums = |pairs: &BTreeMap<String, Pair>| -> Vec<[Option<u64>; 2]> {
        let total = |side: &Option<(String, EscrowRow)>| side.as_ref().map(|(_, row)| row.total.get());
        pairs.values().map(|pair| [total(&pair.payer), total(&pair.payee)]).collect()
    };
    for _ in 0..5 {
        until("everything that is held has landed", Duration::from_secs(60), &landed).await;
        let before = sums(&net.pairs());
        net.nobody_claims_more_than_was_signed().await;
        let (ledger, pairs) = (net.ledger().await, net.pairs());
        if sums(&pairs) == before && landed().await {
            return (ledger, pairs);
        }
    }
    panic!("payments do not come to rest");
}

/// Asks everybody to flush; true when every payee has landed what it holds and the payers have seen it.
pub async fn all_landed(net: &Net) -> bool {
    let mut done = true;
    for node in net.payers() {
        net.api(&node, "/api/flush", true).await;
        let gateway = net.gateway(&node).await;
        for lane in lanes(&gateway, "payee") {
            done &= lane["flushing"] == false && settled(&lane) == number(&lane["claimed"]);
        }
        for lane in lanes(&gateway, "payer") {
            done &= lane["flushing"] == false && settled(&lane) == number(&lane["total"]);
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    done
}

/// What was set off on the lanes that pay a node.
fn netted(net: &Net, node: &str) -> u64 {
    let pairs = net.pairs();
    let ours = pairs.values().filter_map(|pair| pair.payee.as_ref()).filter(|(name, _)| name == node);
    ours.map(|(_, row)| row.netted.get()).sum()
}

/// What of a lane landed or was set off.
fn settled(lane: &serde_json::Value) -> u64 {
    number(&lane["landed"]) + number(&lane["netted"])
}

pub fn the_asset_adds_up(net: &Net, ledger: &Ledger, pairs: &BTreeMap<String, Pair>) {
    let issuer = &net.devnet.state().money.as_ref().expect("money").issuer;
    let issued = ledger.moved[issuer].1 - ledger.moved[issuer].0;
    let sum: i64 = ledger.balances.values().map(|held| held.1).sum();
    eprintln!("issued {issued}, on all {} accounts {sum}", ledger.balances.len());
    assert_eq!(sum, issued);
    for (account, (_, asset)) in ledger.balances.iter().filter(|(account, _)| *account != issuer) {
        let (came, went) = ledger.moved.get(account).copied().unwrap_or_default();
        assert_eq!(*asset, came - went, "{account}");
    }
    // Every escrow by its two ends, then every node by its escrows.
    let (mut deposited, mut received) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
    let mut used = 0;
    for (escrow, pair) in pairs {
        let Some((_, balance)) = ledger.balances.get(escrow) else {
            continue; // its key was chosen, its account never made
        };
        // What a settlement of both directions takes out and puts back in the same transaction moved nothing.
        let (came, left) = ledger.moved.get(escrow).copied().unwrap_or_default();
        let deposit = pair.payer.as_ref().map_or(0, |(_, row)| row.deposit.as_i64()).min(came);
        let (came, left) = (deposit, left - (came - deposit));
        let (payer, signed) = pair.payer.as_ref().expect("every escrow has a payer");
        *deposited.entry(payer).or_default() += came;
        let Some((payee, held)) = &pair.payee else {
            assert_eq!(left, 0, "{escrow} paid somebody that has no books of it");
            continue;
        };
        *received.entry(payee).or_default() += left;
        used += usize::from(left > 0);
        eprintln!(
            "{payer:8} -> {payee:8} deposit {came} signed {} credited {} landed {left} left {balance}",
            signed.total.get(),
            held.total.get()
        );
        let left = u64::try_from(left).expect("an amount");
        assert_eq!((held.landed.get(), signed.landed.get()), (left, left), "{escrow}: both ends know what landed");
        assert!(left + signed.netted.get() <= signed.total.get(), "{escrow}: {payee} got more than {payer} signed");
        assert_eq!(held.netted, signed.netted, "{escrow}: both ends know what was set off");
        assert!(held.total.get() <= left + held.netted.get(), "{escrow}: credited and not landed");
    }
    assert!(used >= 3, "client, guard, middle and exit: at least three links were paid over, not {used}");
    for account in ledger.balances.keys().filter(|a| ledger.moved.contains_key(*a) && *a != issuer) {
        let of_node = || net.devnet.state().nodes.iter().any(|node| node.accounts().any(|own| own == account));
        let known = pairs.contains_key(account) || of_node();
        assert!(known, "{account} had the asset and belongs to nobody");
    }
    for node in net.payers() {
        let accounts: Vec<&String> = net.devnet.node(&node).expect("node").accounts().collect();
        let purse = PURSE * i64::try_from(accounts.len()).expect("few");
        let of = |all: &BTreeMap<&str, i64>| all.get(node.as_str()).copied().unwrap_or(0);
        let (out, back) = (of(&deposited), of(&received));
        let held: i64 = accounts.iter().map(|account| ledger.balances[*account].1).sum();
        eprintln!("{node:8} holds {held} = {purse} - {out} deposited + {back} landed");
        assert_eq!(held, purse - out + back, "{node}");
    }
}

pub fn native_adds_up(net: &Net, ledger: &Ledger) {
    let native: i64 = ledger.balances.values().map(|held| held.0).sum();
    let fees: i64 = ledger.fees.values().sum();
    eprintln!(
        "native {native} + fees {fees} = {}; {} transactions, {} of them failed",
        ledger.total_coins, ledger.transactions, ledger.failed
    );
    assert_eq!(native + fees, ledger.total_coins);
    assert_eq!(fees, ledger.fee_pool);
    for node in net.payers() {
        let accounts: Vec<&String> = net.devnet.node(&node).expect("node").accounts().collect();
        let of = |account: &String| ledger.fees.get(account).copied().unwrap_or(0);
        for account in &accounts {
            assert_eq!(ledger.balances[*account].0, NATIVE - of(account), "{node}: what is gone went into fees");
        }
        let fees: i64 = accounts.iter().map(|account| of(account)).sum();
        // What it wrote down may be less: a crash between landing and noting leaves a fee unnoted, never one too many.
        let noted = net.books(&node).fees;
        eprintln!("{node:8} paid {fees} in fees, noted {noted}");
    }
}
