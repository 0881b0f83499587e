//! `magicwave api` and `magicwave status`, as a person runs them.
use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magicwave")).args(args).stdin(Stdio::null()).output().expect("runs")
}

#[test]
fn the_document_is_printed_without_a_daemon() {
    let said = run(&["api", "openapi"]);
    assert!(said.status.success());
    let printed: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(printed, serde_json::to_value(magicwave::api::document()).expect("JSON"));
    assert!(printed["paths"]["/api/balance"]["get"].is_object());
}

#[test]
fn a_daemon_that_is_not_there_is_an_error_with_a_code() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let socket = socket.to_str().expect("a path");
    let said = run(&["status", "--api", socket]);
    assert!(!said.status.success() && said.stdout.is_empty());
    assert!(String::from_utf8_lossy(&said.stderr).contains("[MW-API-1]"), "{said:?}");
    let said = run(&["status", "--api", socket, "--json"]);
    let printed: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((printed["ok"].as_bool(), printed["code"].as_str()), (Some(false), Some("MW-API-1")));
    assert!(!said.status.success());
}
