//! `magicwave wallet …` on files alone: what it makes, shows and refuses.
use crate::wallet_world::{everything_in, run};
use magicwave::wallet::Wallet;
use nix::sys::signal::Signal;
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const WORDS: &str = "illness spike retreat truth genius clock brain pass fit cave bargain toe";
const ACCOUNT: &str = "GDRXE2BQUC3AZNPVFSCEZ76NJ3WWL25FYFK6RGZGIEKWE4SOOHSUJUJ6";

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn secret_file(path: &Path, content: &str) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode");
}

#[tokio::test]
async fn a_new_wallet_is_encrypted_and_its_words_restore_it() {
    let home = tempfile::tempdir().expect("directory");
    let at = |name: &str| home.path().join(name);
    let (seed, words, pass) = (at("seed"), at("words"), at("pass"));
    secret_file(&pass, "correct horse battery\n");
    let args = ["--json", "--seed-file", text(&seed), "--passphrase-file", text(&pass)];
    let made = run(&[&["init", "--words-file", text(&words)], &args[..]].concat(), "").await;
    let account = made.ok()["account"].as_str().expect("an account").to_owned();
    let phrase = fs::read_to_string(&words).expect("words");
    assert_eq!(phrase.split_whitespace().count(), 24);
    for path in [&seed, &words] {
        assert_eq!(fs::metadata(path).expect("file").permissions().mode() & 0o777, 0o600);
    }
    for said in [&made.out, &made.err, &fs::read_to_string(&seed).expect("a file")] {
        assert!(phrase.split_whitespace().filter(|word| said.contains(word)).count() < 4, "words leak: {said}");
        assert!(!said.contains("correct horse"));
    }
    // A second one does not take its place, whatever is asked for.
    let before = everything_in(home.path());
    let again = run(&[&["init", "--words-file", text(&at("more"))], &args[..]].concat(), "").await;
    assert_eq!(again.failed(), (1, "MW-WALLET-11".into()));
    assert_eq!(everything_in(home.path()), before, "nothing was touched or left behind");

    let backup = run(&[&["backup", "--words-file", text(&at("again"))], &args[..]].concat(), "").await;
    assert_eq!(backup.ok()["account"], account.as_str());
    assert_eq!(fs::read_to_string(at("again")).expect("words"), phrase);
    let other = at("other");
    let restored = run(&["restore", "--json", "--plain", "--seed-file", text(&other)], &phrase.to_uppercase()).await;
    assert_eq!(restored.ok()["account"], account.as_str());
    assert_eq!(Wallet::load(&other).expect("plain").account_id(), account);

    secret_file(&pass, "wrong horse battery\n");
    let wrong = run(&[&["backup", "--words-file", text(&at("third"))], &args[..]].concat(), "").await;
    assert_eq!(wrong.failed(), (1, "MW-WALLET-7".into()));
    assert!(!at("third").exists());
}

#[tokio::test]
async fn words_are_restored_from_a_pipe_or_a_file_and_checked() {
    let home = tempfile::tempdir().expect("directory");
    let at = |name: &str| home.path().join(name);
    let restore = async |seed: &str, more: &[&str], input: &str| {
        let seed = at(seed);
        run(&[&["restore", "--json", "--plain", "--seed-file", text(&seed)], more].concat(), input).await
    };
    let done = restore("a", &[], &format!("{}\n", WORDS.replace(' ', "\n"))).await.ok();
    assert_eq!((done["account"].as_str(), done["encrypted"].as_bool()), (Some(ACCOUNT), Some(false)));
    let words = at("words");
    secret_file(&words, WORDS);
    assert_eq!(restore("b", &["--words-file", text(&words)], "").await.ok()["account"], ACCOUNT);
    fs::set_permissions(&words, fs::Permissions::from_mode(0o644)).expect("mode");
    assert_eq!(restore("c", &["--words-file", text(&words)], "").await.failed(), (1, "MW-WALLET-14".into()));
    for (input, code) in [
        (WORDS.replace("toe", "toast"), "MW-WALLET-10"),
        ("hello".into(), "MW-WALLET-4"),
        (String::new(), "MW-WALLET-4"),
        ("word ".repeat(1_000), "MW-WALLET-14"),
    ] {
        let failed = restore("d", &[], &input).await;
        assert_eq!(failed.failed(), (1, code.into()));
        assert!(!failed.err.contains("illness") && !failed.out.contains("illness"), "{failed:?}");
        assert!(!at("d").exists());
    }
    // A file of the first form moves under a passphrase by the same verb, and keeps its account.
    let old = Wallet::load_or_create(&at("old")).expect("made").account_id();
    let pass = at("pass");
    secret_file(&pass, "correct horse battery");
    let args = ["restore", "--json", "--seed-file"];
    let moved = run(
        &[&args[..], &[text(&at("new")), "--words-file", text(&at("old")), "--passphrase-file", text(&pass)]].concat(),
        "",
    )
    .await
    .ok();
    assert_eq!((moved["account"].as_str(), moved["from"].as_str()), (Some(old.as_str()), Some("seed")));
}

#[tokio::test]
async fn words_and_passphrases_want_a_terminal_or_a_file() {
    let home = tempfile::tempdir().expect("directory");
    let at = |name: &str| home.path().join(name);
    let (seed, words) = (at("seed"), at("words"));
    // Standard output is a pipe here: no words go there, and so no wallet is made.
    let args = ["init", "--plain", "--seed-file", text(&seed)];
    let shown = run(&args, "").await;
    assert!(shown.code == 1 && shown.err.contains("MW-WALLET-15"), "{shown:?}");
    assert!(!seed.exists());
    // No terminal for a passphrase, none in a file.
    let asked = run(&["init", "--json", "--seed-file", text(&seed), "--words-file", text(&words)], "secret12\n").await;
    assert_eq!(asked.failed(), (1, "MW-WALLET-13".into()));
    let pass = at("pass");
    let with_pass =
        ["init", "--json", "--seed-file", text(&seed), "--words-file", text(&words), "--passphrase-file", text(&pass)];
    for (content, mode, code) in
        [("short", 0o600, "MW-WALLET-12"), ("", 0o600, "MW-WALLET-12"), ("long enough", 0o644, "MW-WALLET-9")]
    {
        fs::write(&pass, content).expect("written");
        fs::set_permissions(&pass, fs::Permissions::from_mode(mode)).expect("mode");
        assert_eq!(run(&with_pass, "").await.failed(), (1, code.into()));
    }
    assert!(!seed.exists() && !words.exists());
    // There is no way to say a passphrase or words as an argument, nor to overwrite.
    for flag in ["--passphrase", "--words", "--force", "--password"] {
        let refused = run(&["init", "--seed-file", text(&seed), flag, "x"], "").await;
        assert!(refused.code == 2 && refused.err.contains("unexpected argument"), "{refused:?}");
    }
    assert_eq!(run(&["init", "--json", "--plain", "--words-file", text(&words)], "").await.failed().1, "MW-WALLET-40");
}

#[tokio::test]
async fn the_link_and_the_code_to_pay_to_need_no_ledger() {
    let home = tempfile::tempdir().expect("directory");
    let (seed, gateway) = (home.path().join("seed"), home.path().join("gateway.toml"));
    secret_file(&seed, WORDS);
    let config = format!(
        "[wallet]\nseed_file = {seed:?}\n[ledger]\nhorizon = \"https://horizon.example\"\n\
         passphrase = \"Public Global Stellar Network ; September 2015\"\nasset_code = \"MWT\"\nasset_issuer = \"{ACCOUNT}\"\n"
    );
    fs::write(&gateway, config).expect("written");
    let receive = ["receive", "--gateway", text(&gateway)];
    let value = run(&[&receive[..], &["--json", "--amount", "2.5"]].concat(), "").await.ok();
    let uri = format!("web+stellar:pay?destination={ACCOUNT}&amount=2.5000000&asset_code=MWT&asset_issuer={ACCOUNT}");
    assert_eq!((value["account"].as_str(), value["uri"].as_str()), (Some(ACCOUNT), Some(uri.as_str())));
    let native = run(&[&receive[..], &["--json", "--asset", "XLM"]].concat(), "").await.ok();
    assert_eq!(native["uri"], format!("web+stellar:pay?destination={ACCOUNT}"));
    let second = run(&[&receive[..], &["--json", "--account", "1"]].concat(), "").await.ok();
    assert_ne!(second["account"], value["account"]);
    let plain = run(&receive, "").await;
    assert!(plain.code == 0 && plain.out.lines().count() == 2, "{plain:?}");
    let code = run(&[&receive[..], &["--qr"]].concat(), "").await;
    let lines: Vec<_> = code.out.lines().skip(2).collect();
    assert!(lines.len() > 15 && lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
    assert!(lines.iter().any(|line| line.contains('▀') && line.contains('█')), "{}", code.out);
    // The same file has no way to a ledger but tor, and without tor nothing is tried.
    let shown = run(&["show", "--json", "--gateway", text(&gateway)], "").await;
    assert_eq!(shown.failed(), (3, "MW-WALLET-20".into()));
    let refused = run(&["show", "--json", "--gateway", text(&gateway), "--socks", "192.0.2.1:9050"], "").await;
    assert_eq!(refused.failed(), (1, "MW-HZN-1".into()));
}

#[tokio::test]
async fn nothing_that_is_no_plain_file_is_read_as_a_configuration_or_a_wallet() {
    let home = tempfile::tempdir().expect("directory");
    let at = |name: &str| home.path().join(name);
    let (pipe, seed) = (at("pipe"), at("seed"));
    // Nobody ever writes to it.
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).expect("a pipe");
    secret_file(&seed, WORDS);
    for odd in [text(&pipe), "/dev/zero", text(home.path())] {
        let refused = run(&["show", "--json", "--gateway", odd, "--seed-file", text(&seed)], "").await;
        assert_eq!(refused.failed(), (1, "MW-CONF-1".into()), "{odd}");
        assert!(refused.err.contains("no plain file"), "{refused:?}");
        let seed = run(&["backup", "--json", "--seed-file", odd, "--words-file", text(&at("words"))], "").await;
        assert_eq!(seed.failed(), (1, "MW-WALLET-3".into()), "{odd}");
        let mut export = tokio::process::Command::new(env!("CARGO_BIN_EXE_magicwave"));
        export.args(["export", "links", "--format", "csv", "--gateway", odd]).kill_on_drop(true);
        let export = tokio::time::timeout(Duration::from_secs(20), export.output()).await.expect("it ends");
        assert!(String::from_utf8_lossy(&export.expect("runs").stderr).contains("[MW-CONF-1]"), "{odd}");
    }
    let long = at("long.toml");
    fs::write(&long, "#".repeat(70_000)).expect("written");
    let refused = run(&["show", "--json", "--gateway", text(&long), "--seed-file", text(&seed)], "").await;
    assert_eq!(refused.failed(), (1, "MW-CONF-1".into()));
}

#[test]
fn a_signal_at_the_question_for_a_passphrase_leaves_the_terminal_with_its_echo() {
    let home = tempfile::tempdir().expect("directory");
    let pair = nix::pty::openpty(None, None).expect("a terminal");
    // Of the master: on Linux it shows how the terminal stands.
    let echoes = || {
        let state = nix::sys::termios::tcgetattr(&pair.master).expect("a terminal");
        state.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON)
    };
    let side = || Stdio::from(pair.slave.try_clone().expect("a handle"));
    for (name, signal) in [("one", Signal::SIGINT), ("two", Signal::SIGTERM)] {
        assert!(echoes());
        let mut child = std::process::Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_magicwave"), "wallet", "init"])
            .args(["--seed-file", text(&home.path().join(name)), "--words-file", text(&home.path().join("words"))])
            .env_remove("MAGICWAVE_PASSPHRASE_FILE")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("a session of its own");
        let until = Instant::now() + Duration::from_secs(20);
        while echoes() {
            assert!(Instant::now() < until && child.try_wait().expect("a child").is_none(), "it asks");
            std::thread::sleep(Duration::from_millis(10));
        }
        let process = Pid::from_raw(i32::try_from(child.id()).expect("a process"));
        nix::sys::signal::kill(process, signal).expect("sent");
        let ended = child.wait().expect("it ends");
        assert!(echoes(), "the terminal is as it was");
        assert_eq!(ended.code(), Some(128 + signal as i32));
    }
    assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0, "nothing was made");
}
