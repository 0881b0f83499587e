//! The verbs: replay, and a ledger that is killed.
use crate::ledger_engine::{create, id, key, op, signed, tx};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use magicwave::cli::{devnet_ledger, devnet_replay};
use magicwave::devnet::ledger::xdr::{Limits, TransactionEnvelope, WriteXdr};
use magicwave::devnet::ledger::{Genesis, network_id, view};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const STATE: &str = "MAGICWAVE_TEST_LEDGER_STATE";
const NETWORK: &str = "Killed Ledger ; November 2026";

#[test]
fn the_exit_code_of_a_replay_tells_whether_anything_differed() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/channel.json");
    let code = |files: Vec<PathBuf>| {
        format!("{:?}", devnet_replay::run(devnet_replay::Args { files, json: true }).expect("a run"))
    };
    let dir = tempfile::tempdir().expect("a directory");
    let wrong = dir.path().join("wrong.json");
    let text = std::fs::read_to_string(&vectors).expect("the recording");
    let mut recording: serde_json::Value = serde_json::from_str(&text).expect("json");
    recording["final_accounts"][0]["balance"] = 7.into();
    std::fs::write(&wrong, recording.to_string()).expect("written");
    let exits = |n: u8| format!("{:?}", std::process::ExitCode::from(n));
    assert_eq!(code(vec![vectors.clone()]), exits(0));
    assert_eq!(code(vec![wrong, vectors]), exits(1));
    assert_eq!(code(vec![dir.path().join("missing.json")]), exits(2));
}

// The test below starts itself again with STATE set; that process is the ledger.
fn serve(state: &Path) -> ! {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("a parent");
    let args = devnet_ledger::Args {
        listen: "127.0.0.1:0".parse().expect("an address"),
        state: state.join("ledger"),
        passphrase: NETWORK.to_owned(),
        close_ms: 50,
        root_seed_file: Some(state.join("root")),
    };
    let ended = devnet_ledger::run(args);
    panic!("the ledger ended: {ended:?}");
}

fn spawn(state: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "ledger_verbs::a_ledger_that_is_killed_keeps_every_close_that_it_told_of", "--nocapture"])
        .env(STATE, state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let address = lines.find_map(|line| {
        let line = line.expect("text");
        line.split_once("ledger listening on ").map(|(_, address)| address.to_owned())
    });
    (child, address.expect("an address"))
}

fn ask(address: &str, request: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a body");
    (head[9..12].parse().expect("a status"), serde_json::from_str(body).expect("json"))
}

fn get(address: &str, path: &str) -> (u16, serde_json::Value) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

#[test]
fn a_ledger_that_is_killed_keeps_every_close_that_it_told_of() {
    if let Some(state) = std::env::var_os(STATE) {
        serve(Path::new(&state));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let root = Genesis::standalone(NETWORK, 0).root_key();
    let mut told = Vec::new();
    for round in 0..4u8 {
        let (mut child, address) = spawn(dir.path());
        for (hash, account) in &told {
            assert_eq!(get(&address, &format!("/transactions/{hash}")).0, 200, "round {round}");
            assert_eq!(get(&address, &format!("/accounts/{account}")).0, 200, "round {round}");
        }
        for n in 0..3u8 {
            let new = key(1 + round * 3 + n);
            let seq: i64 = get(&address, &format!("/accounts/{}", view::address(&id(&root)))).1["sequence"]
                .as_str()
                .and_then(|s| s.parse().ok())
                .expect("a sequence");
            let gift = tx(&root, seq + 1, 100, vec![op(None, create(&new, 10_000_000))]);
            let envelope = TransactionEnvelope::Tx(signed(&network_id(NETWORK), gift, &[&root]));
            let form = STANDARD.encode(envelope.to_xdr(Limits::none()).expect("xdr"));
            let form = format!("tx={}", form.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
            let head = "POST /transactions HTTP/1.1\r\nHost: x\r\nConnection: close";
            let kind = "Content-Type: application/x-www-form-urlencoded";
            let (status, body) =
                ask(&address, &format!("{head}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len()));
            assert_eq!(status, 200, "{body}");
            told.push((body["hash"].as_str().expect("a hash").to_owned(), view::address(&id(&new))));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }
    let (_, address) = {
        let (mut child, address) = spawn(dir.path());
        let held: i64 = told
            .iter()
            .map(|(_, account)| get(&address, &format!("/accounts/{account}")).1["balances"][0]["balance"].to_string())
            .map(|text| if text == "\"1.0000000\"" { 1 } else { 0 })
            .sum();
        assert_eq!(held, 12, "each gift arrived once");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
        (child, address)
    };
    assert!(TcpStream::connect(address).is_err(), "it is gone");
    let seed = std::fs::read_to_string(dir.path().join("root")).expect("the root seed");
    assert!(seed.starts_with('S') && seed.trim().len() == 56);
}
