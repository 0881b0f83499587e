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
