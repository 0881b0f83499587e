//! The payer's side of http: requests through SOCKS, messages to a site, and the daemon's `/api/pay`.
use super::required::Required;
use super::{ANSWERS_MAX, BODY_MAX, CONTENT_TYPE, ENDPOINT, REQUIRED_HEADER, SESSION_HEADER};
use crate::error::{Error, Result};
use crate::gateway::core::codec::{decode_list, encode};
use crate::gateway::core::message::Message;
use crate::redact::Sensitive;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;
use url::{Host, Url};

/// Bytes of an answer of the daemon's API.
const API_BODY_MAX: usize = 64 * 1024;
/// Bytes that hyper buffers per connection and direction.
const BUFFER: usize = 256 * 1024;

/// How a connection is made.
#[derive(Clone, Debug)]
pub enum Dial {
    /// Through a SOCKS5 proxy that isolates streams by user name.
    Socks {
        /// The proxy, tor's SOCKS port.
        proxy: SocketAddr,
        /// User name: streams of the same name share circuits, others do not.
        user: Sensitive<String>,
        /// Password; isolates as well.
        password: Sensitive<String>,
    },
    /// Without a proxy, to loopback addresses alone: for test networks.
    Loopback,
}

/// Talks http to sites that want to be paid. Each call is a connection of its own.
#[derive(Clone, Debug)]
pub struct PayClient {
    dial: Dial,
    patience: Duration,
}

impl PayClient {
    /// `patience`: for the connection and the response's head.
    pub fn new(dial: Dial, patience: Duration) -> Self {
        PayClient { dial, patience }
    }

    /// One request; the body of the response streams. Codes: `MW-FETCH-1` a URL that cannot be fetched, `-2` the
    /// proxy, `-3` the site cannot be reached, `-4` too slow, `-5` no proper http.
    pub async fn send(&self, url: &Url, method: Method, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>> {
        let (host, port) = target(url)?;
        let mut request = Request::new(Full::new(body));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| unfetchable("its path is not one of http"))?;
        *request.headers_mut() = headers;
        let name = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let name = HeaderValue::from_str(&name).map_err(|_| unfetchable("its host is not one of http"))?;
        request.headers_mut().insert(header::HOST, name);
        let asked = timeout(self.patience, async {
            match &self.dial {
                Dial::Socks { proxy, user, password } => {
                    let host = host.trim_matches(['[', ']']);
                    let stream = Socks5Stream::connect_with_password(*proxy, (host, port), &user.0, &password.0);
                    exchange(stream.await.map_err(socks)?, request).await
                }
                Dial::Loopback => {
                    exchange(TcpStream::connect(loopback(url, port)?).await.map_err(unreachable)?, request).await
                }
            }
        });
        asked.await.map_err(|_| Error::later("MW-FETCH-4", "The site did not answer in time. Try again later."))?
    }

    /// Posts a message to the site at `origin` and returns its answers. `session` is the value of the session
    /// header, none for a first `Hello`. Codes: those of `send`, and `MW-HTTP-11`: no answer of this protocol.
    pub async fn message(&self, origin: &Url, session: Option<&str>, message: &Message) -> Result<Vec<Message>> {
        let url = origin.join(ENDPOINT).map_err(|_| unfetchable("it is no origin"))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(session) = session {
            headers.insert(SESSION_HEADER, session_value(session)?);
        }
        let response = self.send(&url, Method::POST, headers, Bytes::from(encode(message))).await?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if kind.as_deref() != Some(CONTENT_TYPE) {
            return Err(no_answer(&format!("status {status} without messages")));
        }
        let body = timeout(self.patience, Limited::new(response.into_body(), BODY_MAX).collect()).await;
        let Ok(Ok(body)) = body else { return Err(no_answer("a body that is too long or does not end")) };
        decode_list(&body.to_bytes(), ANSWERS_MAX).map_err(|error| no_answer(&error.to_string()))
    }
}

/// The value of the session header in a form that http can carry.
pub fn session_value(session: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(session).map_err(|_| no_answer("a session name that http cannot carry"))
}

/// What a response with status 402 asks for; none when the response asks for nothing. `MW-HTTP-1`: it asks in a form
/// that is not understood.
pub fn required<B>(response: &Response<B>) -> Result<Option<Required>> {
    if response.status() != StatusCode::PAYMENT_REQUIRED {
        return Ok(None);
    }
    let value = response.headers().get(REQUIRED_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
    Required::from_header(value).map(Some)
}

/// Body of `POST /api/pay`: pay what a site asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayCall {
    /// Scheme, host and port of the site.
    pub origin: String,
    /// SOCKS user name of the streams to it: tells which circuit carries them.
    pub isolation: String,
    /// Base64 of the encoded offer.
    pub offer: String,
    /// Base64 of the encoded request.
    pub request: String,
    /// Value of the session header.
    pub session: String,
}

/// Answer of `POST /api/pay`, after the payment is complete or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayAnswer {
    /// Whether the site credited the payment.
    pub ok: bool,
    /// Stroops that left the wallet, dues of the nodes and fees included, in decimal.
    #[serde(default)]
    pub amount: String,
    /// Milliseconds of each phase.
    #[serde(default)]
    pub create_ms: u64,
    /// See `create_ms`.
    #[serde(default)]
    pub sign_ms: u64,
    /// See `create_ms`.
    #[serde(default)]
    pub deliver_ms: u64,
    /// When not ok: a name from the table of refusals, or a code.
    #[serde(default)]
    pub code: String,
    /// When not ok: a sentence for a person.
    #[serde(default)]
    pub text: String,
}

/// Asks the daemon behind a unix socket to pay; returns its answer. `token` goes along as a bearer token. Codes:
/// `MW-API-1` no daemon, `-2` no proper answer, `-3` none within `patience`, `-4` it does not know the token.
pub async fn pay(socket: &Path, token: Option<&str>, call: &PayCall, patience: Duration) -> Result<PayAnswer> {
    let odd =
        |what: &str| Error::never("MW-API-2", format!("The daemon's answer to a payment is not understood: {what}."));
    let body = serde_json::to_vec(call).map_err(|error| odd(&error.to_string()))?;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/api/pay");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        let value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| odd("the token has strange characters"))?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let asked = timeout(patience, async {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            let text = format!("The daemon cannot be reached at {}: {error}. Is it running?", socket.display());
            Error::later("MW-API-1", text)
        })?;
        let response = exchange(stream, request).await.map_err(|error| odd(&error.text))?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            let given = if token.is_some() { "does not know this token" } else { "wants a token" };
            let text = format!(
                "The daemon at {} {given}; it makes a new one at each start. Name the file api.token beside its socket \
                 with --token-file, or leave that option out.",
                socket.display()
            );
            return Err(Error::never("MW-API-4", text));
        }
        let body = Limited::new(response.into_body(), API_BODY_MAX).collect().await.map_err(|e| odd(&e.to_string()))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| odd(&format!("status {status}, {error}")))
    });
    asked.await.map_err(|_| Error::later("MW-API-3", "The daemon did not finish the payment in time."))?
}

/// Host and port of a URL that we fetch.
fn target(url: &Url) -> Result<(String, u16)> {
    match url.scheme() {
        "http" => {}
        "https" => return Err(unfetchable("https is not supported yet; onion addresses are encrypted without it")),
        _ => return Err(unfetchable("it is not http")),
    }
    let host = url.host_str().ok_or_else(|| unfetchable("it names no host"))?;
    Ok((host.to_owned(), url.port_or_known_default().unwrap_or(80)))
}

fn loopback(url: &Url, port: u16) -> Result<SocketAddr> {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain("localhost")) => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => return Err(unfetchable("without a proxy only loopback addresses are reached")),
    };
    let address = SocketAddr::new(ip, port);
    if ip.is_loopback() { Ok(address) } else { Err(unfetchable("without a proxy only loopback addresses are reached")) }
}

/// One request on a fresh connection.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken =
        |error: hyper::Error| Error::later("MW-FETCH-5", format!("The other side does not speak http: {error}."));
    let mut client = hyper::client::conn::http1::Builder::new();
    client.max_buf_size(BUFFER);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends when the response's body was read or dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

fn unfetchable(why: &str) -> Error {
    Error::never("MW-FETCH-1", format!("This URL cannot be fetched: {why}."))
}

fn no_answer(what: &str) -> Error {
    Error::later("MW-HTTP-11", format!("The site's payment service did not answer properly: {what}."))
}

fn unreachable(error: std::io::Error) -> Error {
    Error::later("MW-FETCH-3", format!("The site cannot be reached: {error}."))
}

fn socks(error: tokio_socks::Error) -> Error {
    use tokio_socks::Error as E;
    match error {
        E::Io(_) | E::ProxyServerUnreachable => {
            Error::later("MW-FETCH-2", format!("The SOCKS proxy cannot be reached: {error}. Is the daemon running?"))
        }
        other => Error::later("MW-FETCH-3", format!("The site cannot be reached through tor: {other}.")),
    }
}
