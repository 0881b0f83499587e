//! Tests of the local API: its socket, its token, its refusals.
use super::*;
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

struct Quiet;

impl Backend for Quiet {
    fn status(&self) -> BoxFuture<'_, Result<serde_json::Value>> {
        Box::pin(async { Ok(serde_json::json!({"what": "status"})) })
    }
    fn payments(&self, limit: u32) -> BoxFuture<'_, Result<serde_json::Value>> {
        Box::pin(async move { Ok(serde_json::json!({"limit": limit})) })
    }
    fn events(&self, limit: u32) -> BoxFuture<'_, Result<serde_json::Value>> {
        self.payments(limit)
    }
    fn pay(&self, _: PayCall) -> BoxFuture<'_, PayAnswer> {
        Box::pin(async { PayAnswer::default() })
    }
    fn flush(&self) -> BoxFuture<'_, Result<serde_json::Value>> {
        self.status()
    }
    fn close(&self) -> BoxFuture<'_, Result<serde_json::Value>> {
        self.status()
    }
}

/// Every route and its method.
const ROUTES: [(&str, &str); 6] = [
    ("GET", "/api/status"),
    ("GET", "/api/payments"),
    ("GET", "/api/events"),
    ("POST", "/api/pay"),
    ("POST", "/api/flush"),
    ("POST", "/api/close"),
];

/// Status and body of the answer to one request; `more` are header lines, the last one ends with a line break.
async fn ask(socket: &Path, method: &str, path: &str, more: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.expect("connects");
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.expect("writes");
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("ends").expect("reads");
    let text = String::from_utf8(bytes).expect("text");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

#[tokio::test]
async fn every_route_wants_the_token_and_socket_and_token_are_the_owners_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let (listener, token) = bind(&socket).expect("binds");
    for name in ["api.sock", "api.token"] {
        let mode = std::fs::metadata(dir.path().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("api.token")).expect("reads"), token);
    tokio::spawn(serve(listener, token.clone(), Arc::new(Quiet)));
    let source = include_str!("mod.rs");
    assert_eq!(source.matches(".route(").count(), ROUTES.len(), "a new route stands in this test too");
    assert!(!source.contains("TcpListener"), "only a unix socket is served");
    let wrong = format!("authorization: Bearer {}\r\n", "0".repeat(token.len()));
    for (method, path) in ROUTES.into_iter().chain([("GET", "/api/nothing"), ("DELETE", "/api/status")]) {
        for more in ["", wrong.as_str(), "authorization: Bearer\r\n", "authorization: Basic x\r\n"] {
            let (status, body) = ask(&socket, method, path, more, "").await;
            assert_eq!(status, 401, "{method} {path} {more}");
            assert!(body.contains("MW-API-4"), "{body}");
        }
    }
    let right = format!("authorization: Bearer {token}\r\n");
    for (method, path) in ROUTES.into_iter().filter(|route| route.1 != "/api/pay") {
        assert_eq!(ask(&socket, method, path, &right, "").await.0, 200, "{path}");
    }
    let json = format!("{right}content-type: application/json\r\n");
    for (method, path, more, body, status, code) in [
        ("GET", "/api/nothing", &right, "", 404, "MW-API-8"),
        ("DELETE", "/api/status", &right, "", 405, "MW-API-9"),
        ("POST", "/api/pay", &json, &*"x".repeat(MAX_BODY + 1), 413, "MW-API-10"),
        ("POST", "/api/pay", &right, "{}", 415, "MW-API-11"),
        ("POST", "/api/pay", &json, "{}", 422, "MW-API-12"),
        ("POST", "/api/pay", &json, "{", 400, "MW-API-12"),
        ("GET", "/api/events?limit=x", &right, "", 400, "MW-API-12"),
    ] {
        let (got, text) = ask(&socket, method, path, more, body).await;
        let problem: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn a_file_or_a_daemon_in_the_sockets_place_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "precious").expect("written");
    assert_eq!(bind(&path).expect_err("a file").code, "MW-API-6");
    assert_eq!(std::fs::read(&path).expect("there"), b"precious");
    let socket = dir.path().join("api.sock");
    let (listener, token) = bind(&socket).expect("binds");
    assert_eq!(bind(&socket).expect_err("a daemon").code, "MW-API-7");
    let kept = std::fs::read_to_string(dir.path().join("api.token")).expect("there");
    assert_eq!(kept, token, "its token stays");
    drop(listener);
    bind(&socket).expect("a left-over socket is replaced");
}

#[tokio::test]
async fn a_wrong_token_is_named_as_such_to_who_asks() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let (listener, token) = bind(&socket).expect("binds");
    tokio::spawn(serve(listener, token.clone(), Arc::new(Quiet)));
    let second = Duration::from_secs(5);
    let word = || "x".to_owned();
    let call = PayCall { origin: word(), isolation: word(), offer: word(), request: word(), session: word() };
    for wrong in [Some("0"), None] {
        let error = crate::gateway::transport::http::client::pay(&socket, wrong, &call, second).await;
        let error = error.expect_err("refused");
        assert!(error.code == "MW-API-4" && error.text.contains("--token-file"), "{error}");
    }
    crate::gateway::transport::http::client::pay(&socket, Some(&token), &call, second).await.expect("the right one");
    client::call::<serde_json::Value>(&socket, "/api/status", None, second).await.expect("the token beside it");
    std::fs::write(dir.path().join("api.token"), "old").expect("written");
    let error = client::call::<serde_json::Value>(&socket, "/api/status", None, second).await.expect_err("refused");
    assert_eq!(error.code, "MW-API-4");
}
