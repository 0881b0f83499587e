//! What holds of the SQLite file alone: who may read it, whose it is, and how files of before are brought up to date.
use super::rows::*;
use magicwave::gateway::chain::{HopRow, PaymentRow};
use magicwave::gateway::link::{EscrowRow, EscrowState, LinkRow};
use magicwave::gateway::port::Row;
use magicwave::store::{FILE, Reader, Sqlite, Store};
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

#[test]
fn books_of_another_wallet_are_refused_and_left_alone() {
    let dir = dir();
    drop(Sqlite::open_of(dir.path(), &[1; 32]).expect("new books"));
    let refused = Sqlite::open_of(dir.path(), &[2; 32]).expect_err("another wallet");
    assert_eq!(refused.code, "MW-STORE-12");
    assert!(refused.text.contains(&"01".repeat(32)), "{refused}");
    drop(Sqlite::open_of(dir.path(), &[1; 32]).expect("its own"));
    // Books of before that was written down do not belong to whoever opens them first.
    let old = of_version(2);
    for account in [[3; 32], [1; 32]] {
        drop(Sqlite::open_of(old.path(), &account).expect("whoever reads them finds out"));
    }
}

/// A file as a program of before left it.
fn of_version(version: u32) -> TempDir {
    let dir = dir();
    let file = format!("{}/tests/vectors/store/v{version}.sql", env!("CARGO_MANIFEST_DIR"));
    raw(dir.path()).execute_batch(&std::fs::read_to_string(file).expect("a vector")).expect("made");
    dir
}

fn files(dir: &TempDir) -> Vec<String> {
    let name = |file: std::io::Result<std::fs::DirEntry>| file.expect("file").file_name().into_string().expect("text");
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").map(name).collect();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_with_its_rows() {
    let dir = of_version(1);
    for _ in 0..2 {
        let mut store = open(&dir);
        let snapshot = store.load(10, 6 * DAY).expect("loaded");
        assert_eq!(snapshot.links, [link(1)]);
        assert_eq!(snapshot.escrows, [lane(1, 50, 20)]);
        assert_eq!(snapshot.hops, [HopRow { session: None, ..hop(1) }]);
        let tor = PaymentRow { id: [2; 16], ..payment(1, 5 * DAY, "tor", 5) };
        assert_eq!(snapshot.payments, [payment(1, 5 * DAY, "http", 77), tor]);
        let reader = store.reader().expect("a reader");
        let books = reader.check().expect("checked");
        assert_eq!((books.wrong, books.signed, books.seen, books.fees), (vec![], amount(50), amount(20), 3));
        let events: Vec<_> = reader.events(10).expect("events").into_iter().map(|e| (e.what, e.tx)).collect();
        assert_eq!((events.len(), &events[0]), (4, &("escrow_funded".to_owned(), None)));
        let sites: Vec<_> = reader.spending(0, u64::MAX, 9).expect("spending").into_iter().map(|s| s.site).collect();
        assert_eq!(sites, [Some("example.org:80".to_owned()), None], "out of the bodies");
    }
    assert_eq!(files(&dir), [FILE, "magicwave.db.lock", "magicwave.db.v1-backup"]);
}

#[test]
fn a_store_of_the_second_version_is_brought_up_to_date_and_goes_on() {
    let dir = of_version(2);
    let mut store = open(&dir);
    let snapshot = store.load(10, 6 * DAY).expect("loaded");
    assert_eq!(snapshot.links, [LinkRow { closing: true, by_period: true, ..link(1) }]);
    let spent = EscrowRow { state: EscrowState::Spent, returned: Some(amount(980)), index: 2, ..lane(1, 20, 20) };
    assert_eq!(snapshot.escrows, [lane(1, 50, 20), EscrowRow { escrow: [2; 32], ..spent }]);
    assert_eq!(snapshot.hops, [hop(1)]);
    let reader = store.reader().expect("a reader");
    let books = reader.check().expect("checked");
    assert_eq!((books.wrong, books.signed, books.returned, books.fees), (vec![], amount(70), amount(980), 503));
    // The journal goes on where it was, and still only grows.
    store.commit(&[Row::Escrow(lane(1, 55, 20).into()), event("claim_signed", 1, 5)]).expect("committed");
    let db = raw(dir.path());
    let newest: (i64, i64) =
        db.query_row("SELECT max(seq), max(node) FROM events", [], |row| Ok((row.get(0)?, row.get(1)?))).expect("one");
    assert_eq!(newest, (8, 1));
    assert!(db.execute("DELETE FROM events", []).is_err() && db.execute("UPDATE events SET amount = 0", []).is_err());
    assert_eq!(reader.check().expect("checked").wrong, Vec::<String>::new());
}

#[test]
fn the_copy_from_before_a_new_version_is_whole_private_and_of_its_version() {
    let dir = of_version(2);
    std::fs::write(dir.path().join("magicwave.db.v2-backup.new"), b"half a copy of a start that was killed")
        .expect("ok");
    drop(open(&dir));
    assert_eq!(files(&dir), [FILE, "magicwave.db.lock", "magicwave.db.v2-backup"]);
    let copy = dir.path().join("magicwave.db.v2-backup");
    assert_eq!(std::fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
    let back = super::rows::dir();
    std::fs::copy(&copy, back.path().join(FILE)).expect("put back");
    let db = raw(back.path());
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let events: i64 = db.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("a number");
    assert_eq!((version, events), (2, 6));
    drop(db);
    assert_eq!(open(&back).load(10, 6 * DAY).expect("loaded").escrows.len(), 2, "and can be brought up to date again");
}

#[test]
fn a_reader_leaves_a_file_of_another_version_as_it_is() {
    let dir = of_version(2);
    let error = Reader::open(&dir.path().join(FILE)).expect_err("refused");
    assert_eq!(error.code, "MW-STORE-3");
    assert!(error.text.contains("start the node once"), "{error}");
    assert_eq!(files(&dir), [FILE]);
}

#[test]
fn a_new_version_that_cannot_be_reached_leaves_the_file_as_it_was() {
    let dir = of_version(2);
    let db = raw(dir.path());
    db.execute_batch("UPDATE payments SET body = 'no json' WHERE total = 5").expect("broken");
    drop(db);
    assert_eq!(Sqlite::open(dir.path()).expect_err("refused").code, "MW-STORE-5");
    let db = raw(dir.path());
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let rows: i64 = db.query_row("SELECT count(*) FROM payments", [], |row| row.get(0)).expect("a number");
    assert_eq!((version, rows), (2, 2));
}
