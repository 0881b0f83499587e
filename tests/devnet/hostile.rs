//! Hostile peers on a real network: a client and a relay that say whatever they like in payment cells, against the
//! gateways of everybody else. Nobody falls, nobody pays what is not owed, and traffic goes on.
mod answers;
mod host;
mod words;

use crate::common::audit::{lanes, number};
use crate::common::traffic::Traffic;
use crate::common::{Net, until};
use crate::crash::{at_rest, native_adds_up, the_asset_adds_up};
use host::{Report, Side, most_cells};
use magicwave::devnet::demo::download::{Go, download};
use magicwave::devnet::network::node_config::PRICE;
use magicwave::devnet::network::{NodeSpec, NodeView, Role, Topology};
use magicwave::gateway::core::message::RefusalCode;
use magicwave::gateway::core::price;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Words behind `--` by which this program knows that it is to be a hostile node.
const CLIENT: &str = "hostile-client";
const RELAY: &str = "hostile-relay";
/// Where the relays of an honest path are.
const HONEST: [&str; 4] = ["relay1", "relay2", "exit1", "exit2"];
/// The most that a client pays ahead at one hop of one circuit (`pay.ahead_bytes` of these networks).
const WINDOW: u64 = 32 << 20;
/// What a relay of these networks serves before the first payment, cells.
const CREDIT: u64 = 127;
/// A node may grow by so much under attack, KiB; honest traffic, links and the store's cache among it.
const GROWTH: u64 = 16 << 10;

/// In the network below this is the program of the hostile nodes, with another seed when `MAGICWAVE_SEED` names one.
/// Started by itself it checks what they would say.
#[test]
fn a_hostile_host_draws_every_kind_of_words_from_its_seed() {
    let mut words = std::env::args().skip_while(|word| word != CLIENT && word != RELAY);
    let Some(side) = words.next() else { return words::check() };
    let side = if side == RELAY { Side::Relay } else { Side::Client };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seed = std::env::var("MAGICWAVE_SEED").map_or(20_260_101, |seed| seed.parse().expect("a number"));
    std::process::exit(runtime.block_on(host::run(side, seed, words.collect())));
}

/// Two guards and two exits that are honest, and a guard `bad1` that is not: `client1` never meets it, `client2` when
/// it is told to. `bad2` is the hostile client.
fn topology() -> Topology {
    let this = std::env::current_exe().expect("this program").display().to_string();
    let test = "hostile::a_hostile_host_draws_every_kind_of_words_from_its_seed";
    let hostile =
        |side: &str| [&this, test, "--exact", "--nocapture", "--", side].into_iter().map(String::from).collect();
    let mut topology = Topology::default();
    topology.nodes.retain(|node| !matches!(node.name.as_str(), "stock1" | "site1"));
    let client1 = topology.nodes.iter_mut().find(|node| node.name == "client1").expect("a client");
    client1.torrc.push("EntryNodes relay1,relay2".into());
    let purse = client1.funding.expect("paying").asset;
    let client2 = NodeSpec::ours("client2", Role::Client).paying(purse);
    let middle = format!("MiddleNodes {}", HONEST.join(","));
    let bad2 = NodeSpec::ours("bad2", Role::Client).run_by(hostile(CLIENT));
    topology
        .with(NodeSpec::ours("bad1", Role::Relay).run_by(hostile(RELAY)))
        .with(client2.with_torrc("EntryNodes relay1,relay2").with_torrc(middle.clone()))
        .with(bad2.with_torrc("EntryNodes relay1,relay2").with_torrc(middle))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_cells_at_client_and_relay_break_nobody_cost_nothing_and_traffic_goes_on() {
    let mut net = Net::up(topology()).await;
    let traffic = Traffic::begin(&net, "client1", "/1m.bin");
    net.fetch("client2", "before", "/1m.bin").await;
    until("honest clients pay", Duration::from_secs(40), || async {
        net.completed("client1").await >= 1 && net.completed("client2").await >= 1
    })
    .await;
    // From here on its circuits have the hostile relay first or in the middle, or by chance nowhere.
    net.steer("client2", "EntryNodes UseEntryGuards=0 MiddleNodes=bad1,relay1", &[]);
    let (before, resident) = (net.received().await, net.resident());
    net.say(&format!("the attack begins; so far received {before:?}"));

    // Streams make the circuits: of the hostile client, and of the honest one through the hostile relay.
    let opened: Vec<_> = (0..8).map(|n| net.begin_download("bad2", &format!("b{n}"), "/index.html")).collect();
    let mut through: Vec<_> = (0..8).map(|n| net.begin_download("client2", &format!("c{n}"), "/1m.bin")).collect();
    let mut asked = 0;
    until("the hostile cells are out", Duration::from_secs(60), || {
        asked += 1;
        // Chance makes the paths: more of them until one was paid for as far as it goes.
        if asked % 8 == 0 {
            through.push(net.begin_download("client2", &format!("more{asked}"), "/1m.bin"));
        }
        let (net, traffic) = (&net, &traffic);
        async move {
            net.the_client_owes_no_more_than_it_counted(&net.gateway("client2").await);
            let (relay, client) = (net.report("bad1"), net.report("bad2"));
            let enough = client.sent >= most_cells() * 8 / 10 && relay.sent >= 1_000 && relay.heard.contains_key(&4);
            enough && traffic.counts().0 >= 3
        }
    })
    .await;
    let (relay, client) = (net.report("bad1"), net.report("bad2"));
    net.say(&format!("relay {relay:?}"));
    net.say(&format!("client {client:?}"));

    // They arrived, were judged, and nobody fell. A circuit that closes takes some with it, and the
    // relay spoke to its neighbours, too.
    until("the cells have arrived", Duration::from_secs(20), || async {
        let after = net.received().await;
        let grown = |name: &str| after[name] - before[name];
        let at_relays: u64 = HONEST.iter().map(|name| grown(name)).sum();
        at_relays >= client.sent * 9 / 10 && grown("client2") >= relay.sent / 4
    })
    .await;
    through.into_iter().chain(opened).for_each(|task| task.abort());
    net.devnet.check_alive().expect("everybody lives");
    assert!(client.talks >= 8 && relay.talks >= 1, "talk of link partners: {} and {}", client.talks, relay.talks);
    for code in [RefusalCode::UNKNOWN_TYPE, RefusalCode::BAD_VERSION, RefusalCode::MALFORMED, RefusalCode::UNEXPECTED] {
        assert!(client.refused.contains_key(&code.0), "no relay said {code:?}: {:?}", client.refused);
    }
    // A receipt, a signature or a claim would be something of worth: nobody gave any.
    for kind in [7, 9, 36, 37, 39, 41] {
        assert!(!relay.heard.contains_key(&kind) && !client.heard.contains_key(&kind), "type {kind} was said");
    }
    let gateway = net.gateway("client2").await;
    let refused = gateway["refused"].as_array().expect("a list");
    let forged = refused.iter().filter(|r| r["who"] == "bad1" && r["by_us"] == true);
    let codes: Vec<_> = forged.map(|r| number(&r["code"])).collect();
    assert!(codes.contains(&RefusalCode::BAD_MAC.0.into()), "the client took everything: {refused:?}");
    net.nobody_grew_beyond(&resident);

    // The client that was attacked goes over honest hops now, and pays them.
    let paid = net.completed("client2").await;
    net.steer(
        "client2",
        &format!("EntryNodes=relay1,relay2 UseEntryGuards=1 MiddleNodes={}", HONEST.join(",")),
        &["bad1"],
    );
    net.fetch("client2", "after", "/8m.bin").await;
    until("its payees confirm", Duration::from_secs(30), || async { net.completed("client2").await > paid }).await;
    let (whole, broken, _) = traffic.end().await;
    net.say(&format!("client1: {whole} downloads whole, {broken} broken"));
    assert!(broken == 0, "the honest client lost {broken} downloads");
    for client in ["client1", "client2"] {
        // A payment that is under way counts once its receipt is there.
        let paid = async || charged(&net.gateway(client).await);
        until("every hop is paid for what it carried", Duration::from_secs(60), async || paid().await.is_ok()).await;
        assert!(paid().await.expect("every hop is paid") > 0, "{client} has no circuit that carried the file");
    }
    net.money_adds_up().await;
    net.nothing_was_lost_but_what_was_given_up("client2").await;
    net.devnet.check_alive().expect("everybody lives");
    net.devnet.stop().await.expect("stops");
}

/// Circuits over honest hops that carried a megabyte, if every hop was paid for what both counted, and not more than
/// that and the window.
fn charged(gateway: &Value) -> Result<usize, String> {
    let mut seen = 0;
    for circuit in gateway["circuits"].as_array().expect("circuits") {
        let hops = circuit["hops"].as_array().expect("hops");
        if hops.len() < 3 || hops.iter().any(|hop| hop["nickname"] == "bad1" || number(&hop["inward"]) < 2_000) {
            continue;
        }
        seen += 1;
        for hop in hops {
            let (cells, paid) = (number(&hop["inward"]) + number(&hop["outward"]), number(&hop["paid"]));
            let least = PRICE.of_cells(cells.saturating_sub(CREDIT)).expect("in range").get();
            let most = PRICE.of_cells(cells).expect("in range").get() + window(PRICE);
            assert!(paid <= most, "{cells} cells, paid {paid}, more than {most}: {hop}");
            assert_eq!(hop["stamped"]["client"]["inward"], hop["stamped"]["hop"]["inward"], "{hop}");
            if paid < least {
                return Err(format!("{cells} cells, paid {paid}, less than {least}: {hop}"));
            }
        }
    }
    Ok(seen)
}

/// What one payee was to get for its own service out of a payment.
fn share(payment: &Value, payee: &str) -> Option<u64> {
    let payees = payment["payees"].as_array().expect("payees");
    payees.iter().find(|share| share["name"] == payee).map(|share| number(&share["due"]))
}

fn window(price: magicwave::units::Price) -> u64 {
    price::of_bytes(price, WINDOW).expect("in range").get()
}

impl Net {
    fn report(&self, name: &str) -> Report {
        Report::of(&self.devnet.node(name).expect("node").dir)
    }

    /// Payment cells that each payer's tor received. Every gateway answers, and none is out of order.
    async fn received(&self) -> BTreeMap<String, u64> {
        let mut received = BTreeMap::new();
        for node in self.payers() {
            let status = self.api(&node, "/api/status", false).await;
            assert_eq!(
                (&status["tor"]["poisoned"], &status["tor"]["bootstrap"]),
                (&false.into(), &100.into()),
                "{node}"
            );
            received.insert(node, number(&status["tor"]["cells"]["received"]));
        }
        received
    }

    /// KiB of memory of every payer.
    fn resident(&self) -> BTreeMap<String, u64> {
        let of = |name: &String| {
            let pid = self.devnet.node(name).expect("node").process.expect("runs").pid;
            let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        self.payers().into_iter().map(|name| (name.clone(), of(&name))).collect()
    }

    fn nobody_grew_beyond(&self, before: &BTreeMap<String, u64>) {
        let after = self.resident();
        self.say(&format!("memory in KiB: {before:?}, then {after:?}"));
        for (name, kib) in after {
            assert!(kib <= before[&name] + GROWTH, "{name} grew from {} to {kib} KiB", before[&name]);
        }
    }

    fn begin_download(&self, client: &str, user: &str, path: &'static str) -> tokio::task::JoinHandle<()> {
        let (socks, web, user) = (self.socks(client), self.web(), user.to_owned());
        tokio::spawn(async move {
            // What becomes of it is the hostile relay's business.
            let _ = download(socks, &user, web, path, Duration::from_secs(30), |_, _| Go::On).await;
            std::future::pending::<()>().await;
        })
    }

    fn the_client_owes_no_more_than_it_counted(&self, gateway: &Value) {
        let circuits = gateway["circuits"].as_array().expect("circuits").iter();
        for hop in circuits.flat_map(|c| c["hops"].as_array().expect("hops")).filter(|h| h["nickname"] == "bad1") {
            let (cells, paid) = (number(&hop["inward"]) + number(&hop["outward"]), number(&hop["paid"]));
            let most = words::PRICE.of_cells(cells).expect("in range").get() + window(words::PRICE);
            assert!(paid <= most, "{cells} cells, {paid} set aside for the hostile relay, most {most}");
        }
    }

    /// A file that arrives whole.
    async fn fetch(&self, client: &str, user: &str, path: &str) {
        let wanted = self.devnet.state().files.iter().find(|f| f.path == path).expect("a file");
        let patience = Duration::from_secs(60);
        let got = download(self.socks(client), user, self.web(), &wanted.path, patience, |_, _| Go::On).await;
        let got = got.expect("a download");
        assert_eq!((got.whole, got.bytes, &got.sha256), (true, wanted.bytes, &wanted.sha256));
        self.say(&format!("{client}: {} bytes in {:?}", got.bytes, got.took));
    }

    /// Sets options of a client's tor and has it build new circuits, without authorities and these relays.
    fn steer(&self, client: &str, options: &str, without: &[&str]) {
        let node = self.devnet.node(client).expect("node");
        let bad = |n: &&NodeView| n.role == Role::Authority || without.contains(&n.name.as_str());
        let bad: Vec<_> = self.devnet.state().nodes.iter().filter(bad).filter_map(|n| n.fingerprint.clone()).collect();
        let set = format!("SETCONF ExcludeNodes={} {options}", bad.join(","));
        let mut socket = UnixStream::connect(&node.control).expect("a control socket");
        write!(socket, "AUTHENTICATE\r\n{set}\r\nSIGNAL NEWNYM\r\nQUIT\r\n").expect("written");
        let mut said = String::new();
        socket.read_to_string(&mut said).expect("an answer");
        assert_eq!(said.matches("250 ").count(), 4, "{said}");
    }

    /// No payment with the hostile relay came to its end. What the client signed and its guards did not credit it is
    /// what those payments came to, each at most one window for the hostile relay: so much its words can spoil.
    async fn nothing_was_lost_but_what_was_given_up(&self, client: &str) {
        let (mut spoilt, mut given_up) = (0, 0);
        for payment in self.api(client, "/api/payments?limit=10000", false).await.as_array().expect("a list") {
            if payment["state"] == "complete" {
                assert!(share(payment, "bad1").is_none(), "the hostile relay was paid: {payment}");
                continue;
            }
            let most = words::PRICE.of_cells(4_096).expect("in range").get() + window(words::PRICE);
            assert!(share(payment, "bad1").unwrap_or(0) <= most, "{payment}");
            given_up += number(&payment["total"]);
            spoilt += 1;
        }
        let (mut signed, mut credited) = (0, 0);
        for pair in self.pairs().values() {
            if let Some((_, lane)) = pair.payer.as_ref().filter(|(payer, _)| payer == client) {
                signed += lane.total.get();
                credited += pair.payee.as_ref().map_or(0, |(_, lane)| lane.total.get());
            }
        }
        let lost = signed - credited;
        self.say(&format!("{client} signed {signed}, {credited} credited; {spoilt} payments of {given_up} given up"));
        assert!(lost <= given_up, "{client} lost {lost}, and gave up {given_up}");
    }

    /// Every payee lands what it holds; then the ledger is what all books say, and escrows that nobody honest is the
    /// payee of never held anything.
    async fn money_adds_up(&self) {
        let (ledger, pairs) = at_rest(self, async || self.has_landed().await).await;
        the_asset_adds_up(self, &ledger, &pairs);
        native_adds_up(self, &ledger);
        let lonely = pairs.iter().filter(|(_, pair)| pair.payee.is_none());
        let made: Vec<_> = lonely.filter(|(escrow, _)| ledger.balances.contains_key(*escrow)).collect();
        for (escrow, pair) in &made {
            assert_eq!(ledger.moved.get(*escrow), None, "{pair:?}");
            assert_eq!(ledger.balances[*escrow].1, 0, "{pair:?}");
        }
        self.say(&format!("{} escrow accounts made for hostile payees, none of them funded", made.len()));
        for node in self.payers() {
            assert_eq!(self.books(&node).wrong, Vec::<String>::new(), "{node}");
        }
    }

    /// Asks everybody to flush; true when both ends of every lane know that what its payee holds is on the ledger.
    async fn has_landed(&self) -> bool {
        let (mut held, mut done) = (BTreeMap::new(), true);
        for node in self.payers() {
            self.api(&node, "/api/flush", true).await;
            for lane in lanes(&self.gateway(&node).await, "payee") {
                let settled = number(&lane["landed"]) + number(&lane["netted"]);
                done &= lane["flushing"] == false && settled == number(&lane["claimed"]);
                held.insert(lane["escrow"].as_str().expect("escrow").to_owned(), number(&lane["landed"]));
            }
        }
        for node in self.payers() {
            for lane in lanes(&self.gateway(&node).await, "payer") {
                let landed = held.get(lane["escrow"].as_str().expect("escrow")).copied().unwrap_or(0);
                done &= lane["flushing"] == false && number(&lane["landed"]) == landed;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        done
    }
}
