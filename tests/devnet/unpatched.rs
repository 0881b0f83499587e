//! A hop that does not speak: the guard before it is paid, nobody behind it, and it never sees a payment cell.
use crate::common::Net;
use crate::common::audit::{lanes, number};
use magicwave::devnet::demo::download::{Go, download};
use magicwave::devnet::network::{Role, Topology};
use std::time::{Duration, Instant};

/// The default network, whose client goes over the unpatched relay whatever it does.
fn topology() -> Topology {
    let mut topology = Topology::default();
    for node in &mut topology.nodes {
        match node.name.as_str() {
            "stock1" => node.torrc.push("ProtocolWarnings 1".into()),
            "client1" => {
                node.torrc.retain(|line| !line.starts_with("MiddleNodes"));
                node.torrc.push("MiddleNodes stock1".into());
                // Two legs want two middles, and there is one.
                node.torrc.push("ConfluxEnabled 0".into());
                // tor looks for guards among its MiddleNodes unless it is told where else.
                node.torrc.push("EntryNodes relay1,relay2".into());
            }
            _ => {}
        }
    }
    topology.nodes.retain(|node| node.role != Role::Site);
    topology
}

#[tokio::test(flavor = "multi_thread")]
async fn over_an_unpatched_middle_the_guard_is_paid_and_nobody_behind_it() {
    let net = Net::up(topology()).await;
    let page = net.devnet.state().files.iter().find(|f| f.path == "/index.html").expect("a page").clone();
    let end = Instant::now() + Duration::from_secs(60);
    let mut pages = 0u64;
    // Small pages on one circuit until the guard has its first payment, which waits for the client's escrow.
    while paid(&net).await.is_none_or(|paid| paid[0] == 0) {
        assert!(Instant::now() < end, "the guard is not paid after {pages} pages");
        let patience = Duration::from_secs(20);
        let got = download(net.socks("client1"), "one", net.web(), &page.path, patience, |_, _| Go::On).await;
        let got = got.expect("a small download");
        assert!(got.whole && got.sha256 == page.sha256);
        pages += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    net.say(&format!("{pages} pages of {} bytes; paid per hop {:?}", page.bytes, paid(&net).await));

    let gateway = net.gateway("client1").await;
    let circuits = gateway["circuits"].as_array().expect("circuits");
    let mut crossing = 0;
    for hops in circuits.iter().map(|c| c["hops"].as_array().expect("hops")) {
        if let Some(at) = hops.iter().position(|h| h["nickname"] == "stock1") {
            crossing += 1;
            assert_eq!(hops[at]["speaks"], false);
            assert!(hops[..at].iter().all(|h| h["speaks"] == true));
            assert!(
                hops[at..].iter().all(|h| number(&h["paid"]) == 0),
                "paid behind a hop that does not speak: {hops:?}"
            );
        }
    }
    assert!(crossing > 0);
    // Links go from the client to guards, and no link joins two nodes that are not neighbours.
    assert!(lanes(&gateway, "payer").iter().any(|lane| number(&lane["total"]) > 0));
    let mut paid_guards = 0;
    for name in ["relay1", "relay2", "exit1", "exit2"] {
        let status = net.gateway(name).await;
        assert_eq!(lanes(&status, "payer").len(), 0, "{name} pays for a circuit that ends before the next hop");
        let held: u64 = lanes(&status, "payee").iter().map(|lane| number(&lane["total"])).sum();
        paid_guards += usize::from(held > 0);
        if name.starts_with("exit") {
            assert_eq!(
                (lanes(&status, "payee").len(), &status["sessions"]),
                (0, &0.into()),
                "{name} heard of somebody"
            );
        }
    }
    assert!(paid_guards > 0);
    net.nobody_claims_more_than_was_signed().await;

    // tor warns of a relay command that it does not know; ProtocolWarnings brings that into its log.
    let log = std::fs::read_to_string(&net.devnet.node("stock1").expect("node").log).expect("a log");
    assert!(log.contains("Bootstrapped 100%") && !log.contains("unknown relay command"), "{log}");
    net.devnet.stop().await.expect("stops");
}

/// What each hop of the client's busiest circuit over the unpatched relay was paid.
async fn paid(net: &Net) -> Option<Vec<u64>> {
    let gateway = net.gateway("client1").await;
    let circuits = gateway["circuits"].as_array().expect("circuits").clone();
    let hops = circuits.into_iter().map(|c| c["hops"].as_array().expect("hops").clone());
    let crossing = hops.filter(|hops| hops.len() == 3 && hops[1]["nickname"] == "stock1");
    crossing.map(|hops| hops.iter().map(|h| number(&h["paid"])).collect::<Vec<_>>()).max()
}
