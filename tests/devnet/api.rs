//! The local API of running nodes: what they answer is what their document says, and news come while money moves.
use crate::common::schema::{faults, faults_of};
use crate::common::{Net, until};
use futures::{SinkExt, StreamExt};
use magicwave::api::client::call;
use magicwave::devnet::demo::download::{Go, download};
use magicwave::devnet::network::Topology;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const CLIENT: &str = "client1";
const PATIENCE: Duration = Duration::from_secs(30);

fn socket(net: &Net, node: &str) -> PathBuf {
    net.devnet.node(node).expect("node").api_socket.clone().expect("API")
}

/// Every GET that the document has, but for the WebSocket.
async fn all_answers(net: &Net, node: &str, document: &Value) {
    for (path, item) in document["paths"].as_object().expect("paths") {
        if item.get("get").is_none() || path == "/api/ws" || (path == "/api/budgets" && node != CLIENT) {
            continue;
        }
        let query = if path == "/api/history" { "?from=0&to=4000000000000&bin=86400000000" } else { "" };
        let answer: Value =
            call(&socket(net, node), &format!("{path}{query}"), None, PATIENCE).await.expect("an answer");
        let faults = faults(document, "GET", path, &answer);
        assert!(faults.is_empty(), "{node} {path}: {faults:?} in {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_nodes_answer_as_their_document_says_and_tell_news_while_money_moves() {
    let net = Net::up(Topology::default()).await;
    let document: Value = call(&socket(&net, CLIENT), "/api/openapi.json", None, PATIENCE).await.expect("a document");
    let relay = net.payers().into_iter().find(|node| node != CLIENT && node.contains("relay")).expect("a relay");

    let mut request = "ws://localhost/api/ws".into_client_request().expect("a request");
    let token = std::fs::read_to_string(socket(&net, CLIENT).with_file_name("api.token")).expect("a token");
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    let stream = tokio::net::UnixStream::connect(socket(&net, CLIENT)).await.expect("connects");
    let (mut listener, _) = tokio_tungstenite::client_async(request, stream).await.expect("listens");
    listener.send(Message::text("{}")).await.expect("sends");

    let file = net.devnet.state().files.iter().find(|f| f.path == "/20m.bin").expect("a file of 20 MiB").clone();
    let got = download(net.socks(CLIENT), "api", net.web(), &file.path, Duration::from_secs(120), |_, _| Go::On).await;
    assert!(got.expect("a download").whole);
    let wanted: BTreeSet<&str> =
        ["listening", "circuit_opened", "balance", "link", "payment_begun", "payment_complete"].into();
    let mut heard = BTreeSet::new();
    let listening = async {
        while let Some(Ok(message)) = listener.next().await {
            let Message::Text(text) = message else { continue };
            let news: Value = serde_json::from_str(&text).expect("JSON");
            let faults = faults_of(&document, "News", &news);
            assert!(faults.is_empty(), "{faults:?} in {news}");
            heard.insert(news["event"].as_str().expect("a name").to_owned());
            if wanted.iter().all(|name| heard.contains(*name)) {
                return;
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(60), listening).await;
    assert!(end.is_ok(), "heard only {heard:?}");
    net.say(&format!("heard {heard:?}"));

    for node in [CLIENT, &relay] {
        all_answers(&net, node, &document).await;
    }
    let ask = async |node: &str, path: &str| -> Value {
        call(&socket(&net, node), path, None, PATIENCE).await.expect("an answer")
    };
    let number = |value: &Value| value.as_str().expect("digits").parse::<u64>().expect("a number");

    // The client's signed money is the relays' claims; its payments are in the history; its account is on the ledger.
    let balance = ask(CLIENT, "/api/balance").await;
    assert!(number(&balance["paying"]["escrows"]) > 0 && number(&balance["ledger"]["asset"]) > 0, "{balance}");
    assert_eq!(
        number(&balance["paying"]["free"]) + number(&balance["paying"]["signed"]),
        number(&balance["paying"]["escrows"]),
        "{balance}"
    );
    let (payments, history) = (
        ask(CLIENT, "/api/payments?limit=10000").await,
        ask(CLIENT, "/api/history?from=0&to=4000000000000&bin=4000000000000").await,
    );
    let complete = payments.as_array().expect("a list").iter().filter(|p| p["state"] == "complete").count();
    assert!(
        complete > 0 && history["bins"][0]["paid"]["tor"]["payments"].as_u64() >= Some(complete as u64),
        "{history}"
    );
    assert!(!ask(CLIENT, "/api/offers").await["hops"].as_array().expect("hops").is_empty());
    assert!(ask(&relay, "/api/offers").await["own"].is_object());
    assert_eq!(ask(CLIENT, "/api/state").await["account"]["state"], "paying");
    assert_eq!(ask(&relay, "/api/state").await["account"], Value::Null);
    let links = ask(CLIENT, "/api/links").await;
    assert!(number(&links["liquidity"]["tied_up"]) > 0, "{links}");
    assert!(!ask(CLIENT, "/api/transactions").await.as_array().expect("lines").is_empty());

    // One change is durable and shown; a node that pays nothing has nothing to change.
    let rule = json!({"set_rule": {"target": {"site": "shop.example"}, "mode": "ask", "day": "100"}});
    let put = |node: &str| put(socket(&net, node), rule.clone());
    let budgets = put(CLIENT).await.expect("changed");
    assert_eq!(budgets["rules"], json!([{"target": {"site": "shop.example"}, "mode": "ask", "day": "100"}]));
    assert_eq!(budgets["rules"], ask(CLIENT, "/api/budgets").await["rules"]);
    assert_eq!(put(&relay).await.expect_err("refused"), "MW-POL-1");

    // Every refusal and payment began with a request that is kept.
    let requests = ask(CLIENT, "/api/requests?limit=10000").await;
    assert!(requests.as_array().expect("rows").iter().any(|row| row["outcome"] == "paid"), "{requests}");

    let verb = |more: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
        command.args(["status", "--api"]).arg(socket(&net, CLIENT)).args(more.split_whitespace());
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    };
    let (said, page) = (verb("--json").output().await.expect("runs"), verb("").output().await.expect("runs"));
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((&said["ok"], &said["state"]["role"]), (&json!(true), &json!("client")), "{said}");
    let page = String::from_utf8(page.stdout).expect("text");
    assert!(page.contains(said["balance"]["account"].as_str().expect("an address")), "{page}");

    let flushed: Value =
        call(&socket(&net, &relay), "/api/flush", Some(&json!({})), PATIENCE).await.expect("an answer");
    assert_eq!(flushed, json!({"flushing": true}));
    until("the relay's claims land", Duration::from_secs(60), async || {
        number(&ask(&relay, "/api/balance").await["earning"]["landed"]) > 0
    })
    .await;

    // All that the client deposited comes back, with the reserves, while its guards are there.
    let mut close = tokio::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
    close.args(["wallet", "close", "--json", "--wait", "90", "--api"]).arg(socket(&net, CLIENT));
    let closed = close.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await.expect("runs");
    let said: Value = serde_json::from_slice(&closed.stdout).expect("JSON");
    assert!(!said["back"].as_array().expect("a list").is_empty(), "{said}");
    assert_eq!(said["returning"], json!([]), "{said}");
    until("nothing is tied up", Duration::from_secs(30), async || {
        let links = ask(CLIENT, "/api/links").await;
        number(&links["liquidity"]["tied_up"]) == 0 && number(&links["liquidity"]["reserves"]) == 0
    })
    .await;
    net.devnet.stop().await.expect("stops");
}

/// PUT, which the program's own client never needs; the code of a refusal.
async fn put(socket: PathBuf, body: Value) -> Result<Value, String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let token = std::fs::read_to_string(socket.with_file_name("api.token")).expect("a token");
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("connects");
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "PUT /api/budgets HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    if answer.starts_with("HTTP/1.1 200") { Ok(body) } else { Err(body["code"].as_str().expect("a code").to_owned()) }
}

/// A relay's daemon that reaches nobody: tor's network is off, and its ledger's port is closed.
fn offline(dir: &std::path::Path, port: u16) -> magicwave::config::GatewayConfig {
    use magicwave::stellar::keys::{SecretSeed, account_id};
    let seed = dir.join("seed");
    magicwave::wallet::Wallet::load_or_create(&seed).expect("a wallet");
    let issuer = account_id(&SecretSeed::from_bytes(&[7; 32]).public());
    let text = format!(
        "role = \"relay\"\nstate_dir = {:?}\napi_socket = {:?}\napi_listen = \"127.0.0.1:{port}\"\n\
         api_origins = [\"{PAGE}\"]\n[wallet]\nseed_file = {seed:?}\n\
         [ledger]\nloopback_for_tests = \"127.0.0.1:9\"\npassphrase = \"devnet\"\nasset_code = \"MWT\"\n\
         asset_issuer = \"{issuer}\"\n\
         [offer]\nprice = 1024\nfee = 8\ncredit_bytes = 65278\nahead_bytes = 4194304\nquote_secs = 3600\n",
        dir.join("state"),
        dir.join("api.sock")
    );
    magicwave::config::GatewayConfig::parse(&text).expect("a configuration")
}

/// A page that may ask.
const PAGE: &str = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";

/// The answer to a GET at the port.
async fn get(port: u16, path: &str, more: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time")?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_its_port_for_the_configured_page_and_says_what_it_cannot_see() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = magicwave::devnet::network::ports::free(1).expect("a port")[0];
    let config = offline(dir.path(), port);
    std::fs::create_dir(dir.path().join("state")).expect("made");
    std::fs::write(dir.path().join("gateway.toml"), config.render().expect("renders")).expect("written");
    let torrc = format!("DataDirectory {}\nSocksPort 0\nDisableNetwork 1\n", dir.path().join("tor").display());
    std::fs::write(dir.path().join("torrc"), torrc).expect("written");
    let mut daemon = tokio::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
    daemon.arg("tor").arg("-f").arg(dir.path().join("torrc")).arg("--gateway").arg(dir.path().join("gateway.toml"));
    daemon.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).kill_on_drop(true);
    let mut daemon = daemon.stderr(std::process::Stdio::null()).spawn().expect("starts");
    until("the daemon serves its port", Duration::from_secs(30), async || get(port, "/", "").await.is_ok()).await;

    let token = std::fs::read_to_string(dir.path().join("api.token")).expect("a token");
    let bearer = format!("authorization: Bearer {token}\r\n");
    let page = format!("{bearer}origin: {PAGE}\r\n");
    let said = get(port, "/api/balance", &page).await.expect("an answer");
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains(&format!("access-control-allow-origin: {PAGE}")),
        "{said}"
    );
    let balance: Value = serde_json::from_str(said.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    // Nothing was seen of the ledger, and it does not pretend to.
    assert_eq!(balance["ledger"], Value::Null, "{balance}");
    assert!(balance["failed"]["code"].as_str().is_some_and(|code| code.starts_with("MW-HZN-")), "{balance}");
    for (more, code) in [
        (String::new(), "MW-API-4"),
        (format!("{bearer}origin: https://evil.example\r\n"), "MW-API-14"),
        (format!("{bearer}sec-fetch-site: cross-site\r\n"), "MW-API-15"),
        (format!("{bearer}host: localhost:{port}\r\n"), "MW-API-13"),
    ] {
        assert!(get(port, "/api/balance", &more).await.expect("an answer").contains(code), "{more}");
    }
    daemon.kill().await.expect("ends");
}
