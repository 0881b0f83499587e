//! docs/traps.md names tests that there are, and leaves no line without a test or a reason.
use std::path::Path;

const TRAPS: &str = include_str!("../../docs/traps.md");

/// The rows of the tables: (rule, tests).
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let cells = TRAPS.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    cells.filter(|(rule, _)| *rule != "Rule")
}

/// What a row names: (file, test).
fn named(tests: &str) -> Vec<(&str, &str)> {
    tests.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")).collect()
}

#[test]
fn every_test_that_the_table_of_traps_names_is_in_its_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (file, test) in rows().flat_map(|(_, tests)| named(tests)) {
        let place = if file.starts_with("src/") { root.join(file) } else { root.join("tests").join(file) };
        let source = std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{file}: {error}"));
        let found = if file.ends_with(".py") {
            source.contains(&format!("\ndef {test}(w):"))
        } else {
            let before = source.split(&format!("fn {test}(")).next().filter(|before| before.len() < source.len());
            before.is_some_and(|before| {
                let lines = before.lines().rev().take(3);
                lines.map(str::trim).any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
            })
        };
        assert!(found, "docs/traps.md names {file}::{test}, which is no test there");
        count += 1;
    }
    assert!(count > 100, "{count} tests");
}

#[test]
fn every_line_of_the_table_of_traps_has_a_test_or_says_why_not() {
    for (rule, tests) in rows() {
        assert!(!named(tests).is_empty() || tests.contains("No test:"), "{rule}: {tests}");
    }
    for weakness in 1..=9 {
        let name = format!("A{weakness} ");
        assert_eq!(rows().filter(|(rule, _)| rule.starts_with(&name)).count(), 1, "{name}");
    }
}
