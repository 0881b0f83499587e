//! A site that is paid, a client that pays, and `magicwave fetch` between them: all on loopback.
mod client;
mod fetch;
mod site;

use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use magicwave::gateway::core::codec::{decode, encode};
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::{Terms, network_id};
use magicwave::gateway::core::price::of_bytes;
use magicwave::gateway::core::request::{Standing, build};
use magicwave::gateway::core::seal::SEALED_CLAIM_LEN;
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
            lock_secs: 5,
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
                vec![Message::Delivered(Delivered { hop_id: deliver.hop_id, paid: deliver.amount, secret: None })]
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
        let request = build(&offer, standing, [3; 16], 1000, 600);
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
    let claim = Carried { link_tag: [0; 8], sealed: vec![0; SEALED_CLAIM_LEN] };
    Message::Deliver(Deliver {
        hop_id: [4; 16],
        amount: Stroops::new(amount).expect("in range"),
        proof: Proof::Plain(claim),
    })
}

async fn body(response: Response<Incoming>) -> Vec<u8> {
    response.into_body().collect().await.expect("a whole body").to_bytes().to_vec()
}
