//! Child processes that cannot outlive the program that started them.
//!
//! Each child leads a process group of its own and asks the kernel for SIGKILL when its parent dies. The kernel ties
//! that wish to the *thread* that forked, so all children are forked by one thread that lives as long as the program.
#![allow(unsafe_code)] // pre_exec only, see `fork_child`.
use crate::error::{Error, Result};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How often a wait for the end of a process looks.
const POLL: Duration = Duration::from_millis(20);
/// Requests that may wait for the forking thread; a full queue makes the caller wait.
const QUEUE: usize = 16;
/// Bytes that are kept of each output of a short program.
pub const MAX_SAID: u64 = 64 << 10;

/// A process by pid and start time, so that a pid that was used again is never taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks from the machine's boot to its start.
    pub started: u64,
}

impl ProcessId {
    /// The process with this pid as it runs now, `None` when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses and may hold spaces: count from behind the last one.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace();
        if fields.next() == Some("Z") {
            return None;
        }
        Some(ProcessId { pid, started: fields.nth(18)?.parse().ok()? })
    }
    /// Whether exactly this process still runs (a zombie does not).
    pub fn is_running(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
    /// Sends a signal to this process, or to the group that it leads; nothing happens when it is gone.
    pub fn signal(&self, signal: Signal, group: bool) {
        if !self.is_running() {
            return;
        }
        if let Ok(pid) = i32::try_from(self.pid) {
            // The process may end between look and signal; that is what the signal was for.
            let _ = if group { killpg(Pid::from_raw(pid), signal) } else { kill(Pid::from_raw(pid), signal) };
        }
    }
    /// Waits until it is gone; false when it still runs after `patience`.
    pub async fn wait_gone(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }
}

/// A running child; dropping it kills its whole group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    id: ProcessId,
}

impl Running {
    /// Starts `command` in a group of its own, bound to the life of this program.
    pub fn start(command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let why = |e: &io::Error| Error::never("MW-NET-2", format!("cannot start {program}: {e}"));
        let mut child = fork_child(command).map_err(|e| why(&e))?;
        match ProcessId::of(child.id()) {
            Some(id) => Ok(Running { child, id }),
            None => {
                let status = child.wait().map_err(|e| why(&e))?;
                Err(Error::never("MW-NET-2", format!("{program} ended at once with {status}")))
            }
        }
    }
    /// Pid and start time.
    pub fn id(&self) -> ProcessId {
        self.id
    }
    /// How it ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(e) => Some(format!("lost: {e}")),
        }
    }
    /// SIGKILL to the group, then reaps.
    pub fn kill9(&mut self) {
        if self.ended().is_none() {
            self.id.signal(Signal::SIGKILL, true);
            // Reaped so that no zombie keeps the pid; SIGKILL makes this short.
            let _ = self.child.wait();
        }
    }
    /// SIGTERM, and SIGKILL to what is left after `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        self.id.signal(Signal::SIGTERM, false);
        let end = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < end {
            tokio::time::sleep(POLL).await;
        }
        self.kill9();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// What a short program said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, at most [`MAX_SAID`] bytes of it.
    pub stdout: Vec<u8>,
    /// Its standard error, likewise.
    pub stderr: Vec<u8>,
}

/// A short program; dropping it before it ended kills its whole group.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        // Not reaped yet, else there is nothing to kill: the pid is still its own.
        if let (Ok(None), Ok(pid)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

/// Runs a short program to its end, bound to the life of this program like all others; `words` stand on its standard
/// input. `ErrorKind::TimedOut` when it takes longer than `patience`.
pub async fn run(mut command: Command, words: &'static [u8], patience: Duration) -> io::Result<Said> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut helper = Helper(fork_child(command)?);
    if let Some(mut stdin) = helper.0.stdin.take() {
        // A pipe takes a few words at once, read or not. It may not read at all; then there is nothing to tell it.
        let _ = stdin.write_all(words);
    }
    let (stdout, stderr) = (collect(helper.0.stdout.take()), collect(helper.0.stderr.take()));
    let work = async {
        let (stdout, stderr) = (stdout.await?, stderr.await?);
        loop {
            match helper.0.try_wait()? {
                Some(status) => return Ok(Said { status, stdout: stdout?, stderr: stderr? }),
                None => tokio::time::sleep(POLL).await,
            }
        }
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("it took longer than {patience:?}"));
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(late()))
}

/// Reads a pipe beside everything else. Ends with the pipe: when its program ends or is killed.
fn collect(pipe: Option<impl Read + Send + 'static>) -> tokio::task::JoinHandle<io::Result<Vec<u8>>> {
    tokio::task::spawn_blocking(move || {
        let (Some(mut pipe), mut bytes) = (pipe, Vec::new()) else { return Ok(Vec::new()) };
        pipe.by_ref().take(MAX_SAID).read_to_end(&mut bytes)?;
        // The rest is read all the same: a full pipe would hold the program up.
        io::copy(&mut pipe, &mut io::sink())?;
        Ok(bytes)
    })
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// Forks on the one thread that lives as long as the program.
fn fork_child(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<io::Result<SyncSender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = sync_channel::<Order>(QUEUE);
        std::thread::Builder::new().name("nursery".into()).spawn(move || {
            for (mut command, reply) in inbox {
                bind_life(&mut command);
                // The asker waits for this; if it went away the child is dropped, which leaves it to the group kill.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(orders)
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = sync_channel(1);
    nursery.as_ref().map_err(|_| gone())?.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Own process group, and SIGKILL when this program dies, however it dies.
fn bind_life(command: &mut Command) {
    let parent = Pid::this();
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. prctl(2) and getppid(2) are plain
    // system calls; nothing here allocates, locks or touches memory that other threads share.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the wish was heard.
            if getppid() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Running {
        let mut command = Command::new("sleep");
        command.arg("30").stdin(Stdio::null());
        Running::start(command).expect("sleep starts")
    }

    #[test]
    fn a_child_is_known_by_pid_and_start_time_and_dies_with_its_handle() {
        let child = sleeper();
        let id = child.id();
        assert!(id.is_running());
        assert!(!ProcessId { started: id.started + 1, ..id }.is_running());
        drop(child);
        assert!(!id.is_running());
    }

    #[tokio::test]
    async fn stop_ends_a_child_that_listens_and_one_that_does_not() {
        let mut polite = sleeper();
        polite.stop(Duration::from_secs(5)).await;
        assert!(polite.ended().expect("ended").contains("15"));
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"]).stdout(Stdio::piped());
        let mut deaf = Running::start(command).expect("sh starts");
        let mut line = [0];
        io::Read::read_exact(&mut deaf.child.stdout.take().expect("piped"), &mut line).expect("trap is set");
        deaf.stop(Duration::from_millis(200)).await;
        assert!(deaf.ended().expect("ended").contains('9'));
    }

    #[tokio::test]
    async fn a_short_program_is_heard_to_its_end_and_killed_when_it_takes_too_long() {
        let mut command = Command::new("sh");
        command.args(["-c", "read word; echo heard $word; echo $$ >&2; exit 3"]);
        let said = run(command, b"you\n", Duration::from_secs(10)).await.expect("runs");
        assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(3), &b"heard you\n"[..]));
        let mut command = Command::new("sh");
        let root = tempfile::tempdir().expect("temporary directory");
        let file = root.path().join("pid");
        command.arg("-c").arg(format!("echo $$ >'{}'; exec sleep 60", file.display()));
        let late = run(command, b"", Duration::from_secs(2)).await.expect_err("too long");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let pid = std::fs::read_to_string(file).expect("it began").trim().parse().expect("a pid");
        assert_eq!(ProcessId::of(pid), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_name() {
        let error = Running::start(Command::new("/nowhere/at-all")).expect_err("no such program");
        assert!(error.text.contains("/nowhere/at-all"));
    }
}
