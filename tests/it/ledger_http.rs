//! The server from outside, over a socket on loopback.
use crate::ledger_engine::{create, id, key, op, pay, signed, tx};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use magicwave::devnet::ledger::http::{Node, NodeConfig, serve};
use magicwave::devnet::ledger::xdr::{self, Limits, WriteXdr};
use magicwave::devnet::ledger::{Frame, network_id, view};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NETWORK: &str = "Http Test ; November 2026";

struct Server {
    address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn quick() -> NodeConfig {
    let mut config = NodeConfig::new(NETWORK);
    config.close_every = Duration::from_millis(100);
    config.submit_timeout = Duration::from_secs(20);
    config
}

async fn start(node: Arc<Node>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let task = tokio::spawn(async move {
        serve(listener, node).await.expect("serving");
    });
    Server { address, task }
}

impl Server {
    async fn raw(&self, request: String) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // a refusal of a long body may close the connection before all of it was read
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8(answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let status = head[9..12].parse().expect("a status");
        (status, head.to_lowercase(), serde_json::from_str(body).expect("json"))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let (status, _, body) = self.raw(request).await;
        (status, body)
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String, Value) {
        let kind = "application/x-www-form-urlencoded";
        let (host, length) = (&self.address, body.len());
        self.raw(format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn submit(&self, path: &str, envelope: &str) -> (u16, Value) {
        let form = format!("tx={}", envelope.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
        let (status, _, body) = self.post(path, &form).await;
        (status, body)
    }

    async fn fund(&self, key: &SigningKey) -> i64 {
        let (status, body) = self.get(&format!("/friendbot?addr={}", view::address(&id(key)))).await;
        assert_eq!(status, 200, "{body}");
        self.seq(key).await
    }

    async fn account(&self, key: &SigningKey) -> Value {
        self.get(&format!("/accounts/{}", view::address(&id(key)))).await.1
    }

    async fn seq(&self, key: &SigningKey) -> i64 {
        self.account(key).await["sequence"].as_str().expect("a sequence").parse().expect("a number")
    }
}

fn envelope(tx: xdr::Transaction, signers: &[&SigningKey]) -> String {
    let envelope = xdr::TransactionEnvelope::Tx(signed(&network_id(NETWORK), tx, signers));
    STANDARD.encode(envelope.to_xdr(Limits::none()).expect("xdr"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_funded_paid_and_shown_as_horizon_shows_them() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    let (a, b) = (key(1), key(2));
    // One after the other: newcomers who ask together share a transaction.
    let seq = server.fund(&a).await;
    server.fund(&b).await;
    let payment = envelope(tx(&a, seq + 1, 100, vec![op(None, pay(&b, 15_000_000))]), &[&a]);
    let (status, body) = server.submit("/transactions", &payment).await;
    assert_eq!((status, &body["successful"], &body["fee_charged"]), (200, &true.into(), &"100".into()), "{body}");
    let typed: stellar_horizon::resources::Transaction = serde_json::from_value(body.clone()).expect("a transaction");
    assert_eq!((typed.envelope_xdr.as_str(), typed.operation_count), (payment.as_str(), 1));

    let account = server.account(&a).await;
    let typed: stellar_horizon::resources::Account = serde_json::from_value(account.clone()).expect("an account");
    assert_eq!(typed.balances[0].balance, "9998.4999900");
    assert_eq!(account["sequence_ledger"], body["ledger"]);
    assert_eq!(account["signers"][0]["type"], "ed25519_public_key");

    let hash = body["hash"].as_str().expect("a hash");
    let (status, again) = server.get(&format!("/transactions/{hash}")).await;
    assert_eq!((status, &again["result_xdr"]), (200, &body["result_xdr"]));
    let (status, resubmitted) = server.submit("/transactions", &payment).await;
    assert_eq!((status, &resubmitted["hash"]), (200, &body["hash"]), "submitting twice lands once");

    let path = format!("/accounts/{}/transactions?order=desc&limit=1", view::address(&id(&a)));
    let (_, page) = server.get(&path).await;
    assert_eq!(page["_embedded"]["records"][0]["hash"], body["hash"]);
    let next = page["_links"]["next"]["href"].as_str().expect("a link");
    let next = next.split_once(&server.address).expect("this server").1.to_owned();
    let (_, older) = server.get(&next).await;
    let records = older["_embedded"]["records"].as_array().expect("records");
    assert_eq!((records.len(), &records[0]["operation_count"]), (1, &1.into()), "the gift");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_failures_come_as_error_documents_with_result_codes() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    let (a, b) = (key(1), key(2));
    let seq = server.fund(&a).await;
    let ops = vec![op(None, create(&b, 10_000_000)), op(None, pay(&b, i64::MAX))];
    let (status, body) = server.submit("/transactions", &envelope(tx(&a, seq + 1, 200, ops), &[&a])).await;
    assert_eq!((status, body["type"].as_str()), (400, Some("https://stellar.org/horizon-errors/transaction_failed")));
    let codes = &body["extras"]["result_codes"];
    assert_eq!(codes["transaction"], "tx_failed");
    assert_eq!(codes["operations"], serde_json::json!(["op_success", "op_line_full"]));
    let typed: stellar_horizon::horizon_error::HorizonError = serde_json::from_value(body.clone()).expect("an error");
    assert!(matches!(typed, stellar_horizon::horizon_error::HorizonError::TransactionFailed(_)));

    let failed = body["extras"]["hash"].as_str().expect("a hash").to_owned();
    let path = format!("/accounts/{}/transactions?include_failed=", view::address(&id(&a)));
    let hashes = |page: Value| page["_embedded"]["records"].to_string();
    assert!(!hashes(server.get(&format!("{path}false")).await.1).contains(&failed));
    assert!(hashes(server.get(&format!("{path}true")).await.1).contains(&failed));

    let stale = envelope(tx(&a, seq + 1, 100, vec![op(None, pay(&a, 1))]), &[&a]);
    let (status, body) = server.submit("/transactions", &stale).await;
    assert_eq!((status, body["extras"]["result_codes"]["transaction"].as_str()), (400, Some("tx_bad_seq")));
    let inner = signed(&network_id(NETWORK), tx(&a, seq + 9, 100, vec![op(None, pay(&a, 1))]), &[&a]);
    let bumped = bumped(&a, 400, inner);
    let (_, body) = server.submit("/transactions", &bumped).await;
    assert_eq!(
        body["extras"]["result_codes"],
        serde_json::json!({"transaction": "tx_fee_bump_inner_failed", "inner_transaction": "tx_bad_seq"})
    );
}

fn bumped(payer: &SigningKey, fee: i64, inner: xdr::TransactionV1Envelope) -> String {
    let ledger = magicwave::devnet::ledger::Ledger::new(&magicwave::devnet::ledger::Genesis::standalone(NETWORK, 0));
    STANDARD.encode(crate::ledger_engine::bump(&ledger, payer, fee, inner).bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fee_bump_is_found_by_both_of_its_hashes() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    let (a, b) = (key(1), key(2));
    let (seq, _) = tokio::join!(server.fund(&a), server.fund(&b));
    let inner = signed(&network_id(NETWORK), tx(&a, seq + 1, 0, vec![op(None, pay(&b, 1))]), &[&a]);
    let alone = xdr::TransactionEnvelope::Tx(inner.clone());
    let inside = hex::encode(Frame::from_envelope(alone, &network_id(NETWORK)).expect("an envelope").hash());
    let (status, body) = server.submit("/transactions_async", &bumped(&b, 200, inner)).await;
    assert_eq!((status, body["tx_status"].as_str()), (201, Some("PENDING")));
    let outside = body["hash"].as_str().expect("a hash").to_owned();
    let mut tries = 0;
    while server.get(&format!("/transactions/{outside}")).await.0 == 404 {
        tries += 1;
        assert!(tries < 100, "it never landed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, by_outside) = server.get(&format!("/transactions/{outside}")).await;
    let (_, by_inside) = server.get(&format!("/transactions/{inside}")).await;
    assert_eq!((by_outside["hash"].as_str(), by_inside["hash"].as_str()), (Some(&*outside), Some(&*inside)));
    assert_eq!(by_inside["fee_bump_transaction"]["hash"], outside.as_str());
    assert_eq!(by_inside["inner_transaction"]["max_fee"], "0");
    assert_eq!(by_inside["fee_account"], view::address(&id(&b)));
    assert_eq!(by_inside["fee_charged"], "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_gets_a_clear_400_and_the_server_goes_on() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    for (body, kind) in [
        ("tx=!!!", "transaction_malformed"),
        ("tx=AAAA", "transaction_malformed"),
        ("", "bad_request"),
        ("other=1", "bad_request"),
        ("tx=%FF", "transaction_malformed"),
    ] {
        for path in ["/transactions", "/transactions_async"] {
            let (status, head, answer) = server.post(path, body).await;
            assert_eq!(status, 400, "{path} {body}: {answer}");
            assert!(head.contains("application/problem+json"), "{head}");
            assert!(answer["type"].as_str().is_some_and(|t| t.ends_with(kind)), "{path} {body}: {answer}");
        }
    }
    let (status, _, answer) = server.post("/transactions", &format!("tx={}", "A".repeat(600_000))).await;
    assert_eq!((status, answer["extras"]["reason"].as_str()), (400, Some("the body is longer than 524288 bytes")));
    let (status, _, answer) = server.post("/transactions", &format!("tx={}", "A".repeat(400_000))).await;
    assert_eq!((status, answer["title"].as_str()), (400, Some("Transaction Malformed")));
    for path in [
        "/accounts/nobody",
        "/accounts/GAAA/transactions",
        "/transactions/xyz",
        "/transactions?limit=201",
        "/transactions?limit=0",
        "/transactions?order=up",
        "/transactions?cursor=-1",
        "/ledgers/x",
        "/friendbot",
        "/friendbot?addr=me",
    ] {
        assert_eq!(server.get(path).await.0, 400, "{path}");
    }
    for path in ["/nothing", "/ledgers/99999999", &format!("/transactions/{}", "00".repeat(32))] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    for path in ["/accounts/%ff", "/transactions/%ff", "/ledgers/%ff"] {
        let (status, problem) = server.get(path).await;
        assert_eq!((status, problem["status"].as_u64(), problem["type"].is_string()), (400, Some(400), true), "{path}");
    }
    let (status, root) = server.get("/").await;
    assert_eq!((status, root["network_passphrase"].as_str()), (200, Some(NETWORK)));
    let _: stellar_horizon::resources::Root = serde_json::from_value(root).expect("a root document");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fees_and_ledgers_are_shown_in_types_that_clients_know() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    server.fund(&key(1)).await;
    let (_, stats) = server.get("/fee_stats").await;
    let typed: stellar_horizon::resources::FeeStats = serde_json::from_value(stats).expect("fee stats");
    assert_eq!((typed.last_ledger_base_fee, typed.fee_charged.p50, typed.max_fee.max), (100, 100, 10_000));
    let (_, page) = server.get("/ledgers?order=desc&limit=1").await;
    let newest = page["_embedded"]["records"][0].clone();
    let typed: stellar_horizon::resources::Ledger = serde_json::from_value(newest).expect("a ledger");
    assert!(typed.sequence > 1);
    let (_, before) = server.get(&format!("/ledgers/{}", typed.sequence - 1)).await;
    assert_eq!(before["hash"].as_str().map(str::to_owned), typed.previous_hash);
    assert_eq!(before["total_coins"], "100000000000.0000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_ledger_is_there_after_a_restart_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, b) = (key(1), key(2));
    let (hash, before, ledger) = {
        let node = Node::open(dir.path(), quick()).expect("a node");
        let server = start(Arc::clone(&node)).await;
        let seq = server.fund(&a).await;
        let payment = tx(&a, seq + 1, 100, vec![op(None, create(&b, 20_000_000))]);
        let (status, body) = server.submit("/transactions", &envelope(payment, &[&a])).await;
        assert_eq!(status, 200, "{body}");
        let held = Node::open(dir.path(), quick());
        assert!(held.is_err(), "a second process may not write the same ledger");
        let ledger = body["ledger"].as_u64().expect("a number");
        (body["hash"].as_str().expect("a hash").to_owned(), server.account(&a).await, ledger)
    };
    let mut tries = 0;
    let node = loop {
        // the aborted server lets go of the file when its last close has ended
        match Node::open(dir.path(), quick()) {
            Ok(node) => break node,
            Err(error) if tries > 100 => panic!("{error}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(u64::from(node.latest()) >= ledger);
    let server = start(node).await;
    let mut after = server.account(&a).await;
    after["_links"] = before["_links"].clone();
    assert_eq!(after, before);
    assert_eq!(server.get(&format!("/transactions/{hash}")).await.0, 200);
    let seq = server.seq(&b).await;
    let back = envelope(tx(&b, seq + 1, 100, vec![op(None, pay(&a, 1))]), &[&b]);
    assert_eq!(server.submit("/transactions", &back).await.0, 200);
    drop(server);

    let mut other = quick();
    other.passphrase = "Another Network".to_owned();
    let mut tries = 0;
    loop {
        let error = Node::open(dir.path(), other.clone()).err().expect("an error").to_string();
        if error.contains("another network") {
            break;
        }
        tries += 1;
        assert!(tries < 100, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_answers_in_horizons_words() {
    let mut slow = quick();
    slow.close_every = Duration::from_secs(3600);
    let node = Node::in_memory(slow).expect("a node");
    let server = start(Arc::clone(&node)).await;
    let root = magicwave::devnet::ledger::Genesis::standalone(NETWORK, 0).root_key();
    let (first, second) =
        (tx(&root, 1, 100, vec![op(None, pay(&root, 1))]), tx(&root, 2, 100, vec![op(None, pay(&root, 2))]));
    let (first, second) = (envelope(first, &[&root]), envelope(second, &[&root]));
    let status = |answer: (u16, Value)| (answer.0, answer.1["tx_status"].as_str().unwrap_or_default().to_owned());
    let submit = async |envelope: &str| status(server.submit("/transactions_async", envelope).await);
    assert_eq!(submit(&first).await, (201, "PENDING".to_owned()));
    assert_eq!(submit(&first).await, (409, "DUPLICATE".to_owned()));
    assert_eq!(submit(&second).await, (503, "TRY_AGAIN_LATER".to_owned()));
    let bad = envelope(tx(&root, 1, 99, vec![op(None, pay(&root, 1))]), &[&root]);
    node.close(1_900_000_000).await.expect("a close");
    assert_eq!(submit(&first).await, (409, "DUPLICATE".to_owned()));
    assert_eq!(submit(&bad).await, (400, "ERROR".to_owned()));
    assert_eq!(submit(&second).await, (201, "PENDING".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_that_lands_in_time_by_nobodys_close_is_a_504() {
    let mut slow = quick();
    slow.close_every = Duration::from_secs(3600);
    slow.submit_timeout = Duration::from_millis(100);
    let server = start(Node::in_memory(slow).expect("a node")).await;
    let root = magicwave::devnet::ledger::Genesis::standalone(NETWORK, 0).root_key();
    let payment = envelope(tx(&root, 1, 100, vec![op(None, pay(&root, 1))]), &[&root]);
    let (status, body) = server.submit("/transactions", &payment).await;
    assert_eq!((status, body["title"].as_str()), (504, Some("Timeout")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_newcomers_share_a_few_transactions() {
    let server = start(Node::in_memory(quick()).expect("a node")).await;
    let keys: Vec<_> = (1..=30).map(key).collect();
    let paths: Vec<String> = keys.iter().map(|k| format!("/friendbot?addr={}", view::address(&id(k)))).collect();
    let answers = futures::future::join_all(paths.iter().map(|path| server.get(path))).await;
    let hashes: std::collections::BTreeSet<_> = answers.iter().map(|(_, body)| body["hash"].to_string()).collect();
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert!(hashes.len() <= 5, "{} transactions", hashes.len());
    assert_eq!(server.get(&paths[0]).await.0, 400, "a second gift is refused");
}
