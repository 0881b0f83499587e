//! Invariant 4: sources are what their pins say, and patches are call sites.
#[cfg(feature = "node")]
use serde::Deserialize;
#[cfg(feature = "node")]
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of tor that our patches add or remove, in all.
const LINES_MAX: usize = 250;

#[cfg(feature = "node")]
#[derive(Deserialize)]
struct Upstream {
    source: Vec<Source>,
}

#[cfg(feature = "node")]
#[derive(Deserialize)]
struct Source {
    name: String,
    file: String,
    sha256: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

/// Lines that a patch adds to or removes from files of upstream.
fn touched(patch: &str) -> usize {
    let body = patch.split_once("\n--- ").map(|(_, body)| body).unwrap_or_default();
    let mut lines = body.lines();
    lines.next();
    lines
        .filter(|line| {
            (line.starts_with('+') && !line.starts_with("+++ ")) || (line.starts_with('-') && !line.starts_with("--- "))
        })
        .count()
}

#[cfg(feature = "node")]
#[test]
fn what_lies_in_vendor_is_its_pin_byte_for_byte_and_nothing_else() {
    let vendor = root().join("vendor");
    let text = fs::read_to_string(vendor.join("UPSTREAM.toml")).expect("the pins");
    let pins: Upstream = toml::from_str(&text).expect("a list of pins");
    assert!(pins.source.iter().any(|pin| pin.name == "tor"), "tor is pinned");
    for pin in &pins.source {
        assert!(pin.sha256.len() == 64 && hex::decode(&pin.sha256).is_ok(), "{} has no SHA-256", pin.name);
    }
    let mut checked = 0;
    for name in names(&vendor).iter().filter(|name| *name != "UPSTREAM.toml") {
        let Some(pin) = pins.source.iter().find(|pin| pin.file == *name) else {
            assert!(!name.contains(".tar"), "vendor/{name} has no pin");
            continue;
        };
        let bytes = fs::read(vendor.join(name)).expect("reads");
        assert_eq!(hex::encode(Sha256::digest(bytes)), pin.sha256, "vendor/{name}");
        checked += 1;
    }
    // This build holds tor, and tor comes from nowhere else.
    assert!(checked > 0, "no source lies in vendor");
}

#[test]
fn upstreams_files_are_kept_out_of_the_repository() {
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("the list");
    assert!(ignored.lines().any(|line| line == "/vendor/*"), "sources of vendor are ignored");
    let kept: Vec<&str> = ignored.lines().filter(|line| line.starts_with("!/vendor")).collect();
    assert_eq!(kept, ["!/vendor/UPSTREAM.toml"], "but for the pins");
    let git = std::process::Command::new("git").args(["ls-files", "vendor"]).current_dir(root()).output();
    // A source archive has no repository around it; there the two lines above say all.
    if let Ok(output) = git.map(|output| output.stdout)
        && !output.is_empty()
    {
        assert_eq!(String::from_utf8_lossy(&output).trim(), "vendor/UPSTREAM.toml");
    }
}

#[test]
fn patches_are_call_sites_and_the_series_names_them_all() {
    let dir = root().join("patches/tor");
    let series = fs::read_to_string(dir.join("series")).expect("the series");
    let listed: Vec<&str> = series.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let mut found: Vec<String> = names(&dir).into_iter().filter(|name| name.ends_with(".patch")).collect();
    found.sort();
    assert_eq!(found, listed);
    let mut lines = 0;
    for name in &found {
        let patch = fs::read_to_string(dir.join(name)).expect("a patch");
        assert!(patch.starts_with("Description: "), "{name} does not explain itself");
        assert!(!patch.contains("\n--- /dev/null"), "{name}: a file of ours lies in payment/, not in a patch");
        let count = touched(&patch);
        assert!(count > 0, "{name} touches nothing");
        lines += count;
    }
    assert!(lines <= LINES_MAX, "{lines} lines of tor are touched, at most {LINES_MAX} may be");
    assert_eq!(
        touched("Description: x\n---\n\n--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n+b\n+c\n d\n--- a/g\n+++ b/g\n+e\n"),
        4
    );
}
