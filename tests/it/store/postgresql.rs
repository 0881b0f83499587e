//! What holds of PostgreSQL alone: several nodes in one database, and connections that get lost.
use super::rows::*;
use crate::postgres;
use magicwave::config::{Database, GatewayConfig};
use magicwave::gateway::port::Row;
use magicwave::store::{Postgres, Reader, Store, Topic};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const OTHER: [u8; 32] = [12; 32];

#[test]
fn gateways_share_a_database_and_see_only_their_own_books() {
    let database = postgres::database();
    let mut mine = Postgres::open(&database, &ME).expect("opened");
    let mut theirs = Postgres::open(&database, &OTHER).expect("opened beside it");
    mine.commit(&[Row::Link(link(1).into()), Row::Escrow(lane(1, 5, 0).into()), event("claim_signed", 1, 5)])
        .expect("ok");
    theirs.commit(&[Row::Link(link(1).into()), Row::Hop(hop(1).into()), event("claim_signed", 1, 9)]).expect("ok");
    let gone = magicwave::gateway::link::LinkRow { dropped: true, ..link(1) };
    theirs.commit(&[Row::Link(gone.into())]).expect("committed");
    let (of_mine, of_theirs) = (mine.load(10, 0).expect("loaded"), theirs.load(10, 0).expect("loaded"));
    assert_eq!((of_mine.links.len(), of_mine.escrows.len(), of_mine.hops.len()), (1, 1, 0));
    assert_eq!((of_theirs.links.len(), of_theirs.escrows.len(), of_theirs.hops.len()), (0, 0, 1));
    assert_eq!(mine.reader().and_then(|r| r.check()).expect("checked").wrong, Vec::<String>::new());
    let wrong = theirs.reader().and_then(|r| r.check()).expect("checked").wrong;
    assert_eq!(wrong.len(), 1, "their claim has no lane: {wrong:?}");
    // A reader of such a database names its node.
    let error = Reader::connect(&database, None).expect_err("which one?");
    assert_eq!(error.code, "MW-STORE-9");
    assert!(error.text.contains(&hex::encode(OTHER)), "{error}");
    assert_eq!(Reader::connect(&database, Some(&[1; 32])).expect_err("nobody").code, "MW-STORE-9");
    let [event] = &Reader::connect(&database, Some(&ME)).and_then(|r| r.events(10)).expect("events")[..] else {
        panic!()
    };
    assert_eq!(event.amount, amount(5));
}

#[test]
fn a_reader_of_an_empty_database_makes_nothing_in_it() {
    let database = postgres::database();
    assert_eq!(Reader::connect(&database, None).expect_err("empty").code, "MW-STORE-9");
    assert_eq!(postgres::sql(&database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), Ok("0".into()));
}

/// Ends all connections of ours to a database, as a restart of the server would.
fn hang_up(database: &Database) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'magicwave' \
               AND datname = current_database()";
    postgres::sql(database, sql).expect("done");
}

#[test]
fn a_writer_that_lost_its_connection_writes_nothing_more_and_a_new_start_goes_on() {
    let database = postgres::database();
    let mut store = Postgres::open(&database, &ME).expect("opened");
    let reader = store.reader().expect("a reader");
    store.commit(&[event("claim_signed", 1, 5)]).expect("committed");
    assert_eq!(store.alive(), Ok(()));
    hang_up(&database);
    let until = Instant::now() + Duration::from_secs(5);
    while store.alive().is_ok() {
        assert!(Instant::now() < until, "it does not see that the server has hung up");
    }
    assert_eq!(store.alive().expect_err("lost").code, "MW-STORE-7");
    assert_eq!(store.commit(&[event("claim_signed", 1, 6)]).expect_err("lost").code, "MW-STORE-7");
    assert_eq!(store.load(1, 0).expect_err("lost").code, "MW-STORE-7");
    let mut again = Postgres::open(&database, &ME).expect("its lock went with its connection");
    again.commit(&[event("claim_signed", 1, 7)]).expect("committed");
    assert_eq!(store.commit(&[event("claim_signed", 1, 8)]).expect_err("lost").code, "MW-STORE-7");
    // A reader connects again by itself.
    let amounts: Vec<_> = reader.events(10).expect("events").iter().map(|event| event.amount.get()).collect();
    assert_eq!(amounts, [7, 5]);
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_commit_leaves_all_or_nothing() {
    let database = postgres::database();
    let mut store = Postgres::open(&database, &ME).expect("opened");
    store.commit(&[event("claim_signed", 1, 1)]).expect("committed");
    // The server ends the connection as soon as it sees the second row.
    let trap = "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                IF NEW.amount = 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$; \
                CREATE TRIGGER trap BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION trap()";
    postgres::sql(&database, trap).expect("laid");
    let rows = [event("claim_signed", 1, 2), event("claim_signed", 1, 3), event("claim_signed", 1, 4)];
    assert_eq!(store.commit(&rows).expect_err("lost").code, "MW-STORE-7");
    assert_eq!(store.commit(&[event("claim_signed", 1, 5)]).expect_err("lost").code, "MW-STORE-7");
    drop(store);
    let again = Postgres::open(&database, &ME).expect("opened");
    assert_eq!(again.reader().and_then(|reader| reader.events(10)).expect("events").len(), 1);
}

#[test]
fn tables_of_a_later_version_are_refused_and_left_alone() {
    let database = postgres::database();
    drop(Postgres::open(&database, &ME).expect("opened"));
    postgres::sql(&database, "UPDATE magicwave SET version = 4").expect("set");
    assert_eq!(Postgres::open(&database, &ME).expect_err("refused").code, "MW-STORE-3");
    assert_eq!(Reader::connect(&database, None).expect_err("refused").code, "MW-STORE-3");
}

#[test]
fn two_gateways_that_begin_at_once_make_the_tables_once() {
    let database = postgres::database();
    let begun: Vec<_> = (0..4u8)
        .map(|id| {
            let database = database.clone();
            std::thread::spawn(move || Postgres::open(&database, &[id; 32]).map(drop))
        })
        .collect();
    for thread in begun {
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }
    assert_eq!(postgres::sql(&database, "SELECT count(*) FROM nodes"), Ok("4".into()));
}

#[test]
fn a_server_that_does_not_write_through_to_its_disk_is_refused() {
    assert_eq!(Postgres::open(&postgres::careless(), &ME).expect_err("refused").code, "MW-STORE-8");
}

#[test]
fn a_server_that_is_not_there_or_refuses_us_is_named_without_its_secrets() {
    let there = postgres::database();
    for url in
        ["postgres:///nowhere?host=/nonexistent&user=magicwave".to_owned(), there.url.replace("/test_", "/no_such_")]
    {
        let error = Postgres::open(&Database { url, password_file: None }, &ME).expect_err("refused");
        assert_eq!(error.code, "MW-STORE-1", "{error}");
    }
}

/// An operator's role may do only what docs/store.md grants it; what it owns are its tables.
#[test]
fn a_role_without_the_right_to_make_tables_is_told_so() {
    let database = postgres::database();
    postgres::sql(&database, "DROP ROLE IF EXISTS nobody_yet; CREATE ROLE nobody_yet LOGIN").expect("a role");
    let url = database.url.replace("user=magicwave", "user=nobody_yet");
    let error = Postgres::open(&Database { url, password_file: None }, &ME).expect_err("refused");
    assert_eq!(error.code, "MW-STORE-5");
    assert!(error.text.contains("permission denied"), "{error}");
}

#[tokio::test]
async fn a_reader_may_be_dropped_inside_an_asynchronous_task() {
    let database = postgres::database();
    let opened = tokio::task::spawn_blocking(move || {
        let store = Postgres::open(&database, &ME)?;
        Ok::<_, magicwave::error::Error>((store.reader()?, store))
    });
    let (reader, store) = opened.await.expect("no panic").expect("opened");
    let asked = reader.clone();
    let links = tokio::task::spawn_blocking(move || asked.links()).await.expect("no panic").expect("links");
    assert!(links.is_empty());
    drop(reader);
    drop(store);
}

#[test]
fn a_node_does_not_begin_new_books_while_it_has_some_elsewhere() {
    let (file, server, database) = (dir(), dir(), postgres::database());
    let open = |dir: &TempDir, database: Option<&Database>| {
        let config = GatewayConfig::parse(&config(dir.path(), database)).expect("good");
        magicwave::store::open(&config, &ME).map(drop).map_err(|e| e.code)
    };
    for _ in 0..2 {
        assert_eq!(open(&file, None), Ok(()));
        assert_eq!(open(&server, Some(&database)), Ok(()));
        assert_eq!(open(&file, Some(&database)), Err("MW-STORE-11"));
        assert_eq!(open(&server, None), Err("MW-STORE-11"));
    }
}

#[test]
fn the_rights_in_the_manual_are_enough_for_a_gateway_and_for_a_reader_and_no_more() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md")).expect("the manual");
    let (_, rest) = manual.split_once("```sql\n").expect("a block");
    let (grants, _) = rest.split_once("```").expect("its end");
    let database = postgres::database();
    drop(Postgres::open(&database, &OTHER).expect("the owner makes the tables"));
    postgres::sql(&database, grants).expect("granted");
    let by = |role: &str| Database {
        url: database.url.replace("user=magicwave", &format!("user={role}")),
        password_file: None,
    };
    let (gateway, reader) = (by("magicwave_gateway"), by("magicwave_reader"));
    let mut store = Postgres::open(&gateway, &ME).expect("opened");
    let gone = magicwave::gateway::link::LinkRow { dropped: true, ..link(1) };
    let rows = [Row::Link(link(1).into()), Row::Escrow(lane(1, 5, 0).into()), Row::Hop(hop(1).into())];
    store.commit(&rows).expect("committed");
    let asked = request(1, 5, magicwave::gateway::port::RequestOutcome::Held);
    let rows = [Row::Payment(payment(1, 5, "tor", 1).into()), Row::Request(asked.into()), event("claim_signed", 1, 5)];
    store.commit(&rows).expect("committed");
    store.commit(&rows[..2]).expect("again");
    store.commit(&[Row::Link(gone.into())]).expect("committed");
    assert_eq!(store.load(10, 0).expect("loaded").escrows.len(), 1);
    let reading = Reader::connect(&reader, Some(&ME)).expect("connected");
    assert_eq!(reading.check().expect("checked").wrong, Vec::<String>::new());
    for topic in [Topic::Payments, Topic::Requests, Topic::Journal, Topic::Links] {
        let mut lines = 0;
        reading
            .export(topic, 0, u64::MAX, &mut |_| {
                lines += 1;
                Ok(())
            })
            .expect("exported");
        assert_eq!(lines, 1, "{topic:?}");
    }
    assert_eq!(Postgres::open(&reader, &ME).map(drop).expect_err("it may not write").code, "MW-STORE-2");
    drop(store);
    let mut writing = Postgres::open(&reader, &ME).expect("nothing is written by that");
    let error = writing.commit(&[event("claim_signed", 1, 5)]).expect_err("it may not write");
    assert!(error.text.contains("permission denied"), "{error}");
    for change in [
        "DELETE FROM events",
        "UPDATE events SET amount = 1",
        "DELETE FROM nodes",
        "DROP TABLE links",
        "CREATE TABLE x (y BIGINT)",
    ] {
        let error = postgres::sql(&gateway, &format!("SET ROLE magicwave_gateway; {change}")).expect_err(change);
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{change}: {error}");
    }
}
