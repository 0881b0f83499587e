//! What holds of the SQLite file alone: who may read it, whose it is, and how files of before are brought up to date.
use super::rows::*;
use magicwave::gateway::port::Row;
use magicwave::store::{FILE, Sqlite, Store};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Sqlite {
    Sqlite::open(dir.path()).expect("the store opens")
}

fn raw(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(FILE)).expect("opened")
}

#[test]
fn only_the_owner_can_read_any_file_of_the_store() {
    let dir = dir();
    std::fs::write(dir.path().join(FILE), b"").expect("a file that was there before");
    std::fs::set_permissions(dir.path().join(FILE), std::fs::Permissions::from_mode(0o644)).expect("mode");
    let mut store = open(&dir);
    store.commit(&[Row::Link(link(1).into())]).expect("committed");
    let files: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").map(|f| f.expect("file")).collect();
    assert!(files.len() >= 3, "the file, its log and its lock: {files:?}");
    for file in files {
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_foreign_or_newer_file_is_refused_and_left_alone() {
    for (application, version) in [(1, 1), (0, 7), (0x4d57_7631, 4)] {
        let dir = dir();
        let db = raw(dir.path());
        db.pragma_update(None, "application_id", application).expect("set");
        db.pragma_update(None, "user_version", version).expect("set");
        drop(db);
        assert_eq!(Sqlite::open(dir.path()).expect_err("refused").code, "MW-STORE-3");
    }
    let dir = dir();
    std::fs::write(dir.path().join(FILE), [7; 4096]).expect("garbage");
    assert_eq!(Sqlite::open(dir.path()).expect_err("refused").code, "MW-STORE-5");
}
