//! The network itself, on the distribution's tor.
use magicwave::devnet::network::child::ProcessId;
use magicwave::devnet::network::{Devnet, NodeSpec, Options, Role, State, Topology};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A network of the distribution's tor in a directory of its own.
fn stock(dir: &tempfile::TempDir) -> Options {
    let topology = Topology::default().all_stock();
    Options { topology, ..Options::new(dir.path().join("net")).expect("options") }
}

/// Downloads `path` from the network's web server through the client's SOCKS port.
async fn fetch(net: &Devnet, path: &str) -> Vec<u8> {
    let socks = net.node("client1").expect("client").socks_port.expect("SOCKS port");
    let web = net.state().web.as_ref().expect("web server").address;
    let stream = tokio_socks::tcp::Socks5Stream::connect(("127.0.0.1", socks), web).await.expect("stream through tor");
    let mut stream = stream.into_inner();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {web}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answer");
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("head") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..head]));
    answer.split_off(head)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_network_bootstraps_serves_a_file_survives_kill_9_and_ends_without_a_trace() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut net = Devnet::start(stock(&dir)).await.expect("starts");
    assert_eq!(Devnet::start(stock(&dir)).await.expect_err("twice in one directory").code, "MW-NET-6");
    let mut percents = Vec::new();
    net.wait_ready(|p| {
        eprintln!(
            "{:5.1} s {:?} {}/{}",
            p.seconds,
            p.nodes.iter().map(|n| n.bootstrap.percent).collect::<Vec<_>>(),
            p.listed,
            p.relays
        );
        percents.push(p.nodes.iter().map(|n| u32::from(n.bootstrap.percent)).sum::<u32>());
    })
    .await
    .expect("bootstraps");
    assert!(percents.len() > 2, "progress is reported on the way: {percents:?}");

    let wanted = net.state().files.iter().find(|f| f.path == "/20m.bin").expect("a 20 MiB file").clone();
    let body = fetch(&net, &wanted.path).await;
    assert_eq!((body.len() as u64, hex::encode(Sha256::digest(&body))), (wanted.bytes, wanted.sha256));

    net.kill9("client1").expect("runs");
    net.restart("client1").await.expect("starts again");
    net.wait_ready(|_| ()).await.expect("bootstraps again");
    assert!(!fetch(&net, "/index.html").await.is_empty());

    let ids: Vec<_> = net.state().processes().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), net.state().nodes.len() + 1);
    net.stop().await.expect("stops");
    for id in ids {
        assert!(id.wait_gone(Duration::from_secs(1)).await);
    }
    assert_eq!(State::load(&dir.path().join("net")).expect("state stays").processes().count(), 0);
}

/// `magicwave devnet VERB --state DIR …`.
fn devnet(verb: &str, dir: &std::path::Path, more: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
    command.args(["devnet", verb]).args(more).arg("--state").arg(dir).stdin(std::process::Stdio::null());
    command
}

fn processes(dir: &std::path::Path) -> Vec<ProcessId> {
    State::load(dir).map(|s| s.processes().map(|(_, id)| id).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_holder_ends_its_network_and_leaves_the_one_beside_it_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ours = Devnet::start(stock(&dir)).await.expect("starts");
    let beside = dir.path().join("beside");
    let mut holder = devnet("up", &beside, &["--stock"]).stderr(std::process::Stdio::null()).spawn().expect("starts");
    let end = Instant::now() + Duration::from_secs(60);
    let wanted = ours.state().nodes.len() + 1;
    while processes(&beside).len() < wanted {
        assert!(Instant::now() < end, "the second network did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let theirs = processes(&beside);
    assert!(theirs.iter().all(ProcessId::is_running));
    holder.kill().expect("SIGKILL");
    holder.wait().expect("reaped");
    for id in theirs {
        assert!(id.wait_gone(Duration::from_secs(2)).await, "{id:?} outlived its holder");
    }
    let own: Vec<_> = ours.state().processes().map(|(_, id)| id).collect();
    assert_eq!(own.len(), wanted);
    assert!(own.iter().all(ProcessId::is_running));
    drop(ours);
    assert!(!own.iter().any(ProcessId::is_running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_network_is_seen_and_ended_from_the_command_line() {
    let root = tempfile::tempdir().expect("temporary directory");
    let dir = root.path().join("net");
    let run = |verb: &str, more: &[&str]| devnet(verb, &dir, more).output().expect("runs");
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(run("status", &[]).status.code(), Some(3), "there is nothing yet");

    let up = run("up", &["--detach", "--stock"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    assert!(text(&up).contains("--socks5-hostname"), "{}", text(&up));
    assert!(String::from_utf8_lossy(&up.stderr).contains("client1 100%"));
    assert!(!run("up", &["--stock"]).status.success(), "a second one in the same directory");

    let status = run("status", &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&status.stdout).expect("one JSON object");
    assert_eq!((&report["ready"], &report["listed"]), (&true.into(), &8.into()));
    assert!(report["nodes"].as_array().expect("nodes").iter().all(|n| n["running"] == true && n["bootstrap"] == 100));
    assert!(text(&run("logs", &["exit1"])).contains("Bootstrapped 100%"));

    let pids = processes(&dir);
    assert!(run("down", &[]).status.success());
    assert!(!pids.iter().any(ProcessId::is_running));
    assert_eq!(run("status", &[]).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_else_has_is_said_after_other_ports_were_tried() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = format!("SocksPort {}", held.local_addr().expect("bound"));
    let nodes = vec![
        NodeSpec::stock("auth", Role::Authority),
        NodeSpec::stock("exit", Role::Exit),
        NodeSpec::stock("client", Role::Client).with_torrc(taken),
    ];
    let topology = Topology { nodes, ledger: false, web: false };
    let mut told = Vec::new();
    let options = Options { topology, ..Options::new(dir.path().join("net")).expect("options") };
    let error = Devnet::start_telling(options, |what| told.push(what.to_owned())).await.expect_err("port is taken");
    assert_eq!(error.code, "MW-NET-3", "{error}");
    assert_eq!(told.iter().filter(|what| what.contains("other ports")).count(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_while_keys_are_made_leaves_no_key_tool_behind() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("temporary directory");
    let (tools, pids) = (root.path().join("bin"), root.path().join("pids"));
    std::fs::create_dir(&tools).expect("made");
    // It makes no key, it only says which process it is and stays.
    let script = format!("#!/bin/sh\necho $$ >>'{}'\nexec sleep 120\n", pids.display());
    let gencert = tools.join("tor-gencert");
    std::fs::write(&gencert, script).expect("written");
    std::fs::set_permissions(&gencert, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").expect("PATH"));
    let mut up = devnet("up", &root.path().join("net"), &["--stock"]);
    let mut up = up.env("PATH", path).stderr(std::process::Stdio::null()).spawn().expect("starts");
    let end = Instant::now() + Duration::from_secs(30);
    let helpers = || -> Vec<ProcessId> {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| ProcessId::of(pid.parse().expect("a pid"))).collect()
    };
    while helpers().len() < 3 {
        assert!(Instant::now() < end, "the key tools did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let helpers = helpers();
    up.kill().expect("SIGKILL");
    up.wait().expect("reaped");
    for id in helpers {
        assert!(id.wait_gone(Duration::from_secs(2)).await, "{id:?} outlived its parent");
    }
}

#[test]
fn where_nothing_is_status_ends_with_3_and_the_demo_says_no_as_json() {
    let root = tempfile::tempdir().expect("temporary directory");
    let status = devnet("status", &root.path().join("net"), &["--json"]).output().expect("runs");
    assert_eq!(status.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&status.stdout).expect("one JSON object");
    assert_eq!((&report["up"], &report["ready"]), (&false.into(), &false.into()));

    std::fs::write(root.path().join("lock"), "").expect("written");
    std::fs::write(root.path().join("state"), "of a real tor").expect("written");
    let demo = devnet("demo", root.path(), &["--json"]).output().expect("runs");
    assert_eq!(demo.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&demo.stdout).expect("one JSON object");
    assert_eq!((&report["ok"], &report["error"]["code"]), (&false.into(), &"MW-NET-4".into()));
    assert_eq!(devnet("down", root.path(), &["--purge"]).output().expect("runs").status.code(), Some(1));
    assert!(root.path().join("state").exists() && root.path().join("lock").exists());
}
