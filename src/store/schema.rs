//! The tables. A change gets a new version and a step from the one before; what was released never changes.
use super::sqlite::failed;
use crate::error::{Error, Result};
use rusqlite::Connection;

/// Version of the tables.
pub(super) const VERSION: u32 = 3;

/// Says whose file it is ("MWv1").
const APPLICATION: i32 = 0x4d57_7631;

const TABLES: &str = "
CREATE TABLE links (
    id BLOB PRIMARY KEY NOT NULL, role TEXT NOT NULL, deposit INTEGER NOT NULL, since_ms INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE escrows (
    escrow BLOB PRIMARY KEY NOT NULL, link BLOB NOT NULL, role TEXT NOT NULL, state TEXT NOT NULL,
    deposit INTEGER NOT NULL CHECK (deposit >= 0),
    total INTEGER NOT NULL CHECK (total >= 0),
    landed INTEGER NOT NULL CHECK (landed >= 0),
    epoch INTEGER NOT NULL, body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hops (
    hop BLOB PRIMARY KEY NOT NULL, at INTEGER NOT NULL,
    amount_in INTEGER NOT NULL, amount_out INTEGER NOT NULL, body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hops_at ON hops (at);
CREATE TABLE payments (
    id BLOB PRIMARY KEY NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, service TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0), body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_at ON payments (at);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, what TEXT NOT NULL, link BLOB, hop BLOB,
    amount INTEGER NOT NULL CHECK (amount >= 0), fee INTEGER NOT NULL CHECK (fee >= 0)
) STRICT;
CREATE INDEX events_link ON events (link, what);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER events_keep BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE VIEW balances AS SELECT
    link,
    SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS signed,
    SUM(CASE WHEN what = 'claim_accepted' THEN amount ELSE 0 END) AS credited,
    SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS flushed,
    SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS seen,
    SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed')
        THEN fee ELSE 0 END) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY link;
";

/// Version 1 to 2: deposits come back, at a fee.
const RETURNS: &str = "
DROP VIEW balances;
CREATE VIEW balances AS SELECT
    link,
    SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS signed,
    SUM(CASE WHEN what = 'claim_accepted' THEN amount ELSE 0 END) AS credited,
    SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS flushed,
    SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS seen,
    SUM(CASE WHEN what = 'escrow_reclaimed' THEN amount ELSE 0 END) AS returned,
    SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed',
        'escrow_refunded', 'refund_failed', 'escrow_reclaimed', 'reclaim_failed') THEN fee ELSE 0 END) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY link;
";

/// Version 2 to 3: what a person set while the node ran, JSON by name.
const SETTINGS: &str = "CREATE TABLE settings (name TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL) STRICT;";

/// Steps from each version to the next; a new file takes them all.
const STEPS: &[&str] = &[TABLES, RETURNS, SETTINGS];

/// Makes the tables in a new file; leaves those of this version alone. `MW-STORE-3`: another program's file, or of a
/// later version.
pub(super) fn prepare(db: &mut Connection) -> Result<()> {
    let number = |db: &Connection, name: &str| -> Result<i64> {
        db.pragma_query_value(None, name, |row| row.get(0)).map_err(failed)
    };
    let (application, version) = (number(db, "application_id")?, number(db, "user_version")?);
    if application == i64::from(APPLICATION) && version == i64::from(VERSION) {
        return Ok(());
    }
    let known = application == i64::from(APPLICATION) && (1..i64::from(VERSION)).contains(&version);
    let done = match usize::try_from(version) {
        Ok(done) if known || (application == 0 && done == 0) => done,
        _ => {
            let text = format!(
                "The store has version {version}, this program knows {VERSION}; use the program that wrote it."
            );
            return Err(Error::never("MW-STORE-3", text));
        }
    };
    let tx = db.transaction().map_err(failed)?;
    for step in STEPS.iter().skip(done) {
        tx.execute_batch(step).map_err(failed)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
    tx.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    tx.commit().map_err(failed)
}
