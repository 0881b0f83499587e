//! Where the gateway's effects go: cells to tor, calls to the ledger and to web services, answers to whoever asked.
use super::calls::{Calls, Exchanges};
use crate::gateway::core::message::Message;
use crate::gateway::port::{Effect, Event, LedgerAnswer, LedgerCall, LedgerResult};
use crate::gateway::reactor::World;
use crate::gateway::transport::http::client::{Dial, PayClient};
use crate::gateway::transport::tor_cell::Cells;
use crate::redact::Sensitive;
use crate::stellar::horizon::WitnessedLedger;
use crate::tor::daemon::TorHandle;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A web service's answer to one message is awaited for so long.
const SERVICE_PATIENCE: Duration = Duration::from_secs(20);
/// Calls to the ledger and to web services that are under way; beyond that the answer is "unknown" at once and the gateway asks again later.
const WAITING: usize = 1_024;

/// The real world.
pub struct RealWorld {
    /// tor.
    pub tor: TorHandle,
    /// Messages under way.
    pub cells: Arc<Mutex<Cells>>,
    /// Runs what takes time.
    pub runtime: Handle,
    /// The ledger.
    pub ledger: Arc<WitnessedLedger>,
    /// Back to the gateway.
    pub events: SyncSender<Event>,
    /// Who waits for an answer.
    pub calls: Arc<Calls>,
    /// Talks with web services.
    pub exchanges: Arc<Exchanges>,
    /// Bounds what runs and waits.
    pub slots: Arc<Semaphore>,
}

/// Slots for `RealWorld::slots`.
pub fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WAITING))
}

impl World for RealWorld {
    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Send { circ, hop, message } => {
                let bodies = self.cells.lock().map(|mut cells| cells.bodies(circ, hop, &message)).unwrap_or_default();
                for body in bodies {
                    // A cell that tor cannot take is a lost message: every message has a repeat.
                    let _ = self.tor.send(circ, hop, &body);
                }
            }
            Effect::Grant { circ, cells } => report("grant", self.tor.grant(circ, cells)),
            Effect::Watch { circ, hop, cells } => report("watch", self.tor.watch(circ, hop, cells)),
            Effect::Query { circ } => report("query", self.tor.query(circ)),
            Effect::Launch { token, relay, one_hop } => {
                if self.tor.launch(token, &relay, one_hop).is_err() {
                    self.back(Event::LaunchFailed { token });
                }
            }
            Effect::Close { circ } => report("close", self.tor.close(circ)),
            Effect::Abandon { circ } => report("abandon", self.tor.abandon(circ)),
            Effect::Ledger(call) => self.ask_ledger(call),
            Effect::Http { exchange, message } => self.ask_service(exchange, message),
            Effect::Answer { call, answer } => self.calls.answer(call, answer),
        }
    }

    fn awaits(&self) -> bool {
        self.slots.available_permits() < WAITING
    }
}

impl RealWorld {
    fn ask_ledger(&self, call: LedgerCall) {
        let tag = call.tag();
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            let result = LedgerResult::Unknown { why: "too many calls to the ledger are waiting".into() };
            return self.back(Event::Ledger(LedgerAnswer { tag, result }));
        };
        let (ledger, events) = (self.ledger.clone(), self.events.clone());
        self.runtime.spawn(async move {
            let answer = ledger.call(call).await;
            drop(slot);
            send_back(&events, Event::Ledger(answer)).await;
        });
    }

    fn ask_service(&self, exchange: u64, message: Message) {
        let (Some(talk), Ok(slot)) = (self.exchanges.get(exchange), self.slots.clone().try_acquire_owned()) else {
            return self.back(Event::Http { exchange, messages: Vec::new() });
        };
        let events = self.events.clone();
        self.runtime.spawn(async move {
            let user = Sensitive(talk.isolation);
            let dial = Dial::Socks { proxy: talk.socks, user, password: Sensitive("magicwave".into()) };
            let client = PayClient::new(dial, SERVICE_PATIENCE);
            let messages = match client.message(&talk.origin, Some(&talk.session), &message).await {
                Ok(messages) => messages,
                Err(e) => {
                    tracing::info!(code = e.code, "a web service did not answer");
                    Vec::new()
                }
            };
            drop(slot);
            send_back(&events, Event::Http { exchange, messages }).await;
        });
    }

    /// From the gateway's own thread: it must not wait for itself.
    fn back(&self, event: Event) {
        let events = self.events.clone();
        self.runtime.spawn(async move { send_back(&events, event).await });
    }
}

/// Waits for room without blocking the runtime.
pub async fn send_back(events: &SyncSender<Event>, event: Event) {
    use std::sync::mpsc::TrySendError;
    if let Err(TrySendError::Full(event)) = events.try_send(event) {
        let events = events.clone();
        let _ = tokio::task::spawn_blocking(move || drop(events.send(event))).await;
    }
}

fn report(what: &str, result: crate::error::Result<()>) {
    if let Err(e) = result {
        tracing::debug!(what, code = e.code, "tor did not take a command");
    }
}
