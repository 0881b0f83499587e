//! docs/wire.md says what the code does.
use magicwave::gateway::core::refusal::{REASONS, RetryClass};

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
