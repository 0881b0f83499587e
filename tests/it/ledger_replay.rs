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
