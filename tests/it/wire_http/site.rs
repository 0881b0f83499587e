//! The site: what is free, what is paid, what is cut off.
use super::*;

#[tokio::test]
async fn a_free_path_is_served_to_everybody_and_not_metered() {
    let world = world(0, Duration::ZERO).await;
    let response = world.ask(Method::GET, "/free", &[], &[]).await;
    assert_eq!((response.status(), body(response).await), (StatusCode::OK, film()));
    assert_eq!(world.books.served_bytes(), 0);
}

#[tokio::test]
async fn a_paid_path_is_served_after_payment_and_metered_to_the_byte() {
    let world = world(0, Duration::ZERO).await;
    let response = world.ask(Method::GET, "/paid/film", &[], &[]).await;
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    let demand = required(&response).expect("understood").expect("a demand");
    assert_eq!(demand.open(), of_bytes(PRICE, FILM as u64).expect("in range"));
    let json: serde_json::Value = serde_json::from_slice(&body(response).await).expect("a readable body");
    assert_eq!(json["amount_due"], FILM.to_string());

    let session = session_header(&demand.offer);
    world.pay(&session, FILM as u64).await;
    let response = world.get("/paid/film", &session).await;
    assert_eq!(response.headers()["content-length"], FILM.to_string().as_str());
    assert_eq!(body(response).await, film());
    assert_eq!(world.books.served_bytes(), FILM as u64);
    assert_eq!(world.get("/paid/film", &session).await.status(), StatusCode::PAYMENT_REQUIRED, "used up");
}

#[tokio::test]
async fn a_session_id_without_its_proof_is_no_session() {
    let world = world(0, Duration::ZERO).await;
    let session = world.session().await;
    world.pay(&session, FILM as u64).await;
    let stolen = format!("{}{}", &session[..32], "0".repeat(32));
    assert_eq!(world.get("/paid/film", &stolen).await.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.get("/paid/film", &session).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn other_spellings_of_a_paid_path_are_not_free() {
    let world = world(0, Duration::ZERO).await;
    for path in ["//paid/film", "/%70aid/film"] {
        let target = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(raw(&world.origin, &target).await.starts_with("HTTP/1.1 402"), "{path}");
    }
    for path in ["/free/../paid/film", "/free/%2e%2e/paid/film", "/free%2f..%2fpaid"] {
        let target = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(raw(&world.origin, &target).await.starts_with("HTTP/1.1 400"), "{path}");
    }
}

async fn raw(origin: &Url, text: &str) -> String {
    let mut stream = TcpStream::connect(&*origin.socket_addrs(|| None).expect("an address")).await.expect("connected");
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_is_cut_off_where_credit_ends_and_can_be_resumed() {
    let world = world(0, Duration::from_millis(50)).await;
    let session = world.session().await;
    world.pay(&session, 100_000).await;
    let mut response = world.get("/paid/film", &session).await.into_body();
    let mut got = Vec::new();
    let cut = loop {
        match response.frame().await {
            Some(Ok(frame)) => got.extend_from_slice(frame.data_ref().expect("data")),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut);
    assert_eq!(got, film()[..100_000], "all that was paid for arrived, and no more");
    world.pay(&session, FILM as u64).await;
    let headers = [(SESSION_HEADER, session.as_str()), ("range", "bytes=100000-")];
    let rest = world.ask(Method::GET, "/paid/film", &headers, &[]).await;
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(body(rest).await, film()[100_000..]);
    assert_eq!(world.books.served_bytes(), FILM as u64);
}

#[tokio::test]
async fn a_held_body_goes_on_when_a_payment_comes() {
    let world = world(0, Duration::from_secs(20)).await;
    let session = world.session().await;
    world.pay(&session, 100_000).await;
    let mut response = world.get("/paid/film", &session).await.into_body();
    let mut got = 0;
    while got < 100_000 {
        got += response.frame().await.expect("more").expect("data").data_ref().expect("data").len();
    }
    assert_eq!(got, 100_000);
    world.pay(&session, 200_000).await;
    assert_eq!(response.collect().await.expect("the rest").to_bytes().len(), 200_000);
}

#[tokio::test]
async fn connections_keep_their_own_headers_to_themselves() {
    let world = world(0, Duration::ZERO).await;
    let session = world.session().await;
    world.pay(&session, 1).await;
    world.asked.lock().expect("lock").clear();
    let headers = [
        (SESSION_HEADER, session.as_str()),
        ("connection", "x-private, close"),
        ("x-private", "1"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "secret"),
        ("x-kept", "1"),
        ("range", "bytes=299999-"),
    ];
    let response = world.ask(Method::GET, "/paid/film", &headers, &[]).await;
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    let seen = world.asked.lock().expect("lock").pop().expect("a request");
    for gone in [SESSION_HEADER, "connection", "x-private", "te", "upgrade", "proxy-authorization"] {
        assert!(seen.get(gone).is_none(), "{gone} went through");
    }
    assert!(seen.get("x-kept").is_some() && seen.get("range").is_some() && seen.get("host").is_some());
}

#[tokio::test]
async fn a_request_with_effects_reaches_the_web_server_only_when_it_is_admitted() {
    let world = world(0, Duration::ZERO).await;
    let response = world.ask(Method::POST, "/paid/echo", &[], b"order").await;
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(world.asked.lock().expect("lock").is_empty());
    let session = session_header(&required(&response).expect("understood").expect("a demand").offer);
    world.pay(&session, 5).await;
    let response = world.ask(Method::POST, "/paid/echo", &[(SESSION_HEADER, &session)], b"order").await;
    assert_eq!(body(response).await, b"order");
}

#[tokio::test]
async fn heads_and_errors_cost_nothing() {
    let world = world(0, Duration::ZERO).await;
    assert_eq!(world.ask(Method::GET, "/paid/missing", &[], &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.ask(Method::HEAD, "/paid/film", &[], &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn messages_that_cannot_be_taken_are_answered_with_a_reason() {
    let world = world(0, Duration::ZERO).await;
    let kind = ("content-type", CONTENT_TYPE);
    let status = async |method, headers: &[(&'static str, &str)], body: &[u8]| {
        world.ask(method, ENDPOINT, headers, body).await.status().as_u16()
    };
    assert_eq!(status(Method::GET, &[kind], b"").await, 405);
    assert_eq!(status(Method::POST, &[("content-type", "text/plain")], b"").await, 415);
    assert_eq!(status(Method::POST, &[kind], &[0; 5000]).await, 413);
    assert_eq!(status(Method::POST, &[kind], &encode(&deliver(1))).await, 404);
    let response = world.ask(Method::POST, ENDPOINT, &[kind], b"garbage").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let Ok(Message::Refusal(refusal)) = decode(&body(response).await) else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::BAD_VERSION);
    let terms =
        Hello { version: 1, network: [0; 8], asset: AssetId { code: [0; 12], issuer: [0; 32] }, nonce: [0; 16] };
    let answers = world.client.message(&world.origin, None, &Message::Hello(terms)).await.expect("answers");
    let [Message::Offer(offer)] = &answers[..] else { panic!("no offer") };
    world.pay(&session_header(offer), 5).await;
}

#[tokio::test]
async fn a_site_in_front_of_a_remote_server_is_refused() {
    let config = SiteConfig::new("192.0.2.1:80".parse().expect("an address"), vec![], [0; 8]);
    assert_eq!(Site::new(config, Arc::new(Books::default())).err().map(|e| e.code), Some("MW-HTTP-2"));
}
