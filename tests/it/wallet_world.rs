//! A ledger on the loopback, and the program itself as a person runs it.
use magicwave::devnet::ledger::http::{Node, NodeConfig, serve};
use magicwave::wallet::Wallet;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

pub const PASSPHRASE: &str = "a ledger for wallets";

/// A ledger, a line to it that can be cut, and a directory. Ends with its handle.
pub struct World {
    pub home: TempDir,
    pub line: SocketAddr,
    /// Requests are taken and nothing of them is passed on.
    pub cut: Arc<AtomicBool>,
    /// Requests are passed on and no answer comes back.
    pub deaf: Arc<AtomicBool>,
    /// How far the server's view of transactions trails its ledger.
    pub view: Arc<View>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
    /// The JSON of a run that went well.
    pub fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        let value = self.json();
        assert_eq!(value["ok"], true);
        value
    }
    /// Exit status and code of a run that did not.
    pub fn failed(&self) -> (i32, String) {
        let value = self.json();
        assert_eq!(value["ok"], false, "{self:?}");
        let code = value["code"].as_str().expect("a code").to_owned();
        assert!(self.err.contains(&format!("[{code}]")), "{self:?}");
        (self.code, code)
    }
}

/// A node's directory: its configuration names its wallet.
pub struct Purse {
    pub gateway: PathBuf,
    pub seed: PathBuf,
}

impl World {
    pub async fn start() -> World {
        let config = NodeConfig { close_every: Duration::from_millis(100), ..NodeConfig::new(PASSPHRASE) };
        let node = Node::in_memory(config).expect("a ledger");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let ledger = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move { serve(listener, node).await.expect("serves until it is ended") });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let line = listener.local_addr().expect("bound");
        let (cut, deaf) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let view = Arc::new(View::default());
        let (is_cut, is_deaf, how) = (cut.clone(), deaf.clone(), view.clone());
        let passing = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, ledger, is_cut.clone(), is_deaf.clone(), how.clone()));
            }
        });
        let home = tempfile::tempdir().expect("a directory");
        World { home, line, cut, deaf, view, tasks: vec![server, passing] }
    }

    /// A configuration with [wallet] and [ledger] alone; `issuer` issues MWT.
    pub fn purse(&self, name: &str, issuer: &str) -> Purse {
        self.purse_with(name, issuer, &format!("loopback_for_tests = \"{}\"", self.line), PASSPHRASE)
    }

    pub fn purse_with(&self, name: &str, issuer: &str, server: &str, passphrase: &str) -> Purse {
        let seed = self.home.path().join(format!("{name}.seed"));
        let gateway = self.home.path().join(format!("{name}.toml"));
        let text = format!(
            "[wallet]\nseed_file = {seed:?}\n[ledger]\n{server}\npassphrase = \"{passphrase}\"\nasset_code = \"MWT\"\n\
             asset_issuer = \"{issuer}\"\n"
        );
        std::fs::write(&gateway, text).expect("written");
        Purse { gateway, seed }
    }

    /// A plain wallet in a file of its own, and its account.
    pub fn account(&self, name: &str) -> String {
        Wallet::load_or_create(&self.home.path().join(format!("{name}.seed"))).expect("made").account_id()
    }

    /// `magicwave wallet VERB --json --gateway …`.
    pub async fn run(&self, purse: &Purse, args: &[&str]) -> Run {
        let mut all = vec![args[0], "--json", "--gateway", purse.gateway.to_str().expect("text")];
        all.extend(&args[1..]);
        run(&all, "").await
    }

    /// Hands a transaction to the ledger, and waits until it is in one.
    pub async fn post(&self, body: &[u8]) {
        let mut line = TcpStream::connect(self.line).await.expect("the ledger");
        let head = format!(
            "POST /transactions HTTP/1.1\r\nhost: ledger\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        line.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        let mut answer = String::new();
        line.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// The balance of `asset` ("native" or a code) as `wallet show` has it.
    pub async fn balance(&self, purse: &Purse, asset: &str) -> String {
        let shown = self.run(purse, &["show"]).await.ok();
        let holdings = &shown["holdings"];
        let line = match asset {
            "native" => &holdings["native"]["balance"],
            code => {
                let lines = holdings["assets"].as_array().expect("assets").iter();
                let line = lines.into_iter().find(|line| line["asset"].as_str().expect("text").starts_with(code));
                line.map_or(&Value::Null, |line| &line["balance"])
            }
        };
        line.as_str().unwrap_or_else(|| panic!("no {asset}: {shown}")).to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

/// Runs `magicwave wallet …` with nothing of this test's environment that it could ask for a passphrase.
pub async fn run(args: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_magicwave"))
        .arg("wallet")
        .args(args)
        .env_remove("MAGICWAVE_PASSPHRASE_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("piped");
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.expect("an end in time").expect("output");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run { code: output.status.code().expect("an exit"), out: text(output.stdout), err: text(output.stderr) }
}

/// Carries one connection: whole, without its answer, or not at all once it wants a transaction.
async fn pass(mut from: TcpStream, ledger: SocketAddr, cut: Arc<AtomicBool>, deaf: Arc<AtomicBool>, view: Arc<View>) {
    let mut head = vec![0; 16 << 10];
    let Ok(length) = from.read(&mut head).await else { return };
    // Both faults are about the transaction; accounts and fees are told all along.
    let about = head.starts_with(b"POST ") || head.starts_with(b"GET /transactions/");
    if about && cut.load(Ordering::SeqCst) {
        return;
    }
    if let Some(old) = view.trailing(&head[..length]) {
        let _ = from.write_all(old.as_bytes()).await;
        return;
    }
    let Ok(mut to) = TcpStream::connect(ledger).await else { return };
    if to.write_all(&head[..length]).await.is_err() {
        return;
    }
    if about && deaf.load(Ordering::SeqCst) {
        // Long enough for the ledger to take it.
        let mut answer = [0; 1];
        let _ = to.read(&mut answer).await;
        return;
    }
    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
}

/// What the server knows of its ledger's transactions.
#[derive(Default)]
pub struct View {
    trails: AtomicU8,
    /// Bodies that went to the ledger.
    taken: Mutex<Vec<Vec<u8>>>,
}

/// None is found by its hash, and one that landed is refused when it is sent again.
pub const LOOK_UPS_TRAIL: u8 = 1;
/// Nor do those of an account show.
pub const HISTORIES_TRAIL: u8 = 2;
/// And every transaction is refused for its fee.
pub const REFUSES: u8 = 3;

impl View {
    /// What was to be sent last.
    pub fn newest(&self) -> Vec<u8> {
        self.taken.lock().expect("no panic").last().cloned().expect("a body")
    }

    /// 0: all are told.
    pub fn trail(&self, how: u8) {
        self.trails.store(how, Ordering::SeqCst);
    }

    /// What a server says that does not know of the newest ledgers; none for what it passes on.
    fn trailing(&self, request: &[u8]) -> Option<String> {
        let trails = self.trails.load(Ordering::SeqCst);
        let (head, sent) = std::str::from_utf8(request).ok()?.split_once("\r\n\r\n")?;
        let mut words = head.split([' ', '?']);
        let (method, path) = (words.next()?, words.next()?);
        let landed = method == "POST" && {
            let mut taken = self.taken.lock().expect("no panic");
            let again = taken.iter().any(|body| body == sent.as_bytes());
            taken.push(sent.as_bytes().to_vec());
            again
        };
        let problem = |kind: &str, status: u16| json!({"type": format!("https://stellar.org/horizon-errors/{kind}"), "status": status});
        let (status, body) = if trails >= REFUSES && method == "POST" {
            let mut body = problem("transaction_failed", 400);
            body["extras"] = json!({"result_codes": {"transaction": "tx_insufficient_fee"}});
            ("400 Bad Request", body)
        } else if trails >= LOOK_UPS_TRAIL && path.starts_with("/transactions/") {
            ("404 Not Found", problem("not_found", 404))
        } else if trails >= LOOK_UPS_TRAIL && landed {
            let mut body = problem("transaction_failed", 400);
            body["extras"] = json!({"result_codes": {"transaction": "tx_bad_seq"}});
            ("400 Bad Request", body)
        } else if trails >= HISTORIES_TRAIL && path.starts_with("/accounts/") && path.ends_with("/transactions") {
            ("200 OK", json!({"_embedded": {"records": []}}))
        } else {
            return None;
        };
        let (body, kind) = (body.to_string(), "application/json");
        Some(format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// All files of a directory, as text.
pub fn everything_in(dir: &Path) -> Value {
    let mut all = json!({});
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        all[name] = std::fs::read_to_string(&path).expect("text").into();
    }
    all
}
