//! `magicwave export` and `magicwave books`, as a person runs them beside a running node.
use super::rows::*;
use magicwave::gateway::chain::PaymentRow;
use magicwave::gateway::port::{RequestOutcome, RequestRow, Row};
use magicwave::stellar::keys::account_id;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

on_both! {
    books_are_written_out_while_the_node_runs,
    what_is_wrong_in_the_books_is_said_and_the_status_tells,
}

/// The file of a configuration that says where the store lies.
fn configure(place: &Place, home: &TempDir) -> String {
    let text = match place {
        Place::Sqlite(dir) => config(dir.path(), None),
        Place::Postgres(database) => config(Path::new("/nonexistent"), Some(database)),
    };
    let path = home.path().join("gateway.toml");
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn run(words: &str, gateway: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
    command.args(words.split_whitespace()).args(["--gateway", gateway]).output().expect("it runs")
}

fn out(done: &Output) -> String {
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout.clone()).expect("text")
}

fn records(done: &Output) -> Vec<Value> {
    serde_json::from_str(&out(done)).expect("an array of objects")
}

fn books_are_written_out_while_the_node_runs(place: &Place) {
    let (home, mut store) = (dir(), place.open());
    let gateway = configure(place, &home);
    for topic in ["payments", "requests", "journal", "links"] {
        assert_eq!(records(&run(&format!("export {topic} --format json"), &gateway)), Vec::<Value>::new());
        assert_eq!(out(&run(&format!("export {topic} --format csv"), &gateway)).lines().count(), 1);
    }
    let hostile = "=HYPERLINK(\"http://x\",\"a\")";
    let bad = RequestRow { who: hostile.into(), ..request(1, 5 * DAY, RequestOutcome::Refused) };
    let site =
        PaymentRow { site: Some("a,b\r\n@c".into()), ..payment(2, 6 * DAY + 1_250, "http", 9_007_199_254_740_993) };
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(lane(1, 5, 0).into()),
        event("claim_signed", 1, 5),
        Row::Request(bad.into()),
        Row::Payment(payment(1, 4 * DAY, "tor", 77).into()),
        Row::Payment(site.into()),
    ];
    store.commit(&rows).expect("committed");

    let payments = records(&run("export payments --format json", &gateway));
    assert_eq!(payments.len(), 2, "oldest first");
    let expected = json!({
        "time": "1970-01-07T00:00:01.250Z", "id": "02".repeat(16), "state": "complete", "service": "http",
        "site": "a,b\r\n@c", "total": "9007199254740993", "fees": "0", "payees": "guard=9007199254740993+0",
        "create_ms": 1, "sign_ms": 2, "deliver_ms": 3,
    });
    assert_eq!(payments[1], expected, "amounts are texts: a double holds no such number");
    assert_eq!(payments[0]["site"], Value::Null);
    let csv = out(&run("export payments --format csv", &gateway));
    assert!(csv.starts_with("time,id,state,service,site,total,fees,payees,create_ms,sign_ms,deliver_ms\r\n"));
    assert!(csv.contains(",http,\"a,b\r\n@c\",9007199254740993,0,"), "{csv}");
    // A day is meant whole, a moment begins and ends at itself.
    for (when, count) in [
        ("--since 1970-01-05", 2),
        ("--since 1970-01-06", 1),
        ("--until 1970-01-06", 1),
        ("--until 1970-01-07", 2),
        ("--since 1970-01-05 --until 1970-01-05", 1),
        ("--until 1970-01-07T00:00:01Z", 1),
    ] {
        assert_eq!(records(&run(&format!("export payments --format json {when}"), &gateway)).len(), count, "{when}");
    }
    assert_eq!(run("export payments --format json --since 1970-02-30", &gateway).status.code(), Some(2));

    let csv = out(&run("export requests --format csv", &gateway));
    assert!(
        csv.contains(",\"'=HYPERLINK(\"\"http://x\"\",\"\"a\"\")\",example.org:80,1,refused,budget_site\r\n"),
        "{csv}"
    );
    let journal = records(&run("export journal --format json", &gateway));
    let expected = json!({
        "seq": 1, "time": "1970-01-01T00:00:00.005Z", "what": "claim_signed", "link": "01".repeat(16),
        "payment": "07".repeat(16), "amount": "5", "ledger_fee": "3", "transaction": "01".repeat(32),
    });
    let seq = journal[0]["seq"].clone();
    assert!(seq.as_u64().is_some_and(|seq| seq > 0));
    let mut found = journal[0].clone();
    found["seq"] = json!(1);
    assert_eq!((journal.len(), found), (1, expected));

    let links = records(&run("export links --format json", &gateway));
    assert_eq!(links.len(), 1);
    for (column, value) in
        [("role", "payer"), ("total", "5"), ("signed", "5"), ("closing", "no"), ("partner", &"01".repeat(20))]
    {
        assert_eq!(links[0][column], value, "{column}");
    }
    assert_eq!(links[0]["account"], account_id(&[1; 32]));
    assert!(!links[0].to_string().contains(&"03".repeat(32)), "the key of a link stays here");
    let refused = run("export links --format json --since 1970-01-01", &gateway);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("MW-EXPORT-2"));

    to_a_file(&gateway, home.path());
}

fn to_a_file(gateway: &str, home: &Path) {
    let file = home.join("payments.csv");
    let words = format!("export payments --format csv --out {}", file.display());
    assert_eq!(out(&run(&words, gateway)), "");
    assert_eq!(std::fs::metadata(&file).expect("made").permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).expect("read");
    let again = run(&words, gateway);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("MW-EXPORT-1"));
    assert_eq!(std::fs::read(&file).expect("read"), before, "what was there stays");
}

fn what_is_wrong_in_the_books_is_said_and_the_status_tells(place: &Place) {
    let (home, mut store) = (dir(), place.open());
    let gateway = configure(place, &home);
    store
        .commit(&[Row::Link(link(1).into()), Row::Escrow(lane(1, 5, 0).into()), event("claim_signed", 1, 5)])
        .expect("ok");
    let good: Value = serde_json::from_str(&out(&run("books check --json", &gateway))).expect("JSON");
    assert_eq!((&good["ok"], &good["books"]["signed"]), (&json!(true), &json!("5")));
    assert_eq!(good["links"][0]["fees"], "0", "amounts are texts: a double holds not all of them");
    assert_eq!(good["links"][0]["link"], "01".repeat(16));
    assert!(out(&run("books check", &gateway)).ends_with("The journal and the escrows agree.\n"));
    store.commit(&[event("claim_signed", 1, 1)]).expect("committed");
    let done = run("books check --json", &gateway);
    let bad: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((done.status.code(), &bad["ok"]), (Some(1), &json!(false)));
    let done = run("books check", &gateway);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stdout).contains("WRONG: link 01010101"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_of_an_export() {
    let (home, place) = (dir(), Place::Sqlite(dir()));
    place.open().commit(&[event("claim_signed", 1, 5)]).expect("committed");
    let gateway = configure(&place, &home);
    let mut command = Command::new(env!("CARGO_BIN_EXE_magicwave"));
    command.args(["export", "journal", "--format", "csv", "--gateway", &gateway]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
}

#[test]
fn a_store_that_is_not_there_is_an_error_with_a_code() {
    let home = dir();
    let place = Place::Sqlite(dir());
    let gateway = configure(&place, &home);
    let done = run("books check --json", &gateway);
    let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((done.status.code(), &said["ok"], &said["code"]), (Some(1), &json!(false), &json!("MW-STORE-5")));
    let Place::Sqlite(dir) = &place else { panic!() };
    let file = dir.path().join("magicwave.db").display().to_string();
    let text = said["error"].as_str().expect("text");
    assert!(text.contains(&file) && text.contains("Did the node run"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "a look makes nothing");
}

#[test]
fn a_file_that_holds_no_books_is_named_with_what_to_do() {
    let (home, place) = (dir(), Place::Sqlite(dir()));
    let gateway = configure(&place, &home);
    let Place::Sqlite(dir) = &place else { panic!() };
    let file = dir.path().join("magicwave.db");
    std::fs::write(&file, [7; 4096]).expect("garbage");
    let done = run("books check --json", &gateway);
    let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let text = said["error"].as_str().expect("text");
    assert_eq!(said["code"], "MW-STORE-5");
    assert!(text.contains(&file.display().to_string()) && text.contains("backup"), "{text}");
}

#[test]
fn a_node_is_not_chosen_where_the_books_are_a_file() {
    let (home, place) = (dir(), Place::Sqlite(dir()));
    let _store = place.open();
    let gateway = configure(&place, &home);
    let node = account_id(&[1; 32]);
    for words in ["export payments --format json", "books check"] {
        let done = run(&format!("{words} --node {node}"), &gateway);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("[MW-STORE-13]"), "{done:?}");
        assert!(run(words, &gateway).status.success());
    }
}
