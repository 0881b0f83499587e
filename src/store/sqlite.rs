//! The SQLite file: opened by one process, written with full synchronisation.
use super::reader::Reader;
use super::{DAY_MS, Snapshot, Store, record, schema};
use crate::error::{Error, Result};
use crate::gateway::port::Row;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file in the state directory; beside it lie SQLite's own `-wal` and `-shm`, and `.lock`.
pub const FILE: &str = "magicwave.db";
/// Answers to payments that are kept; older ones go at the next start.
const HOPS_KEPT: u32 = 100_000;
/// Payments that a start reads at most.
const PAYMENTS_READ: u32 = 100_000;
/// Other connections are readers of ours; they never hold the file for long.
const BUSY: Duration = Duration::from_secs(5);

/// The store of one node.
///
/// `MW-STORE-1`: the file cannot be opened or made; `MW-STORE-2`: another process has it open; `MW-STORE-3`: another
/// program's file or version; `MW-STORE-4`: busy or full, try again; `MW-STORE-5`: SQLite failed; `MW-STORE-6`: a row
/// that cannot be written or read.
#[derive(Debug)]
pub struct Sqlite {
    db: Connection,
    path: PathBuf,
    // Released by the system when the process ends, however it ends.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in the directory `dir`, or makes it with mode 0600.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let lock = private(&dir.join(format!("{FILE}.lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = "Another process uses this state directory; stop it or choose another directory.";
                return Err(Error::later("MW-STORE-2", text));
            }
            Err(TryLockError::Error(error)) => return Err(cannot_open(&error)),
        }
        drop(private(&path)?); // so that SQLite finds it with its mode, which its own files take over
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(&path, flags).map_err(failed)?;
        db.busy_timeout(BUSY).map_err(failed)?;
        db.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        db.pragma_update(None, "synchronous", "full").map_err(failed)?;
        schema::prepare(&mut db)?;
        Ok(Sqlite { db, path, _lock: lock })
    }
    /// Reads beside the writer, from any thread.
    pub fn reader(&self) -> Result<Reader> {
        Reader::open(&self.path)
    }
}

impl Store for Sqlite {
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        let old = "DELETE FROM hops WHERE at < (SELECT at FROM hops ORDER BY at DESC LIMIT 1 OFFSET ?1)";
        self.db.execute(old, [HOPS_KEPT]).map_err(failed)?;
        // By our clock, not by the newest payment: one that is dated in the future must not hide those of today. Those
        // of the days nearest to today come first, so that no number of such payments does.
        let days = "SELECT body FROM (SELECT at, body FROM payments WHERE at > ?2 \
                    ORDER BY at >= ?3, at DESC LIMIT ?1) ORDER BY at";
        let hop = "SELECT body FROM (SELECT at, body FROM hops ORDER BY at DESC LIMIT ?1) ORDER BY at";
        let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let (since, until) =
            (time(now_ms.saturating_sub(2 * DAY_MS)), time((now_ms / DAY_MS + 1).saturating_mul(DAY_MS)));
        Ok(Snapshot {
            links: bodies(&self.db, "SELECT body FROM links ORDER BY since_ms", [])?,
            escrows: bodies(&self.db, "SELECT body FROM escrows", [])?,
            hops: bodies(&self.db, hop, [hops])?,
            payments: bodies(&self.db, days, rusqlite::params![PAYMENTS_READ, since, until])?,
            policy: bodies(&self.db, "SELECT body FROM settings WHERE name = ?1", [record::POLICY])?.pop(),
        })
    }

    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for (at, row) in rows.iter().enumerate() {
            // A batch often holds one lane many times; only its last state counts.
            if !rows[at + 1..].iter().any(|later| record::replaces(later, row)) {
                record::write(&tx, row)?;
            }
        }
        tx.commit().map_err(failed)
    }
}

/// The JSON bodies that a query yields.
pub(super) fn bodies<T: DeserializeOwned>(db: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<T>> {
    let mut query = db.prepare_cached(sql).map_err(failed)?;
    let rows = query.query_map(values, |row| row.get::<_, String>(0)).map_err(failed)?;
    rows.map(|body| {
        serde_json::from_str(&body.map_err(failed)?).map_err(|error| {
            Error::never(
                "MW-STORE-6",
                format!("A row of the store cannot be read ({error}); restore it from a backup."),
            )
        })
    })
    .collect()
}

/// What SQLite's error means for who called.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::later("MW-STORE-4", "The store is busy; something else holds its file. Try again.")
        }
        Some(ErrorCode::DiskFull) => Error::later("MW-STORE-4", "The disk is full; nothing was written. Make room."),
        _ => Error::never("MW-STORE-5", format!("The store failed: {error}.")),
    }
}

/// A file that only its owner reads, made when it is not there.
fn private(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| cannot_open(&error))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|error| cannot_open(&error))?;
    Ok(file)
}

fn cannot_open(error: &std::io::Error) -> Error {
    Error::never("MW-STORE-1", format!("The store cannot be opened ({error}); check the state directory."))
}
