//! The daemon behind the local API.
use super::calls::{Calls, Exchanges, Streams, Talk};
use super::world::send_back;
use crate::error::{Error, Result};
use crate::gateway::core::message::RefusalCode;
use crate::gateway::node::Status;
use crate::gateway::port::{Answer, Event};
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use crate::gateway::transport::http::required::Required;
use crate::store::Reader;
use crate::tor::daemon::TorHandle;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A web payment is tried for so long: links open on the way.
const PAY_PATIENCE: Duration = Duration::from_secs(90);
/// The gateway answers a close from its own books.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAY_PAUSE: Duration = Duration::from_millis(400);

/// Everything that the API may ask.
pub struct Backend {
    /// tor.
    pub tor: TorHandle,
    /// To the gateway.
    pub events: SyncSender<Event>,
    /// Its answers.
    pub calls: Arc<Calls>,
    /// Talks with web services.
    pub exchanges: Arc<Exchanges>,
    /// Circuits by SOCKS user name.
    pub streams: Arc<Streams>,
    /// Refreshed by the reactor.
    pub status: Arc<Mutex<Status>>,
    /// History.
    pub reader: Reader,
    /// Our SOCKS port.
    pub socks: Option<SocketAddr>,
}

impl crate::api::Backend for Backend {
    fn status(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async {
            let status = self.status.lock().map(|s| s.clone()).map_err(|_| internal())?;
            let (boot, stats) = (self.tor.bootstrap(), self.tor.stats());
            Ok(json!({
                "gateway": status,
                "tor": {"bootstrap": boot.percent, "summary": boot.summary, "poisoned": self.tor.poisoned(), "cells": {
                    "sent": stats.cells_sent, "received": stats.cells_received, "invalid": stats.cells_invalid,
                    "held_now": stats.held_now, "held_peak": stats.held_peak,
                    "own_circuits": stats.cells_own, "events_dropped": stats.events_dropped, "commands_dropped": stats.commands_dropped,
                }},
                "socks": self.socks,
            }))
        })
    }

    fn payments(&self, limit: u32) -> BoxFuture<'_, Result<Value>> {
        let reader = self.reader.clone();
        Box::pin(blocking(move || reader.payments(limit).and_then(|rows| to_json(&rows))))
    }

    fn events(&self, limit: u32) -> BoxFuture<'_, Result<Value>> {
        let reader = self.reader.clone();
        Box::pin(blocking(move || reader.events(limit).and_then(|rows| to_json(&rows))))
    }

    fn pay(&self, call: PayCall) -> BoxFuture<'_, PayAnswer> {
        Box::pin(async {
            self.pay_service(call).await.unwrap_or_else(|e| PayAnswer {
                code: e.code.into(),
                text: e.text,
                ..PayAnswer::default()
            })
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async {
            send_back(&self.events, Event::Flush).await;
            Ok(json!({"flushing": true}))
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async {
            let full = || Error::later("MW-APP-4", "too many calls wait for the gateway; try again soon");
            let (call, answer) = self.calls.open().ok_or_else(full)?;
            send_back(&self.events, Event::Close { call }).await;
            match tokio::time::timeout(CLOSE_PATIENCE, answer).await {
                Ok(Ok(Answer::Closing(returning))) => Ok(json!({"returning": to_json(&returning)?})),
                _ => Err(internal()),
            }
        })
    }
}

impl Backend {
    async fn pay_service(&self, wish: PayCall) -> Result<PayAnswer> {
        let Required { offer, request } = Required::from_base64(&wish.offer, &wish.request)?;
        let url = url::Url::parse(&wish.origin).ok().filter(|u| u.scheme() == "http" && u.host_str().is_some());
        let origin = url.ok_or_else(|| Error::never("MW-PAY-2", "`origin` is not http://host[:port]"))?;
        let host = origin.host_str().unwrap_or_default();
        let site = origin.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let no_client = || Error::never("MW-PAY-3", "this node is no client: it has no SOCKS port and pays no service");
        let socks = self.socks.ok_or_else(no_client)?;
        let exchange =
            self.exchanges.open(Talk { socks, isolation: wish.isolation.clone(), origin, session: wish.session });
        let until = Instant::now() + PAY_PATIENCE;
        loop {
            let answer = match self.streams.circuit(&wish.isolation) {
                Some(circ) => {
                    let full = || Error::later("MW-PAY-4", "too many payments wait; try again soon");
                    let (call, answer) = self.calls.open().ok_or_else(full)?;
                    let (offer, request, site) = (offer.clone(), request.clone(), site.clone());
                    send_back(&self.events, Event::Pay { call, circ, exchange, offer, request, site }).await;
                    tokio::time::timeout_at(until, answer).await.map_err(|_| timed_out())?.map_err(|_| internal())?
                }
                None => Answer::Failed(RefusalCode::BUSY),
            };
            match answer {
                Answer::Paid(row) => {
                    return Ok(PayAnswer {
                        ok: true,
                        amount: row.total.get().to_string(),
                        create_ms: row.create_ms,
                        sign_ms: row.sign_ms,
                        deliver_ms: row.deliver_ms,
                        ..PayAnswer::default()
                    });
                }
                // A link on the way is being opened, or the circuit has just begun: soon is soon enough.
                answer if answer.may_be_asked_again() && Instant::now() + PAY_PAUSE < until => {
                    tokio::time::sleep(PAY_PAUSE).await;
                }
                Answer::Failed(code) | Answer::Lost(code) => {
                    return Ok(PayAnswer {
                        code: code.name().into(),
                        text: code.text().into(),
                        ..PayAnswer::default()
                    });
                }
                _ => return Err(internal()),
            }
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| internal())
}

async fn blocking(work: impl FnOnce() -> Result<Value> + Send + 'static) -> Result<Value> {
    tokio::task::spawn_blocking(work).await.map_err(|_| internal())?
}

fn internal() -> Error {
    Error::later("MW-APP-3", "the gateway is gone or stuck; look at its log")
}

fn timed_out() -> Error {
    Error::later("MW-PAY-6", "the payment did not end in time; what was signed stays signed and shows in /api/payments")
}
