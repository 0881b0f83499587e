//! The tables and their versions: `sql/DATABASE-VERSION.sql` leads from the version before to this one. What was
//! released never changes.
use super::sqlite::failed;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Version of the tables.
pub(super) const VERSION: i64 = 3;

/// From an empty SQLite file on, one version each.
const SQLITE: [&str; 3] =
    [include_str!("sql/sqlite-1.sql"), include_str!("sql/sqlite-2.sql"), include_str!("sql/sqlite-3.sql")];

/// An empty PostgreSQL database begins with this version.
pub(super) const POSTGRES: &str = include_str!("sql/postgres-3.sql");

/// Says whose file it is ("MWv1").
const APPLICATION: i64 = 0x4d57_7631;

/// Brings a file to this version, after a copy of it was put beside it; makes the tables in a new one. `MW-STORE-3`:
/// another program's file, or of a later version; `MW-STORE-1`: no copy could be made.
pub(super) fn prepare(db: &mut Connection, path: &Path) -> Result<()> {
    let (application, version) = version_of(db)?;
    let begun = match (application, version) {
        (0, 0) => 0,
        (APPLICATION, 1..=VERSION) => version,
        _ => return Err(foreign(version)),
    };
    if begun > 0 && begun < VERSION {
        back_up(db, path, begun)?;
    }
    for (step, sql) in (begun..VERSION).zip(SQLITE.iter().skip(usize::try_from(begun).unwrap_or(SQLITE.len()))) {
        let tx = db.transaction().map_err(failed)?;
        tx.execute_batch(sql).map_err(failed)?;
        tx.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        tx.pragma_update(None, "user_version", step + 1).map_err(failed)?;
        tx.commit().map_err(failed)?;
    }
    Ok(())
}

/// Refuses a file whose tables are of another version: a reader changes nothing.
pub(super) fn check(db: &Connection) -> Result<()> {
    match version_of(db)? {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, version) if version < VERSION => {
            let text = format!("The store has version {version}; start the node once, it brings it to {VERSION}.");
            Err(Error::never("MW-STORE-3", text))
        }
        (_, version) => Err(foreign(version)),
    }
}

/// What this program does not know is left alone.
pub(super) fn foreign(version: i64) -> Error {
    let text = format!("The store has version {version}, this program knows {VERSION}; use the program that wrote it.");
    Error::never("MW-STORE-3", text)
}

fn version_of(db: &Connection) -> Result<(i64, i64)> {
    let number = |name: &str| -> Result<i64> { db.pragma_query_value(None, name, |row| row.get(0)).map_err(failed) };
    Ok((number("application_id")?, number("user_version")?))
}

/// A whole, settled copy; one that is there already was made of the same rows by a start that did not get further.
fn back_up(db: &Connection, path: &Path, version: i64) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}-backup"));
    let (copy, cannot) = (Path::new(&name), |error: std::io::Error| {
        Error::later("MW-STORE-1", format!("No copy of the store could be made before its new version ({error})."))
    });
    let mut half = name.clone();
    half.push(".new");
    let half = Path::new(&half);
    match std::fs::remove_file(half) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    File::create_new(half).and_then(|f| f.set_permissions(Permissions::from_mode(0o600))).map_err(cannot)?;
    let text = half.to_str().ok_or_else(|| cannot(std::io::ErrorKind::InvalidFilename.into()))?;
    db.execute("VACUUM INTO ?1", [text]).map_err(failed)?;
    let durable = File::open(half).and_then(|file| file.sync_all());
    durable.and_then(|()| std::fs::rename(half, copy)).map_err(cannot)
}
