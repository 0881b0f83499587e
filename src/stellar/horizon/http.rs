//! One request over one connection of its own, and what became of it.
use super::Timing;
use super::endpoint::{Endpoint, Isolation, Stream};
use super::resource::Problem;
use crate::error::Error;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;
use stellar_horizon::error::Error as StockError;
use stellar_horizon::headers::{rate_limit_remaining, rate_limit_reset};
use tokio::time::timeout;
use url::Url;

/// The largest answer that is read: a page of 200 transactions stays below.
const MAX_ANSWER: usize = 4 << 20;
/// The largest head of an answer.
const MAX_HEAD: usize = 64 << 10;

/// Why a request brought no answer that we can use. What matters is whether the server may have acted on it.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Nothing reached the server.
    NotSent(String),
    /// It may have reached the server; no whole answer came back.
    Lost(String),
    /// The server answered that it would not, or could not.
    Refused(Box<Refusal>),
    /// A whole answer came that we do not understand; the server may have acted.
    Garbled(String),
}

/// An answer other than success, with all that it said.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Of the answer.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: HeaderMap,
    /// As it came, at most 4 MiB.
    pub body: Bytes,
    /// The body as a problem in Horizon's form, empty when it is none.
    pub problem: Problem,
}

impl Refusal {
    /// Whether Horizon itself says that there is nothing of that name (a proxy's 404 says nothing).
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.problem.kind() == "not_found"
    }
    /// Whether the server is too busy to look at anything.
    pub fn is_busy(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }
    /// How long the server wants us to stay away, if it says so.
    pub fn wait(&self) -> Option<Duration> {
        let after = self.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let reset =
            || rate_limit_reset(&self.headers).filter(|_| rate_limit_remaining(&self.headers).unwrap_or(0) == 0);
        after.or_else(|| reset().map(u64::from)).map(Duration::from_secs)
    }
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends a GET, or a POST of a form when there is a body, over a connection of its own.
pub(super) async fn exchange(
    endpoint: &Endpoint,
    isolation: &Isolation,
    timing: &Timing,
    uri: &Url,
    form: Option<String>,
) -> Result<Answer, Failure> {
    let patience = if form.is_some() { timing.answer } else { timing.read };
    let request = request(uri, form)?;
    let stream = endpoint.connect(isolation, timing).await?;
    let answered = timeout(patience, converse(stream, request)).await;
    answered.unwrap_or_else(|_| Err(Failure::Lost("no answer in time".into())))
}

fn request(uri: &Url, form: Option<String>) -> Result<Request<Full<Bytes>>, Failure> {
    let authority = match uri.port() {
        Some(port) => format!("{}:{port}", uri.host_str().unwrap_or_default()),
        None => uri.host_str().unwrap_or_default().to_owned(),
    };
    let target = &uri[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::builder()
        .uri(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close");
    if form.is_some() {
        request = request.method(Method::POST).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let body = Full::new(Bytes::from(form.unwrap_or_default()));
    request.body(body).map_err(|error| Failure::NotSent(format!("not built: {error}")))
}

async fn converse(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::NotSent(error.to_string()))?;
    // The connection has to be driven while we wait; dropping it at the end of this scope closes it.
    let talk = async {
        let lost = |error: hyper::Error| {
            if error.is_canceled() { Failure::NotSent(error.to_string()) } else { Failure::Lost(error.to_string()) }
        };
        let (head, body) = sender.send_request(request).await.map_err(lost)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::Lost("an answer without end".into())
            } else {
                Failure::Lost(format!("a broken answer: {error}"))
            }
        })?;
        Ok((head, body.to_bytes()))
    };
    let (head, body) = tokio::select! {
        biased;
        talked = talk => talked?,
        never = drive(connection) => match never {},
    };
    if head.status.is_success() {
        return Ok(Answer { headers: head.headers, body });
    }
    let problem = serde_json::from_slice(&body).unwrap_or_default();
    Err(Failure::Refused(Box::new(Refusal { status: head.status, headers: head.headers, body, problem })))
}

/// Drives a connection for good: what it ends with reaches the request itself.
async fn drive(connection: http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>) -> Infallible {
    let _ = connection.await;
    std::future::pending().await
}

/// As far as the stock error type can say it.
pub(super) fn stock_error(failure: Failure) -> StockError {
    match failure {
        Failure::Refused(refusal) => serde_json::from_slice(&refusal.body)
            .map_or(StockError::HorizonServerError, StockError::HorizonRequestError),
        _ => StockError::HorizonServerError,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotSent(why) => write!(f, "the ledger's server was not reached: {why}"),
            Failure::Lost(why) => write!(f, "the answer of the ledger's server was lost: {why}"),
            Failure::Garbled(why) => write!(f, "the ledger's server gave {why}"),
            Failure::Refused(refusal) => {
                write!(f, "the ledger's server said {} {}", refusal.status.as_u16(), refusal.problem.kind())
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    /// `MW-HZN-5` not sent, `MW-HZN-6` lost, `MW-HZN-7` refused, `MW-HZN-9` not understood.
    fn from(failure: Failure) -> Error {
        let text = failure.to_string();
        match failure {
            Failure::NotSent(_) => Error::later("MW-HZN-5", text),
            Failure::Lost(_) => Error::later("MW-HZN-6", text),
            Failure::Refused(refusal) if refusal.status.is_server_error() || refusal.is_busy() => {
                Error::later("MW-HZN-7", text)
            }
            Failure::Refused(_) => Error::never("MW-HZN-7", text),
            Failure::Garbled(_) => Error::later("MW-HZN-9", text),
        }
    }
}
