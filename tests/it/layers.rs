//! The import law: which room may import which, and why. A lower room never imports a higher one; tor and kubo never
//! import the gateway. A room that is not in the table fails, so that a new one gets its row.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// (room, what it may import, why). The longest matching room counts; everybody may import from below itself.
const LAW: &[(&str, &[&str], &str)] = &[
    // L0
    ("error", &[], "L0: everybody's errors know nobody"),
    ("units", &[], "L0: numbers"),
    ("redact", &[], "L0: what logs may not show"),
    // L1, pure: see PURE
    ("gateway::core", L0, "L1: offers, requests, policy; time and randomness are arguments"),
    ("gateway::link", LINK, "L1: one payer-payee pair, over the port only; its keys are derived by the wallet"),
    ("gateway::chain", PURE_GATEWAY, "L1: one payment, over the port only"),
    ("gateway::meter", PURE_GATEWAY, "L1: counters to requests"),
    ("gateway::port", PURE_GATEWAY, "L2: what the pure gateway asks of the world"),
    ("kubo::message", L0, "L1: what kubo says"),
    ("kubo::settings", L0, "L1: what kubo is told"),
    ("resolver::classify", L0, "L1: kinds of names"),
    ("resolver::ens_record", L0, "L1: bytes of a record"),
    ("resolver::txt", L0, "L1: text of a record"),
    (
        "stellar",
        &["error", "redact", "units", "gateway::core::message", "gateway::port"],
        "L1/L3: the ledger's language and the adapter of its port; what a link does with it is not its business",
    ),
    ("tor::cell", L0, "L1: fragments and reassembly; what the bytes mean is the gateway's"),
    ("tor::event", L0, "L1: what tor says"),
    ("tor::line", &["error", "redact", "units", "tor::event"], "L1: tor's control protocol"),
    (
        "wallet",
        &["error", "redact", "units", "stellar", "gateway::core::message"],
        "L1: keys from one secret; only wallet::file and wallet::passphrase (L3) read and write",
    ),
    (
        "wallet::ledger",
        &["error", "redact", "units", "stellar", "wallet", "gateway::core::message", "gateway::port"],
        "L3: what a person does with the account, over the ledger's adapter",
    ),
    // L2
    (
        "config",
        &["error", "redact", "units", "stellar", "gateway::core"],
        "L2: resolved once, read by all above; assets and networks have types, offers the protocol's own rules",
    ),
    (
        "store",
        &["error", "redact", "units", "config", "gateway::core", "gateway::port", "gateway::link", "gateway::chain"],
        "L2: rows of the gateway",
    ),
    ("peer", L0, "L2: whose socket it is, asked of the kernel; for all doors of this machine"),
    // L3
    ("tor", &["error", "redact", "units", "config", "peer"], "L3: emits typed events, knows no gateway"),
    ("kubo", &["error", "redact", "units", "config"], "L3: emits typed events, knows no gateway"),
    ("resolver", &["error", "redact", "units", "config"], "L3: names to addresses"),
    // L4
    (
        "gateway",
        &["error", "redact", "units", "config", "stellar", "store", "wallet", "tor"],
        "L4: may read tor's events, never the other way round",
    ),
    // L5
    ("attention", &["error", "redact", "units", "config", "store", "gateway"], "L5"),
    ("publishing", &["error", "redact", "units", "config", "store", "gateway", "resolver", "kubo", "tor"], "L5"),
    // L6
    (
        "api",
        &[
            "error",
            "redact",
            "units",
            "config",
            "peer",
            "store",
            "gateway",
            "wallet",
            "resolver",
            "attention",
            "publishing",
        ],
        "L6: no logic",
    ),
    // L7
    ("app", &[""], "L7: composition root"),
    ("devnet", &[""], "L7: whole worlds for tests, a ledger and a network, are composed here"),
    // L8
    ("cli", &[""], "L8"),
    ("main", &[""], "L8"),
    ("lib", &[""], "names the rooms"),
];

const L0: &[&str] = &["error", "redact", "units"];
const LINK: &[&str] = &[
    "error",
    "redact",
    "units",
    "stellar",
    "wallet",
    "gateway::core",
    "gateway::port",
    "gateway::chain",
    "gateway::meter",
];
const PURE_GATEWAY: &[&str] = &[
    "error",
    "redact",
    "units",
    "stellar",
    "gateway::core",
    "gateway::port",
    "gateway::link",
    "gateway::chain",
    "gateway::meter",
];

/// Rooms without tokio, clock, randomness or I/O.
const PURE: &[&str] = &[
    "error",
    "units",
    "redact",
    "gateway::core",
    "gateway::link",
    "gateway::chain",
    "gateway::port",
    "kubo::message",
    "kubo::settings",
    "resolver::classify",
    "resolver::ens_record",
    "resolver::txt",
    "stellar::adaptor",
    "stellar::template",
    "tor::cell",
    "tor::event",
    "tor::line",
];
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant::",
    "rand::rng(",
    "rand::random",
    "OsRng",
    "SysRng",
    "ThreadRng",
    "rusqlite::",
    "hyper::",
    "nix::",
    "libc::",
];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// (module path, code without comments and test modules) of every file of src.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found
        .into_iter()
        .map(|file| {
            let relative = file.strip_prefix(&root).expect("under src").with_extension("");
            let mut parts: Vec<&str> = relative.iter().map(|part| part.to_str().expect("a name")).collect();
            if parts.last() == Some(&"mod") {
                parts.pop();
            }
            (parts.join("::"), code(&fs::read_to_string(&file).expect("can be read")))
        })
        .filter(|(module, _)| !module.ends_with("::tests"))
        .collect()
}

/// Drops comments, and all from an inline test module on (it stands last in our files).
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Full paths that `text`, the code of `module`, names through `crate::`, `super::` or the library's own name.
fn imports(module: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, base) in [("crate::", 0), ("super::", 1), ("magicwave::", 0)] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &text[at + start.len()..];
            let mut up = base;
            while let Some(more) = rest.strip_prefix("super::") {
                rest = more;
                up += 1;
            }
            let parts: Vec<&str> = module.split("::").collect();
            let prefix = if base == 0 { Vec::new() } else { parts[..parts.len().saturating_sub(up)].to_vec() };
            for tail in tree(rest) {
                let mut path: Vec<String> = prefix.iter().map(|part| part.to_string()).collect();
                path.extend(tail);
                found.push(path.join("::"));
            }
        }
    }
    found
}

/// The paths of a use tree such as `a::{b, c::{d, e}}`; stops at what is no path.
fn tree(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let mut depth = 1;
        let mut start = 0;
        let mut found = Vec::new();
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                found.extend(tree(&group[start..at]));
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
        return found;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 {
        return Vec::new();
    }
    let head = text[..end].to_string();
    match text[end..].strip_prefix("::") {
        Some(rest) => {
            let tails = tree(rest);
            if tails.is_empty() {
                return vec![vec![head]];
            }
            tails.into_iter().map(|tail| [vec![head.clone()], tail].concat()).collect()
        }
        None => vec![vec![head]],
    }
}

fn within(path: &str, room: &str) -> bool {
    room.is_empty() || path == room || path.starts_with(&format!("{room}::"))
}

/// The row of the longest room that holds `module`.
fn row(module: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    LAW.iter().filter(|row| within(module, row.0)).max_by_key(|row| row.0.len())
}

/// Why `module` may not import `path`, if so.
fn breach(module: &str, path: &str) -> Option<String> {
    let Some((room, allowed, why)) = row(module) else {
        return Some(format!("{module}: this room has no row in the import law (tests/it/layers.rs)"));
    };
    if within(path, "cli") && !["cli", "main", "lib"].contains(room) {
        return Some(format!("{module} imports {path}: nothing stands above the command line but main"));
    }
    let own = within(path, room) || within(module, path);
    (!own && !allowed.iter().any(|other| within(path, other)))
        .then(|| format!("{module} imports {path}, but {room} may import only {allowed:?}: {why}"))
}

#[test]
fn no_room_imports_what_the_law_does_not_allow() {
    let modules = modules();
    assert!(modules.contains_key("units"), "src was not found");
    let breaches: Vec<String> = modules
        .iter()
        .flat_map(|(module, text)| {
            let unknown = row(module).is_none().then(|| format!("{module}: no row in the import law"));
            unknown.into_iter().chain(imports(module, text).into_iter().filter_map(|path| breach(module, &path)))
        })
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn pure_rooms_touch_no_clock_randomness_or_io() {
    let breaches: Vec<String> = modules()
        .iter()
        .filter(|(module, _)| PURE.iter().any(|room| within(module, room)))
        .flat_map(|(module, text)| {
            IMPURE
                .iter()
                .filter(|word| text.contains(**word))
                .map(move |word| format!("{module} is pure but names {word}"))
        })
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn the_law_sees_imports_however_they_are_written() {
    let text =
        "use crate::{error::Error, gateway::{core, link::LinkRow}};\nlet x: super::super::api::Y = crate::store::z();";
    let mut found = imports("tor::daemon", text);
    found.sort();
    assert_eq!(found, ["api::Y", "error::Error", "gateway::core", "gateway::link::LinkRow", "store::z"]);
    assert!(breach("tor::daemon", "gateway::core").is_some());
    assert!(breach("gateway::core::message", "gateway::link::LinkRow").is_some());
    assert!(breach("gateway::core::message", "units::Price").is_none());
    assert!(breach("tor::cell", "gateway::core::message").is_some());
    assert!(breach("app", "cli::tor").is_some() && breach("main", "cli").is_none());
    assert!(breach("garage", "units").is_some());
    assert!(breach("cli::tor", "tor").is_none());
}
