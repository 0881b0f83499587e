//! The SQLite store: what is committed comes back, all or nothing, to one process, readable by its owner alone.
use magicwave::gateway::chain::{HopRow, PayeeShare, PaymentRow, PaymentState};
use magicwave::gateway::link::{EscrowRow, EscrowState, LinkRow, Partner, Role};
use magicwave::gateway::port::{MoneyEvent, Row};
use magicwave::store::{FILE, Reader, Sqlite, Store};
use magicwave::units::Stroops;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const DAY: u64 = 86_400_000;

fn amount(stroops: u64) -> Stroops {
    Stroops::new(stroops).expect("an amount")
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &TempDir) -> Sqlite {
    Sqlite::open(dir.path()).expect("the store opens")
}

fn link(id: u8) -> LinkRow {
    LinkRow {
        id: [id; 16],
        role: Role::Payer,
        partner: Partner::Relay([id; 20]),
        dials: true,
        account: [1; 32],
        signer: [2; 32],
        key: [3; 32],
        tag: [id; 8],
        deposit: amount(1000),
        period: 600,
        since_ms: u64::from(id),
        dropped: false,
        closing: false,
        by_period: false,
    }
}

fn lane(id: u8, total: u64, landed: u64) -> EscrowRow {
    let row = EscrowRow::new([id; 32], &link(id), u32::from(id), EscrowState::Open);
    EscrowRow { total: amount(total), landed: amount(landed), refund: Some([9; 64]), ..row }
}

fn event(what: &str, id: u8, stroops: u64) -> Row {
    let (link, hop) = (Some([id; 16]), Some([7; 16]));
    Row::Event(MoneyEvent { at: 5, what: what.into(), link, hop, amount: amount(stroops), fee: 3 })
}

fn payment(id: u8, at: u64, service: &str, total: u64) -> PaymentRow {
    let share = PayeeShare { account: [4; 32], name: "guard".into(), due: amount(total), fee: amount(0) };
    PaymentRow {
        id: [id; 16],
        at,
        state: PaymentState::Complete,
        service: service.into(),
        site: (service == "http").then(|| "example.org:80".into()),
        total: amount(total),
        payees: vec![share],
        create_ms: 1,
        sign_ms: 2,
        deliver_ms: 3,
    }
}

fn hop(id: u8) -> HopRow {
    HopRow {
        hop_id: [id; 16],
        amount_in: amount(9),
        amount_out: amount(8),
        reply: vec![1, 2],
        at: u64::from(id),
        session: Some([id; 16]),
    }
}

#[test]
fn what_was_committed_comes_back_after_reopening() {
    let dir = dir();
    let mut store = open(&dir);
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(lane(1, 10, 0).into()),
        Row::Escrow(lane(1, 50, 20).into()), // replaces the one before
        Row::Hop(hop(1).into()),
        Row::Hop(hop(2).into()),
        Row::Hop(hop(3).into()),
        Row::Payment(payment(1, 10 * DAY, "tor", 77).into()),
        event("claim_signed", 1, 50),
    ];
    store.commit(&rows).expect("committed");
    drop(store);
    let snapshot = open(&dir).load(2, 10 * DAY).expect("loaded");
    assert_eq!(snapshot.links, [link(1)]);
    assert_eq!(snapshot.escrows, [lane(1, 50, 20)]);
    assert_eq!(snapshot.hops, [hop(2), hop(3)], "the newest, oldest first");
    assert_eq!(snapshot.payments, [payment(1, 10 * DAY, "tor", 77)]);
}

#[test]
fn a_commit_is_all_or_nothing() {
    let dir = dir();
    let mut store = open(&dir);
    let mut impossible = payment(1, 1, "tor", 1);
    impossible.at = u64::MAX;
    let error = store.commit(&[Row::Link(link(1).into()), Row::Payment(impossible.into())]).expect_err("refused");
    assert_eq!(error.code, "MW-STORE-6");
    assert!(store.load(10, 0).expect("loaded").links.is_empty());
    store.commit(&[Row::Link(link(2).into())]).expect("the store goes on");
}

#[test]
fn rows_that_nobody_needs_go_and_used_counters_stay() {
    let dir = dir();
    let mut store = open(&dir);
    let offered = EscrowRow { role: Role::Payee, state: EscrowState::Offered, ..lane(2, 0, 0) };
    let planned = EscrowRow { state: EscrowState::Planned, ..lane(3, 0, 0) };
    store.commit(&[Row::Link(link(1).into()), Row::Escrow(offered.clone().into())]).expect("committed");
    store.commit(&[Row::Escrow(planned.clone().into())]).expect("committed");
    let gone = LinkRow { dropped: true, ..link(1) };
    let offered = EscrowRow { state: EscrowState::Dropped, ..offered };
    let used = EscrowRow { state: EscrowState::Dropped, ..planned };
    let rows = [Row::Link(gone.into()), Row::Escrow(offered.into()), Row::Escrow(used.clone().into())];
    store.commit(&rows).expect("committed");
    let snapshot = store.load(10, 0).expect("loaded");
    assert!(snapshot.links.is_empty());
    assert_eq!(snapshot.escrows, [used]);
}

#[test]
fn a_second_process_is_refused_until_the_first_has_ended() {
    let dir = dir();
    let store = open(&dir);
    let error = Sqlite::open(dir.path()).expect_err("locked");
    assert_eq!(error.code, "MW-STORE-2");
    drop(store);
    open(&dir);
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

fn raw(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(FILE)).expect("opened")
}

#[test]
fn the_journal_only_grows() {
    let dir = dir();
    let mut store = open(&dir);
    store.commit(&[event("claim_signed", 1, 5), event("claim_signed", 1, 5)]).expect("committed");
    drop(store);
    let db = raw(dir.path());
    assert!(db.execute("DELETE FROM events", []).is_err());
    assert!(db.execute("UPDATE events SET amount = 0", []).is_err());
    let reader = Reader::open(&dir.path().join(FILE)).expect("a reader");
    assert_eq!(reader.events(10).expect("events").len(), 2);
}

#[test]
fn books_that_do_not_add_up_are_found() {
    let dir = dir();
    let mut store = open(&dir);
    let reader = store.reader().expect("a reader");
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(lane(1, 50, 20).into()),
        event("claim_signed", 1, 30),
        event("claim_signed", 1, 20),
        event("landing_seen", 1, 20),
        event("escrow_funded", 1, 1000),
    ];
    store.commit(&rows).expect("committed");
    let books = reader.check().expect("checked");
    assert_eq!(books.wrong, Vec::<String>::new());
    assert_eq!((books.signed, books.seen, books.fees), (amount(50), amount(20), 3));
    assert_eq!(reader.balances().expect("balances").len(), 1);
    for wrong in [
        vec![Row::Escrow(lane(1, 51, 20).into())],
        vec![Row::Escrow(lane(1, 50, 21).into())],
        vec![Row::Escrow(EscrowRow { returned: Some(amount(980)), ..lane(1, 50, 20) }.into())],
        vec![Row::Escrow(lane(1, 50, 20).into()), event("claim_signed", 2, 1)],
    ] {
        store.commit(&wrong).expect("committed");
        assert_eq!(reader.check().expect("checked").wrong.len(), 1, "{wrong:?}");
    }
}

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_with_its_rows() {
    let dir = dir();
    let mut store = open(&dir);
    let spent = EscrowRow { state: EscrowState::Spent, returned: Some(amount(980)), ..lane(1, 20, 20) };
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(spent.into()),
        event("claim_signed", 1, 20),
        event("landing_seen", 1, 20),
        event("escrow_refunded", 1, 0),
        event("escrow_reclaimed", 1, 980),
        event("flush_submitted", 1, 0),
    ];
    store.commit(&rows).expect("committed");
    drop(store);
    let db = raw(dir.path());
    db.execute_batch(
        "DROP TABLE settings; DROP VIEW balances; CREATE VIEW balances AS SELECT 1 AS signed; PRAGMA user_version = 1;",
    )
    .expect("as it was");
    drop(db);
    for _ in 0..2 {
        let mut store = open(&dir);
        let [balance] = store.reader().and_then(|r| r.balances()).expect("balances")[..] else { panic!("one link") };
        assert_eq!((balance.signed, balance.seen, balance.returned), (amount(20), amount(20), amount(980)));
        assert_eq!(balance.fees, 6, "of the refund and the reclaim; a submission costs nothing yet");
        assert_eq!(store.reader().and_then(|r| r.check()).expect("checked").wrong, Vec::<String>::new());
        assert_eq!(store.load(10, 0).expect("loaded").escrows.len(), 1);
    }
}

#[test]
fn a_restart_does_not_open_the_budget_again() {
    let dir = dir();
    let mut store = open(&dir);
    let now = 100 * DAY + 5000;
    let given_up = PaymentRow { state: PaymentState::Abandoned, ..payment(4, now, "http", 1000) };
    let rows = [
        payment(1, now - DAY, "tor", 1),
        payment(2, now - 10, "tor", 10),
        payment(3, now, "http", 100),
        given_up,
        payment(5, now - 10 * DAY, "tor", 5),
    ];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let snapshot = store.load(10, now).expect("loaded");
    assert_eq!(snapshot.payments.len(), 4, "days that are long over are not read");
    let spent = snapshot.spent(now);
    assert_eq!((spent.day, spent.kinds), (100, [amount(10), amount(0), amount(1100)]));
    assert_eq!(spent.sites.values().copied().collect::<Vec<_>>(), [amount(1100)]);
    assert_eq!(snapshot.spent(now + DAY).kinds, [amount(0); 3]);
}

#[test]
fn a_payment_that_is_dated_in_the_future_does_not_hide_those_of_today() {
    let dir = dir();
    let mut store = open(&dir);
    let now = 100 * DAY + 5000;
    let rows = [payment(1, now - 10, "tor", 10), payment(2, now + 30 * DAY, "tor", 100)];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let snapshot = store.load(10, now).expect("loaded");
    assert_eq!(snapshot.spent(now).kinds, [amount(10), amount(0), amount(0)]);
    assert_eq!(snapshot.payments.len(), 2, "both may be unfinished");
}
