//! The socket that owns tor: commands in, replies and events out, on one task.
//!
//! tor answers commands in their order and sends events between whole replies; when this socket closes, tor exits.
use super::event::{Bootstrap, TorEvent};
use super::line::{self, Assembler, Reply};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait to be written.
pub const COMMANDS: usize = 64;
/// Commands that wait for tor's answer; it reads no more of them when it is busy.
const UNANSWERED: usize = 64;
/// Longest command.
const COMMAND_MAX: usize = 64 * 1024;

/// What tor understands as SIGNAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Read the configuration again (HUP).
    Reload,
    /// Stop slowly: a relay first refuses new circuits for ShutdownWaitLength (INT).
    Shutdown,
    /// Stop now, in order (TERM).
    Halt,
    /// Log statistics (USR1).
    Dump,
    /// Log everything (USR2).
    Debug,
    /// New circuits for new streams.
    NewNym,
}

impl Signal {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Signal::Reload => "RELOAD",
            Signal::Shutdown => "SHUTDOWN",
            Signal::Halt => "HALT",
            Signal::Dump => "DUMP",
            Signal::Debug => "DEBUG",
            Signal::NewNym => "NEWNYM",
        }
    }
}

/// One command and who waits for its answer.
pub struct Command {
    /// Without line end.
    text: String,
    answer: Option<oneshot::Sender<Reply>>,
}

impl Command {
    /// A command without line breaks, so that nobody smuggles in a second one.
    pub fn new(text: impl Into<String>, answer: Option<oneshot::Sender<Reply>>) -> Result<Command> {
        let text = text.into();
        if text.len() > COMMAND_MAX || text.contains(['\r', '\n', '\0']) {
            return Err(Error::never("MW-TOR-8", "a control command is one line of at most 64 KiB"));
        }
        Ok(Command { text, answer })
    }
}

/// Drives the socket until tor closes it or nobody can send commands any more.
pub async fn drive(
    mut socket: UnixStream,
    mut commands: mpsc::Receiver<Command>,
    progress: watch::Sender<Bootstrap>,
    take: impl Fn(TorEvent) -> bool,
) {
    let (mut reader, mut writer) = socket.split();
    let mut assembler = Assembler::default();
    let mut waiting: VecDeque<Option<oneshot::Sender<Reply>>> = VecDeque::new();
    let mut unsent: Vec<u8> = Vec::new();
    let mut bytes = vec![0u8; 16 * 1024];
    loop {
        let may_ask = unsent.is_empty() && waiting.len() < UNANSWERED;
        tokio::select! {
            got = reader.read(&mut bytes) => match got {
                Ok(count) if count > 0 => {
                    for reply in assembler.push(&bytes[..count]) {
                        if reply.code == 650 {
                            event(&reply, &progress, &take);
                        } else {
                            phase(&reply, &progress, &take);
                            if let Some(answer) = waiting.pop_front().flatten() {
                                // Whoever asked may have stopped waiting.
                                let _ = answer.send(reply);
                            }
                        }
                    }
                }
                // tor is gone: those who wait learn it from their dropped senders.
                _ => return,
            },
            sent = writer.write(&unsent), if !unsent.is_empty() => match sent {
                Ok(count) => drop(unsent.drain(..count)),
                Err(_) => return,
            },
            command = commands.recv(), if may_ask => match command {
                Some(command) => {
                    unsent = format!("{}\r\n", command.text).into_bytes();
                    waiting.push_back(command.answer);
                }
                None => return,
            },
        }
    }
}

fn event(reply: &Reply, progress: &watch::Sender<Bootstrap>, take: &impl Fn(TorEvent) -> bool) {
    for text in &reply.lines {
        if let Some(event) = line::stream(text) {
            // Full: whoever wants the stream's circuit asks later; traffic is not touched.
            let _ = take(TorEvent::Stream(event));
        } else if let Some(step) = line::bootstrap(text) {
            advance(step, progress, take);
        }
    }
}

/// The answer to the question that is asked once at the start: what was before we listened.
fn phase(reply: &Reply, progress: &watch::Sender<Bootstrap>, take: &impl Fn(TorEvent) -> bool) {
    if let Some(step) = reply.value("status/bootstrap-phase").and_then(line::bootstrap) {
        advance(step, progress, take);
    }
}

fn advance(step: Bootstrap, progress: &watch::Sender<Bootstrap>, take: &impl Fn(TorEvent) -> bool) {
    let news = progress.send_if_modified(|last| {
        let news = *last != step;
        last.clone_from(&step);
        news
    });
    if news {
        // A lost step is made good by the next one, and `TorHandle::bootstrap` has the last one always.
        let _ = take(TorEvent::Bootstrap(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_command_with_a_line_break_is_refused() {
        for text in ["GETINFO version\r\nSIGNAL HALT", "a\nb", "a\0b"] {
            assert!(Command::new(text, None).is_err());
        }
        assert!(Command::new("x".repeat(COMMAND_MAX + 1), None).is_err());
    }

    #[tokio::test]
    async fn answers_go_to_who_asked_and_events_to_the_queue() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let (sender, receiver) = mpsc::channel(COMMANDS);
        let (progress, watcher) = watch::channel(Bootstrap::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(drive(ours, receiver, progress, move |event| {
            kept.lock().expect("not poisoned").push(event);
            true
        }));
        let (first, first_answer) = oneshot::channel();
        let (second, second_answer) = oneshot::channel();
        for (text, answer) in [("GETINFO a", first), ("GETINFO b", second)] {
            sender.send(Command::new(text, Some(answer)).expect("fine")).await.expect("drive runs");
        }
        let mut asked = vec![0; "GETINFO a\r\nGETINFO b\r\n".len()];
        theirs.read_exact(&mut asked).await.expect("both commands");
        let said =
            b"250-a=1\r\n250 OK\r\n650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=5 TAG=conn SUMMARY=\"Connecting\"\r\n\
            650 STREAM 3 NEW 0 example.com:80\r\n552 no b\r\n";
        theirs.write_all(said).await.expect("written");
        assert_eq!(first_answer.await.expect("answered").value("a"), Some("1"));
        assert_eq!(second_answer.await.expect("answered").code, 552);
        drop(theirs);
        task.await.expect("ends with tor");
        assert_eq!(watcher.borrow().percent, 5);
        let seen = seen.lock().expect("not poisoned");
        assert!(matches!(seen[..], [TorEvent::Bootstrap(_), TorEvent::Stream(_)]), "{seen:?}");
    }
}
