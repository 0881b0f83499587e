//! A PostgreSQL database that the gateways of one operator share, each under the account of its wallet.
//!
//! A writer holds an advisory lock of its node on the one connection over which it commits, and never connects again: a
//! lost connection is the end of the process, and the next start reads what became of the last commit. So two processes
//! of one node exclude each other, and no commit is ever said twice. Readers connect again by themselves.
use super::reader::Reader;
use super::sql::{Cell, Line, Sql, Statement, Value};
use super::state::State;
use super::{LOCK_PATIENCE, LOCK_PAUSE, Snapshot, Store, schema};
use crate::config::{Database, DatabaseHost};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::Row;
use bytes::BytesMut;
use futures::TryStreamExt;
use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

/// For a connection, and for what a gateway says: one commit, the next row of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the next row of an answer to a reader, who may add up a long journal.
const READER_PATIENCE: Duration = Duration::from_secs(600);
/// Advisory locks of ours: this for the tables, plus a node's number for that node ("MW" in the upper two bytes).
const LOCK: i64 = 0x4d57 << 48;

/// The store of one node in a shared database. Not to be used inside an asynchronous task: calls wait for the server.
///
/// `MW-STORE-1`: the server cannot be reached or refuses us; `MW-STORE-2`: another process of this node uses it;
/// `MW-STORE-3`: tables of a later version; `MW-STORE-4`: full, try again; `MW-STORE-5`: the server failed;
/// `MW-STORE-6`: a row that cannot be written or read; `MW-STORE-7`: the connection is lost, and with it whether the
/// last commit happened: this process must end, the next start reads what is true; `MW-STORE-8`: the server does not
/// write through to its disk (`fsync = off`).
#[derive(Debug)]
pub struct Postgres {
    state: State<Connected>,
    database: Database,
    node: i64,
}

impl Postgres {
    /// Opens the books of the node whose wallet has this account; makes the tables in an empty database.
    pub fn open(database: &Database, account: &AccountKey) -> Result<Self> {
        let mut db = Connected::new(database, false)?;
        db.prepare_tables()?;
        let node = match db.node(account)? {
            Some(node) => node,
            None => db.add_node(account)?,
        };
        db.lock(node)?;
        Ok(Postgres { state: State::new(db, node), database: database.clone(), node })
    }
    /// Reads beside the writer, from any thread, on a connection of its own.
    pub fn reader(&self) -> Result<Reader> {
        Ok(Reader::over(Box::new(Connected::new(&self.database, true)?), self.node))
    }
}

impl Store for Postgres {
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        self.state.load(hops, now_ms)
    }
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        self.state.commit(rows)
    }
    fn alive(&mut self) -> Result<()> {
        self.state.alive()
    }
}

/// A connection with the little runtime that drives it while a call waits.
#[derive(Debug)]
pub(super) struct Connected {
    runtime: Option<Runtime>,
    client: Client,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
    /// A reader's: where to connect again.
    again: Option<Database>,
    /// Inside one moment: no other connection can go on with it.
    still: bool,
    /// Nothing more may be said here.
    over: bool,
}

impl Drop for Connected {
    fn drop(&mut self) {
        // Dropped in an asynchronous task a runtime would panic; this way it does not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connected {
    /// Connects; a reader's transactions change nothing.
    pub fn new(database: &Database, reads: bool) -> Result<Self> {
        let route = database.route()?;
        let mut config = tokio_postgres::Config::new();
        config.user(&route.user).dbname(&route.name).application_name("magicwave").connect_timeout(PATIENCE);
        match &route.host {
            DatabaseHost::Loopback(address) => config.host(address.ip().to_string()).port(address.port()),
            DatabaseHost::Socket(directory, port) => config.host_path(directory).port(*port),
        };
        if let Some(password) = database.password()? {
            config.password(password);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::later("MW-STORE-1", format!("No connection: {error}.")))?;
        let client = runtime.block_on(async {
            let connected = tokio::time::timeout(PATIENCE, config.connect(NoTls)).await;
            let (client, connection) = connected.map_err(|_| unreachable("it does not answer"))?.map_err(refused)?;
            tokio::spawn(connection);
            let settings = "SET synchronous_commit = on; SET lock_timeout = '20s'; SET statement_timeout = 0";
            let reader = "SET default_transaction_read_only = on";
            client.batch_execute(if reads { reader } else { settings }).await.map_err(|e| failed(&e))?;
            Ok::<_, Error>(client)
        })?;
        let again = reads.then(|| database.clone());
        let mut db =
            Connected { runtime: Some(runtime), client, prepared: HashMap::new(), again, still: false, over: false };
        let fsync = "SELECT current_setting('fsync')";
        if !reads && db.one(fsync, &[], |line| line.text(0))?.is_none_or(|fsync| fsync != "on") {
            let text = "The PostgreSQL server runs with fsync = off: a power cut would lose payments. Turn it on.";
            return Err(Error::never("MW-STORE-8", text));
        }
        Ok(db)
    }

    /// Runs `work` to its end; `MW-STORE-7` when that takes too long, and then nothing more is said on this connection.
    fn wait<T>(&mut self, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.over) else { return Err(lost()) };
        let patience = if self.again.is_some() { READER_PATIENCE } else { PATIENCE };
        let answer = runtime.block_on(async { tokio::time::timeout(patience, work(&self.client)).await });
        let answer = answer.unwrap_or_else(|_| Err(lost()));
        self.over |= matches!(&answer, Err(error) if error.code == "MW-STORE-7");
        answer
    }

    fn prepare(&mut self, sql: &'static str) -> Result<tokio_postgres::Statement> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let prepared = self.wait(async |client| client.prepare(sql).await.map_err(|e| failed(&e)))?;
        self.prepared.insert(sql, prepared.clone());
        Ok(prepared)
    }

    fn one<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        make: impl Fn(Line<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.each(sql, values, &mut |line| {
            found = Some(make(line)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        self.wait(async |client| client.batch_execute(sql).await.map_err(|e| failed(&e)))
    }

    /// Makes the tables in an empty database, one process at a time.
    fn prepare_tables(&mut self) -> Result<()> {
        self.batch("BEGIN")?;
        let made = self.make_tables();
        self.batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        made
    }

    fn make_tables(&mut self) -> Result<()> {
        self.one("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)", &[Value::Int(LOCK)], |_| Ok(()))?;
        match self.version()? {
            None => self.batch(schema::POSTGRES),
            Some(schema::VERSION) => Ok(()),
            Some(version) => Err(schema::foreign(version)),
        }
    }

    fn version(&mut self) -> Result<Option<i64>> {
        let made = "SELECT CAST(count(to_regclass('magicwave')) AS BIGINT)";
        if self.one(made, &[], |line| line.int(0))? == Some(0) {
            return Ok(None);
        }
        self.one("SELECT version FROM magicwave", &[], |line| line.int(0))
    }

    fn node(&mut self, account: &AccountKey) -> Result<Option<i64>> {
        self.one("SELECT node FROM nodes WHERE account = $1", &[Value::Bytes(account)], |line| line.int(0))
    }

    fn add_node(&mut self, account: &AccountKey) -> Result<i64> {
        let sql = "INSERT INTO nodes (account) VALUES ($1) ON CONFLICT (account) DO NOTHING";
        self.commit(&[Statement { sql, values: vec![Value::Bytes(account)] }])?;
        self.node(account)?.ok_or_else(|| Error::never("MW-STORE-5", "The store lost the node that it has just made."))
    }

    /// Held until this connection ends. `MW-STORE-2`: another one holds it.
    fn lock(&mut self, node: i64) -> Result<()> {
        let sql = "SELECT CASE WHEN pg_try_advisory_lock($1) THEN CAST(1 AS BIGINT) ELSE 0 END";
        let until = Instant::now() + LOCK_PATIENCE;
        while self.one(sql, &[Value::Int(LOCK + node)], |line| line.int(0))? != Some(1) {
            if Instant::now() >= until {
                let text = "Another process keeps this node's books in this database; stop it.";
                return Err(Error::later("MW-STORE-2", text));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Ok(())
    }

    /// The number of the node that is to be read: of this account, or of the only one there is. `MW-STORE-3`: no tables
    /// of this version; `MW-STORE-9`: no such node, or several and none was named.
    pub fn choose(&mut self, account: Option<&AccountKey>) -> Result<i64> {
        match self.version()? {
            Some(schema::VERSION) => {}
            Some(version) => return Err(schema::foreign(version)),
            None => return Err(Error::never("MW-STORE-9", "No node has kept its books in this database yet.")),
        }
        let (mut nodes, sql) = (Vec::new(), "SELECT node, account FROM nodes ORDER BY node");
        self.each(sql, &[], &mut |line| {
            nodes.push((line.int(0)?, line.bytes::<32>(1)?));
            Ok(())
        })?;
        let named = |(_, key): &&(i64, AccountKey)| account.is_none_or(|account| account == key);
        let found: Vec<_> = nodes.iter().filter(named).collect();
        let [(node, _)] = found[..] else {
            let known: Vec<_> = nodes.iter().map(|(_, key)| hex::encode(key)).collect();
            let text = format!("Name one of the nodes of this database by its account: {}.", known.join(", "));
            return Err(Error::never("MW-STORE-9", text));
        };
        Ok(*node)
    }
}

impl Sql for Connected {
    fn commit(&mut self, statements: &[Statement<'_>]) -> Result<()> {
        let prepared = statements.iter().map(|one| self.prepare(one.sql)).collect::<Result<Vec<_>>>()?;
        let answer = self.wait(async |client| {
            type Run<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + 'a>>;
            let mut runs: Vec<Run<'_>> = vec![Box::pin(client.batch_execute("BEGIN"))];
            for (one, prepared) in statements.iter().zip(&prepared) {
                let run = client.execute_raw(prepared, one.values.iter());
                runs.push(Box::pin(async { run.await.map(drop) }));
            }
            // A statement is sent when it is first asked about: in order, and without waiting for the one before.
            let mut under_way = Vec::with_capacity(runs.len());
            for mut run in runs {
                match futures::poll!(&mut run) {
                    std::task::Poll::Ready(answer) => answer.map_err(|e| failed(&e))?,
                    std::task::Poll::Pending => under_way.push(run),
                }
            }
            for run in under_way {
                run.await.map_err(|e| failed(&e))?;
            }
            client.batch_execute("COMMIT").await.map_err(|e| failed(&e))
        });
        if answer.is_err() && !self.over {
            self.batch("ROLLBACK")?;
        }
        answer
    }

    fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        take: &mut dyn FnMut(Line<'_>) -> Result<()>,
    ) -> Result<()> {
        if let Some(database) = self.again.clone().filter(|_| !self.still && self.alive().is_err()) {
            *self = Connected::new(&database, true)?;
        }
        let prepared = self.prepare(sql)?;
        let mut rows = self.wait(async |client| {
            client.query_raw(&prepared, values.iter()).await.map(Box::pin).map_err(|e| failed(&e))
        })?;
        while let Some(row) = self.wait(async |_| rows.try_next().await.map_err(|e| failed(&e)))? {
            let cells = (0..row.len()).map(|column| cell(&row, column)).collect::<Result<Vec<_>>>()?;
            take(Line(&cells))?;
        }
        Ok(())
    }

    fn still(&mut self, on: bool) -> Result<()> {
        if on {
            self.each("SELECT 1", &[], &mut |_| Ok(()))?; // connects again if need be
        }
        let begun = self.batch(if on { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "COMMIT" });
        self.still = on && begun.is_ok();
        begun
    }

    fn alive(&mut self) -> Result<()> {
        // The connection gets a turn or two to see that the server has hung up.
        self.wait(async |client| {
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            if client.is_closed() { Err(lost()) } else { Ok(()) }
        })
    }

    fn faults(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new()) // a server checks its own pages
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Int(number), &Type::INT8) => number.to_sql(ty, out),
            (Value::Text(text), &Type::TEXT) => text.as_ref().to_sql(ty, out),
            (Value::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(ty, out),
            _ => Err(format!("a value of another kind than {ty}").into()),
        }
    }
    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }
    to_sql_checked!();
}

fn cell(row: &tokio_postgres::Row, column: usize) -> Result<Cell> {
    let kind = row.columns().get(column).map(|column| column.type_().clone()).unwrap_or(Type::UNKNOWN);
    let cell = match kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(column).map(|value| value.map(Cell::Int)),
        Type::INT4 => row.try_get::<_, Option<i32>>(column).map(|value| value.map(|value| Cell::Int(value.into()))),
        Type::TEXT => row.try_get::<_, Option<String>>(column).map(|value| value.map(Cell::Text)),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column).map(|value| value.map(Cell::Bytes)),
        other => {
            let text = format!("The store holds a value of the kind {other}; restore it from a backup.");
            return Err(Error::never("MW-STORE-6", text));
        }
    };
    cell.map(|cell| cell.unwrap_or(Cell::Null)).map_err(|e| failed(&e))
}

/// What the server's error means for who called. Its detail, which may hold values of rows, stays out.
fn failed(error: &tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else {
        let text = format!("The PostgreSQL server was asked in vain: {error}.");
        return if error.is_closed() || std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>()) {
            lost()
        } else {
            Error::never("MW-STORE-5", text)
        };
    };
    let (code, text) = (said.code(), said.message());
    match *code {
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::IDLE_SESSION_TIMEOUT => lost(),
        SqlState::DISK_FULL | SqlState::OUT_OF_MEMORY | SqlState::INSUFFICIENT_RESOURCES => Error::later(
            "MW-STORE-4",
            format!("The PostgreSQL server is full: {text}. Nothing was written. Make room."),
        ),
        SqlState::LOCK_NOT_AVAILABLE => {
            Error::later("MW-STORE-4", "Another process is making the tables of this database; try again.")
        }
        _ => Error::never("MW-STORE-5", format!("The PostgreSQL server refused: {text} ({}).", code.code())),
    }
}

fn refused(error: tokio_postgres::Error) -> Error {
    let said = error.as_db_error().map(|said| said.message().to_owned());
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    unreachable(&said.or(cause).unwrap_or_else(|| error.to_string()))
}

fn unreachable(why: &str) -> Error {
    let text = format!("The PostgreSQL server cannot be used ({why}); look at [database] and at the server.");
    Error::later("MW-STORE-1", text)
}

fn lost() -> Error {
    let text = "The connection to the PostgreSQL server is lost. What was being committed is durable or not: a node ends \
                here, and its next start reads what is true.";
    Error::later("MW-STORE-7", text)
}
