//! docs/wire.md says what the code does.
use magicwave::gateway::core::refusal::{REASONS, RetryClass};
use std::fs;
use std::path::{Path, PathBuf};

const WIRE: &str = include_str!("../../docs/wire.md");

#[test]
fn every_refusal_code_is_documented_with_its_number_and_class() {
    for reason in REASONS {
        let class = match reason.retry {
            RetryClass::Later => "later",
            RetryClass::Renew => "renew",
            RetryClass::Never => "never",
        };
        let row = format!("| {} | `{}` | {} | {} |", reason.code.0, reason.name, class, reason.text);
        assert!(WIRE.contains(&row), "missing in docs/wire.md: {row}");
    }
    let rows = WIRE.lines().filter(|l| [" later |", " renew |", " never |"].iter().any(|c| l.contains(c)));
    assert_eq!(rows.count(), REASONS.len(), "docs/wire.md lists codes that do not exist");
}

/// Sources of tests below `dir`: all below `tests/`, and of `src/` those in a file or folder of this name.
fn tests_below(dir: &Path, all: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let all = all || entry.file_stem().is_some_and(|stem| stem == "tests");
        if entry.is_dir() {
            tests_below(&entry, all, found);
        } else if all && entry.extension().is_some_and(|ext| ext == "rs") && !entry.ends_with("wire_docs.rs") {
            found.push(entry);
        }
    }
}

#[test]
fn every_refusal_code_is_named_by_a_test_that_gets_it() {
    let (root, mut files) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    tests_below(&root.join("tests"), true, &mut files);
    tests_below(&root.join("src"), false, &mut files);
    let sources: Vec<String> = files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    assert!(sources.len() > 50, "{} files", sources.len());
    for reason in REASONS {
        let constant = format!("RefusalCode::{}", reason.name.to_uppercase());
        let longer = |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let named = |source: &String| source.split(&constant).skip(1).any(|rest| !longer(rest));
        assert!(sources.iter().any(named), "no test names {constant}");
    }
}
