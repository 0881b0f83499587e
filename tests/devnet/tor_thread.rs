//! tor on a thread of ours: once as the verb `magicwave tor` in a child process, once inside this process.
use magicwave::tor::control::Signal;
use magicwave::tor::sys::{BODY_MAX, Stats};
use magicwave::tor::{Policy, TorEvent, run_tor};
use nix::sys::signal::{Signal as Unix, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// A torrc that reaches no network; the control socket is `control` in the same directory.
fn torrc(dir: &Path) -> String {
    // tor refuses a control socket in a directory that others may enter.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("ours");
    let file = dir.join("torrc");
    let text = format!(
        "DataDirectory {0}/data\nControlSocket {0}/control\nSocksPort 0\nDisableNetwork 1\nLog notice file {0}/log\n",
        dir.display()
    );
    fs::write(&file, text).expect("torrc is written");
    file.display().to_string()
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn tor(args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
        command.arg("tor").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Running(command.spawn().expect("the program starts"))
    }

    fn signal(&self, signal: Unix) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"));
        kill(pid, signal).expect("the child is there");
    }

    fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("can be waited for") {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "tor did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn ask(dir: &Path, command: &str) -> String {
    let start = Instant::now();
    let mut socket = loop {
        match UnixStream::connect(dir.join("control")) {
            Ok(socket) => break socket,
            Err(error) => assert!(start.elapsed() < LIMIT, "no control socket: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    socket.set_read_timeout(Some(LIMIT)).expect("a time limit");
    write!(socket, "AUTHENTICATE\r\n{command}\r\nQUIT\r\n").expect("commands are written");
    let lines: Vec<String> = BufReader::new(socket).lines().map(|line| line.expect("tor answers")).collect();
    lines.join("\n")
}

fn log_says(dir: &Path, wanted: &str) {
    let start = Instant::now();
    while !fs::read_to_string(dir.join("log")).unwrap_or_default().contains(wanted) {
        assert!(start.elapsed() < LIMIT, "the log never said {wanted:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_verb_tor_tells_its_bootstrap_and_ends_on_sigterm_with_status_zero() {
    let dir = TempDir::new().expect("a directory");
    let mut tor = Running::tor(&["-f", &torrc(dir.path())]);
    let said = ask(dir.path(), "GETINFO status/bootstrap-phase");
    assert!(said.contains("BOOTSTRAP PROGRESS=0 TAG=starting"), "{said}");
    tor.signal(Unix::SIGHUP);
    log_says(dir.path(), "Received reload signal");
    tor.signal(Unix::SIGUSR1);
    log_says(dir.path(), "Dumping stats");
    tor.signal(Unix::SIGTERM);
    assert_eq!(tor.end().code(), Some(0));
}

#[test]
fn commands_of_tor_keep_their_output_and_their_exit_status() {
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
        let run = command.arg("tor").args(args).stdin(Stdio::null()).output().expect("the program runs");
        (
            run.status.code(),
            String::from_utf8_lossy(&run.stdout).into_owned(),
            String::from_utf8_lossy(&run.stderr).into_owned(),
        )
    };
    let dir = TempDir::new().expect("a directory");
    let file = torrc(dir.path());
    let (status, hash, _) = run(&["--quiet", "--hash-password", "secret"]);
    assert_eq!(status, Some(0));
    assert!(hash.trim().starts_with("16:") && hash.trim().len() == 61, "{hash}");
    assert_eq!(run(&["--quiet", "-f", &file, "--verify-config"]).0, Some(0));
    assert_eq!(run(&["--quiet", "-f", &file, "--NoSuchOption", "1"]).0, Some(1));
    let (status, _, why) = run(&["-f", &file, "--RunAsDaemon", "1"]);
    assert!(status == Some(1) && why.contains("MW-TOR-10"), "{status:?} {why}");
    let (status, version, _) = run(&["--version"]);
    assert!(status == Some(0) && version.starts_with("tor 0.4.9.") && version.contains(" patches, "), "{version}");
}

/// The only test that runs tor inside the test process: a second one there is not possible, and it shows just that.
#[tokio::test]
async fn a_handle_asks_and_stops_tor_and_a_second_tor_is_refused() {
    let dir = TempDir::new().expect("a directory");
    let args = vec!["--quiet".to_string(), "-f".to_string(), torrc(dir.path())];
    let (tor, mut events) = run_tor(args.clone(), Some(Policy::client())).await.expect("tor starts");
    let mut seen = Vec::new();
    let started = async {
        while !seen.iter().any(|event| matches!(event, TorEvent::Bootstrap(_))) {
            seen.push(events.recv().await.expect("tor runs"));
        }
    };
    tokio::time::timeout(LIMIT, started).await.expect("a bootstrap status in time");
    assert_eq!(seen.first(), Some(&TorEvent::Ready));
    assert_eq!(tor.bootstrap().tag, "starting");
    assert_eq!(tor.stats(), Stats::default());
    assert_eq!(tor.send(1, 1, &[0; BODY_MAX + 1]).expect_err("too long").code, "MW-TOR-5");
    // No such circuit: taken here, dropped and counted on tor's thread.
    tor.send(1, 1, b"x").expect("queued");
    tor.set_policy(Policy { relay: false, ..Policy::own_network() }).expect("queued");
    let dropped = async {
        while tor.stats().commands_dropped == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, dropped).await.expect("counted in time");
    assert!(tor.getinfo("version").await.expect("answered").starts_with("0.4.9."));
    assert_eq!(tor.getinfo("no/such/thing").await.expect_err("refused").code, "MW-TOR-13");
    assert_eq!(tor.command("GETINFO version\r\nSIGNAL HALT").await.expect_err("two lines").code, "MW-TOR-8");
    assert_eq!(run_tor(args, None).await.err().expect("refused").code, "MW-TOR-9");
    assert_eq!((tor.status(), tor.poisoned()), (None, false));

    tor.signal(Signal::Halt).expect("queued");
    let ended = async {
        while let Some(event) = events.recv().await {
            seen.push(event);
            if let Some(TorEvent::Exited { .. }) = seen.last() {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, ended).await.expect("an end in time");
    assert_eq!(seen.last(), Some(&TorEvent::Exited { status: 0 }));
    assert_eq!(tor.wait().await, 0);
    assert!(tor.signal(Signal::Halt).is_err());
}
