//! Reading beside the writer: for status pages and commands. Each answer is of one moment.
use super::books::{self, Balance, Books};
use super::sqlite::{bodies, failed};
use crate::error::{Error, Result};
use crate::gateway::chain::PaymentRow;
use crate::gateway::core::message::Id;
use crate::gateway::link::{EscrowRow, LinkRow};
use crate::gateway::port::MoneyEvent;
use crate::units::Stroops;
use rusqlite::{Connection, OpenFlags, Row};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A read-only look at a store; clones share one connection. Errors as [`super::Sqlite`].
#[derive(Clone, Debug)]
pub struct Reader {
    db: Arc<Mutex<Connection>>,
}

impl Reader {
    /// Opens the file of a store that exists, whether or not a process writes to it.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(failed)?;
        db.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        Ok(Reader { db: Arc::new(Mutex::new(db)) })
    }
    fn db(&self) -> Result<MutexGuard<'_, Connection>> {
        // A thread that died while reading left nothing half done.
        Ok(self.db.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
    /// The newest payments of the client, newest first.
    pub fn payments(&self, limit: u32) -> Result<Vec<PaymentRow>> {
        bodies(&*self.db()?, "SELECT body FROM payments ORDER BY at DESC LIMIT ?1", [limit])
    }
    /// The newest lines of the journal, newest first.
    pub fn events(&self, limit: u32) -> Result<Vec<MoneyEvent>> {
        let db = self.db()?;
        let sql = "SELECT at, what, link, hop, amount, fee FROM events ORDER BY seq DESC LIMIT ?1";
        let mut query = db.prepare_cached(sql).map_err(failed)?;
        let rows = query.query_map([limit], |row| Ok(event(row))).map_err(failed)?;
        rows.map(|row| row.map_err(failed)?).collect()
    }
    /// All links, oldest first.
    pub fn links(&self) -> Result<Vec<LinkRow>> {
        bodies(&*self.db()?, "SELECT body FROM links ORDER BY since_ms", [])
    }
    /// All lanes, those that are over too.
    pub fn escrows(&self) -> Result<Vec<EscrowRow>> {
        bodies(&*self.db()?, "SELECT body FROM escrows", [])
    }
    /// What the journal adds up to, per link.
    pub fn balances(&self) -> Result<Vec<Balance>> {
        books::balances(&*self.db()?)
    }
    /// Adds the journal up and holds it against the lanes.
    pub fn check(&self) -> Result<Books> {
        books::check(&*self.db()?)
    }
}

fn event(row: &Row<'_>) -> Result<MoneyEvent> {
    let link: Option<Id> = row.get(2).map_err(failed)?;
    let hop: Option<Id> = row.get(3).map_err(failed)?;
    Ok(MoneyEvent {
        at: number(row, 0)?,
        what: row.get(1).map_err(failed)?,
        link,
        hop,
        amount: stroops(row, 4)?,
        fee: number(row, 5)?,
    })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    u64::try_from(row.get::<_, i64>(column).map_err(failed)?)
        .map_err(|_| Error::never("MW-STORE-6", "The store holds a number below zero; restore it from a backup."))
}

pub(super) fn stroops(row: &Row<'_>, column: usize) -> Result<Stroops> {
    Stroops::new(number(row, column)?)
        .map_err(|_| Error::never("MW-STORE-6", "The store holds an impossible amount; restore it from a backup."))
}
