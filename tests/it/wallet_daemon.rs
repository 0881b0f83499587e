//! `magicwave wallet` and a daemon: one that only says what it is told to.
use crate::wallet_world::{World, run};
use magicwave::stellar::keys::account_id;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Answers by path; another path is refused. Ends with its handle.
struct Daemon {
    home: TempDir,
    task: JoinHandle<()>,
}

impl Daemon {
    fn start(answers: &[(&str, Value)]) -> Daemon {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("api.token"), "token").expect("written");
        let listener = UnixListener::bind(home.path().join("api.sock")).expect("a socket");
        let answers: BTreeMap<_, _> =
            answers.iter().map(|(path, said)| ((*path).to_owned(), said.to_string())).collect();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 16 << 10];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let said = head.split(' ').nth(1).and_then(|path| answers.get(path));
                let (status, body) = said.map_or(("404 Not Found", "{}"), |body| ("200 OK", body));
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Daemon { home, task }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("api.sock")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_left_deposits_out_says_so_by_its_status() {
    let deposit = json!({
        "link": "01".repeat(16), "escrow": account_id(&[7; 32]), "state": "closing", "amount": "10000000", "due_ms": 0,
    });
    for (returning, status) in [(json!([deposit]), 6), (json!([]), 0)] {
        let daemon = Daemon::start(&[("/api/close", json!({"returning": returning}))]);
        let socket = daemon.socket();
        let api = ["close", "--wait", "0", "--api", socket.to_str().expect("text")];
        let said = run(&api, "").await;
        assert_eq!(said.code, status, "{said:?}");
        assert_eq!(said.out.contains("The others come by themselves"), status == 6, "{said:?}");
        let said = run(&[&api[..], &["--json"]].concat(), "").await;
        assert_eq!((said.code, said.json()["ok"].as_bool()), (status, Some(true)), "{said:?}");
        assert_eq!(said.json()["returning"], returning);
    }
}

/// A wallet whose ledger lies behind tor, of a daemon with this socket.
fn behind_tor(world: &World, socket: &Path) -> String {
    let issuer = world.account("issuer");
    let purse = world.purse_with("client", &issuer, "horizon = \"http://example.onion\"", "a network");
    world.account("client");
    let text = std::fs::read_to_string(&purse.gateway).expect("read");
    std::fs::write(&purse.gateway, format!("api_socket = {socket:?}\n{text}")).expect("written");
    purse.gateway.to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_tor_is_asked_of_a_path_that_does_not_grow_with_the_links() {
    let world = World::start().await;
    // Nothing listens there.
    let dead =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string();
    let state = |socks: Value| json!({"role": "client", "tor": {"bootstrap": 100, "summary": "Done"}, "socks": socks, "account": null});
    let daemon = Daemon::start(&[("/api/state", state(dead.into()))]);
    let gateway = behind_tor(&world, &daemon.socket());
    let tried = run(&["show", "--json", "--gateway", &gateway], "").await;
    assert_eq!(tried.failed(), (3, "MW-HZN-5".into()), "the port was told, and tried");

    let daemon = Daemon::start(&[("/api/state", state(Value::Null))]);
    let gateway = behind_tor(&world, &daemon.socket());
    let none = run(&["show", "--json", "--gateway", &gateway], "").await;
    assert_eq!(none.failed(), (3, "MW-WALLET-20".into()));
    let gateway = behind_tor(&world, &world.home.path().join("no.sock"));
    let away = run(&["show", "--json", "--gateway", &gateway], "").await;
    assert_eq!(away.failed(), (3, "MW-WALLET-20".into()));
    for said in [none, away] {
        assert!(!said.err.contains("?.") && !said.err.contains(".."), "{}", said.err);
    }
}
