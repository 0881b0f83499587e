//! `magicwave tor` from outside: what it says and how it ends. No tor here reaches a network.
use magicwave::stellar::keys::{SecretSeed, account_id};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs it to its end, which comes soon.
fn tor(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
    command.arg("tor").args(args).current_dir(dir).env("RUST_BACKTRACE", "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            panic!("magicwave tor {args:?} does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A directory with the configuration of a client, `g.toml`, and `torrc`.
fn client(torrc: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let here = dir.path().display();
    let issuer = account_id(&SecretSeed::from_bytes(&[7; 32]).public());
    let config = format!(
        "role = \"client\"\nstate_dir = \"{here}/state\"\napi_socket = \"{here}/api.sock\"\n[wallet]\nseed_file = \
         \"{here}/seed\"\n[ledger]\nloopback_for_tests = \"127.0.0.1:1\"\npassphrase = \"tests\"\nasset_code = \"MWT\"\n\
         asset_issuer = \"{issuer}\"\n[pay]\nahead_bytes = 4194304\nmax_price = 4096\nmax_fee = 32\nday = 1000\nsite = 1000\n"
    );
    fs::write(dir.path().join("g.toml"), config).expect("written");
    fs::write(dir.path().join("torrc"), format!("DataDirectory {here}/tor\nDisableNetwork 1\n{torrc}\n"))
        .expect("written");
    fs::create_dir(dir.path().join("state")).expect("made");
    let seed = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.path().join("seed"));
    std::io::Write::write_all(&mut seed.expect("made"), SecretSeed::from_bytes(&[9; 32]).expose().as_bytes())
        .expect("written");
    dir
}

#[test]
fn a_client_ends_with_tors_status_when_its_torrc_is_bad() {
    let dir = client("SocksPort 0\nNoSuchOption 1");
    let output = tor(dir.path(), &["--gateway", "g.toml", "-f", "torrc"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("NoSuchOption"), "{}", said(&output));
}

#[test]
fn a_client_without_a_socks_port_says_so_at_once() {
    let dir = client("SocksPort 0");
    let output = tor(dir.path(), &["--gateway=g.toml", "-f", "torrc"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("MW-APP-1") && !said(&output).contains("backtrace"), "{}", said(&output));
}

#[test]
fn a_missing_or_endless_gateway_file_is_one_sentence_with_a_code() {
    let dir = tempfile::tempdir().expect("a directory");
    for (args, code) in [
        (&["--gateway"][..], "MW-CONF-5"),
        (&["--gateway", "/dev/zero"], "MW-CONF-1"),
        (&["--gateway=no-such-file"], "MW-CONF-1"),
    ] {
        let output = tor(dir.path(), args);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(code) && text.lines().count() == 1, "{args:?}: {text}");
    }
}

#[test]
fn help_names_our_option_before_tors_own_help() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = tor(dir.path(), &["--help"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (ours, theirs) = (text.find("--gateway FILE"), text.find("-f <torrc>"));
    assert!(output.status.success() && ours.is_some() && ours < theirs, "{text}");
}
