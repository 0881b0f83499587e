//! What a real stellar-core answered, this ledger answers too.
use magicwave::devnet::ledger::replay::{Report, replay_json};

fn replayed(name: &str) -> Report {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let report = replay_json(&std::fs::read(path).expect("the recording")).expect("a recording");
    for difference in report.differences.iter().take(20) {
        eprintln!("{difference}");
    }
    eprintln!("{name}: {} differences", report.differences.len());
    report
}

#[test]
fn the_channel_recording_replays_without_a_difference() {
    let report = replayed("channel");
    assert_eq!((report.applied, report.rejected, report.unsupported, report.differences.len()), (80, 15, 0, 0));
}

#[test]
fn escrow_life_cycles_replay_without_a_difference() {
    let report = replayed("escrow-7");
    assert_eq!((report.applied, report.rejected, report.unsupported, report.differences.len()), (156, 554, 0, 0));
}

#[test]
fn random_operations_replay_without_a_difference() {
    let report = replayed("ops-101");
    assert_eq!((report.applied, report.rejected, report.unsupported, report.differences.len()), (411, 506, 0, 0));
}

fn channel() -> serde_json::Value {
    let path = format!("{}/tests/vectors/channel.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the recording")).expect("json")
}

fn differences(recording: &serde_json::Value) -> Vec<String> {
    replay_json(recording.to_string().as_bytes()).expect("a recording").differences
}

#[test]
fn a_recording_that_says_something_else_is_found_out() {
    let mut wrong = channel();
    let results: Vec<String> = wrong["ledgers"]
        .as_array()
        .expect("ledgers")
        .iter()
        .flat_map(|l| l["transactions"].as_array().expect("transactions"))
        .map(|t| t["result_pair"].as_str().expect("a result").to_owned())
        .collect();
    let ledger = wrong["ledgers"].as_array_mut().expect("ledgers").iter_mut();
    let mut with = ledger.filter(|l| l["transactions"].as_array().is_some_and(|t| !t.is_empty()));
    with.next().expect("a ledger with a transaction")["transactions"][0]["result_pair"] = results[1].clone().into();
    with.next().expect("another")["fee_pool"] = 1.into();
    wrong["rejected"][0]["result"] = wrong["rejected"][1]["result"].clone();
    wrong["final_accounts"][0]["balance"] = 7.into();
    let found = differences(&wrong);
    assert_eq!(found.len(), 4, "{found:#?}");
    for word in ["transaction", "fee pool", "refusal", "account"] {
        assert!(found.iter().any(|d| d.contains(word)), "{word}: {found:#?}");
    }
}

#[test]
fn a_missing_transaction_shows_in_what_follows() {
    let mut short = channel();
    let ledgers = short["ledgers"].as_array_mut().expect("ledgers");
    let first = ledgers.iter_mut().find(|l| l["transactions"].as_array().is_some_and(|t| !t.is_empty()));
    first.expect("a ledger with a transaction")["transactions"].as_array_mut().expect("transactions").clear();
    assert!(differences(&short).len() > 50);
}

fn refusal(recording: &serde_json::Value) -> String {
    replay_json(recording.to_string().as_bytes()).expect_err("no recording").to_string()
}

#[test]
fn a_ledger_or_a_transaction_that_stands_twice_is_refused_by_its_number() {
    let mut twice = channel();
    let ledgers = twice["ledgers"].as_array_mut().expect("ledgers");
    let number = ledgers[3]["ledger"].clone();
    ledgers.push(ledgers[3].clone());
    let text = refusal(&twice);
    assert!(text.contains(&format!("ledger {number} stands twice")) && text.contains("MW-REPLAY-5"), "{text}");

    let mut twice = channel();
    let ledgers = twice["ledgers"].as_array_mut().expect("ledgers");
    let with = ledgers.iter_mut().find(|l| l["transactions"].as_array().is_some_and(|t| !t.is_empty()));
    let transactions = with.expect("a ledger with a transaction")["transactions"].as_array_mut().expect("an array");
    transactions.push(transactions[0].clone());
    let text = refusal(&twice);
    assert!(text.contains("transaction") && text.contains("MW-REPLAY-5"), "{text}");
}

#[test]
fn an_envelope_that_is_none_is_named_by_ledger_and_index() {
    let mut bad = channel();
    let ledgers = bad["ledgers"].as_array_mut().expect("ledgers");
    let with = ledgers.iter_mut().find(|l| l["transactions"].as_array().is_some_and(|t| !t.is_empty()));
    let with = with.expect("a ledger with a transaction");
    with["transactions"][0]["envelope"] = "AAAA".into();
    let (number, index) = (with["ledger"].clone(), with["transactions"][0]["index"].clone());
    let text = refusal(&bad);
    assert!(
        text.contains(&format!("transaction {index} of ledger {number}")) && text.contains("MW-REPLAY-2"),
        "{text}"
    );

    let mut bad = channel();
    bad["rejected"][0]["envelope"] = "AAAA".into();
    let text = refusal(&bad);
    assert!(text.contains(&format!("after ledger {}", bad["rejected"][0]["after_ledger"])), "{text}");
}

#[test]
fn a_recording_of_millions_of_empty_ledgers_is_refused_with_the_limit() {
    let mut long = channel();
    long["last_ledger"] = 5_000_000.into();
    let text = refusal(&long);
    assert!(text.contains("100000 may be empty") && text.contains("MW-REPLAY-4"), "{text}");
}
