//! Two servers of one ledger: what only one of them says does not count. Behind both stands the embedded ledger.
use crate::stellar_server::{Reply, Server, json, not_found};
use magicwave::devnet::ledger::http::{Node, NodeConfig, serve};
use magicwave::gateway::port::{LedgerCall, LedgerResult};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::horizon::{Endpoint, HorizonLedger, LoopbackAddr, Timing, WitnessedLedger};
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, Signed, Source, ops};
use magicwave::units::Stroops;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

const PASSPHRASE: &str = "a ledger of two servers";

fn at(addr: SocketAddr) -> HorizonLedger {
    let addr = LoopbackAddr::try_from(addr).expect("loopback");
    let short = Duration::from_millis(50);
    let timing = Timing { poll: short, tries: 1, looks: 40, ..Timing::devnet() };
    HorizonLedger::new(Endpoint::loopback(addr).expect("an endpoint"), timing)
}

/// The embedded ledger behind two ports.
async fn two_servers() -> [SocketAddr; 2] {
    let config = NodeConfig { close_every: Duration::from_millis(200), ..NodeConfig::new(PASSPHRASE) };
    let node = Node::in_memory(config).expect("a ledger");
    let mut addrs = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        addrs.push(listener.local_addr().expect("bound"));
        tokio::spawn(serve(listener, node.clone()));
    }
    [addrs[0], addrs[1]]
}

fn root() -> SecretSeed {
    SecretSeed::from_bytes(&NetworkId::of(PASSPHRASE).0)
}

async fn source_of(ledger: &HorizonLedger) -> Source {
    let sequence = ledger.account(&root().public()).await.expect("read").expect("exists").sequence;
    Source { network: NetworkId::of(PASSPHRASE), account: root().public(), sequence, fee_per_op: 100, max_time: 0 }
}

fn create(source: &Source, byte: u8) -> Signed {
    let new = SecretSeed::from_bytes(&[byte; 32]).public();
    let create = ops::create_account(None, &new, Stroops::new(50_000_000).expect("in range"));
    template::batch(source, vec![create]).expect("valid").sign(&[&root()]).expect("one")
}

async fn new_account(ledger: &HorizonLedger, byte: u8) -> Signed {
    create(&source_of(ledger).await, byte)
}

fn submit(signed: &Signed) -> LedgerCall {
    LedgerCall::Submit { tag: 1, envelope: signed.to_xdr().expect("small"), hash: signed.hash() }
}

fn differs(result: &LedgerResult) -> bool {
    matches!(result, LedgerResult::Unknown { why } if why.contains("differ"))
}

#[tokio::test]
async fn what_both_servers_show_counts() {
    let [one, two] = two_servers().await;
    let both = WitnessedLedger::new(at(one), Some(at(two)));
    let signed = new_account(&at(one), 7).await;
    assert!(matches!(both.call(submit(&signed)).await.result, LedgerResult::Landed { success: true, fee: 100, .. }));
    let look = both.call(LedgerCall::Transaction { tag: 2, hash: signed.hash() }).await;
    assert!(matches!(look.result, LedgerResult::Landed { success: true, .. }) && look.tag == 2);
    let account = SecretSeed::from_bytes(&[7; 32]).public();
    let LedgerResult::Account(view) = both.call(LedgerCall::Account { tag: 3, account }).await.result else {
        panic!("no account")
    };
    assert_eq!((view.account, view.native), (account, 50_000_000));
    let nobody = SecretSeed::from_bytes(&[8; 32]).public();
    assert_eq!(both.call(LedgerCall::Account { tag: 4, account: nobody }).await.result, LedgerResult::NotFound);
    // The number is used: both know no such transaction, and the first one refuses it.
    let late = new_account(&at(one), 9).await;
    assert!(matches!(both.call(submit(&late)).await.result, LedgerResult::Landed { .. }));
    let again = create(&Source { sequence: 0, ..source_of(&at(one)).await }, 10);
    assert_eq!(both.call(submit(&again)).await.result, LedgerResult::Rejected { code: "tx_bad_seq".into() });
}

#[tokio::test]
async fn a_server_that_invents_landed_transactions_and_accounts_is_not_believed_in_either_place() {
    let [honest, _] = two_servers().await;
    let hash = [9; 32];
    let landed = || {
        json(
            200,
            serde_json::json!({
                "hash": hex::encode([9; 32]), "ledger": 5, "successful": true, "fee_charged": "100",
            }),
        )
    };
    let liar =
        Server::start(move |asked, _| if asked.contains("/transactions") { landed() } else { not_found() }).await;
    for [first, second] in [[liar.addr, honest], [honest, liar.addr]] {
        let both = WitnessedLedger::new(at(first), Some(at(second)));
        let look = both.call(LedgerCall::Transaction { tag: 1, hash }).await.result;
        assert!(differs(&look), "{look:?}");
        // It hides the account that is there.
        let view = both.call(LedgerCall::Account { tag: 2, account: root().public() }).await.result;
        assert!(differs(&view), "{view:?}");
    }
    // Submitted to the liar first: it takes nothing to any ledger, and that shows.
    let mine = new_account(&at(honest), 7).await;
    let invented = hex::encode(mine.hash());
    let liar = Server::start(move |_, _| {
        json(200, serde_json::json!({ "hash": invented, "ledger": 5, "successful": true, "fee_charged": "100" }))
    })
    .await;
    let both = WitnessedLedger::new(at(liar.addr), Some(at(honest)));
    let result = both.call(submit(&mine)).await.result;
    assert!(differs(&result), "{result:?}");
}

#[tokio::test]
async fn an_outage_of_one_server_stops_answers_and_not_submissions() {
    let [honest, _] = two_servers().await;
    let dead = Server::start(|_, _| Reply::Close).await;
    let both = WitnessedLedger::new(at(dead.addr), Some(at(honest)));
    let signed = new_account(&at(honest), 7).await;
    assert!(matches!(both.call(submit(&signed)).await.result, LedgerResult::Unknown { .. }));
    let look = at(honest).call(LedgerCall::Transaction { tag: 1, hash: signed.hash() }).await.result;
    assert!(matches!(look, LedgerResult::Landed { success: true, .. }), "the second server took it: {look:?}");
    let look = both.call(LedgerCall::Transaction { tag: 1, hash: signed.hash() }).await.result;
    assert!(matches!(look, LedgerResult::Unknown { .. }));
}

#[tokio::test]
async fn nothing_counts_before_the_servers_have_said_that_they_are_on_our_network() {
    let [one, two] = two_servers().await;
    let account = root().public();
    let ask = || LedgerCall::Account { tag: 7, account };
    let ours = WitnessedLedger::new(at(one), Some(at(two))).on(NetworkId::of(PASSPHRASE), &Asset::Native);
    assert!(matches!(ours.call(ask()).await.result, LedgerResult::Account(_)));
    ours.check().await.expect("our network");
    let other = WitnessedLedger::new(at(one), None).on(NetworkId::of("another ledger"), &Asset::Native);
    let answer = other.call(ask()).await;
    assert!(answer.tag == 7 && matches!(answer.result, LedgerResult::Unknown { .. }), "{answer:?}");
    assert_eq!(other.check().await.expect_err("another network").code, "MW-HZN-8");
    // A server that cannot be asked may be ours.
    let silent = Server::start(|_, _| Reply::Close).await;
    let away = WitnessedLedger::new(at(silent.addr), None).on(NetworkId::of(PASSPHRASE), &Asset::Native);
    assert_ne!(away.check().await.expect_err("no answer").code, "MW-HZN-8");
}

#[tokio::test]
async fn nothing_counts_before_the_issuer_has_given_up_what_it_could_take_back() {
    let [one, two] = two_servers().await;
    let issuer = SecretSeed::from_bytes(&[7; 32]);
    let asset = Asset::credit("WAVE", issuer.public()).expect("an asset");
    let ours = WitnessedLedger::new(at(one), Some(at(two))).on(NetworkId::of(PASSPHRASE), &asset);
    assert_eq!(ours.check().await.expect_err("no issuer").code, "MW-ESC-31");
    let plain = WitnessedLedger::new(at(one), Some(at(two)));
    plain.call(submit(&new_account(&at(one), 7).await)).await;
    assert_eq!(ours.check().await.expect_err("not fixed").code, "MW-ESC-30");
    let ask = || LedgerCall::Account { tag: 7, account: issuer.public() };
    assert!(matches!(ours.call(ask()).await.result, LedgerResult::Unknown { .. }));
    let sequence = at(one).account(&issuer.public()).await.expect("read").expect("exists").sequence;
    let source = Source { account: issuer.public(), sequence, ..source_of(&at(one)).await };
    let fixed = template::set_flags(&source, ops::AUTH_IMMUTABLE, 0).expect("valid").sign(&[&issuer]).expect("one");
    plain.call(submit(&fixed)).await;
    ours.check().await.expect("fixed for good");
    assert!(matches!(ours.call(ask()).await.result, LedgerResult::Account(_)));
}
