//! The SQLite file: opened by one process, written with full synchronisation.
use super::reader::Reader;
use super::sql::{Cell, Line, Sql, Statement, Value};
use super::state::State;
use super::{LOCK_PATIENCE, LOCK_PAUSE, Snapshot, Store, schema};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::Row;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the file in the state directory; beside it lie SQLite's own `-wal` and `-shm`, `.lock`, and a copy from
/// before each new version of the tables (`.v2-backup`).
pub const FILE: &str = "magicwave.db";
/// A file is of one node, and this is its number.
pub(super) const NODE: i64 = 1;
/// Other connections are readers of ours; they never hold the file for long.
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements that a connection keeps.
const PREPARED: usize = 64;

/// The store of one node.
///
/// `MW-STORE-1`: the file cannot be opened or made; `MW-STORE-2`: another process has it open; `MW-STORE-3`: another
/// program's file or version; `MW-STORE-4`: busy or full, try again; `MW-STORE-5`: SQLite failed; `MW-STORE-6`: a row
/// that cannot be written or read.
#[derive(Debug)]
pub struct Sqlite {
    state: State<Connected>,
    path: PathBuf,
    // Released by the system when the process ends, however it ends.
    _lock: File,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Connected(Connection);

impl Sqlite {
    /// Opens the store in the directory `dir`, or makes it with mode 0600.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let lock = private(&dir.join(format!("{FILE}.lock")))?;
        let until = Instant::now() + LOCK_PATIENCE;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
                TryLockError::WouldBlock => {
                    let text = "Another process uses this state directory; stop it or choose another directory.";
                    return Err(Error::later("MW-STORE-2", text));
                }
                TryLockError::Error(error) => return Err(cannot_open(&error)),
            }
        }
        drop(private(&path)?); // so that SQLite finds it with its mode, which its own files take over
        let mut db = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.pragma_update(None, "journal_mode", "wal").map_err(|error| named(&path, failed(error)))?;
        db.pragma_update(None, "synchronous", "full").map_err(failed)?;
        schema::prepare(&mut db, &path)?;
        Ok(Sqlite { state: State::new(Connected(db), NODE), path, _lock: lock })
    }
    /// The same for the node whose wallet has this account. `MW-STORE-12`: the books are of another wallet, which would
    /// sign what nobody takes.
    pub fn open_of(dir: &Path, account: &AccountKey) -> Result<Self> {
        let mut store = Self::open(dir)?;
        let Connected(db) = store.state.db();
        // Books of before that was written down are nobody's: whether they fit the wallet shows when they are read.
        let bind = "INSERT INTO nodes (node, account) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM links)
            AND NOT EXISTS (SELECT 1 FROM escrows) ON CONFLICT DO NOTHING";
        db.execute(bind, (NODE, &account[..])).map_err(failed)?;
        let known: Option<Vec<u8>> = db
            .query_row("SELECT account FROM nodes WHERE node = ?1", [NODE], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        if let Some(known) = known.filter(|known| known[..] != account[..]) {
            let text = format!(
                "The books in {} are those of the account {} (hex), and this wallet has {}. Name the wallet that they \
                 belong to, or another state_dir.",
                store.path.display(),
                hex::encode(known),
                hex::encode(account)
            );
            return Err(Error::never("MW-STORE-12", text));
        }
        Ok(store)
    }
    /// Reads beside the writer, from any thread.
    pub fn reader(&self) -> Result<Reader> {
        Reader::open(&self.path)
    }
}

impl Store for Sqlite {
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        self.state.load(hops, now_ms)
    }
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        self.state.commit(rows)
    }
}

/// The file of a store that exists, to be read only. `MW-STORE-3`: of another version; `MW-STORE-5`: there is none, or
/// another kind of file.
pub(super) fn read_only(path: &Path) -> Result<Connected> {
    if matches!(path.try_exists(), Ok(false)) {
        let text = format!(
            "There are no books at {} yet. Did the node run with this configuration (state_dir)? It makes them at its \
             first start.",
            path.display()
        );
        return Err(Error::never("MW-STORE-5", text));
    }
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::check(&db).map_err(|error| named(path, error))?;
    Ok(Connected(db))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| named(path, failed(error)))?;
    db.busy_timeout(BUSY).map_err(failed)?;
    db.set_prepared_statement_cache_capacity(PREPARED);
    Ok(db)
}

impl Sql for Connected {
    fn commit(&mut self, statements: &[Statement<'_>]) -> Result<()> {
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for statement in statements {
            let mut query = tx.prepare_cached(statement.sql).map_err(failed)?;
            bind(&mut query, &statement.values)?;
            query.raw_execute().map_err(failed)?;
        }
        tx.commit().map_err(failed)
    }
    fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        take: &mut dyn FnMut(Line<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut query = self.0.prepare_cached(sql).map_err(failed)?;
        bind(&mut query, values)?;
        let columns = query.column_count();
        let mut rows = query.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let cells =
                (0..columns).map(|column| cell(row.get_ref(column).map_err(failed)?)).collect::<Result<Vec<_>>>();
            take(Line(&cells?))?;
        }
        Ok(())
    }
    fn still(&mut self, on: bool) -> Result<()> {
        self.0.execute_batch(if on { "BEGIN" } else { "COMMIT" }).map_err(failed)
    }
    fn alive(&mut self) -> Result<()> {
        Ok(()) // a file does not go away
    }
    fn faults(&mut self) -> Result<Vec<String>> {
        let mut said = Vec::new();
        self.each("PRAGMA quick_check", &[], &mut |line| {
            said.push(line.text(0)?);
            Ok(())
        })?;
        Ok(said.into_iter().filter(|line| line != "ok").collect())
    }
}

/// SQLite counts `$1`, `$2`, … in the order in which a statement names them first; here each value finds its own name.
fn bind(query: &mut rusqlite::Statement<'_>, values: &[Value<'_>]) -> Result<()> {
    for (at, value) in values.iter().enumerate() {
        let place = query.parameter_index(&format!("${}", at + 1)).map_err(failed)?;
        let unknown = || Error::never("MW-STORE-6", "A statement has no place for a value; nothing was written.");
        query.raw_bind_parameter(place.ok_or_else(unknown)?, value).map_err(failed)?;
    }
    Ok(())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Result<Cell> {
    let odd = || Error::never("MW-STORE-6", "The store holds a value of another kind; restore it from a backup.");
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Int(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).map(|text| Cell::Text(text.into())).map_err(|_| odd()),
        ValueRef::Blob(bytes) => Ok(Cell::Bytes(bytes.into())),
        ValueRef::Real(_) => Err(odd()),
    }
}

/// What SQLite's error means for who called.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::later("MW-STORE-4", "The store is busy; something else holds its file. Try again.")
        }
        Some(ErrorCode::DiskFull) => Error::later("MW-STORE-4", "The disk is full; nothing was written. Make room."),
        Some(ErrorCode::NotADatabase) => Error::never(
            "MW-STORE-5",
            "The store is no SQLite database: it is damaged, or another file took its place. See whether state_dir is \
             the node's, and restore the file from a backup.",
        ),
        _ => Error::never("MW-STORE-5", format!("The store failed: {error}.")),
    }
}

/// The same error with the name of the file.
fn named(path: &Path, error: Error) -> Error {
    Error { text: format!("{}: {}", path.display(), error.text), ..error }
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
