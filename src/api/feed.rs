//! What happens, as it happens: said once by the daemon, heard by every listener of the WebSocket.
//!
//! News of money are said after the rows that they tell of are durable, never before.
use super::amount::Amount;
use super::balance::{Earning, Paying};
use super::events::JournalLine;
use super::payments::Payment;
use super::requests::PaymentRequest;
use super::state::Account;
use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use utoipa::ToSchema;

/// News that wait for a listener; the oldest go, and it hears how many.
const QUEUE: usize = 1_024;
/// Listeners at a time.
pub(super) const MAX_LISTENERS: usize = 16;

/// What a message of the WebSocket says. `at` is unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// The first message: from here on nothing is missed, but for `lagged`.
    Listening {
        /// When.
        at: u64,
    },
    /// Nothing else was said for a while.
    Alive {
        /// When.
        at: u64,
    },
    /// This listener was too slow.
    Lagged {
        /// News that it did not hear, of all topics.
        lost: u64,
    },
    /// The listener's own message was not understood; the connection ends.
    NotUnderstood {
        /// `MW-API-12`
        code: String,
        /// Why.
        text: String,
    },
    /// Topic `requests`: somebody asks to be paid, or what became of it is another.
    Request(PaymentRequest),
    /// Topic `requests`: an offer or a request was refused, by us or by the other side.
    Refused {
        /// When, the last one.
        at: u64,
        /// The first one.
        since: u64,
        /// How many of the same.
        count: u64,
        /// Nickname of a relay, or host of a service.
        who: String,
        /// Number of the refusal, `docs/wire.md`.
        code: u16,
        /// Why.
        text: String,
        /// Whether we refused.
        by_us: bool,
    },
    /// Topic `payments`: our own claim is signed.
    PaymentBegun(Payment),
    /// Topic `payments`: every payee has confirmed.
    PaymentComplete(Payment),
    /// Topic `payments`: given up.
    PaymentFailed(Payment),
    /// Topic `state`: the account stands otherwise.
    State(Account),
    /// Topic `balance`: what is in escrows, signed, paid ahead or earned is another; at most four times a second.
    Balance {
        /// See `/api/balance`.
        paying: Paying,
        /// See `/api/balance`.
        earning: Earning,
    },
    /// Topic `links`: a line of the journal about an escrow, a flush or what came back. Lines about single claims are
    /// left out: `balance` sums them up.
    Link(JournalLine),
    /// Topic `circuits`: tor built one.
    CircuitOpened {
        /// tor's number.
        circuit: u64,
        /// Nicknames, guard first.
        hops: Vec<String>,
    },
    /// Topic `circuits`: it is gone.
    CircuitClosed {
        /// tor's number.
        circuit: u64,
        /// Paid on it for carrying.
        paid: Amount,
    },
}

/// What can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Payment requests and refusals.
    Requests,
    /// Payments.
    Payments,
    /// How the account stands.
    State,
    /// Sums.
    Balance,
    /// Escrows and flushes.
    Links,
    /// Circuits.
    Circuits,
}

impl News {
    /// None for what every listener hears.
    fn topic(&self) -> Option<Topic> {
        match self {
            News::Listening { .. } | News::Alive { .. } | News::Lagged { .. } | News::NotUnderstood { .. } => None,
            News::Request(_) | News::Refused { .. } => Some(Topic::Requests),
            News::PaymentBegun(_) | News::PaymentComplete(_) | News::PaymentFailed(_) => Some(Topic::Payments),
            News::State(_) => Some(Topic::State),
            News::Balance { .. } => Some(Topic::Balance),
            News::Link(_) => Some(Topic::Links),
            News::CircuitOpened { .. } | News::CircuitClosed { .. } => Some(Topic::Circuits),
        }
    }

    /// As it goes over the wire.
    pub(super) fn text(&self) -> Utf8Bytes {
        // Strings and numbers: there is always a form.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// News in their form on the wire, made once for all listeners.
#[derive(Debug)]
pub(super) struct Said {
    pub topic: Option<Topic>,
    pub text: Utf8Bytes,
}

/// Where news are said and heard; clones are the same feed.
#[derive(Clone, Debug)]
pub struct Feed {
    news: broadcast::Sender<Arc<Said>>,
    places: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        Feed { news: broadcast::Sender::new(QUEUE), places: Arc::new(Semaphore::new(MAX_LISTENERS)) }
    }
}

impl Feed {
    /// Does anybody listen? Who makes news can spare itself the work.
    pub fn is_heard(&self) -> bool {
        self.news.receiver_count() > 0
    }

    /// Never waits.
    pub fn say(&self, news: &News) {
        // Nobody listening is fine.
        let _ = self.news.send(Arc::new(Said { topic: news.topic(), text: news.text() }));
    }

    /// All that is said from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Said>> {
        self.news.subscribe()
    }

    /// A place for a listener; none when all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
impl Feed {
    /// A listener in the same process: all that was said since the last look.
    pub(crate) fn overhear(&self) -> impl FnMut() -> Vec<News> {
        let mut news = self.listen();
        move || std::iter::from_fn(|| news.try_recv().ok()).map(|said| parsed(&said.text)).collect()
    }
}

#[cfg(test)]
fn parsed(text: &str) -> News {
    serde_json::from_str(text).expect("news")
}
