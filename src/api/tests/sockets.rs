//! The unix socket and the token beside it.
use super::*;
use std::os::unix::fs::PermissionsExt;

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn every_route_wants_the_token_and_socket_and_token_are_the_owners_alone() {
    let served = Served::begin().await;
    for name in ["api.sock", "api.token"] {
        let mode = std::fs::metadata(served.dir.path().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read_to_string(served.dir.path().join("api.token")).expect("reads"), served.token);
    let (wrong, short) = ("0".repeat(served.token.len()), &served.token[1..]);
    let unknown = [("GET", "/api/nothing".to_owned()), ("DELETE", "/api/status".to_owned())];
    for (method, path) in every_route().into_iter().chain(unknown) {
        for token in [
            "",
            "authorization: Bearer\r\n",
            "authorization: Basic x\r\n",
            &format!("authorization: Bearer {wrong}\r\n"),
            &format!("authorization: Bearer {short}\r\n"),
        ] {
            let more = format!("{token}{JSON}");
            assert_eq!(unix(&served.socket(), method, &path, &more, "{}").await.refusal(), (401, "MW-API-4".into()));
            assert_eq!(served.ask(method, &path, &more, "{}").await.refusal(), (401, "MW-API-4".into()));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_code() {
    let served = Served::begin().await;
    let right = served.bearer();
    let json = format!("{right}{JSON}");
    let long = "x".repeat(MAX_BODY + 1);
    for (method, path, more, body, status, code) in [
        ("GET", "/api/nothing", &right, "", 404, "MW-API-8"),
        ("DELETE", "/api/status", &right, "", 405, "MW-API-9"),
        ("PUT", "/api/flush", &json, "{}", 405, "MW-API-9"),
        ("POST", "/api/balance", &json, "{}", 405, "MW-API-9"),
        ("POST", "/api/pay", &json, &long, 413, "MW-API-10"),
        ("POST", "/api/pay", &right, "{}", 415, "MW-API-11"),
        ("POST", "/api/flush", &right, "", 415, "MW-API-11"),
        ("PUT", "/api/budgets", &format!("{right}content-type: text/plain\r\n"), "{}", 415, "MW-API-11"),
        ("POST", "/api/pay", &json, "{}", 422, "MW-API-12"),
        ("POST", "/api/pay", &json, "{", 400, "MW-API-12"),
        ("PUT", "/api/budgets", &json, r#"{"set_rule":{"target":"all","mode":"sometimes"}}"#, 422, "MW-API-12"),
        ("PUT", "/api/budgets", &json, r#"{"set_limits":{"day":12}}"#, 422, "MW-API-12"),
        ("PUT", "/api/budgets", &json, r#"{"decide":{"approval":-1,"allow":true,"remember":false}}"#, 422, "MW-API-12"),
        ("GET", "/api/events?limit=x", &right, "", 400, "MW-API-12"),
        ("GET", "/api/events?limit=0", &right, "", 400, "MW-API-12"),
        ("GET", "/api/events?limit=10001", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?limit=-1", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?limit=99999999999999999999", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?since=-5", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?before=12", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?before=1-00", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?site=", &right, "", 400, "MW-API-12"),
        ("GET", "/api/payments?sight=x", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history?from=5&to=5&bin=1000", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history?from=9&to=5&bin=1000", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history?from=0&to=5000&bin=999", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history?from=0&to=1000001&bin=1000", &right, "", 400, "MW-API-12"),
        ("GET", "/api/history?from=0&to=18446744073709551615&bin=18446744073709551615", &right, "", 400, "MW-API-12"),
        ("GET", "/api/links?after=xyz", &right, "", 400, "MW-API-12"),
        ("GET", "/api/ws", &right, "", 400, "MW-API-12"),
        ("GET", "/api/events?limit=%ff", &right, "", 400, "MW-API-12"),
    ] {
        let said = unix(&served.socket(), method, path, more, body).await;
        assert_eq!(said.refusal(), (status, code.into()), "{method} {path}: {}", said.body);
        assert!(said.head.contains("cache-control: no-store"), "{}", said.head);
    }
    // What is missing or odd in a body is said by its name.
    for (method, path, body, what) in [
        ("POST", "/api/pay", "{}", "origin"),
        ("PUT", "/api/budgets", "{}", "`set_limits`, `set_rule`"),
        ("PUT", "/api/budgets", "[]", "`set_limits`, `set_rule`"),
        ("PUT", "/api/budgets", r#"{"set_limits":{"day":12}}"#, "set_limits.day"),
        ("POST", "/api/pay", "{", "EOF"),
    ] {
        let said = unix(&served.socket(), method, path, &json, body).await;
        let refused: serde_json::Value = serde_json::from_str(&said.body).expect("JSON");
        let text = refused["text"].as_str().expect("text");
        assert!(text.contains(what), "{method} {path} {body}: {text}");
    }
    // What the daemon refuses comes with its own code.
    let refused = unix(&served.socket(), "PUT", "/api/budgets", &json, r#"{"remove_rule":"all"}"#).await;
    assert_eq!(refused.refusal(), (422, "MW-POL-5".into()));
}

#[tokio::test]
async fn bytes_that_are_no_request_end_with_a_status() {
    let served = Served::begin().await;
    let connect = async || UnixStream::connect(served.socket()).await.expect("connects");
    assert_eq!(raw(connect().await, b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n").await.status, 400);
    let head = |header: &[u8]| [b"GET /api/status HTTP/1.1\r\nconnection: close\r\n", header, b"\r\n\r\n"].concat();
    assert_eq!(raw(connect().await, &head(b"host: \xff\xfe\r\nauthorization: Bearer \xff")).await.status, 401);
    let long = format!("{}x: {}", served.bearer(), "y".repeat(20_000));
    assert_eq!(raw(connect().await, &head(long.as_bytes())).await.refusal(), (431, "MW-API-18".into()));
    let endless = format!("x: {}", "y".repeat(200_000));
    assert_eq!(raw(connect().await, &head(endless.as_bytes())).await.status, 431);
}

#[tokio::test]
async fn a_body_that_stands_still_is_not_waited_for() {
    let served = Served::begin().await;
    let more = format!("{}{JSON}", served.bearer());
    let text = format!("POST /api/pay HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n{more}\r\n{{");
    let begun = std::time::Instant::now();
    let said = raw(UnixStream::connect(served.socket()).await.expect("connects"), text.as_bytes()).await;
    assert_eq!(said.refusal(), (400, "MW-API-12".into()));
    assert!(begun.elapsed() < BOUNDS.body + Duration::from_secs(5), "{:?}", begun.elapsed());
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
async fn a_port_is_of_the_loopback_and_nobody_elses() {
    let outside = bind_tcp(SocketAddr::from(([0, 0, 0, 0], 0))).await.expect_err("refused");
    assert_eq!(outside.code, "MW-API-19");
    let taken = bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
    let again = bind_tcp(taken.local_addr().expect("an address")).await.expect_err("taken");
    assert_eq!(again.code, "MW-API-19");
}

#[tokio::test]
async fn a_wrong_token_is_named_as_such_to_who_asks() {
    let served = Served::begin().await;
    let second = Duration::from_secs(5);
    let word = || "x".to_owned();
    let call = PayCall { origin: word(), isolation: word(), offer: word(), request: word(), session: word() };
    for wrong in [Some("0"), None] {
        let error = crate::gateway::transport::http::client::pay(&served.socket(), wrong, &call, second).await;
        let error = error.expect_err("refused");
        assert!(error.code == "MW-API-4" && error.text.contains("--token-file"), "{error}");
    }
    let pay = crate::gateway::transport::http::client::pay;
    pay(&served.socket(), Some(&served.token), &call, second).await.expect("the right one");
    let socket = served.socket();
    let ask = || client::call::<serde_json::Value>(&socket, "/api/status", None, second);
    ask().await.expect("the token beside it");
    std::fs::write(served.dir.path().join("api.token"), "old").expect("written");
    assert_eq!(ask().await.expect_err("refused").code, "MW-API-4");
}
