//! What a page in a browser, or another user of the machine, cannot do.
use super::*;
use crate::api::peer::Peer;
use nix::unistd::Uid;

#[tokio::test]
async fn only_a_host_that_is_an_address_of_ours_is_answered() {
    let served = Served::begin().await;
    let port = served.port.port();
    let bearer = served.bearer();
    let connect = async || TcpStream::connect(served.port).await.expect("connects");
    for host in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let more = format!("host: {host}\r\n{bearer}");
        assert_eq!(ask(connect().await, "GET", "/api/status", &more, "").await.status, 200, "{host}");
    }
    let other = if port == 80 { 81 } else { 80 };
    for host in [
        format!("host: localhost:{port}\r\n"),
        format!("host: 127.0.0.1:{other}\r\n"),
        "host: 127.0.0.1\r\n".into(),
        format!("host: rebound.example:{port}\r\n"),
        format!("host: 127.0.0.1:{port}.example\r\n"),
        format!("host: 127.0.0.1:{port}\r\nhost: evil.example\r\n"),
        String::new(),
    ] {
        let said = ask(connect().await, "GET", "/api/status", &format!("{host}{bearer}"), "").await;
        assert_eq!(said.refusal(), (403, "MW-API-13".into()), "{host}");
    }
    let absolute = format!("http://evil.example:{port}/api/status");
    assert_eq!(served.ask("GET", &absolute, &bearer, "").await.refusal(), (403, "MW-API-13".into()));
}

#[tokio::test]
async fn pages_that_are_not_configured_are_refused_token_or_not() {
    let served = Served::begin().await;
    let bearer = served.bearer();
    for (more, code) in [
        ("origin: https://evil.example\r\n".to_owned(), "MW-API-14"),
        ("origin: null\r\n".into(), "MW-API-14"),
        (format!("origin: {PAGE}x\r\n"), "MW-API-14"),
        (format!("origin: {PAGE}/\r\n"), "MW-API-14"),
        (format!("origin: {PAGE}\r\norigin: https://evil.example\r\n"), "MW-API-14"),
        (format!("origin: http://127.0.0.1:{}\r\n", served.port.port()), "MW-API-14"),
        ("referer: https://evil.example/page\r\n".into(), "MW-API-14"),
        (format!("origin: {PAGE}\r\nreferer: https://evil.example/{PAGE}\r\n"), "MW-API-14"),
        ("sec-fetch-site: cross-site\r\n".into(), "MW-API-15"),
        ("sec-fetch-site: same-origin\r\n".into(), "MW-API-15"),
        ("sec-fetch-site: same-site\r\n".into(), "MW-API-15"),
    ] {
        for token in ["", &bearer] {
            let said = served.ask("GET", "/api/balance", &format!("{more}{token}"), "").await;
            assert_eq!(said.refusal(), (403, code.into()), "{more}");
            assert!(!said.head.contains("access-control"), "{}", said.head);
        }
    }
    for more in [
        format!("origin: {PAGE}\r\n"),
        format!("origin: {PAGE}\r\nsec-fetch-site: cross-site\r\n"),
        format!("referer: {PAGE}/popup.html\r\n"),
        "sec-fetch-site: none\r\n".into(),
        String::new(),
    ] {
        let said = served.ask("GET", "/api/balance", &format!("{more}{bearer}"), "").await;
        assert_eq!(said.status, 200, "{more}");
        let named = said.head.contains(&format!("access-control-allow-origin: {PAGE}\r\n"));
        assert_eq!(named, more.contains("origin:"), "{more}: {}", said.head);
    }
}

#[tokio::test]
async fn a_browser_may_ask_first_only_for_a_page_that_is_configured() {
    let served = Served::begin().await;
    let asks = "access-control-request-method: PUT\r\naccess-control-request-headers: authorization\r\n";
    let said = served.ask("OPTIONS", "/api/budgets", &format!("origin: {PAGE}\r\n{asks}"), "").await;
    assert_eq!((said.status, said.body.as_str()), (204, ""));
    for line in [
        &*format!("access-control-allow-origin: {PAGE}"),
        "access-control-allow-methods: GET, POST, PUT",
        "access-control-allow-headers: authorization, content-type",
        "vary: Origin",
    ] {
        assert!(said.head.contains(line), "{line}: {}", said.head);
    }
    let said = served.ask("OPTIONS", "/api/budgets", &format!("origin: https://evil.example\r\n{asks}"), "").await;
    assert_eq!(said.refusal(), (403, "MW-API-14".into()));
    assert!(!said.head.contains("access-control"));
    assert_eq!(served.ask("OPTIONS", "/api/budgets", asks, "").await.refusal(), (401, "MW-API-4".into()));
}

#[tokio::test]
async fn a_token_in_a_url_is_refused_even_beside_a_right_one() {
    let served = Served::begin().await;
    let token = served.token.clone();
    for path in [
        format!("/api/status?token={token}"),
        "/api/status?token=x".into(),
        "/api/events?limit=3&access_token=x".into(),
        format!("/api/status?x={token}"),
        format!("/api/{token}"),
        format!("/api/links?after={}", "ab".repeat(32)),
    ] {
        for more in ["", &served.bearer()] {
            assert_eq!(served.ask("GET", &path, more, "").await.refusal(), (400, "MW-API-17".into()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_program_of_another_user_is_told_from_ours_by_the_kernel() {
    let me = Uid::effective().as_raw();
    let listener = bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
    let server = listener.local_addr().expect("an address");
    let client = TcpStream::connect(server).await.expect("connects");
    let _accepted = listener.accept().await.expect("accepts");
    let peer = |client| Peer::Tcp { client, server, uid: Arc::default() };
    let there = client.local_addr().expect("an address");
    assert!(peer(there).is(me).await, "the kernel's table has our own connection");
    assert!(!peer(there).is(me ^ 1).await, "and it is not another user's");
    // Nobody is connected from there: not found is not ours.
    assert!(!peer(SocketAddr::from(([127, 0, 0, 1], 1))).is(me).await);
    assert!(
        !Peer::Unix(None).is(me).await && !Peer::Unix(Some(me ^ 1)).is(me).await && Peer::Unix(Some(me)).is(me).await
    );
}

/// A door through which everybody seems to be another user.
struct Strangers(UnixListener);

impl Listen for Strangers {
    type Stream = UnixStream;
    type Note = Peer;
    async fn next(&self) -> std::io::Result<(UnixStream, Option<std::net::IpAddr>, Peer)> {
        Ok((self.0.accept().await?.0, None, Peer::Unix(Some(Uid::effective().as_raw() ^ 1))))
    }
}

#[tokio::test]
async fn another_users_program_gets_nothing_with_the_right_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let (listener, token) = bind(&socket).expect("binds");
    let backend = Arc::new(Quiet::default());
    let server = tokio::spawn(serve_at(Strangers(listener), Access::unix(token.clone()), backend));
    let said = unix(&socket, "GET", "/api/status", &format!("authorization: Bearer {token}\r\n"), "").await;
    assert_eq!(said.refusal(), (403, "MW-API-16".into()));
    server.abort();
}
