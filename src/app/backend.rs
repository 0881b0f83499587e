//! The daemon behind the local API.
use super::calls::{Calls, Exchanges, Streams, Talk};
use super::till::Till;
use super::views;
use super::world::send_back;
use crate::api::feed::Feed;
use crate::api::{
    amount::Amount, balance, budgets, close, events, flush, history, links, offers, payments, requests, state,
};
use crate::config::{GatewayConfig, Role};
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Id, RefusalCode};
use crate::gateway::core::policy::{PolicyAsk, PolicyView, site_name};
use crate::gateway::link::OwnAccount;
use crate::gateway::node::Status;
use crate::gateway::port::{Answer, Event};
use crate::gateway::reactor::now_ms;
use crate::gateway::transport::http::client::{PayAnswer, PayCall};
use crate::gateway::transport::http::required::Required;
use crate::stellar::keys::account_id;
use crate::store::{PaymentsWhere, Reader};
use crate::tor::daemon::TorHandle;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A web payment is tried for so long: links open on the way.
const PAY_PATIENCE: Duration = Duration::from_secs(90);
/// The gateway answers from its own books.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAY_PAUSE: Duration = Duration::from_millis(400);
/// Offers of web services that are remembered, the newest.
const SERVICES: usize = 64;

/// Everything that the API may ask.
pub struct Backend {
    /// Our accounts by number.
    pub accounts: Vec<AccountKey>,
    /// The settings.
    pub config: GatewayConfig,
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
    /// Our account on the ledger.
    pub till: Till,
    /// What happens.
    pub feed: Feed,
    /// What web services asked lately, newest first.
    pub services: Mutex<VecDeque<offers::ServiceOffer>>,
}

impl crate::api::Backend for Backend {
    fn status(&self) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async {
            let status = self.look(Status::clone)?;
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

    fn state(&self) -> BoxFuture<'_, Result<state::NodeState>> {
        Box::pin(async {
            let boot = self.tor.bootstrap();
            let (role, account) = match self.config.role {
                Role::Relay => (state::Role::Relay, None),
                Role::Site => (state::Role::Site, None),
                Role::Client => {
                    (state::Role::Client, Some(views::account(&self.policy(PolicyAsk::Get).await?.account)))
                }
            };
            let tor = state::TorState { bootstrap: boot.percent, summary: boot.summary };
            let socks = self.socks.map(|socks| socks.to_string());
            Ok(state::NodeState { role, tor, socks, account })
        })
    }

    fn balance(&self) -> BoxFuture<'_, Result<balance::Balance>> {
        Box::pin(async {
            let (ledger, failed) = self.till.look().await;
            let (paying, earning) = self.look(views::sums)?;
            let accounts = self.look(|status| status.accounts.iter().map(|held| self.other(held)).collect())?;
            let (account, asset) = (account_id(self.till.account()), self.till.asset().to_string());
            let earned = self.read(Reader::earned).await?.into();
            Ok(balance::Balance { account, asset, ledger, failed, accounts, paying, earning, earned })
        })
    }

    fn history(&self, span: history::Span) -> BoxFuture<'_, Result<history::History>> {
        self.read(move |reader| {
            let history::Span { from, to, bin } = span;
            let bins = reader.history(from, to, bin)?.into_iter().map(views::bin).collect();
            Ok(history::History { from, to, bin, bins })
        })
    }

    fn requests(&self, limit: u32) -> BoxFuture<'_, Result<Vec<requests::PaymentRequest>>> {
        self.read(move |reader| Ok(reader.requests(limit)?.iter().map(views::request).collect()))
    }

    fn payments(&self, which: PaymentsWhere) -> BoxFuture<'_, Result<Vec<payments::Payment>>> {
        self.read(move |reader| Ok(reader.payments_where(&which)?.iter().map(views::payment).collect()))
    }

    fn events(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>> {
        self.read(move |reader| Ok(reader.events(limit)?.iter().map(views::line).collect()))
    }

    fn transactions(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>> {
        self.read(move |reader| Ok(reader.transactions(limit)?.iter().map(views::line).collect()))
    }

    fn offers(&self) -> BoxFuture<'_, Result<offers::Offers>> {
        Box::pin(async {
            let hops = self.look(|status| status.circuits.iter().flat_map(views::hop_offers).collect())?;
            let services = self.services.lock().map_err(|_| internal())?.iter().cloned().collect();
            let own = self.config.offer.as_ref().map(|offer| offers::Terms {
                price: offer.price.into(),
                fee: offer.fee.into(),
                credit_bytes: offer.credit_bytes,
                ahead_bytes: offer.ahead_bytes,
            });
            Ok(offers::Offers { hops, services, own })
        })
    }

    fn budgets(&self, change: Option<budgets::Change>) -> BoxFuture<'_, Result<budgets::Budgets>> {
        Box::pin(async {
            let ask = change.map_or(Ok(PolicyAsk::Get), views::change)?;
            let view = self.policy(ask).await?;
            Ok(views::budgets(&view))
        })
    }

    fn links(&self, limit: u32, after: Option<Id>) -> BoxFuture<'_, Result<links::Links>> {
        Box::pin(async move {
            self.look(|status| {
                let behind = |id: &Id| after.is_none_or(|after| *id > after);
                let page = status.links.iter().filter(|link| behind(&link.link)).take(limit as usize);
                links::Links {
                    liquidity: views::liquidity(&status.liquidity),
                    count: status.links.len() as u64,
                    links: page.map(views::link).collect(),
                }
            })
        })
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

    fn flush(&self) -> BoxFuture<'_, Result<flush::Flushing>> {
        Box::pin(async {
            send_back(&self.events, Event::Flush).await;
            Ok(flush::Flushing { flushing: true })
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<close::Closing>> {
        Box::pin(async {
            match self.ask(|call| Event::Close { call }).await? {
                Answer::Closing(returning) => {
                    Ok(close::Closing { returning: returning.iter().map(views::returning).collect() })
                }
                _ => Err(internal()),
            }
        })
    }

    fn feed(&self) -> Feed {
        self.feed.clone()
    }
}

impl Backend {
    /// Something of the gateway's newest picture.
    fn look<T>(&self, see: impl FnOnce(&Status) -> T) -> Result<T> {
        self.status.lock().map(|status| see(&status)).map_err(|_| internal())
    }

    /// Something of the store.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T>> {
        let reader = self.reader.clone();
        Box::pin(async { tokio::task::spawn_blocking(move || work(&reader)).await.map_err(|_| internal())? })
    }

    fn other(&self, held: &OwnAccount) -> balance::Other {
        balance::Other {
            number: held.number,
            account: self.accounts.get(usize::from(held.number)).map(account_id).unwrap_or_default(),
            at: held.seen_ms,
            asset: held.asset.into(),
            native_spendable: Amount(held.native),
        }
    }

    /// The gateway's answer to an event.
    async fn ask(&self, event: impl FnOnce(u64) -> Event) -> Result<Answer> {
        let full = || Error::later("MW-APP-4", "too many calls wait for the gateway; try again soon");
        let (call, answer) = self.calls.open().ok_or_else(full)?;
        send_back(&self.events, event(call)).await;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(internal()),
        }
    }

    async fn policy(&self, ask: PolicyAsk) -> Result<Box<PolicyView>> {
        match self.ask(|call| Event::Policy { call, ask }).await? {
            Answer::Policy(view) => Ok(view),
            Answer::Unchanged(error) => Err(error),
            _ => Err(internal()),
        }
    }

    /// Remembers what a web service asks, in the place of what it asked before.
    fn note(&self, site: &str, asked: &Required) {
        let Ok(mut services) = self.services.lock() else { return };
        services.retain(|service| service.site != site);
        services.push_front(offers::ServiceOffer {
            site: site.to_owned(),
            terms: views::terms(&asked.offer),
            expires: asked.offer.expires,
            due: asked.request.amount_due.into(),
            at: now_ms(),
        });
        services.truncate(SERVICES);
    }

    async fn pay_service(&self, wish: PayCall) -> Result<PayAnswer> {
        let asked = Required::from_base64(&wish.offer, &wish.request)?;
        let named = url::Url::parse(&wish.origin).ok().and_then(|url| Some((site_name(&url)?, url)));
        let (site, origin) = named.ok_or_else(|| Error::never("MW-PAY-2", "`origin` is not http://host[:port]"))?;
        let no_client = || Error::never("MW-PAY-3", "this node is no client: it has no SOCKS port and pays no service");
        let socks = self.socks.ok_or_else(no_client)?;
        self.note(&site, &asked);
        let Required { offer, request } = asked;
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

fn internal() -> Error {
    Error::later("MW-APP-3", "the gateway is gone or stuck; look at its log")
}

fn timed_out() -> Error {
    Error::later("MW-PAY-6", "the payment did not end in time; what was signed stays signed and shows in /api/payments")
}
