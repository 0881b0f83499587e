//! What parent and child say to each other over a socket: one JSON object a line, and single bytes to go on.
use magicwave::config::Database;
use magicwave::devnet::sim::party::Setup;
use magicwave::gateway::chain::{HopRow, PaymentRow};
use magicwave::gateway::link::{EscrowRow, LinkRow};
use magicwave::gateway::port::{Effect, Event, MoneyEvent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The byte that lets a child go on.
const GO: u8 = b'.';

/// Parent to child.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Be this node from now on, over this store; answered with `Ready`.
    Be(Be),
    /// Handle these events; answered with barriers and `Done`.
    Handle { now: u64, events: Vec<Event> },
    /// Say what is in the store; answered with `Picture`.
    Look { now: u64 },
}

/// Who a child is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Be {
    pub node: usize,
    /// Directory of its store, when that is SQLite.
    pub store: PathBuf,
    /// The database that it shares with the other nodes, when that is PostgreSQL.
    pub database: Option<Database>,
    pub setup: Setup,
    /// Processes that had the store before.
    pub life: u32,
    pub now: u64,
    /// Its store says that rows are durable one commit before they are.
    pub lying: bool,
}

/// Child to parent. Behind each barrier (all but `Ready`, `Done` and `Picture`) the child stands still until it may go
/// on.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    Ready,
    /// About to commit.
    Commit,
    /// The rows are durable; nothing has left yet.
    Committed,
    /// This effect has left.
    Left(Effect),
    /// All effects have left.
    Done,
    Picture(Box<Picture>),
    /// The child cannot go on; a bug.
    Failed(String),
}

/// What a store holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Picture {
    pub links: Vec<LinkRow>,
    pub escrows: Vec<EscrowRow>,
    pub hops: Vec<HopRow>,
    pub payments: Vec<PaymentRow>,
    pub events: Vec<MoneyEvent>,
    /// What its own check finds wrong.
    pub wrong: Vec<String>,
}

/// One end of the socket.
pub struct Line {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Line {
    pub fn new(stream: UnixStream) -> Result<Line> {
        let writer = stream.try_clone()?;
        Ok(Line { reader: BufReader::new(stream), writer })
    }

    pub fn say(&mut self, words: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(words)?;
        text.push(b'\n');
        self.writer.write_all(&text)
    }

    /// The next line; none when the other end is gone.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut text = String::new();
        // A killed process may leave half a line.
        if self.reader.read_line(&mut text)? == 0 || !text.ends_with('\n') {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&text)?))
    }

    pub fn go(&mut self) -> Result<()> {
        self.writer.write_all(&[GO])
    }

    pub fn wait(&mut self) -> Result<()> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        assert_eq!(byte[0], GO, "an order came where leave to go on was due");
        Ok(())
    }
}
