//! Closed ledgers on disk: SQLite with synchronous=FULL, one transaction a close.
//!
//! One process holds the file (exclusive locking). What waits in the queue is not stored: it may be lost, as on a real
//! network.
mod rows;

use super::chain::{Closed, Ledger};
use super::entry::{Entry, Id};
use super::state::{Header, Key};
use super::xdr::{LedgerEntry, Limits, ReadXdr};
use rows::{ledger_row, put_entries, put_ledger, put_transaction, transaction_row};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Rows that one query returns at most.
pub const MAX_PAGE: u32 = 200;
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (key BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE ledgers (
  ledger INTEGER PRIMARY KEY, hash BLOB NOT NULL, previous BLOB NOT NULL, close_time INTEGER NOT NULL,
  protocol INTEGER NOT NULL, base_fee INTEGER NOT NULL, base_reserve INTEGER NOT NULL, total_coins INTEGER NOT NULL,
  fee_pool INTEGER NOT NULL, successful INTEGER NOT NULL, failed INTEGER NOT NULL, operations INTEGER NOT NULL,
  set_operations INTEGER NOT NULL);
CREATE TABLE transactions (
  id INTEGER PRIMARY KEY, ledger INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE, inner_hash BLOB,
  envelope BLOB NOT NULL, result BLOB NOT NULL, successful INTEGER NOT NULL, fee INTEGER NOT NULL,
  bid INTEGER NOT NULL, operations INTEGER NOT NULL);
CREATE INDEX transactions_inner ON transactions (inner_hash) WHERE inner_hash IS NOT NULL;
CREATE INDEX transactions_ledger ON transactions (ledger);
CREATE TABLE participants (account BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (account, id)) WITHOUT ROWID;
";

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no: disk full, file held by another process, file damaged.
    #[error("the ledger's database: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The file belongs to another network.
    #[error(
        "the state directory holds another network (its passphrase or root account differs); choose another --state"
    )]
    OtherNetwork,
    /// Written by another version of this program.
    #[error("the state directory was written by another version of the ledger (schema {0}); choose another --state")]
    Version(i64),
    /// A row that this program cannot have written.
    #[error("the ledger's database is damaged: {0}")]
    Damaged(&'static str),
}

type Result<T> = std::result::Result<T, StoreError>;

/// A closed ledger's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its header.
    pub header: Header,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash before it.
    pub previous: [u8; 32],
    /// Transactions that succeeded.
    pub successful: u32,
    /// Transactions that failed.
    pub failed: u32,
    /// Operations of the successful ones.
    pub operations: u32,
    /// Operations of all.
    pub set_operations: u32,
}

/// A transaction's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Paging token: ledger << 32 | (index + 1) << 12.
    pub id: i64,
    /// The ledger that holds it.
    pub ledger: u32,
    /// Its close time.
    pub close_time: u64,
    /// Hash of the whole.
    pub hash: [u8; 32],
    /// TransactionEnvelope XDR.
    pub envelope: Vec<u8>,
    /// TransactionResult XDR.
    pub result: Vec<u8>,
    /// Whether its operations applied.
    pub successful: bool,
    /// Fee charged in stroops.
    pub fee: i64,
    /// Fee offered in stroops.
    pub bid: i64,
    /// Operations that the fee is reckoned by.
    pub operations: i64,
}

/// Which transactions to list.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Only those that touch this account.
    pub account: Option<Id>,
    /// Only those of this ledger.
    pub ledger: Option<u32>,
    /// After (ascending) or before (descending) this paging token.
    pub cursor: Option<i64>,
    /// Newest first.
    pub descending: bool,
    /// At most so many, at most [`MAX_PAGE`].
    pub limit: u32,
    /// Failed ones too.
    pub include_failed: bool,
}

/// The database.
pub struct Store {
    db: Connection,
}

impl Store {
    /// Opens or creates `ledger.sqlite` in `dir`, which must exist.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::prepare(Connection::open(dir.join("ledger.sqlite"))?)
    }

    /// A database that ends with the process, for tests.
    pub fn memory() -> Result<Self> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(db: Connection) -> Result<Self> {
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"))?;
            }
            VERSION => {}
            other => return Err(StoreError::Version(other)),
        }
        Ok(Store { db })
    }

    /// The ledger as it was closed last, or `fresh` stored as the first one.
    pub fn load(&mut self, passphrase: &str, root: &Id, fresh: impl FnOnce() -> Ledger) -> Result<Ledger> {
        let stored: Option<Vec<u8>> =
            self.db.query_row("SELECT value FROM meta WHERE name = 'network'", [], |row| row.get(0)).optional()?;
        let network = [passphrase.as_bytes(), &[0], root].concat();
        match stored {
            None => {
                let ledger = fresh();
                self.begin(&network, &ledger)?;
                Ok(ledger)
            }
            Some(known) if known != network => Err(StoreError::OtherNetwork),
            Some(_) => self.restore(passphrase),
        }
    }

    fn begin(&mut self, network: &[u8], ledger: &Ledger) -> Result<()> {
        let tx = self.db.transaction()?;
        tx.execute("INSERT INTO meta VALUES ('network', ?1)", params![network])?;
        let state = ledger.state();
        let keys: Vec<Key> = state.accounts.iter().map(|(id, _)| Key::Account(*id)).collect();
        put_entries(&tx, state, &keys)?;
        let row = LedgerRow {
            header: *ledger.header(),
            hash: *ledger.hash(),
            previous: [0; 32],
            successful: 0,
            failed: 0,
            operations: 0,
            set_operations: 0,
        };
        put_ledger(&tx, &row)?;
        tx.commit()?;
        Ok(())
    }

    fn restore(&self, passphrase: &str) -> Result<Ledger> {
        let last = self.latest()?.ok_or(StoreError::Damaged("no ledger"))?;
        let mut query = self.db.prepare("SELECT entry FROM entries")?;
        let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        let mut entries = Vec::new();
        for bytes in rows {
            let entry = LedgerEntry::from_xdr(bytes?, Limits { depth: 100, len: 1 << 16 })
                .map_err(|_| StoreError::Damaged("an entry"))?;
            entries.push(Entry::from_xdr(&entry).ok_or(StoreError::Damaged("an entry's kind"))?);
        }
        Ok(Ledger::restore(passphrase, last.header, last.hash, entries.into_iter()))
    }

    /// Makes a close durable. `ledger` is the state after it.
    pub fn commit(&mut self, ledger: &Ledger, closed: &Closed) -> Result<()> {
        let tx = self.db.transaction()?;
        put_entries(&tx, ledger.state(), &closed.changes)?;
        let mut row = LedgerRow {
            header: closed.header,
            hash: closed.hash,
            previous: closed.previous,
            successful: 0,
            failed: 0,
            operations: 0,
            set_operations: 0,
        };
        for (index, applied) in closed.transactions.iter().enumerate() {
            let operations = u32::try_from(applied.frame.tx.operations.len()).unwrap_or(u32::MAX);
            row.set_operations = row.set_operations.saturating_add(operations);
            if applied.outcome.is_success() {
                row.successful += 1;
                row.operations = row.operations.saturating_add(operations);
            } else {
                row.failed += 1;
            }
            put_transaction(&tx, closed.header.ledger, index, applied)?;
        }
        put_ledger(&tx, &row)?;
        tx.commit()?;
        Ok(())
    }

    /// The last closed ledger.
    pub fn latest(&self) -> Result<Option<LedgerRow>> {
        Ok(self.ledgers(None, None, true, 1)?.into_iter().next())
    }

    /// Ledgers by number or as a page.
    pub fn ledgers(&self, number: Option<u32>, cursor: Option<i64>, down: bool, limit: u32) -> Result<Vec<LedgerRow>> {
        let order = if down { "< ?2 ORDER BY ledger DESC" } else { "> ?2 ORDER BY ledger" };
        let start = cursor.unwrap_or(if down { i64::MAX } else { -1 });
        let sql = format!("SELECT * FROM ledgers WHERE (?1 IS NULL OR ledger = ?1) AND ledger {order} LIMIT ?3");
        let mut query = self.db.prepare_cached(&sql)?;
        let rows = query.query_map(params![number, start, limit.min(MAX_PAGE)], ledger_row)?;
        rows.map(|row| row.map_err(StoreError::from)).collect()
    }

    /// The transaction of a hash: its own, or that of the transaction inside a fee bump.
    pub fn transaction(&self, hash: &[u8; 32]) -> Result<Option<TransactionRow>> {
        let mut query = self.db.prepare_cached(
            "SELECT t.*, l.close_time FROM transactions t JOIN ledgers l USING (ledger)
             WHERE t.hash = ?1 OR t.inner_hash = ?1 ORDER BY t.id LIMIT 1",
        )?;
        Ok(query.query_row(params![hash], transaction_row).optional()?)
    }

    /// A page of transactions.
    pub fn transactions(&self, query: &Query) -> Result<Vec<TransactionRow>> {
        // ids begin with the ledger's number, so cursor and ledger are one span of ids
        let (mut above, mut below) = match query.ledger {
            Some(ledger) => (i64::from(ledger) << 32, (i64::from(ledger) + 1) << 32),
            None => (-1, i64::MAX),
        };
        match (query.cursor, query.descending) {
            (Some(cursor), true) => below = below.min(cursor),
            (Some(cursor), false) => above = above.max(cursor),
            (None, _) => {}
        }
        // the span is asked of the table that leads the look-up, so that a page costs its own length only
        let (join, key) = match query.account {
            Some(_) => ("JOIN participants p ON p.id = t.id AND p.account = ?1", "p.id"),
            None => ("", "t.id"),
        };
        let order = if query.descending { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT t.*, l.close_time FROM transactions t {join} JOIN ledgers l ON l.ledger = t.ledger
             WHERE {key} > ?2 AND {key} < ?3 AND (?4 OR t.successful) ORDER BY {key} {order} LIMIT ?5"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let account = query.account.map(|id| id.to_vec());
        let values = params![account, above, below, query.include_failed, query.limit.min(MAX_PAGE)];
        let rows = statement.query_map(values, transaction_row)?;
        rows.map(|row| row.map_err(StoreError::from)).collect()
    }

    /// (charged, offered) stroops an operation of the transactions since `ledger`, and their operations; at most
    /// 10 000 of them.
    pub fn fees_since(&self, ledger: u32) -> Result<Vec<(i64, i64)>> {
        let mut query = self.db.prepare_cached(
            "SELECT fee / operations, bid / operations FROM transactions WHERE ledger >= ?1 AND operations > 0
             ORDER BY id DESC LIMIT 10000",
        )?;
        let rows = query.query_map(params![ledger], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| row.map_err(StoreError::from)).collect()
    }
}
