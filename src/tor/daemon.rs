//! tor on a thread of this process: start, ask, signal, end.
//!
//! One tor per process: `tor_run_main` is not safe to call twice, so "restart" is a new process. tor may end the
//! process by itself (`exit`), which callers treat like kill -9. It never forks here: `RunAsDaemon` is refused,
//! because our threads would not survive it.
use super::control::{self, COMMANDS, Command, Signal};
use super::event::{Bootstrap, CircuitId, TorEvent};
use super::guard::Guard;
use super::hooks::{self, Host};
use super::line::Reply;
use super::policy::Policy;
use super::sys::{self, Main, Stats};
use crate::config::read_text;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// tor runs its main thread with the system's default stack; Rust's default of 2 MiB is less.
const STACK: usize = 8 * 1024 * 1024;

/// Of a torrc so much is looked at.
const TORRC_MAX: u64 = 4 << 20;

static STARTED: AtomicBool = AtomicBool::new(false);

/// Words after which tor does one thing and ends, without running as a daemon.
const COMMAND_WORDS: [&str; 14] = [
    "--hash-password",
    "--dump-config",
    "--list-fingerprint",
    "--keygen",
    "--keygen-family",
    "--key-expiration",
    "--verify-config",
    "--version",
    "--list-modules",
    "--library-versions",
    "--help",
    "-h",
    "--list-torrc-options",
    "--list-deprecated-options",
];

/// True when tor would answer these arguments and end.
pub fn is_command(args: &[String]) -> bool {
    args.iter().any(|word| COMMAND_WORDS.contains(&word.as_str()) || word == "--dbg-dump-subsystem-list")
}

/// Runs one of tor's own commands on the calling thread; tor's exit status.
pub fn run_command(args: &[String]) -> Result<i32> {
    start()?;
    Ok(Main::new(args)?.run())
}

fn start() -> Result<()> {
    if STARTED.swap(true, Ordering::SeqCst) {
        return Err(Error::never("MW-TOR-9", "tor ran in this process already; start a new process"));
    }
    Ok(())
}

/// Everything that may be asked of the running tor; cheap to clone, usable from any thread. tor ends when the last
/// handle is gone, because its control socket closes then. Calls that return at once
/// queue a command: bad circuits and full queues at tor's side show in [`TorHandle::stats`], not here.
#[derive(Clone)]
pub struct TorHandle {
    commands: mpsc::Sender<Command>,
    bootstrap: watch::Receiver<Bootstrap>,
    exited: watch::Receiver<Option<i32>>,
    host: Option<Arc<Host>>,
}

/// Starts tor with `args` (no program name). With a policy payment cells are counted and exchanged; without one they
/// are off and tor is as upstream made it. Events come bounded; the last one is [`TorEvent::Exited`].
///
/// # Errors
/// `MW-TOR-1` bad arguments, `-2` no socket or thread, `-7`/`-9` second start in this process, `-10` RunAsDaemon.
pub async fn run_tor(args: Vec<String>, policy: Option<Policy>) -> Result<(TorHandle, mpsc::Receiver<TorEvent>)> {
    refuse_to_fork(&args)?;
    start()?;
    // Signals come to us; we forward them. First, so that a last option without a value is tor's to complain about.
    let ours = ["--__DisableSignalHandlers", "1", "--RunAsDaemon", "0"];
    let words: Vec<String> = ours.map(String::from).into_iter().chain(args).collect();
    let mut main = Main::new(&words)?;
    let socket = std::os::unix::net::UnixStream::from(main.control_socket()?);
    let no_socket = |error| Error::later("MW-TOR-2", format!("no socket to talk with tor: {error}"));
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|error| no_socket(error.into()))?;
    socket.set_nonblocking(true).map_err(no_socket)?;
    let socket = UnixStream::from_std(socket).map_err(no_socket)?;

    let (events, receiver) = mpsc::channel(hooks::QUEUE);
    let host = match policy {
        Some(policy) => {
            let guard = policy.own_user.then(Guard::own_user).transpose()?;
            Some(hooks::install(Host::new(policy, hooks::queue(events.clone())).guarded(guard))?)
        }
        None => None,
    };
    let (commands, asked) = mpsc::channel(COMMANDS);
    let (progress, bootstrap) = watch::channel(Bootstrap::default());
    let (exit, exited) = watch::channel(None);

    let last = events.clone();
    std::thread::Builder::new()
        .name("tor".into())
        .stack_size(STACK)
        .spawn(move || {
            let status = main.run();
            let _ = exit.send(Some(status));
            // This thread is ours again and may wait; nobody reads = nobody cares.
            let _ = last.blocking_send(TorEvent::Exited { status });
        })
        .map_err(|error| Error::later("MW-TOR-2", format!("no thread for tor: {error}")))?;
    tokio::spawn(control::drive(socket, asked, progress, hooks::queue(events)));

    let handle = TorHandle { commands, bootstrap, exited, host };
    // Streams are of interest only to who pays for their circuits.
    let wanted = if policy.is_some() { "SETEVENTS STATUS_CLIENT STREAM" } else { "SETEVENTS STATUS_CLIENT" };
    handle.post(wanted)?;
    handle.post("GETINFO status/bootstrap-phase")?;
    Ok((handle, receiver))
}

impl TorHandle {
    /// Queue one payment cell: at an origin to `hop` (1 = guard), at a relay `hop` 0 to the origin. `body` is at most
    /// [`sys::BODY_MAX`] bytes.
    pub fn send(&self, circ: CircuitId, hop: u32, body: &[u8]) -> Result<()> {
        self.payments().and_then(|()| sys::send(circ, hop, body))
    }

    /// Relay: so many cells (in + out, cumulative over the circuit's life) are paid for. Never lowers.
    pub fn grant(&self, circ: CircuitId, cells: u64) -> Result<()> {
        self.payments().and_then(|()| sys::grant(circ, cells))
    }

    /// One [`TorEvent::Watch`] when in + out of (circ, hop) reaches `cells`, at once when it did already.
    pub fn watch(&self, circ: CircuitId, hop: u32, cells: u64) -> Result<()> {
        self.payments().and_then(|()| sys::watch(circ, hop, cells))
    }

    /// Ask for [`TorEvent::Counters`], one per hop.
    pub fn query(&self, circ: CircuitId) -> Result<()> {
        self.payments().and_then(|()| sys::query(circ))
    }

    /// Build a circuit that ends at `relay`, directly or by a path of tor's choice. `token` (not 0) comes back.
    pub fn launch(&self, token: u64, relay: &[u8; 20], one_hop: bool) -> Result<()> {
        self.payments().and_then(|()| sys::launch(token, relay, one_hop))
    }

    /// Close a circuit.
    pub fn close(&self, circ: CircuitId) -> Result<()> {
        self.payments().and_then(|()| sys::close(circ))
    }

    /// Attach no new stream to a circuit of ours; what rides it stays, and tor builds another when one is wanted.
    pub fn abandon(&self, circ: CircuitId) -> Result<()> {
        self.payments().and_then(|()| sys::abandon(circ))
    }

    /// Replace the policy; [`Policy::relay`] keeps its first value.
    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        self.payments()?;
        self.host.as_ref().map_or(Ok(()), |host| host.set_policy(policy))
    }

    /// What was counted and dropped so far; nothing but zeros while payments are off.
    pub fn stats(&self) -> Stats {
        if self.host.is_some() { sys::stats() } else { Stats::default() }
    }

    /// True when a panic on tor's thread switched payments off for good.
    pub fn poisoned(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.poisoned())
    }

    /// Queue a SIGNAL; returns at once.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.post(format!("SIGNAL {}", signal.word()))
    }

    /// GETINFO; the value.
    pub async fn getinfo(&self, key: &str) -> Result<String> {
        let reply = self.command(format!("GETINFO {key}")).await?;
        match reply.value(key) {
            Some(value) if reply.code == 250 && !reply.cut => Ok(value.to_string()),
            _ => Err(refused(&reply)),
        }
    }

    /// Any control command of one line; the whole reply, refusals included.
    pub async fn command(&self, text: impl Into<String>) -> Result<Reply> {
        let (answer, reply) = oneshot::channel();
        let command = Command::new(text, Some(answer))?;
        let asked = async {
            self.commands.send(command).await.map_err(|_| gone())?;
            reply.await.map_err(|_| gone())
        };
        let mut exited = self.exited.clone();
        tokio::select! {
            biased;
            reply = asked => reply,
            // A tor that failed before it owned its end of the socket never closes it.
            _ = exited.wait_for(Option::is_some) => Err(gone()),
        }
    }

    /// The last known step of the bootstrap.
    pub fn bootstrap(&self) -> Bootstrap {
        self.bootstrap.borrow().clone()
    }

    /// tor's exit status, None while it runs.
    pub fn status(&self) -> Option<i32> {
        *self.exited.borrow()
    }

    /// Waits until tor ended; its exit status.
    pub async fn wait(&self) -> i32 {
        let mut exited = self.exited.clone();
        // A dropped sender without a status means that tor's thread panicked, which is none of tor's statuses.
        exited.wait_for(Option::is_some).await.ok().and_then(|status| *status).unwrap_or(101)
    }

    fn post(&self, text: impl Into<String>) -> Result<()> {
        let command = Command::new(text, None)?;
        if self.status().is_some() {
            return Err(gone());
        }
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::later("MW-TOR-11", "tor does not answer its control socket"),
            mpsc::error::TrySendError::Closed(_) => gone(),
        })
    }

    fn payments(&self) -> Result<()> {
        match &self.host {
            None => Err(Error::never("MW-TOR-4", "payments are off in this tor; start it with a gateway")),
            Some(host) if host.poisoned() => {
                Err(Error::later("MW-TOR-6", "payments broke inside this process; restart it"))
            }
            Some(_) => Ok(()),
        }
    }
}

fn gone() -> Error {
    Error::later("MW-TOR-12", "tor has ended")
}

fn refused(reply: &Reply) -> Error {
    let said = reply.lines.last().map(String::as_str).unwrap_or_default();
    Error::never("MW-TOR-13", format!("tor refused a control command: {} {said}", reply.code))
}

/// The command line, and the torrc that it names, must not ask for RunAsDaemon. What a torrc includes is not read;
/// there our own word on the command line overrides it.
fn refuse_to_fork(args: &[String]) -> Result<()> {
    let truthy = |value: Option<&str>| value.map(str::trim).is_some_and(|value| value != "0");
    // tor takes any case, and any beginning of a name that fits no other one; on its command line even without dashes.
    let is_key = |word: &str| word.len() >= 2 && "runasdaemon".starts_with(&word.to_ascii_lowercase());
    let fork = Error::never(
        "MW-TOR-10",
        "RunAsDaemon is not possible here: tor is one thread of this process, and a fork loses the others. Set it to 0 and let \
         the service manager put the process into the background",
    );
    for (at, word) in args.iter().enumerate() {
        let value = args.get(at + 1).map(String::as_str);
        if is_key(word.trim_start_matches('-').trim_start_matches('+')) && truthy(value) {
            return Err(fork);
        }
        if ["-f", "--torrc-file", "--defaults-torrc"].contains(&word.as_str()) {
            let text = value.and_then(|file| read_text(file.as_ref(), TORRC_MAX).ok()).unwrap_or_default();
            let asks = text
                .lines()
                .filter_map(|line| line.trim().split_once([' ', '\t']))
                .any(|(key, value)| is_key(key) && truthy(Some(value)));
            if asks {
                return Err(fork);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn running_as_a_daemon_is_refused_wherever_it_is_asked_for() {
        assert!(refuse_to_fork(&words("--SocksPort 0 --RunAsDaemon 1")).is_err());
        assert!(refuse_to_fork(&words("-runasdaemon 1")).is_err());
        assert!(refuse_to_fork(&words("--RunAsD 1")).is_err());
        assert!(refuse_to_fork(&words("RunAsDaemon 1")).is_err());
        assert!(refuse_to_fork(&words("--RunAsDaemon 0 --quiet")).is_ok());
        let dir = tempfile::tempdir().expect("a directory");
        let torrc = dir.path().join("torrc");
        for (text, allowed) in [("SocksPort 0\nRunAsDaemon 1\n", false), ("# RunAsDaemon 1\nRunAsDaemon 0\n", true)] {
            fs::write(&torrc, text).expect("written");
            assert_eq!(refuse_to_fork(&words(&format!("-f {}", torrc.display()))).is_ok(), allowed, "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_ends_when_tor_has_exited_although_nobody_closed_its_socket() {
        let (commands, _kept) = mpsc::channel(COMMANDS);
        let (_progress, bootstrap) = watch::channel(Bootstrap::default());
        let (exit, exited) = watch::channel(None);
        let tor = TorHandle { commands, bootstrap, exited, host: None };
        let asking = tokio::spawn({
            let tor = tor.clone();
            async move { tor.getinfo("net/listeners/socks").await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!asking.is_finished(), "tor may still answer");
        exit.send(Some(1)).expect("somebody looks");
        let answer = tokio::time::timeout(Duration::from_secs(5), asking).await.expect("it ends").expect("no panic");
        assert_eq!(answer.expect_err("tor is gone").code, "MW-TOR-12");
        assert_eq!(tor.command("GETINFO version").await.expect_err("still gone").code, "MW-TOR-12");
        assert_eq!(tor.wait().await, 1);
    }

    #[test]
    fn commands_of_tor_are_told_from_running_it() {
        assert!(is_command(&words("--hash-password x")));
        assert!(is_command(&words("-f torrc --verify-config")));
        assert!(!is_command(&words("-f torrc --SocksPort 0")));
    }
}
