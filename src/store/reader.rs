//! Reading beside the writer: for status pages and commands. Each answer is of one moment.
use super::books::{self, Balance, Books};
use super::postgres::Connected;
use super::sql::{Line, Sql, Value, bodies, collect};
use super::{FILE, sqlite};
use crate::config::{Database, GatewayConfig};
use crate::error::{Error, Result};
use crate::gateway::chain::PaymentRow;
use crate::gateway::core::message::AccountKey;
use crate::gateway::link::{EscrowRow, LinkRow};
use crate::gateway::port::{MoneyEvent, RequestOutcome, RequestRow};
use crate::units::Stroops;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Columns of a [`MoneyEvent`], its place in the journal last.
macro_rules! event_columns {
    () => {
        "SELECT at, what, link, hop, amount, fee, tx, seq FROM events WHERE node = $1 "
    };
}
/// Columns of a [`RequestRow`].
macro_rules! request_columns {
    () => {
        "SELECT id, at, kind, who, site, due, outcome, code FROM requests WHERE node = $1 "
    };
}
pub(super) use {event_columns, request_columns};

/// A read-only look at the books of one node; clones share one connection, and a question waits for the one before.
/// Over PostgreSQL not to be used inside an asynchronous task: calls wait for the server. Errors as [`super::Sqlite`]
/// and [`super::Postgres`].
#[derive(Clone, Debug)]
pub struct Reader {
    db: Arc<Mutex<Box<dyn Sql>>>,
    pub(super) node: i64,
}

impl Reader {
    /// Opens the file of a store that exists, whether or not a process writes to it.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Reader::over(Box::new(sqlite::read_only(path)?), sqlite::NODE))
    }

    /// Connects to a database that holds books. `account` chooses one of several nodes. `MW-STORE-9`: no such node, or
    /// several and none was named.
    pub fn connect(database: &Database, account: Option<&AccountKey>) -> Result<Self> {
        let mut db = Connected::new(database, true)?;
        let node = db.choose(account)?;
        Ok(Reader::over(Box::new(db), node))
    }

    /// The configured store, as [`Reader::open`] or [`Reader::connect`]. `MW-STORE-13`: an account for a file, which
    /// holds one node.
    pub fn configured(config: &GatewayConfig, account: Option<&AccountKey>) -> Result<Self> {
        match &config.database {
            Some(database) => Reader::connect(database, account),
            None if account.is_some() => {
                let text = "These books are a file with one node in it, since the configuration has no [database]: there \
                            is nothing to choose from. Leave --node out, or name the configuration of a node there.";
                Err(Error::never("MW-STORE-13", text))
            }
            None => Reader::open(&config.state_dir.join(FILE)),
        }
    }

    pub(super) fn over(db: Box<dyn Sql>, node: i64) -> Self {
        Reader { db: Arc::new(Mutex::new(db)), node }
    }

    pub(super) fn db(&self) -> MutexGuard<'_, Box<dyn Sql>> {
        // A thread that died while reading left nothing half done.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self, limit: u32) -> [Value<'static>; 2] {
        [Value::Int(self.node), Value::Int(limit.into())]
    }

    /// The newest payments of the client, newest first.
    pub fn payments(&self, limit: u32) -> Result<Vec<PaymentRow>> {
        let sql = "SELECT body FROM payments WHERE node = $1 ORDER BY at DESC LIMIT $2";
        bodies(&mut **self.db(), sql, &self.newest(limit))
    }

    /// The newest payment requests that the paying side met, newest first. The store keeps the newest 100 000.
    pub fn requests(&self, limit: u32) -> Result<Vec<RequestRow>> {
        let sql = concat!(request_columns!(), "ORDER BY at DESC LIMIT $2");
        collect(&mut **self.db(), sql, &self.newest(limit), |line| request(&line))
    }

    /// The newest lines of the journal, newest first.
    pub fn events(&self, limit: u32) -> Result<Vec<MoneyEvent>> {
        let sql = concat!(event_columns!(), "ORDER BY seq DESC LIMIT $2");
        collect(&mut **self.db(), sql, &self.newest(limit), |line| event(&line))
    }

    /// The newest lines of the journal that are about a transaction on the ledger (`tx` says which), newest first.
    pub fn transactions(&self, limit: u32) -> Result<Vec<MoneyEvent>> {
        let sql = concat!(event_columns!(), "AND tx IS NOT NULL ORDER BY seq DESC LIMIT $2");
        collect(&mut **self.db(), sql, &self.newest(limit), |line| event(&line))
    }

    /// All links, oldest first.
    pub fn links(&self) -> Result<Vec<LinkRow>> {
        let sql = "SELECT body FROM links WHERE node = $1 ORDER BY since_ms, id";
        bodies(&mut **self.db(), sql, &[Value::Int(self.node)])
    }

    /// All lanes, those that are over too.
    pub fn escrows(&self) -> Result<Vec<EscrowRow>> {
        bodies(&mut **self.db(), "SELECT body FROM escrows WHERE node = $1 ORDER BY escrow", &[Value::Int(self.node)])
    }

    /// What the journal adds up to, per link.
    pub fn balances(&self) -> Result<Vec<Balance>> {
        books::balances(&mut **self.db(), self.node)
    }

    /// What landed for us as payee, and what was set off, over all lanes, those that are over too. It never falls.
    pub fn earned(&self) -> Result<Stroops> {
        let sql =
            "SELECT CAST(coalesce(sum(landed + netted), 0) AS BIGINT) FROM escrows WHERE node = $1 AND role = 'payee'";
        let sums = collect(&mut **self.db(), sql, &[Value::Int(self.node)], |line| line.stroops(0))?;
        Ok(sums.first().copied().unwrap_or_default())
    }

    /// Adds the journal up and holds it against the lanes.
    pub fn check(&self) -> Result<Books> {
        let mut db = self.db();
        db.still(true)?;
        let books = books::check(&mut **db, self.node);
        db.still(false)?;
        books
    }
}

/// By `event_columns`.
pub(super) fn event(line: &Line<'_>) -> Result<MoneyEvent> {
    Ok(MoneyEvent {
        at: line.count(0)?,
        what: line.text(1)?,
        link: line.maybe_bytes(2)?,
        hop: line.maybe_bytes(3)?,
        amount: line.stroops(4)?,
        fee: line.count(5)?,
        tx: line.maybe_bytes(6)?,
    })
}

/// By `request_columns`.
pub(super) fn request(line: &Line<'_>) -> Result<RequestRow> {
    Ok(RequestRow {
        id: line.bytes(0)?,
        at: line.count(1)?,
        kind: line.text(2)?,
        who: line.text(3)?,
        site: line.maybe_text(4)?,
        due: line.stroops(5)?,
        outcome: match line.text(6)?.as_str() {
            "paid" => RequestOutcome::Paid,
            "refused" => RequestOutcome::Refused,
            _ => RequestOutcome::Held,
        },
        code: line.maybe_text(7)?,
    })
}
