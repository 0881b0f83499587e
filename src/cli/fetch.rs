//! `magicwave fetch URL`: a download through tor that pays a site which asks for it.
mod sink;

use crate::config::read_text;
use crate::error::{Error, Result};
use crate::gateway::transport::http::client::{Dial, PayAnswer, PayCall, PayClient, pay, required, session_value};
use crate::gateway::transport::http::required::Required;
use crate::gateway::transport::http::{SESSION_HEADER, session_header};
use crate::redact::Sensitive;
use crate::units::Stroops;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use sink::Sink;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use url::Url;

/// Payments and resumptions of one download, at most.
const ROUNDS_MAX: u32 = 256;
/// Bytes of a token's file.
const TOKEN_MAX: u64 = 4096;
/// Rounds in a row that may bring no byte.
const EMPTY_ROUNDS_MAX: u32 = 3;

const AFTER_HELP: &str = "Exit codes: 0 fetched, 1 failed here (file, arguments), 3 not reached (daemon, proxy, site), \
4 the site answered with an error, 5 not paid (refused, over budget, not understood), 6 incomplete.";

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// What to fetch: http, an onion or an ordinary name
    url: Url,
    /// The SOCKS port of the daemon's tor
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9050")]
    socks: SocketAddr,
    /// The unix socket of the daemon's API; without it nothing is paid
    #[arg(long, value_name = "SOCKET")]
    api: Option<PathBuf>,
    /// A file with the API's token [default: api.token beside the socket]
    #[arg(long, value_name = "FILE", requires = "api")]
    token_file: Option<PathBuf>,
    /// Write the body to FILE instead of standard output; FILE appears, or is replaced, when the body is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object on standard output; the body goes to --output or nowhere
    #[arg(long)]
    json: bool,
    /// SOCKS user name to isolate by [default: a fresh one]
    #[arg(long, value_name = "NAME")]
    isolation: Option<String>,
    /// Seconds to wait for a connection, a response or a stalled body
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Fetches; what went wrong is on standard error, as a sentence with a code.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let json = args.json;
    let mut fetch = match Fetch::new(args) {
        Ok(fetch) => fetch,
        Err(error) => return Ok(report(&error, json, None)),
    };
    let result = runtime.block_on(fetch.all());
    Ok(match result {
        Ok(()) => {
            fetch.say(&format!("{} bytes, paid {} in {} payments", fetch.have, fetch.paid, fetch.payments.len()));
            if json {
                println!("{}", fetch.summary(None));
            }
            ExitCode::SUCCESS
        }
        Err(error) => report(&error, json, Some(&fetch)),
    })
}

fn report(error: &Error, json: bool, fetch: Option<&Fetch>) -> ExitCode {
    eprintln!("magicwave fetch: {error}");
    if json {
        let failed = serde_json::json!({ "ok": false, "code": error.code, "error": error.text });
        println!("{}", fetch.map_or(failed, |fetch| fetch.summary(Some(error))));
    }
    ExitCode::from(match error.code {
        "MW-FETCH-2" | "MW-FETCH-3" | "MW-FETCH-4" | "MW-FETCH-5" | "MW-API-1" => 3,
        "MW-FETCH-10" => 4,
        "MW-FETCH-11" | "MW-FETCH-12" | "MW-FETCH-13" | "MW-HTTP-1" | "MW-API-2" | "MW-API-3" | "MW-API-4" => 5,
        "MW-FETCH-14" | "MW-FETCH-15" => 6,
        _ => 1,
    })
}

struct Payment {
    asked: Stroops,
    answer: PayAnswer,
}

/// One download.
struct Fetch {
    args: Args,
    token: Option<String>,
    isolation: String,
    client: PayClient,
    sink: Sink,
    hash: Sha256,
    have: u64,
    /// ETag or Last-Modified, so that a resumption is of the same thing.
    validator: Option<HeaderValue>,
    session: Option<String>,
    paid: Stroops,
    payments: Vec<Payment>,
    started: Instant,
    first_byte: Option<Duration>,
}

fn here(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::never("MW-FETCH-20", format!("{what}: {error}."))
}

impl Fetch {
    fn new(args: Args) -> Result<Self> {
        let token = match &args.token_file {
            Some(file) => Some(read_text(file, TOKEN_MAX).map_err(|e| here("The token file cannot be read", &e))?),
            // Where a daemon of ours puts it.
            None => args.api.as_ref().and_then(|socket| read_text(&socket.with_file_name("api.token"), TOKEN_MAX).ok()),
        };
        let isolation =
            args.isolation.clone().unwrap_or_else(|| format!("fetch-{}", hex::encode(rand::random::<[u8; 8]>())));
        if isolation.is_empty() || isolation.len() > 255 {
            return Err(Error::never("MW-FETCH-20", "An isolation name has 1 to 255 bytes."));
        }
        let sink = match &args.output {
            Some(file) => Sink::to_file(file).map_err(|e| here("The output file cannot be written", &e))?,
            None if args.json => Sink::Nowhere,
            None => Sink::Stdout,
        };
        let dial = Dial::Socks {
            proxy: args.socks,
            user: Sensitive(isolation.clone()),
            password: Sensitive("magicwave".to_owned()),
        };
        let client = PayClient::new(dial, Duration::from_secs(args.timeout));
        Ok(Fetch {
            token: token.map(|t| t.trim().to_owned()),
            isolation,
            client,
            sink,
            args,
            hash: Sha256::new(),
            have: 0,
            validator: None,
            session: None,
            paid: Stroops::ZERO,
            payments: Vec::new(),
            started: Instant::now(),
            first_byte: None,
        })
    }

    fn say(&self, text: &str) {
        eprintln!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64());
    }

    /// Asks, pays and asks again until everything is there.
    async fn all(&mut self) -> Result<()> {
        let mut empty = 0;
        for _ in 0..ROUNDS_MAX {
            let before = self.have;
            let response = self.client.send(&self.args.url, Method::GET, self.headers()?, Bytes::new()).await?;
            match required(&response)? {
                Some(required) => {
                    drop(response);
                    if empty >= EMPTY_ROUNDS_MAX {
                        let text = "The site was paid and asks again without serving. Nothing more is paid.";
                        return Err(Error::never("MW-FETCH-13", text));
                    }
                    self.pay(&required).await?;
                }
                None if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && self.have > 0 => {
                    return Err(Error::later(
                        "MW-FETCH-15",
                        "The site's copy is shorter than what was fetched already.",
                    ));
                }
                None if !response.status().is_success() => return Err(refused(&response)),
                None => {
                    if self.body(response).await? {
                        return self.finish();
                    }
                    self.say(&format!("the site stopped after {} bytes, going on from there", self.have));
                }
            }
            empty = if self.have > before { 0 } else { empty + 1 };
            if empty > 2 * EMPTY_ROUNDS_MAX {
                break;
            }
        }
        Err(Error::later(
            "MW-FETCH-14",
            format!("The download came to a halt after {} bytes. Try again later.", self.have),
        ))
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(session) = &self.session {
            headers.insert(SESSION_HEADER, session_value(session)?);
        }
        if self.have > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.have)).map_err(|e| here("A bad range", &e))?;
            headers.insert(header::RANGE, range);
            if let Some(validator) = &self.validator {
                headers.insert(header::IF_RANGE, validator.clone());
            }
        }
        Ok(headers)
    }

    async fn pay(&mut self, required: &Required) -> Result<()> {
        let Some(socket) = &self.args.api else {
            let text =
                format!("The site wants {} to be paid. Name the daemon's API with --api to pay.", required.open());
            return Err(Error::never("MW-FETCH-11", text));
        };
        self.say(&format!("the site asks for {}", required.open()));
        let (offer, request) = required.to_base64();
        let session = session_header(&required.offer);
        let origin = self.args.url.origin().ascii_serialization();
        let call = PayCall { origin, isolation: self.isolation.clone(), offer, request, session: session.clone() };
        let patience = Duration::from_secs(self.args.timeout);
        let answer = pay(socket, self.token.as_deref(), &call, patience).await?;
        if !answer.ok {
            let text = format!("Not paid: {} ({})", answer.text.trim_end_matches('.'), answer.code);
            return Err(Error::never("MW-FETCH-12", text));
        }
        let amount = answer.amount.parse().ok().and_then(|n| Stroops::new(n).ok());
        let amount = amount.ok_or_else(|| Error::never("MW-API-2", "The daemon's answer names no amount."))?;
        self.paid = self.paid.add(amount).unwrap_or(Stroops::MAX);
        self.say(&format!(
            "paid {amount}: create {} ms, sign {} ms, deliver {} ms",
            answer.create_ms, answer.sign_ms, answer.deliver_ms
        ));
        self.payments.push(Payment { asked: required.open(), answer });
        self.session = Some(session);
        Ok(())
    }

    /// Takes a body; true when it is complete, false when it ended early and can be resumed.
    async fn body(&mut self, response: Response<Incoming>) -> Result<bool> {
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        if partial && start_of(&response) != Some(self.have) {
            return Err(Error::later("MW-FETCH-15", "The site resumed at another place than was asked for."));
        }
        if !partial && self.have > 0 {
            self.restart()?;
        }
        let strong = |value: &&HeaderValue| !value.as_bytes().starts_with(b"W/");
        let validator = response.headers().get(header::ETAG).filter(strong);
        self.validator = validator.or_else(|| response.headers().get(header::LAST_MODIFIED)).cloned();
        let mut body = response.into_body();
        loop {
            match tokio::time::timeout(Duration::from_secs(self.args.timeout), body.frame()).await {
                Ok(None) => return Ok(true),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(&data)?;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => return Ok(false),
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<()> {
        self.first_byte.get_or_insert(self.started.elapsed());
        self.hash.update(data);
        self.have += data.len() as u64;
        self.sink.write(data).map_err(|e| here("The body cannot be written", &e))
    }

    /// The site sends everything anew: it changed, or it cannot resume.
    fn restart(&mut self) -> Result<()> {
        if !self.sink.restart().map_err(|e| here("The file", &e))? {
            let text = "The site cannot resume, and what was written cannot be taken back. Use --output with a file.";
            return Err(Error::never("MW-FETCH-15", text));
        }
        self.have = 0;
        self.hash = Sha256::new();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.sink.finish().map_err(|e| here("The body cannot be written", &e))
    }

    fn summary(&self, error: Option<&Error>) -> serde_json::Value {
        let payments = self.payments.iter().map(|payment| {
            serde_json::json!({
                "asked": payment.asked.get().to_string(),
                "amount": payment.answer.amount,
                "create_ms": payment.answer.create_ms,
                "sign_ms": payment.answer.sign_ms,
                "deliver_ms": payment.answer.deliver_ms,
            })
        });
        let payments: Vec<_> = payments.collect();
        serde_json::json!({
            "ok": error.is_none(),
            "code": error.map(|e| e.code),
            "error": error.map(|e| &e.text),
            "bytes": self.have,
            "sha256": hex::encode(self.hash.clone().finalize()),
            "seconds": self.started.elapsed().as_secs_f64(),
            "first_byte_ms": self.first_byte.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            "isolation": self.isolation,
            "paid": self.paid.get().to_string(),
            "payments": payments,
        })
    }
}

fn start_of(response: &Response<Incoming>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn refused(response: &Response<Incoming>) -> Error {
    let status = response.status();
    let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
    let printable = |l: &str| l.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    let location =
        location.map(|l| format!(" It points to {}, which is not followed.", printable(l))).unwrap_or_default();
    Error::never("MW-FETCH-10", format!("The site answered {status}.{location}"))
}
