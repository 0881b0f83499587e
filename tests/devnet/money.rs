//! The accounts of a network on the ledger's own program.
use magicwave::devnet::network::child::Running;
use magicwave::devnet::network::{NodeSpec, NodeView, Role, Topology, fund, http, ports};
use magicwave::units::Stroops;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

async fn ledger(dir: &std::path::Path) -> (Running, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free(1).expect("port")[0]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
    command.args(["devnet", "ledger", "--close-ms", "200", "--listen", &address.to_string(), "--state"]).arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running::start(command).expect("starts");
    let end = Instant::now() + Duration::from_secs(20);
    while !matches!(http::get(address, "/").await, Ok((200, _))) {
        assert!(Instant::now() < end && running.ended().is_none(), "the ledger does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (running, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wallet_gets_an_account_that_holds_what_the_topology_says() {
    let root = tempfile::tempdir().expect("temporary directory");
    let (_ledger, address) = ledger(&root.path().join("ledger")).await;
    let units = |n: u64| Stroops::new(n * 10_000_000).expect("in range");
    // More accounts than one transaction can carry signatures for.
    let relays = (0..40).map(|i| NodeSpec::ours(&format!("r{i}"), Role::Relay).paying(units(i)));
    let topology = Topology { nodes: relays.collect(), ledger: true, web: false };
    let mut nodes: Vec<_> = topology.nodes.iter().map(|n| NodeView::planned(n, root.path())).collect();
    for node in &nodes {
        std::fs::create_dir_all(&node.dir).expect("directory");
    }
    let purses = fund::wallets(&topology, &mut nodes).expect("wallets");
    let money = fund::fund(address, root.path(), &purses).await.expect("funded");
    for (i, node) in nodes.iter().enumerate() {
        let account = node.account.as_deref().expect("an account");
        let held = fund::balances(address, &money, account).await.expect("answer").expect("on the ledger");
        assert_eq!(held, ("140.0000000".to_owned(), format!("{i}.0000000")));
    }
    let poor = nodes[0].account.clone().expect("an account");
    fund::top_up(address, root.path(), &money, &poor, units(7)).await.expect("topped up");
    let held = fund::balances(address, &money, &poor).await.expect("answer").expect("on the ledger");
    assert_eq!(held.1, "7.0000000");
    assert!(fund::last_ledger(address).await.expect("number") > 2);
    let (status, issuer) = http::get(address, &format!("/accounts/{}", money.issuer)).await.expect("answer");
    let issuer: serde_json::Value = serde_json::from_slice(&issuer).expect("JSON");
    assert_eq!((status, &issuer["flags"]["auth_immutable"]), (200, &true.into()));
}
