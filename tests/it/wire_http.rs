//! A site that is paid, a client that pays, and `magicwave fetch` between them: all on loopback.
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use magicwave::cli::fetch;
use magicwave::gateway::core::codec::{decode, encode};
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::{Terms, network_id};
use magicwave::gateway::core::price::of_bytes;
use magicwave::gateway::core::request::{Standing, build};
use magicwave::gateway::transport::http::client::{Dial, PayAnswer, PayCall, PayClient, required};
use magicwave::gateway::transport::http::required::Required;
use magicwave::gateway::transport::http::site::{Admission, Site, SiteConfig, SiteGateway};
use magicwave::gateway::transport::http::{CONTENT_TYPE, ENDPOINT, REQUIRED_HEADER, SESSION_HEADER, session_header};
use magicwave::redact::Sensitive;
use magicwave::units::{Price, Stroops};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use url::Url;

const PRICE: Price = Price(1 << 20);
const FILM: usize = 300_000;

fn film() -> Vec<u8> {
    (0..FILM).map(|i| u8::try_from(i % 251).expect("small")).collect()
}

/// A web server with Range; remembers what it was asked.
async fn upstream(asked: Arc<Mutex<Vec<HeaderMap>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    asked.lock().expect("lock").push(request.headers().clone());
                    async move { Ok::<_, Infallible>(serve(request).await) }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn serve(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let range = request.headers().get("range").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let response = Response::builder().header("etag", "\"1\"").header("keep-alive", "timeout=5");
    let response = match path.as_str() {
        "/paid/missing" => response.status(404).body(Full::from("nothing")),
        "/paid/echo" => response.body(Full::from(body)),
        _ => {
            let start: usize = range.map_or(0, |r| r["bytes=".len()..r.len() - 1].parse().expect("a number"));
            let part = Bytes::from(film().split_off(start));
            let response = if start > 0 {
                response.status(206).header("content-range", format!("bytes {start}-{}/{FILM}", FILM - 1))
            } else {
                response
            };
            response.body(Full::new(part))
        }
    };
    response.expect("a response")
}

/// Books of a site: credit in bytes per session.
#[derive(Default)]
struct Books {
    sessions: Mutex<HashMap<Id, (Offer, u64, u64)>>,
    forgotten: Mutex<Vec<Id>>,
    /// Bytes that a first request asks for, whatever the length of the response.
    ahead: u64,
}

impl Books {
    fn offer(&self) -> Offer {
        let terms = Terms {
            network: network_id("test"),
            payee: [1; 32],
            asset: AssetId { code: [0; 12], issuer: [0; 32] },
            kind: ServiceKind::Http,
            price: PRICE,
            fee: Stroops::ZERO,
            credit_bytes: 0,
            ahead_bytes: 1 << 20,
            ttl_s: 600,
        };
        let hello = Hello { version: 1, network: terms.network, asset: terms.asset, nonce: [0; 16] };
        let mut sessions = self.sessions.lock().expect("lock");
        let id = [u8::try_from(sessions.len() + 1).expect("few"); 16];
        let offer = terms.offer(&hello, id, [9; 32], 1000).expect("an offer");
        sessions.insert(id, (offer.clone(), 0, 0));
        offer
    }
    fn served_bytes(&self) -> u64 {
        self.sessions.lock().expect("lock").values().map(|s| s.2).sum()
    }
}

impl SiteGateway for Books {
    async fn message(&self, session: Id, message: Message) -> Vec<Message> {
        match message {
            Message::Hello(_) => vec![Message::Offer(self.offer())],
            Message::Deliver(deliver) => {
                let mut sessions = self.sessions.lock().expect("lock");
                let entry = sessions.get_mut(&session).expect("a known session");
                entry.1 += deliver.amount.get();
                vec![Message::Delivered(Delivered { hop_id: deliver.hop_id, paid: deliver.amount })]
            }
            _ => vec![Message::Refusal(RefusalCode::UNEXPECTED.refuse([0; 16]))],
        }
    }
    async fn require(&self, session: Option<Id>, price: Price, need: Option<u64>) -> Admission {
        assert_eq!(price, PRICE);
        let known = session.and_then(|id| self.sessions.lock().expect("lock").get(&id).cloned());
        if let (Some(id), Some((_, credit, _))) = (session, &known)
            && *credit > 0
        {
            return Admission::Serve(id);
        }
        let offer = known.map_or_else(|| self.offer(), |known| known.0);
        let wanted = if self.ahead > 0 { self.ahead } else { need.unwrap_or(1000) };
        let standing = Standing { amount_due: of_bytes(PRICE, wanted).expect("in range"), ..Standing::default() };
        let request = build(&offer, standing, [3; 16], [0; 32], 1000, 600);
        Admission::Pay(Box::new(Required { offer, request }))
    }
    fn served(&self, session: Id, bytes: u64) -> u64 {
        let mut sessions = self.sessions.lock().expect("lock");
        let entry = sessions.get_mut(&session).expect("a known session");
        let granted = bytes.min(entry.1);
        entry.1 -= granted;
        entry.2 += granted;
        granted
    }
    fn forget(&self, session: Id) {
        self.forgotten.lock().expect("lock").push(session);
    }
}

struct World {
    books: Arc<Books>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    origin: Url,
    client: PayClient,
}

async fn world(ahead: u64, hold: Duration) -> World {
    let asked = Arc::default();
    let books = Arc::new(Books { ahead, ..Books::default() });
    let mut config =
        SiteConfig::new(upstream(Arc::clone(&asked)).await, vec![("/paid".into(), PRICE)], network_id("test"));
    config.hold = hold;
    let site = Site::new(config, books.clone()).expect("a site");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let origin = Url::parse(&format!("http://{}", listener.local_addr().expect("bound"))).expect("a URL");
    tokio::spawn(site.serve(listener, std::future::pending()));
    World { books, asked, origin, client: PayClient::new(Dial::Loopback, Duration::from_secs(20)) }
}

impl World {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Response<Incoming> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        let url = self.origin.join(path).expect("a URL");
        self.client.send(&url, method, map, Bytes::copy_from_slice(body)).await.expect("an answer")
    }
    async fn get(&self, path: &str, session: &str) -> Response<Incoming> {
        self.ask(Method::GET, path, &[(SESSION_HEADER, session)], &[]).await
    }
    async fn pay(&self, session: &str, amount: u64) {
        let answers = self.client.message(&self.origin, Some(session), &deliver(amount)).await.expect("answers");
        assert!(matches!(answers[..], [Message::Delivered(_)]), "{answers:?}");
    }
    /// Asks for a paid path and returns the session that the site opened.
    async fn session(&self) -> String {
        let response = self.ask(Method::GET, "/paid/film", &[], &[]).await;
        session_header(&required(&response).expect("understood").expect("a demand").offer)
    }
}

fn deliver(amount: u64) -> Message {
    let claim = Carried { link_tag: [0; 8], sealed: vec![0; 200] };
    Message::Deliver(Deliver { hop_id: [4; 16], amount: Stroops::new(amount).expect("in range"), claim })
}

async fn body(response: Response<Incoming>) -> Vec<u8> {
    response.into_body().collect().await.expect("a whole body").to_bytes().to_vec()
}

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

/// A server that answers every connection with the same bytes.
async fn parrot(answer: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = Url::parse(&format!("http://{}/", listener.local_addr().expect("bound"))).expect("a URL");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    url
}

#[tokio::test]
async fn a_client_survives_whatever_a_site_answers() {
    let client = PayClient::new(Dial::Loopback, Duration::from_secs(5));
    let head =
        |extra: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\nconnection: close\r\n{extra}\r\n");
    let long = [head("content-length: 5000\r\n").into_bytes(), vec![1; 5000]].concat();
    let short = [head("content-length: 100\r\n").into_bytes(), vec![1; 5]].concat();
    let garbage = [head("content-length: 5\r\n").into_bytes(), vec![1; 5]].concat();
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_vec();
    for (answer, code) in [
        (long, "MW-HTTP-11"),
        (short, "MW-HTTP-11"),
        (garbage, "MW-HTTP-11"),
        (html, "MW-HTTP-11"),
        (vec![0xff; 10_000], "MW-FETCH-5"),
        (vec![], "MW-FETCH-5"),
    ] {
        let url = parrot(answer).await;
        assert_eq!(client.message(&url, None, &deliver(1)).await.map_err(|e| e.code), Err(code));
    }
    let odd = format!("HTTP/1.1 402 Pay\r\n{REQUIRED_HEADER}: {}\r\ncontent-length: 0\r\n\r\n", "A".repeat(20_000));
    let response = client.send(&parrot(odd.into_bytes()).await, Method::GET, HeaderMap::new(), Bytes::new()).await;
    assert_eq!(required(&response.expect("a response")).map_err(|e| e.code), Err("MW-HTTP-1"));
    for url in ["https://127.0.0.1/", "ftp://127.0.0.1/", "http://192.0.2.1/", "http://example.com/"] {
        let url = Url::parse(url).expect("a URL");
        let sent = client.send(&url, Method::GET, HeaderMap::new(), Bytes::new()).await;
        assert_eq!(sent.err().map(|e| e.code), Some("MW-FETCH-1"), "{url}");
    }
}

/// A SOCKS5 proxy with user names; passes every connection to `site` and remembers {user, host}.
async fn proxy(site: SocketAddr, seen: Arc<Mutex<Vec<(String, String)>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, site, seen.clone()));
        }
    });
    address
}

async fn relay(
    mut stream: TcpStream,
    site: SocketAddr,
    seen: Arc<Mutex<Vec<(String, String)>>>,
) -> std::io::Result<()> {
    async fn field(stream: &mut TcpStream) -> std::io::Result<String> {
        let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
        stream.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
    assert_eq!(stream.read_u8().await?, 5);
    assert!(field(&mut stream).await?.contains('\u{2}'), "no user name is offered");
    stream.write_all(&[5, 2]).await?;
    stream.read_u8().await?;
    let user = field(&mut stream).await?;
    field(&mut stream).await?;
    stream.write_all(&[1, 0]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head, [5, 1, 0, 3], "a name, not an address");
    let host = field(&mut stream).await?;
    stream.read_u16().await?;
    seen.lock().expect("lock").push((user, host));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut TcpStream::connect(site).await?).await.map(|_| ())
}

/// A daemon whose `/api/pay` pays `amount` to the site, or refuses with a code.
async fn daemon(socket: &std::path::Path, client: PayClient, site: Url, answer: Result<u64, &'static str>) {
    let listener = UnixListener::bind(socket).expect("bind");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (client, site) = (client.clone(), site.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (client, site) = (client.clone(), site.clone());
                async move {
                    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/api/pay"));
                    let body = request.into_body().collect().await.expect("a body").to_bytes();
                    let call: PayCall = serde_json::from_slice(&body).expect("a call");
                    assert!(call.isolation.starts_with("fetch-") && call.origin == "http://film.example");
                    let demand = Required::from_base64(&call.offer, &call.request).expect("a demand");
                    assert_eq!(call.session, session_header(&demand.offer));
                    let answer = match answer {
                        Ok(amount) => {
                            client.message(&site, Some(&call.session), &deliver(amount)).await.expect("paid");
                            PayAnswer { ok: true, amount: amount.to_string(), ..PayAnswer::default() }
                        }
                        Err(code) => PayAnswer { code: code.into(), text: "No.".into(), ..PayAnswer::default() },
                    };
                    let body = serde_json::to_vec(&answer).expect("json");
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: fetch::Args,
}

/// Runs `fetch` against a fresh world; returns its exit code, the file, and what the proxy saw.
async fn fetched(ahead: u64, answer: Option<Result<u64, &'static str>>) -> (String, Vec<u8>, Vec<(String, String)>) {
    let world = world(ahead, Duration::from_millis(50)).await;
    let dir = tempfile::tempdir().expect("a directory");
    let seen = Arc::default();
    let site = world.origin.socket_addrs(|| None).expect("an address")[0];
    let proxy = proxy(site, Arc::clone(&seen)).await;
    let (socket, file) = (dir.path().join("api"), dir.path().join("film"));
    let mut args = vec!["fetch".to_owned(), "http://film.example/paid/film".to_owned(), "--timeout=20".to_owned()];
    args.extend([format!("--socks={proxy}"), format!("--output={}", file.display())]);
    if let Some(answer) = answer {
        args.push(format!("--api={}", socket.display()));
        daemon(&socket, world.client.clone(), world.origin.clone(), answer).await;
    }
    let args = Cli::try_parse_from(args).expect("arguments").args;
    let code = tokio::task::spawn_blocking(|| fetch::run(args)).await.expect("no panic").expect("a code");
    let seen = seen.lock().expect("lock").clone();
    (format!("{code:?}"), std::fs::read(file).expect("a file"), seen)
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_pays_what_a_site_asks_and_brings_the_whole_file() {
    let (code, file, seen) = fetched(0, Some(Ok(FILM as u64))).await;
    assert_eq!((code, file == film()), (exit(0), true));
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(user, host)| *user == seen[0].0 && host == "film.example"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_pays_again_and_resumes_where_its_credit_ended() {
    let (code, file, seen) = fetched(90_000, Some(Ok(90_000))).await;
    assert_eq!((code, file == film()), (exit(0), true));
    assert_eq!(seen.len(), 8, "four times asked to pay, four times served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_says_when_it_may_not_or_must_not_pay() {
    let (code, file, _) = fetched(0, Some(Err("budget_day"))).await;
    assert_eq!((code, file.len()), (exit(5), 0));
    let (code, ..) = fetched(0, None).await;
    assert_eq!(code, exit(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_stops_paying_a_site_that_takes_money_and_serves_nothing() {
    let (code, _, seen) = fetched(1000, Some(Ok(0))).await;
    assert_eq!(code, exit(5));
    assert_eq!(seen.len(), 4, "three payments, not more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fetches_never_share_a_circuit() {
    let (first, second) = (fetched(0, Some(Ok(FILM as u64))).await.2, fetched(0, Some(Ok(FILM as u64))).await.2);
    assert_ne!(first[0].0, second[0].0);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("bound");
    let name = |text: &str| Sensitive(text.to_owned());
    let dial = Dial::Socks { proxy: free, user: name("user"), password: name("x") };
    let client = PayClient::new(dial, Duration::from_secs(5));
    let url = Url::parse("http://film.example/").expect("a URL");
    let sent = client.send(&url, Method::GET, HeaderMap::new(), Bytes::new()).await;
    assert_eq!(sent.err().map(|e| e.code), Some("MW-FETCH-2"));
}
