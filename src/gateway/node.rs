//! One node's gateway: links, the paid side and the paying side behind one pure `handle`.
use super::chain::pay::{CircuitStatus, Pay, Refused, ServiceWish};
use super::chain::serve::{Key, Serve};
use super::core::message::{ID_LEN, Message, RefusalCode};
use super::core::policy::Account;
use super::link::{CircuitNews, LinkSummary, Links, Liquidity, OwnAccount, Partner};
use super::port::*;
use crate::error::Error;
use rand::Rng;
use serde::Serialize;
use std::collections::HashMap;

/// Ends of circuits that we remember; more are refused politely.
const MAX_ENDS: usize = 65_536;

/// Where the talk on a circuit goes.
#[derive(Clone, Debug)]
enum End {
    /// A circuit that tor built for streams.
    Streams,
    /// A circuit that we launched to talk to a link partner.
    Talk(RelayId),
    /// A circuit through us, and the relay before us.
    Passing(Option<RelayId>),
}

/// All parts of one node.
#[derive(Debug)]
pub struct Gateway {
    /// Both ends of every link.
    pub links: Links,
    /// The paid side, on relays and sites.
    pub serve: Option<Serve>,
    /// The paying side, on clients.
    pub pay: Option<Pay>,
    ends: HashMap<CircuitId, End>,
}

/// A picture of a node for people and programs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Links and their lanes.
    pub links: Vec<LinkSummary>,
    /// Sessions of the paid side.
    pub sessions: usize,
    /// Valid and refused payment requests seen by the paying side.
    pub requests: u64,
    /// Passes completed by the paying side.
    pub settled: u64,
    /// What was refused lately.
    pub refused: Vec<Refused>,
    /// Circuits of the paying side.
    pub circuits: Vec<CircuitStatus>,
    /// How the account of the paying side stands.
    pub account: Option<Account>,
    /// What the money set aside for escrows is tied up in.
    pub liquidity: Liquidity,
    /// Accounts of ours beside the first one that partners see.
    pub accounts: Vec<OwnAccount>,
    /// What was made durable; filled in by the reactor.
    pub commits: Commits,
}

/// What was made durable since the start: how well events share commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Commits {
    /// Commits.
    pub batches: u64,
    /// Events of the world that these were made for (a batch may have come of a tick alone).
    pub events: u64,
    /// Rows in them, of the journal too.
    pub rows: u64,
    /// Rows of the largest.
    pub rows_max: u64,
}

impl Commits {
    /// One more commit, of these rows, for so many events.
    pub fn count(&mut self, rows: &[Row], events: u64) {
        let rows = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.batches = self.batches.saturating_add(1);
        self.events = self.events.saturating_add(events);
        self.rows = self.rows.saturating_add(rows);
        self.rows_max = self.rows_max.max(rows);
    }
}

impl Gateway {
    /// Parts that a role does not have are `None`.
    pub fn new(links: Links, serve: Option<Serve>, pay: Option<Pay>) -> Self {
        Gateway { links, serve, pay, ends: HashMap::new() }
    }

    /// One event in, rows and effects out.
    pub fn handle(&mut self, now: u64, rng: &mut impl Rng, event: Event, out: &mut Out) {
        let before = out.effects.len();
        self.dispatch(now, rng, event, out);
        if let Some(pay) = &mut self.pay {
            // In the same commit as the claim that it is about.
            pay.on_lock_news(now, rng, &mut self.links, out);
            pay.write_requests(now, before, out);
        }
    }

    fn dispatch(&mut self, now: u64, rng: &mut impl Rng, event: Event, out: &mut Out) {
        match event {
            Event::Built { circ, token, path } => self.on_built(now, rng, circ, token, path, out),
            Event::Passing { circ, prev, next } => {
                self.know(circ, End::Passing(prev));
                if let Some(prev) = prev {
                    self.links.on_named(now, circ, prev, out);
                }
                if let Some(serve) = &mut self.serve {
                    serve.on_way(now, rng, &mut self.links, circ, prev, next, out);
                }
            }
            Event::Begin { circ, set, idle } => {
                if let Some(pay) = &mut self.pay {
                    pay.on_begin(now, rng, &mut self.links, circ, (set, idle), out);
                }
            }
            Event::Message { circ, hop, message, own, peer } => {
                self.on_message(now, rng, circ, hop, message, own, peer, out)
            }
            Event::Garbage { circ, hop, code } => {
                // Only a payee answers: an answer to an answer would go round for ever.
                if hop == 0 {
                    out.effects.push(Effect::Send { circ, hop, message: Message::Refusal(code.refuse([0; ID_LEN])) });
                }
            }
            Event::State { circ, state, own } => {
                if let Some(serve) = &mut self.serve {
                    serve.on_counted(now, rng, circ, own, Some(state), out);
                }
            }
            Event::Watched { circ, hop: 0, own } => {
                if let Some(serve) = &mut self.serve {
                    serve.on_counted(now, rng, circ, own, None, out);
                }
            }
            Event::Watched { circ, .. } => out.effects.push(Effect::Query { circ }),
            Event::Counters { circ, hop, own } => {
                if let Some(pay) = &mut self.pay {
                    pay.on_counted(now, rng, &mut self.links, circ, hop, own, out);
                }
            }
            Event::Closed { circ, .. } => self.on_closed(now, circ, out),
            Event::LaunchFailed { token } => {
                let news = CircuitNews { circ: 0, token: Some(token), hop: 0, end: Partner::Anonymous, opened: false };
                self.links.on_circuit(now, rng, news, out);
            }
            Event::Ledger(answer) => {
                self.links.on_ledger(now, rng, answer, out);
            }
            Event::Site { call, ask } => self.on_site(now, rng, call, ask, out),
            Event::Served { session, bytes } => {
                if let Some(serve) = &mut self.serve {
                    serve.on_served(now, session, bytes);
                }
            }
            Event::Pay { call, circ, exchange, offer, request, site } => match &mut self.pay {
                Some(pay) => pay.pay_service(
                    now,
                    rng,
                    &mut self.links,
                    ServiceWish { call, circ, exchange, offer, request, site },
                    out,
                ),
                None => out.effects.push(Effect::Answer { call, answer: Answer::Failed(RefusalCode::UNEXPECTED) }),
            },
            Event::Http { exchange, messages } => {
                if let Some(pay) = &mut self.pay {
                    pay.on_http(now, rng, &mut self.links, exchange, &messages, out);
                }
            }
            Event::Tor { up } => {
                if let Some(pay) = &mut self.pay {
                    pay.on_tor(up);
                }
            }
            Event::Tick => {
                self.links.on_tick(now, rng, out);
                if let Some(pay) = &mut self.pay {
                    pay.on_tick(now, rng, &mut self.links, out);
                }
                if let Some(serve) = &mut self.serve {
                    serve.on_tick(now, rng, out);
                }
            }
            Event::Flush => self.links.flush_all(now, rng, out),
            Event::Close { call } => {
                let answer = Answer::Closing(self.links.close(now, None, out));
                out.effects.push(Effect::Answer { call, answer });
            }
            Event::Policy { call, ask } => {
                let answer = match &mut self.pay {
                    Some(pay) => pay.on_policy(now, ask, out),
                    None => Answer::Unchanged(Error::never("MW-POL-1", "This node pays nothing; it has no [pay].")),
                };
                out.effects.push(Effect::Answer { call, answer });
            }
        }
    }

    fn know(&mut self, circ: CircuitId, end: End) {
        if self.ends.len() < MAX_ENDS || self.ends.contains_key(&circ) {
            self.ends.insert(circ, end);
        }
    }

    fn on_built(&mut self, now: u64, rng: &mut impl Rng, circ: CircuitId, token: u64, path: Vec<Hop>, out: &mut Out) {
        if token == 0 {
            self.know(circ, End::Streams);
            if let Some(pay) = &mut self.pay {
                pay.on_built(circ, path);
            }
        } else if let Some(last) = path.last() {
            self.know(circ, End::Talk(last.relay));
            let end = Partner::Relay(last.relay);
            let hop = u32::try_from(path.len()).unwrap_or(u32::MAX);
            self.links.on_circuit(now, rng, CircuitNews { circ, token: Some(token), hop, end, opened: true }, out);
        }
    }

    fn on_closed(&mut self, now: u64, circ: CircuitId, out: &mut Out) {
        self.ends.remove(&circ);
        self.links.on_closed(now, circ, out);
        if let Some(serve) = &mut self.serve {
            serve.on_closed(circ);
        }
        if let Some(pay) = &mut self.pay {
            pay.on_closed(now, circ, out);
        }
    }

    fn on_message(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        hop: u32,
        message: Message,
        own: Counted,
        peer: Counted,
        out: &mut Out,
    ) {
        let Some(end) = self.ends.get(&circ).cloned() else { return };
        match end {
            End::Talk(relay) => self.links.on_message(now, rng, circ, Partner::Relay(relay), message, out),
            End::Streams => {
                if let Some(pay) = &mut self.pay {
                    pay.on_message(now, rng, &mut self.links, circ, hop, own, peer, &message, out);
                }
            }
            End::Passing(prev) if message.is_link_talk() => {
                // A payee that asks for a link comes over a path of tor's choice: the relay before us is not it.
                let asks = matches!(&message, Message::LinkHello(hello) if !hello.payer);
                let from = prev.filter(|_| !asks).map_or(Partner::Anonymous, Partner::Relay);
                self.links.on_message(now, rng, circ, from, message, out);
            }
            // Only links wait for a no from the origin: the partner's no to what we offered it.
            End::Passing(_) if matches!(message, Message::Refusal(_)) => {
                self.links.on_message(now, rng, circ, Partner::Anonymous, message, out);
            }
            End::Passing(_) => {
                let Some(serve) = &mut self.serve else { return };
                for message in serve.on_message(now, rng, &mut self.links, Key::Circuit(circ), Some(own), message, out)
                {
                    out.effects.push(Effect::Send { circ, hop: 0, message });
                }
            }
        }
    }

    fn on_site(&mut self, now: u64, rng: &mut impl Rng, call: u64, ask: SiteAsk, out: &mut Out) {
        let answer = match (&mut self.serve, ask) {
            (None, _) => Answer::Failed(RefusalCode::UNEXPECTED),
            (Some(serve), SiteAsk::Require { session, need }) => serve.require(now, rng, session, need),
            (Some(serve), SiteAsk::Message { session, message }) => {
                let key = Key::Http(session.unwrap_or([0; ID_LEN]));
                Answer::Messages(serve.on_message(now, rng, &mut self.links, key, None, message, out))
            }
        };
        out.effects.push(Effect::Answer { call, answer });
    }

    /// A picture for status.
    pub fn status(&self) -> Status {
        let (requests, settled) = self.pay.as_ref().map_or((0, 0), Pay::counts);
        Status {
            links: self.links.summary(),
            sessions: self.serve.as_ref().map_or(0, Serve::sessions),
            requests,
            settled,
            refused: self.pay.as_ref().map(|p| p.refused().to_vec()).unwrap_or_default(),
            circuits: self.pay.as_ref().map(Pay::circuits).unwrap_or_default(),
            account: self.pay.as_ref().map(|pay| pay.account().clone()),
            accounts: self.links.more_accounts(),
            liquidity: self.links.liquidity(),
            commits: Commits::default(),
        }
    }
}
