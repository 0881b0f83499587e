//! Whose programs may use a client's SOCKS port and its other entry ports over TCP: those of our own user and root's,
//! since its wallet pays for what goes through them.
//!
//! tor's thread asks once per connection and waits for the answer, at most [`PATIENCE`]. The looking is done on a
//! thread of its own: tor's may be forbidden to open files (`Sandbox 1`).
use crate::error::{Error, Result};
use crate::peer;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// tor's thread waits so long for an answer; one that comes later, or never, is a no. Usual is a tenth of a
/// millisecond, and some ten where the kernel's tables must be read.
pub const PATIENCE: Duration = Duration::from_millis(500);

struct Question {
    client: SocketAddr,
    server: SocketAddr,
    answer: SyncSender<bool>,
}

/// Answers for each connection to an entry port whether it may stay.
pub struct Guard {
    questions: SyncSender<Question>,
}

impl Guard {
    /// Takes what programs of our own user or of root opened on this machine. The user is the one that this process
    /// has at that moment: tor may change it at its start (`User`).
    ///
    /// # Errors
    /// `MW-TOR-2`: no thread.
    pub fn own_user() -> Result<Guard> {
        Guard::new(|client, server| {
            peer::uid(client, server).is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw())
        })
    }

    /// Takes what `look` (client's end, ours) says.
    fn new(look: impl Fn(SocketAddr, SocketAddr) -> bool + Send + 'static) -> Result<Guard> {
        let (questions, asked) = sync_channel::<Question>(1);
        let work = move || {
            for question in asked {
                let _ = question.answer.try_send(look(question.client, question.server));
            }
        };
        std::thread::Builder::new()
            .name("tor guard".into())
            .spawn(work)
            .map_err(|error| Error::later("MW-TOR-2", format!("no thread to guard the SOCKS port: {error}")))?;
        Ok(Guard { questions })
    }

    /// May the connection from `client` to our end at `server` stay? Waits [`PATIENCE`] at most; no when that cannot be
    /// told.
    pub fn takes(&self, client: SocketAddr, server: SocketAddr) -> bool {
        let (answer, told) = sync_channel(1);
        self.questions.try_send(Question { client, server, answer }).is_ok()
            && told.recv_timeout(PATIENCE).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    #[test]
    fn our_own_connections_are_taken_and_those_that_nobody_here_has_are_not() {
        let guard = Guard::own_user().expect("a thread");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let server = listener.local_addr().expect("bound");
        let _stream = TcpStream::connect(server).expect("connected");
        let (_accepted, client) = listener.accept().expect("accepted");
        assert!(guard.takes(client, server));
        assert!(!guard.takes(SocketAddr::from(([192, 0, 2, 1], 40_000)), server), "another machine");
    }

    #[test]
    fn tor_waits_for_no_answer_longer_than_it_may_and_takes_it_for_a_no() {
        let guard = Guard::new(|_, _| {
            std::thread::sleep(PATIENCE * 8);
            true
        })
        .expect("a thread");
        let somebody = SocketAddr::from(([127, 0, 0, 1], 1));
        // The first is being looked for, the second waits, for the third there is no room.
        for _ in 0..3 {
            let begin = Instant::now();
            assert!(!guard.takes(somebody, somebody));
            assert!(begin.elapsed() < PATIENCE * 4, "{:?}", begin.elapsed());
        }
    }

    #[test]
    fn a_guard_that_broke_takes_nobody() {
        let guard = Guard::new(|_, _| panic!("on purpose")).expect("a thread");
        let somebody = SocketAddr::from(([127, 0, 0, 1], 1));
        for _ in 0..2 {
            assert!(!guard.takes(somebody, somebody));
        }
    }
}
