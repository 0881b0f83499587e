//! The Horizon adapter against servers that answer well, badly, late, or not at all.
use crate::stellar_server::{Reply, Server, json, not_found, problem};
use magicwave::gateway::port::{LedgerAnswer, LedgerCall, LedgerResult};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::horizon::{self, Endpoint, HorizonLedger, LoopbackAddr, Submission, Timing};
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, Source};
use magicwave::units::Stroops;
use serde_json::{Value, json as value};
use std::time::{Duration, Instant};
use stellar_horizon::client::HorizonClient;

#[tokio::test]
async fn an_account_becomes_what_an_escrow_check_wants() {
    let server = Server::start(|_, _| json(200, account())).await;
    let LedgerResult::Account(view) = account_call(&server).await.result else { panic!("no account") };
    assert_eq!((view.sequence, view.sequence_ledger, view.sequence_time), ((8 << 32) + 1, 9, 1_795_353_106));
    assert_eq!((view.native, view.liabilities, view.subentries), (15_000_000, 30, 3));
    assert_eq!((view.sponsoring, view.sponsored, view.data_entries), (1, 5, 1));
    assert_eq!((view.thresholds, view.latest_ledger), ([1, 2, 3], 77));
    assert_eq!(view.signers, vec![(account_id(&key(2)), 1), (account_id(&key(1)), 0)]);
    let line = &view.trustlines[0];
    assert_eq!((line.code.as_str(), line.issuer, line.balance, line.limit), ("MWT", key(3), 1, i64::MAX));
    assert!(line.authorized && line.clawback);
    assert_eq!(server.requests(), [format!("GET /accounts/{}", account_id(&key(1)))]);
}

#[tokio::test]
async fn an_account_without_a_clock_or_of_another_key_is_seen_as_such() {
    let server = Server::start(|_, _| {
        let mut account = account();
        account.as_object_mut().expect("object").remove("sequence_time");
        account["sequence_ledger"] = value!("12");
        json(200, account)
    })
    .await;
    let LedgerResult::Account(view) = account_call(&server).await.result else { panic!("no account") };
    assert_eq!((view.sequence_ledger, view.sequence_time), (12, 0));

    for spoil in [("account_id", value!(account_id(&key(9)))), ("sequence", value!("1.5")), ("balances", value!({}))] {
        let server = Server::start(move |_, _| {
            let mut account = account();
            account[spoil.0] = spoil.1.clone();
            json(200, account)
        })
        .await;
        assert!(matches!(account_call(&server).await.result, LedgerResult::Unknown { .. }));
    }
}

#[tokio::test]
async fn only_horizon_itself_can_say_that_there_is_nothing() {
    let server = Server::start(|_, _| not_found()).await;
    assert_eq!(account_call(&server).await, LedgerAnswer { tag: 7, result: LedgerResult::NotFound });
    assert_eq!(look(&server).await, LedgerResult::NotFound);
    let proxy = Server::start(|_, _| Reply::Say(404, "", "<html>not found</html>".into())).await;
    assert!(matches!(account_call(&proxy).await.result, LedgerResult::Unknown { .. }));
    assert!(matches!(look(&proxy).await, LedgerResult::Unknown { .. }));
}

#[tokio::test]
async fn reading_is_tried_again_but_not_for_ever() {
    let server = Server::start(|_, before| if before < 2 { Reply::Close } else { json(200, account()) }).await;
    assert!(matches!(account_call(&server).await.result, LedgerResult::Account(_)));
    let broken = Server::start(|_, _| Reply::Say(500, "", String::new())).await;
    assert!(matches!(account_call(&broken).await.result, LedgerResult::Unknown { .. }));
    assert_eq!(broken.count("GET"), 3);
    let refusing = Server::start(|_, _| problem(400, "bad_request", value!({}))).await;
    assert!(matches!(account_call(&refusing).await.result, LedgerResult::Unknown { .. }));
    assert_eq!(refusing.count("GET"), 1);
}

#[tokio::test]
async fn a_submission_that_lands_says_ledger_fee_and_inner_code() {
    let server = Server::start(|_, _| json(200, record(true))).await;
    assert_eq!(submit(&server).await, landed(true));
    assert_eq!(server.requests(), ["POST /transactions tx"]);
}

#[tokio::test]
async fn a_refusal_is_certain_only_when_the_ledger_does_not_hold_the_transaction() {
    let refused = || codes("tx_fee_bump_inner_failed", "tx_bad_seq");
    let server = Server::start(move |request, _| match request {
        "POST /transactions tx" => problem(400, "transaction_failed", refused()),
        _ => not_found(),
    })
    .await;
    assert_eq!(submit(&server).await, LedgerResult::Rejected { code: "tx_bad_seq".into() });
    assert_eq!((server.count("POST"), server.count("GET")), (1, 2));

    // The same refusal for what landed before, and is seen at the second look.
    let server = Server::start(move |request, before| match request {
        "POST /transactions tx" => problem(400, "transaction_failed", refused()),
        _ if before == 0 => not_found(),
        _ => json(200, record(true)),
    })
    .await;
    assert_eq!(submit(&server).await, landed(true));

    // A transaction that failed in a ledger is answered like one that never got in.
    let server = Server::start(move |request, _| match request {
        "POST /transactions tx" => problem(400, "transaction_failed", codes("tx_failed", "")),
        _ => json(200, record(false)),
    })
    .await;
    assert_eq!(submit(&server).await, landed(false));

    // When nobody can look, nobody knows.
    let server = Server::start(move |request, _| match request {
        "POST /transactions tx" => problem(400, "transaction_failed", refused()),
        _ => Reply::Close,
    })
    .await;
    assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));

    let server = Server::start(move |request, _| match request {
        "POST /transactions tx" => problem(400, "transaction_malformed", value!({})),
        _ => not_found(),
    })
    .await;
    assert_eq!(submit(&server).await, LedgerResult::Rejected { code: "transaction_malformed".into() });
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_never_taken_for_a_refusal() {
    let bad_answers: [fn() -> Reply; 7] = [
        || Reply::Close,
        || Reply::Endless,
        || problem(504, "timeout", value!({ "hash": "" })),
        || Reply::Say(502, "", "bad gateway".into()),
        || Reply::Say(200, "", "{".into()),
        || Reply::Say(400, "", "a proxy's words".into()),
        || problem(409, "conflict", value!({})),
    ];
    for answer in bad_answers {
        let server = Server::start(move |request, before| match request {
            "POST /transactions tx" => answer(),
            _ if before == 0 => not_found(),
            _ => json(200, record(true)),
        })
        .await;
        assert_eq!(submit(&server).await, landed(true));
        let server = Server::start(move |request, _| if request.starts_with("POST") { answer() } else { not_found() });
        let server = server.await;
        assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));
        assert_eq!(server.count("POST"), 1, "nothing is submitted again before somebody decides so");
    }
}

#[tokio::test]
async fn a_record_of_another_transaction_is_not_believed() {
    let server = Server::start(|_, _| {
        let mut other = record(true);
        other["inner_transaction"]["hash"] = value!("00");
        other["fee_bump_transaction"]["hash"] = value!("22");
        other["hash"] = value!("11");
        json(200, other)
    })
    .await;
    assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));
    assert!(matches!(look(&server).await, LedgerResult::Unknown { .. }));
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    for busy in [Reply::Say(429, "Retry-After: 1\r\n", String::new()), limited(429), limited(503)] {
        let Reply::Say(status, headers, body) = busy else { panic!("not said") };
        let server = Server::start(move |request, before| match (request, before) {
            ("POST /transactions tx", 0) => Reply::Say(status, headers, body.clone()),
            _ => json(200, record(true)),
        })
        .await;
        let start = Instant::now();
        assert_eq!(submit(&server).await, landed(true));
        assert!(start.elapsed() >= Duration::from_secs(1), "{status}");
        assert_eq!(server.count("POST"), 2);
    }
    let server = Server::start(|_, _| Reply::Say(429, "Retry-After: 3600\r\n", String::new())).await;
    assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));
    assert_eq!(server.count("POST"), 1);
    let server = Server::start(|_, _| Reply::Say(503, "", String::new())).await;
    assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));
    assert_eq!(server.count("POST"), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_hangs_does_not_hold_us() {
    let server = Server::start(|_, _| Reply::Hang).await;
    let addr = server.addr;
    let start = Instant::now();
    assert!(matches!(submit(&server).await, LedgerResult::Unknown { .. }));
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let gone = ledger(addr);
    let LedgerResult::Unknown { why } = gone.call(submission()).await.result else { panic!("known") };
    assert!(why.contains("not reached"), "{why}");
    let Err(failure) = gone.send(&horizon::Root).await else { panic!("an answer") };
    assert!(matches!(failure, horizon::Failure::NotSent(_)));
}

#[tokio::test]
async fn asynchronous_submission_looks_until_a_ledger_holds_it() {
    let receipt = |status: u16, word: &str| json(status, value!({ "tx_status": word, "hash": hex::encode(hash()) }));
    for (status, word) in [(201, "PENDING"), (409, "DUPLICATE")] {
        let server = Server::start(move |request, before| match request {
            "POST /transactions_async tx" => receipt(status, word),
            _ if before < 2 => not_found(),
            _ => json(200, record(true)),
        })
        .await;
        let result = ledger(server.addr).submitting(Submission::Async).call(submission()).await.result;
        assert_eq!(result, landed(true));
    }
    // Servers name the result in one of two ways, or in both.
    for names in [&["error_result_xdr"][..], &["errorResultXdr"], &["error_result_xdr", "errorResultXdr"]] {
        let mut refused = value!({ "tx_status": "ERROR" });
        for name in names {
            refused[name] = value!(recorded("8. older claim K_9 (same seqNum)"));
        }
        let server = Server::start(move |request, _| match request {
            "POST /transactions_async tx" => json(400, refused.clone()),
            _ => not_found(),
        })
        .await;
        let result = ledger(server.addr).submitting(Submission::Async).call(submission()).await.result;
        assert_eq!(result, LedgerResult::Rejected { code: "tx_bad_seq".into() });
    }
    let server = Server::start(move |request, before| match (request, before) {
        ("POST /transactions_async tx", 0) => receipt(503, "TRY_AGAIN_LATER"),
        ("POST /transactions_async tx", _) => receipt(201, "PENDING"),
        _ => json(200, record(true)),
    })
    .await;
    assert_eq!(ledger(server.addr).submitting(Submission::Async).call(submission()).await.result, landed(true));
}

#[tokio::test]
async fn the_servers_word_on_network_fees_issuers_and_history_is_read() {
    let spread = value!({ "min": "100", "p50": "150", "p95": "900", "max": "5000" });
    let server = Server::start(move |request, _| match request {
        "GET /" => json(200, value!({ "network_passphrase": "a network", "history_latest_ledger": 5 })),
        "GET /fee_stats" => json(
            200,
            value!({ "last_ledger": "9", "last_ledger_base_fee": "100", "fee_charged": spread, "max_fee": spread }),
        ),
        path if path.contains("/transactions?") => json(200, value!({ "_embedded": { "records": [record(false)] } })),
        _ => json(200, account()),
    })
    .await;
    let ledger = ledger(server.addr);
    ledger.check_network(&NetworkId::of("a network")).await.expect("that network");
    assert_eq!(ledger.check_network(&NetworkId::of("another")).await.expect_err("another").code, "MW-HZN-8");
    let fees = ledger.fees().await.expect("fees");
    assert_eq!((fees.last_ledger, fees.last_ledger_base_fee, fees.fee_charged.p95), (9, 100, 900));
    assert_eq!(ledger.issuer_flags(&key(1)).await.expect("answered"), Some(4 | 8));
    let history = ledger.transactions_of(&key(1), Some("12 34"), 0).await.expect("answered");
    assert!(!history[0].successful && history[0].is(&hash()));
    let asked = format!(
        "GET /accounts/{}/transactions?include_failed=true&order=asc&limit=1&cursor=12+34",
        account_id(&key(1))
    );
    assert_eq!(server.requests().last(), Some(&asked));
}

#[tokio::test]
async fn the_trait_of_the_stock_client_works_on_it() {
    let server = Server::start(|request, _| match request {
        "GET /fee_stats" => Reply::Say(500, "", String::new()),
        _ if request.contains("/accounts/") => json(200, account()),
        _ => not_found(),
    })
    .await;
    let ledger = ledger(server.addr);
    let (headers, record) = ledger.request(horizon::Account(key(1))).await.expect("an account");
    assert_eq!(headers["latest-ledger"], "77");
    assert_eq!(record.account_id, account_id(&key(1)));
    let stock = stellar_horizon::api::transactions::single("00");
    let error = ledger.request(stock).await.expect_err("not found");
    assert!(matches!(error, stellar_horizon::error::Error::HorizonRequestError(_)));
    let error = ledger.request(horizon::Fees).await.expect_err("broken");
    assert!(matches!(error, stellar_horizon::error::Error::HorizonServerError));
    assert!(ledger.stream(stellar_horizon::api::ledgers::all()).is_err());
}

// What is sent and answered.

fn key(byte: u8) -> [u8; 32] {
    SecretSeed::from_bytes(&[byte; 32]).public()
}

fn bumped() -> (template::Signed, template::Signed) {
    let seed = SecretSeed::from_bytes(&[1; 32]);
    let network = NetworkId::of("a network");
    let source = Source { network, account: seed.public(), sequence: 1, fee_per_op: 100, max_time: 0 };
    let payment = template::payment(&source, &key(2), &Asset::Native, Stroops::new(5).expect("5")).expect("valid");
    let inner = payment.sign(&[&seed]).expect("signed");
    let bump = template::fee_bump(&inner, &key(1), 200).expect("enough").sign(&[&seed]).expect("signed");
    (inner, bump)
}

fn hash() -> [u8; 32] {
    bumped().1.hash()
}

fn submission() -> LedgerCall {
    let (_, bump) = bumped();
    LedgerCall::Submit { tag: 7, envelope: bump.to_xdr().expect("small"), hash: bump.hash() }
}

fn landed(success: bool) -> LedgerResult {
    let code = if success { "tx_success" } else { "tx_failed" };
    LedgerResult::Landed { ledger: 10, success, fee: 200, code: code.into() }
}

fn record(success: bool) -> Value {
    let (inner, bump) = bumped();
    let (inner, bump) = (hex::encode(inner.hash()), hex::encode(bump.hash()));
    value!({
        "hash": inner, "ledger": 10, "successful": success, "fee_charged": "200", "paging_token": "42",
        "inner_transaction": { "hash": inner, "signatures": [], "max_fee": "0" },
        "fee_bump_transaction": { "hash": bump, "signatures": [] },
    })
}

fn recorded(label: &str) -> String {
    let recording: Value = serde_json::from_str(include_str!("../vectors/channel.json")).expect("a recording");
    let rejected = recording["rejected"].as_array().expect("rejected").iter();
    let entry = rejected.into_iter().find(|entry| entry["label"] == label).expect(label);
    entry["result"].as_str().expect("text").to_owned()
}

fn codes(transaction: &str, inner: &str) -> Value {
    value!({ "result_codes": { "transaction": transaction, "inner_transaction": inner } })
}

fn limited(status: u16) -> Reply {
    Reply::Say(status, "X-Ratelimit-Remaining: 0\r\nX-Ratelimit-Reset: 1\r\n", String::new())
}

fn account() -> Value {
    value!({
        "account_id": account_id(&key(1)), "sequence": ((8i64 << 32) + 1).to_string(),
        "sequence_ledger": 9, "sequence_time": "1795353106", "subentry_count": 3, "last_modified_ledger": 9,
        "thresholds": { "low_threshold": 1, "med_threshold": 2, "high_threshold": 3 },
        "flags": { "auth_required": false, "auth_revocable": false, "auth_immutable": true, "auth_clawback_enabled": true },
        "balances": [
            { "balance": "0.0000001", "limit": "922337203685.4775807", "buying_liabilities": "0.0000010",
              "selling_liabilities": "0.0000020", "asset_type": "credit_alphanum4", "asset_code": "MWT",
              "asset_issuer": account_id(&key(3)), "is_authorized": true, "is_clawback_enabled": true },
            { "balance": "1.5000000", "buying_liabilities": "0.0000000", "selling_liabilities": "0.0000000",
              "asset_type": "native" },
        ],
        "signers": [
            { "weight": 1, "key": account_id(&key(2)), "type": "ed25519_public_key" },
            { "weight": 0, "key": account_id(&key(1)), "type": "ed25519_public_key" },
        ],
        "data": { "name": "dmFsdWU=" }, "num_sponsoring": 1, "num_sponsored": 5,
    })
}

fn ledger(addr: std::net::SocketAddr) -> HorizonLedger {
    let endpoint = Endpoint::loopback(LoopbackAddr::try_from(addr).expect("loopback")).expect("an endpoint");
    let timing = Timing {
        connect: Duration::from_secs(2),
        answer: Duration::from_secs(2),
        read: Duration::from_secs(1),
        poll: Duration::from_millis(10),
        ..Timing::devnet()
    };
    HorizonLedger::new(endpoint, timing)
}

async fn submit(server: &Server) -> LedgerResult {
    ledger(server.addr).call(submission()).await.result
}

async fn look(server: &Server) -> LedgerResult {
    ledger(server.addr).call(LedgerCall::Transaction { tag: 1, hash: hash() }).await.result
}

async fn account_call(server: &Server) -> LedgerAnswer {
    ledger(server.addr).call(LedgerCall::Account { tag: 7, account: key(1) }).await
}
