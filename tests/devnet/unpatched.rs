//! A hop that does not speak: the guard before it is paid, nobody behind it, and it never sees a payment cell.
use crate::common::Net;
use crate::common::audit::{lanes, number};
use magicwave::devnet::demo::download::{Go, download};
use magicwave::devnet::network::{NodeSpec, Role, Topology};
use magicwave::units::Stroops;
use std::time::{Duration, Instant};

/// The client goes over the unpatched relay whatever it does.
fn topology() -> Topology {
    let purse = Stroops::new(1_000 * 10_000_000).expect("in range");
    let nodes = vec![
        NodeSpec::ours("auth1", Role::Authority),
        NodeSpec::ours("relay1", Role::Relay).paying(purse),
        NodeSpec::ours("exit1", Role::Exit).paying(purse),
        NodeSpec::stock("stock1", Role::Middle).with_torrc("ProtocolWarnings 1"),
        NodeSpec::ours("client1", Role::Client).paying(purse).with_torrc("MiddleNodes stock1"),
    ];
    Topology { nodes, ledger: true, web: true }
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
    assert_eq!(lanes(&gateway, "payer").len(), 1, "one link, with the guard");
    assert!(number(&lanes(&gateway, "payer")[0]["total"]) > 0);
    let (relay, exit) = (net.gateway("relay1").await, net.gateway("exit1").await);
    assert_eq!(lanes(&relay, "payee").len(), 1);
    assert_eq!((lanes(&relay, "payer").len(), exit["links"].as_array().map(Vec::len)), (0, Some(0)));
    assert_eq!(exit["sessions"], 0, "the exit heard of nobody");

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
