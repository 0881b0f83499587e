//! The paying door in front of a web server: a reverse proxy that meters the responses of paid paths.
//!
//! `docs/wire.md`, section 7. Bodies stream both ways through buffers of fixed size. No upgrades (websockets).
use super::listen::{self, BUFFER, Bounds, Timed};
use super::paths::{Prices, normalise};
use super::required::Required;
use super::sessions::Sessions;
use super::stream::{BodyError, Metered};
use super::{ANSWERS_MAX, BODY_MAX, CONTENT_TYPE, ENDPOINT, REQUIRED_HEADER, SESSION_HEADER};
use crate::error::{Error, Result};
use crate::gateway::core::codec::{decode, encode};
use crate::gateway::core::message::{Id, Message, RefusalCode};
use crate::gateway::core::refusal::RetryClass;
use crate::units::Price;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// For a message's body.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Visitors of an onion service all come from the loopback, which has no limit of its own; those of an exit share its
/// address. A response may stand still for long: a circuit that has to pay is stopped meanwhile.
const BOUNDS: Bounds = Bounds {
    connections: 1024,
    per_address: 128,
    head: Duration::from_secs(10),
    body: Duration::from_secs(60),
    write: Duration::from_secs(300),
};
/// For the web server's connection and response head.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);

/// What the gateway says to a request for a paid path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// This session has credit: serve, and ask `SiteGateway::served` for each piece.
    Serve(Id),
    /// Pay first.
    Pay(Box<Required>),
    /// No service for this reason.
    Refuse(RefusalCode),
}

/// What a site asks of the gateway core.
pub trait SiteGateway: Send + Sync + 'static {
    /// A message of the protocol in `session` (all zero: a `Hello` without one). At most `ANSWERS_MAX` answers are
    /// sent.
    fn message(&self, session: Id, message: Message) -> impl Future<Output = Vec<Message>> + Send;
    /// May a response at `price` begin? `need` is its length when that is known. `Pay` either names `session` again
    /// or opens a new one (always when there is none, or when its offer has another price).
    fn require(&self, session: Option<Id>, price: Price, need: Option<u64>) -> impl Future<Output = Admission> + Send;
    /// Takes up to `bytes` off the session's credit, counts them as served, and returns how many; 0 holds the
    /// response. Called from the stream: must neither block nor wait.
    fn served(&self, session: Id, bytes: u64) -> u64;
    /// The session was forgotten here.
    fn forget(&self, session: Id);
}

/// How a site is run.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// The web server: plain http on a loopback address.
    pub upstream: SocketAddr,
    /// Path prefixes that cost money, with stroops per MiB.
    pub prefixes: Vec<(String, Price)>,
    /// First 8 bytes of SHA-256 of the ledger's passphrase.
    pub network: [u8; 8],
    /// Sessions, at most.
    pub max_sessions: usize,
    /// A session that paid is forgotten after so long without use.
    pub session_ttl: Duration,
    /// Connections, at most; see `listen`.
    pub max_connections: usize,
    /// How long a response without credit is held before it is cut off.
    pub hold: Duration,
}

impl SiteConfig {
    /// The usual limits.
    pub fn new(upstream: SocketAddr, prefixes: Vec<(String, Price)>, network: [u8; 8]) -> Self {
        SiteConfig {
            upstream,
            prefixes,
            network,
            max_sessions: 4096,
            session_ttl: Duration::from_secs(3600),
            max_connections: BOUNDS.connections,
            hold: Duration::from_secs(2),
        }
    }
}

type SiteBody = UnsyncBoxBody<Bytes, BodyError>;

/// A running site.
pub struct Site<G> {
    config: SiteConfig,
    prices: Prices,
    gateway: Arc<G>,
    sessions: Mutex<Sessions>,
    started: Instant,
}

impl<G: SiteGateway> Site<G> {
    /// `MW-HTTP-2`: the web server is not on loopback; `MW-HTTP-3`: a prefix or price that cannot be.
    pub fn new(config: SiteConfig, gateway: Arc<G>) -> Result<Arc<Self>> {
        if !config.upstream.ip().is_loopback() {
            let text = "The web server behind a site must listen on a loopback address: what it says is not encrypted.";
            return Err(Error::never("MW-HTTP-2", text));
        }
        let prices = Prices::new(&config.prefixes).map_err(|code| {
            Error::never(
                "MW-HTTP-3",
                format!("A paid path or its price is not permitted ({}): {}", code.name(), code.text()),
            )
        })?;
        let ttl_ms = u64::try_from(config.session_ttl.as_millis()).unwrap_or(u64::MAX);
        let sessions = Mutex::new(Sessions::new(config.max_sessions, ttl_ms));
        Ok(Arc::new(Site { config, prices, gateway, sessions, started: Instant::now() }))
    }

    /// Serves connections until `stop` is ready, then ends those that are open. `MW-HTTP-4`: the listener failed.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<()> {
        let service = {
            let site = self.clone();
            service_fn(move |request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(site.handle(request).await) }
            })
        };
        let bounds = Bounds { connections: self.config.max_connections, ..BOUNDS };
        tokio::select! {
            () = stop => Ok(()),
            ended = listen::serve(listener, bounds, service) => {
                ended.map_err(|error| Error::later("MW-HTTP-4", format!("The site's listener failed: {error}.")))
            }
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Timed<Incoming>>) -> Response<SiteBody> {
        if request.uri().path() == ENDPOINT {
            return self.messages(request).await;
        }
        let Ok(path) = normalise(request.uri().path()) else {
            return problem(StatusCode::BAD_REQUEST, "MW-HTTP-5", "This path can be read in more than one way.");
        };
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "MW-HTTP-6", "This method is not served here.");
        }
        let session = self.session_of(request.headers());
        match self.prices.of(&path) {
            None => self.upstream(request).await.map_or_else(|problem| problem, |response| response.map(plain)),
            Some(price) => self.paid(request, session, price).await,
        }
    }

    async fn paid(&self, request: Request<Timed<Incoming>>, session: Option<Id>, price: Price) -> Response<SiteBody> {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let mut admission = None;
        if method != Method::GET && method != Method::HEAD {
            // It may have an effect there: not before it is admitted.
            match self.gateway.require(session, price, None).await {
                Admission::Serve(session) => admission = Some(session),
                other => return self.not_served(other, &path),
            }
        }
        let response = match self.upstream(request).await {
            Ok(response) => response,
            Err(problem) => return problem,
        };
        if method == Method::HEAD || !response.status().is_success() {
            return response.map(plain);
        }
        let session = match admission {
            Some(session) => session,
            None => match self.gateway.require(session, price, length(response.headers())).await {
                Admission::Serve(session) => session,
                other => return self.not_served(other, &path),
            },
        };
        let gateway = self.gateway.clone();
        response.map(|body| Metered::new(body, gateway, session, self.config.hold).boxed_unsync())
    }

    fn not_served(&self, admission: Admission, path: &str) -> Response<SiteBody> {
        match admission {
            Admission::Pay(required) => {
                self.forget(|sessions, now| sessions.open(&required.offer, now));
                let body = required.to_body().to_string().into_bytes();
                let mut response = answer(StatusCode::PAYMENT_REQUIRED, "application/json", body);
                if let Ok(value) = HeaderValue::from_str(&required.to_header(&self.config.network, path)) {
                    response.headers_mut().insert(HeaderName::from_static(REQUIRED_HEADER), value);
                }
                response
            }
            Admission::Refuse(code) if code.retry() == RetryClass::Later => {
                problem(StatusCode::SERVICE_UNAVAILABLE, code.name(), code.text())
            }
            Admission::Refuse(code) => problem(StatusCode::FORBIDDEN, code.name(), code.text()),
            Admission::Serve(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", RefusalCode::INTERNAL.text()),
        }
    }

    /// Asks the web server; both heads lose what belongs to one connection.
    async fn upstream(&self, mut request: Request<Timed<Incoming>>) -> Result<Response<Incoming>, Response<SiteBody>> {
        let target = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let target = target.parse::<Uri>().map_err(|_| problem(StatusCode::BAD_REQUEST, "MW-HTTP-5", "A bad path."))?;
        *request.uri_mut() = target;
        *request.version_mut() = hyper::Version::HTTP_11;
        strip(request.headers_mut());
        request.headers_mut().remove(SESSION_HEADER);
        let asked = timeout(UPSTREAM_TIMEOUT, async {
            let stream = TcpStream::connect(self.config.upstream).await.map_err(|e| e.to_string())?;
            let mut client = hyper::client::conn::http1::Builder::new();
            client.max_buf_size(BUFFER);
            let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
            // Ends when the response's body was read or dropped.
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(|e| e.to_string())
        });
        match asked.await {
            Ok(Ok(mut response)) => {
                strip(response.headers_mut());
                Ok(response)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the web server behind the site cannot be reached");
                Err(problem(StatusCode::BAD_GATEWAY, "MW-HTTP-7", "The web server behind this site does not answer."))
            }
            Err(_) => {
                Err(problem(StatusCode::GATEWAY_TIMEOUT, "MW-HTTP-8", "The web server behind this site is too slow."))
            }
        }
    }

    /// `POST /.well-known/magicwave/v1`.
    async fn messages(&self, request: Request<Timed<Incoming>>) -> Response<SiteBody> {
        if request.method() != Method::POST {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "MW-HTTP-6", "Messages are posted here.");
        }
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if kind != Some(CONTENT_TYPE) {
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MW-HTTP-9", "A message is application/octet-stream.");
        }
        if length(request.headers()).is_some_and(|len| len > BODY_MAX as u64) {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "MW-HTTP-10", "A message is at most 4 KiB.");
        }
        let session = self.session_of(request.headers());
        let Ok(Ok(body)) = timeout(CLIENT_TIMEOUT, Limited::new(request.into_body(), BODY_MAX).collect()).await else {
            return problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "MW-HTTP-10",
                "A message is at most 4 KiB and comes at once.",
            );
        };
        let message = match decode(&body.to_bytes()) {
            Ok(message) => message,
            Err(error) => return refused(StatusCode::BAD_REQUEST, error.answer().map(Message::Refusal)),
        };
        let session = match (session, &message) {
            (Some(session), _) => session,
            (None, Message::Hello(_)) => [0; 16],
            (None, _) => {
                let refusal = RefusalCode::SESSION_UNKNOWN.refuse([0; 16]);
                return refused(StatusCode::NOT_FOUND, Some(Message::Refusal(refusal)));
            }
        };
        let answers = self.gateway.message(session, message).await;
        let mut bytes = Vec::new();
        for message in answers.iter().take(ANSWERS_MAX) {
            let encoded = encode(message);
            if bytes.len() + encoded.len() > BODY_MAX {
                break;
            }
            bytes.extend_from_slice(&encoded);
            match message {
                Message::Offer(offer) => self.forget(|sessions, now| sessions.open(offer, now)),
                Message::Delivered(_) => self.forget(|sessions, now| sessions.mark_paid(&session, now)),
                _ => {}
            }
        }
        answer(StatusCode::OK, CONTENT_TYPE, bytes)
    }

    fn session_of(&self, headers: &HeaderMap) -> Option<Id> {
        let value = headers.get(SESSION_HEADER)?.to_str().ok()?;
        let now = self.now_ms();
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).verify(value, now)
    }

    /// Changes the table of sessions and tells the gateway which ones are gone.
    fn forget(&self, change: impl FnOnce(&mut Sessions, u64) -> Vec<Id>) {
        let now = self.now_ms();
        let gone = change(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner), now);
        for id in gone {
            self.gateway.forget(id);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Removes the headers that belong to one connection, those that `Connection` names included.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
    let known = [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    for name in named.iter().chain(&fixed).chain(&known) {
        headers.remove(name);
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn plain(body: Incoming) -> SiteBody {
    body.map_err(BodyError::from).boxed_unsync()
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<SiteBody> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn problem(status: StatusCode, code: &str, text: &str) -> Response<SiteBody> {
    answer(status, "application/json", serde_json::json!({ "code": code, "error": text }).to_string().into_bytes())
}

fn refused(status: StatusCode, refusal: Option<Message>) -> Response<SiteBody> {
    answer(status, CONTENT_TYPE, refusal.map(|message| encode(&message)).unwrap_or_default())
}
