//! A paid download over the two legs of a conflux set.
use crate::common::Net;
use crate::common::audit::number;
use crate::crash::{all_landed, at_rest, native_adds_up, the_asset_adds_up};
use magicwave::devnet::demo::download::{Go, download};
use magicwave::devnet::demo::legs;
use magicwave::devnet::network::Topology;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_download_over_two_legs_pays_the_hops_of_both_and_the_sums_are_exact() {
    let net = Net::up(Topology::default()).await;
    let file = net.devnet.state().files.iter().find(|f| f.path == "/20m.bin").expect("a file of 20 MiB").clone();
    // The first opens the links on the way, and tor may still be at the second leg.
    let mut set = Vec::new();
    for round in 0..5 {
        let patience = Duration::from_secs(120);
        let got = download(net.socks("client1"), "legs", net.web(), &file.path, patience, |_, _| Go::On).await;
        let got = got.expect("a download");
        assert!(got.whole && got.sha256 == file.sha256, "{got:?}");
        let gateway = net.gateway("client1").await;
        set = circuits_of_set(&gateway);
        net.say(&format!("round {round}: {:.0} KiB/s, {}", got.kib_s(), paid(&set)));
        let all_paid = |c: &Value| c["hops"].as_array().expect("hops").iter().all(|h| number(&h["paid"]) > 0);
        if round > 0 && set.len() == 2 && set.iter().all(all_paid) {
            break;
        }
    }
    assert_eq!(set.len(), 2, "{set:?}");
    for circuit in &set {
        let hops = circuit["hops"].as_array().expect("hops");
        assert_eq!(hops.len(), 3, "{circuit}");
        for hop in hops {
            assert!(number(&hop["paid"]) > 0, "not paid: {circuit}");
            assert!(number(&hop["stamped"]["client"]["inward"]) > 0, "{circuit}");
            assert_eq!(
                hop["stamped"]["client"]["inward"], hop["stamped"]["hop"]["inward"],
                "client and relay count differently: {circuit}"
            );
        }
        // A leg that carries next to nothing would show nothing.
        assert!(number(&hops[0]["inward"]) > 2_000, "{circuit}");
    }
    let gateway = net.gateway("client1").await;
    assert_eq!(legs(&json!({"gateway": gateway})).len(), 2, "the demo sees the same set");
    let (ledger, pairs) = at_rest(&net, async || all_landed(&net).await).await;
    the_asset_adds_up(&net, &ledger, &pairs);
    native_adds_up(&net, &ledger);
    for node in net.payers() {
        assert_eq!(net.books(&node).wrong, Vec::<String>::new(), "{node}");
    }
    net.devnet.stop().await.expect("stops");
}

/// The legs of the client's busiest set.
fn circuits_of_set(gateway: &Value) -> Vec<Value> {
    let circuits = gateway["circuits"].as_array().expect("circuits");
    let busiest = circuits.iter().max_by_key(|c| number(&c["hops"][0]["inward"])).expect("a circuit");
    circuits.iter().filter(|c| !c["set"].is_null() && c["set"] == busiest["set"]).cloned().collect()
}

/// For the log: who got what on which leg.
fn paid(set: &[Value]) -> String {
    let hop = |h: &Value| format!("{} {}", h["nickname"], h["paid"]);
    let leg = |c: &Value| c["hops"].as_array().expect("hops").iter().map(hop).collect::<Vec<_>>().join(", ");
    set.iter().map(leg).collect::<Vec<_>>().join(" | ")
}
