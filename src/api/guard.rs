//! Who may ask: programs of our own user that hold the token, and of browsers only the pages that were configured.
//!
//! A page in a browser can make it send requests to the loopback. It cannot read our token, cannot hide its `Origin`,
//! and a name that it points at the loopback shows in `Host`. Each of these is enough to refuse it.
use super::Shared;
use super::peer::Peer;
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nix::unistd::Uid;
use std::net::SocketAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Bytes of a request's target and headers, all together.
const MAX_HEAD: usize = 16 << 10;
/// The protocol that a WebSocket client names beside its token.
pub(super) const PROTOCOL: &str = "magicwave.v1";
/// Before the token, in the list of a WebSocket client's protocols.
const PROTOCOL_TOKEN: &str = "magicwave.token.";
/// How long a browser may remember that an origin is allowed.
const PREFLIGHT_SECS: HeaderValue = HeaderValue::from_static("600");

/// What a request has to bring along.
pub(super) struct Access {
    /// 64 hex digits.
    token: String,
    /// Names by which a browser may call us; none over a unix socket, which no browser reaches.
    hosts: Option<[String; 2]>,
    /// Pages that may ask, as their `Origin`.
    origins: Vec<String>,
}

impl Access {
    /// Over a unix socket.
    pub fn unix(token: String) -> Self {
        Access { token, hosts: None, origins: Vec::new() }
    }

    /// Over TCP at `address`.
    pub fn tcp(token: String, address: SocketAddr, origins: Vec<String>) -> Self {
        let port = address.port();
        Access { token, hosts: Some([format!("127.0.0.1:{port}"), format!("[::1]:{port}")]), origins }
    }

    /// The origin that the request names, when it is an allowed one; an error when it is another.
    fn origin<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, Problem> {
        let foreign = |what: &str| {
            let text = format!("pages of this {what} may not ask; the owner can allow one in api_origins");
            Problem::new(StatusCode::FORBIDDEN, "MW-API-14", text)
        };
        let allowed = |text: &str| self.origins.iter().any(|origin| origin == text);
        let origin = only(headers, header::ORIGIN).map_err(|()| foreign("Origin"))?;
        if origin.is_some_and(|origin| !origin.to_str().is_ok_and(allowed)) {
            return Err(foreign("Origin"));
        }
        let referer = only(headers, header::REFERER).map_err(|()| foreign("Referer"))?;
        let page = |text: &str| text.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        if referer.is_some_and(|referer| !referer.to_str().is_ok_and(|text| allowed(&page(text)))) {
            return Err(foreign("Referer"));
        }
        Ok(origin)
    }

    fn has_token(&self, request: &Request) -> bool {
        let headers = request.headers();
        let bearer = only(headers, header::AUTHORIZATION).ok().flatten();
        let bearer = bearer.and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        // A browser's WebSocket can send no other header.
        let listed = headers.get(header::SEC_WEBSOCKET_PROTOCOL).filter(|_| request.uri().path() == super::ws::PATH);
        let listed = listed.and_then(|v| v.to_str().ok());
        let listed = listed.and_then(|v| v.split(',').find_map(|entry| entry.trim().strip_prefix(PROTOCOL_TOKEN)));
        bearer.or(listed).is_some_and(|given| bool::from(given.as_bytes().ct_eq(self.token.as_bytes())))
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let ours = |name: &str| hosts.iter().any(|host| host == name);
        let host = only(request.headers(), header::HOST).ok().flatten().and_then(|host| host.to_str().ok());
        if host.is_some_and(ours) && request.uri().authority().is_none_or(|name| ours(name.as_str())) {
            return Ok(());
        }
        let text = format!("the Host of a request is {} or {}, and no name", hosts[0], hosts[1]);
        Err(Problem::new(StatusCode::FORBIDDEN, "MW-API-13", text))
    }

    /// Nothing that stands in a URL is secret: it ends up in logs and histories. What has the form of a token is taken for
    /// one; nothing else here is that long.
    fn check_target(&self, request: &Request) -> Result<(), Problem> {
        let target = request.uri().path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        if request.headers().iter().map(header).sum::<usize>() + target.len() > MAX_HEAD {
            let text = format!("the head of a request is at most {MAX_HEAD} bytes long");
            return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "MW-API-18", text));
        }
        let named = request.uri().query().unwrap_or_default().split('&').any(|pair| {
            matches!(pair.split('=').next(), Some("token" | "access_token" | "api_token" | "authorization"))
        });
        if named || target.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= self.token.len()) {
            let text = "a token does not belong into a URL: it stays in logs. Send it in the Authorization header, and \
                        start the daemon again for a new one";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "MW-API-17", text));
        }
        Ok(())
    }
}

/// The value of a header that comes once at most.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, ()> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    if all.next().is_some() { Err(()) } else { Ok(first) }
}

/// Before every handler.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let peer = request.extensions().get::<Peer>().cloned();
    let ours = match peer {
        Some(peer) => peer.is(Uid::effective().as_raw()).await,
        None => false,
    };
    let (mut answer, allowed) = match admit(&shared.access, ours, &request) {
        Ok(Pass::Preflight) => (StatusCode::NO_CONTENT.into_response(), true),
        Ok(Pass::Request) => (next.run(request).await, true),
        Err(problem) => (problem.into_response(), false),
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| allowed) {
        let list = HeaderValue::from_static;
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, list("GET, POST, PUT"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list("authorization, content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECS);
    }
    answer
}

/// What an admitted request is.
enum Pass {
    /// A browser's question whether a page may ask; carries no token.
    Preflight,
    /// A request with a token.
    Request,
}

fn admit(access: &Access, ours: bool, request: &Request) -> Result<Pass, Problem> {
    let refuse = |status, code, text: &str| Err(Problem::new(status, code, text));
    if !ours {
        let text =
            "only programs of the user who runs this daemon may ask, and this one is another's or cannot be told";
        return refuse(StatusCode::FORBIDDEN, "MW-API-16", text);
    }
    access.check_host(request)?;
    let headers = request.headers();
    let origin = access.origin(headers)?;
    let site = headers.get("sec-fetch-site");
    if origin.is_none() && site.is_some_and(|site| site != "none") {
        return refuse(StatusCode::FORBIDDEN, "MW-API-15", "a browser sends this for a page that is not known here");
    }
    access.check_target(request)?;
    let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if origin.is_some() && request.method() == Method::OPTIONS && asks {
        return Ok(Pass::Preflight);
    }
    if !access.has_token(request) {
        let text = "a bearer token is wanted: it lies in api.token beside the socket, a new one after each start";
        return refuse(StatusCode::UNAUTHORIZED, "MW-API-4", text);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if matches!(*request.method(), Method::POST | Method::PUT) && !kind.eq_ignore_ascii_case("application/json") {
        let text = "a POST or PUT wants the header Content-Type: application/json";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MW-API-11", text);
    }
    Ok(Pass::Request)
}
