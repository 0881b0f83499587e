//! Whose programs may use a daemon's SOCKS port: whole daemons in a network that nobody answers for.
use magicwave::config::GatewayConfig;
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::wallet::Wallet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;
const CLIENT: &str = "[pay]\nahead_bytes = 4194304\nmax_price = 4096\nmax_fee = 8\nday = 1000\nsite = 1000\n";
const RELAY: &str = "[offer]\nprice = 1024\nfee = 8\ncredit_bytes = 65278\nahead_bytes = 4194304\nquote_secs = 3600\n";

/// A daemon that does not outlive its test, and its SOCKS port.
struct Daemon(Child, u16);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(dir: &Path, role: &str, rest: &str) -> Daemon {
        let port = magicwave::devnet::network::ports::free(1).expect("a port")[0];
        let (seed, state) = (dir.join("seed"), dir.join("state"));
        Wallet::load_or_create(&seed).expect("a wallet");
        fs::create_dir(&state).expect("made");
        let issuer = account_id(&SecretSeed::from_bytes(&[7; 32]).public());
        let text = format!(
            "role = {role:?}\nstate_dir = {state:?}\napi_socket = {:?}\n[wallet]\nseed_file = {seed:?}\n\
             [ledger]\nloopback_for_tests = \"127.0.0.1:9\"\npassphrase = \"devnet\"\nasset_code = \"MWT\"\n\
             asset_issuer = \"{issuer}\"\n{rest}",
            dir.join("api.sock")
        );
        let config = GatewayConfig::parse(&text).expect("a configuration");
        assert_eq!(GatewayConfig::parse(&config.render().expect("renders")).expect("is read back"), config);
        fs::write(dir.join("gateway.toml"), text).expect("written");
        let torrc = format!(
            "DataDirectory {0}/tor\nSocksPort 127.0.0.1:{port}\nLog notice file {0}/log\n\
             DirAuthority nobody orport=1 v3ident={1} 127.0.0.1:1 {1}\n",
            dir.display(),
            "0".repeat(40)
        );
        fs::write(dir.join("torrc"), torrc).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
        command.arg("tor").arg("-f").arg(dir.join("torrc")).arg("--gateway").arg(dir.join("gateway.toml"));
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon(quiet.spawn().expect("the program starts"), port);
        let start = Instant::now();
        while daemon.greets(None) != 2 {
            assert!(start.elapsed() < LIMIT, "our own programs are not served");
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }

    /// Bytes of the answer that a program of `user` (None: ours) gets to its greeting: 2, or 0 when tor hangs up.
    fn greets(&self, user: Option<u32>) -> usize {
        use std::os::unix::process::CommandExt;
        // A shell, because the test's own program may lie where that user cannot read.
        let port = self.1;
        let script =
            format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf '\\5\\1\\0' >&3 && head -c 2 <&3 2>/dev/null | wc -c");
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &script]).current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let said = String::from_utf8(command.output().expect("a shell").stdout).expect("a number");
        said.trim().parse().unwrap_or(0)
    }
}

/// Starts a daemon and says what another user gets of it; None, and loudly, when we cannot be another user.
fn what_nobody_gets(dir: &Path, role: &str, rest: &str) -> Option<usize> {
    let daemon = Daemon::start(dir, role, rest);
    if !nix::unistd::geteuid().is_root() {
        // Past the harness, which keeps what tests that pass print to itself.
        let _ = writeln!(std::io::stderr(), "NOT RUN: a {role} before another user, whom only root can start");
        return None;
    }
    let got = daemon.greets(Some(NOBODY));
    assert_eq!(daemon.greets(None), 2, "ours still are served");
    Some(got)
}

#[test]
fn a_paying_client_serves_its_own_user_and_hangs_up_on_others() {
    let dir = tempfile::tempdir().expect("a directory");
    if let Some(got) = what_nobody_gets(dir.path(), "client", CLIENT) {
        assert_eq!(got, 0, "our wallet would pay for it");
        let log = fs::read_to_string(dir.path().join("log")).expect("a log");
        assert!(log.contains("Refused a connection to our SOCKS port") && log.contains("shared_socks"), "{log}");
    }
}

#[test]
fn a_port_that_is_shared_on_purpose_serves_everybody() {
    let dir = tempfile::tempdir().expect("a directory");
    let got = what_nobody_gets(dir.path(), "client", &format!("{CLIENT}shared_socks = true\n"));
    assert!(got.is_none_or(|bytes| bytes == 2), "{got:?}");
}

#[test]
fn the_port_of_a_relay_which_pays_for_nobody_is_as_tor_made_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let got = what_nobody_gets(dir.path(), "relay", RELAY);
    assert!(got.is_none_or(|bytes| bytes == 2), "{got:?}");
}
