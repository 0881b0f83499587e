//! Who waits for the gateway's answer, and which circuit carries which stream.
use crate::gateway::port::{Answer, CircuitId};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

/// Calls that wait at the same time.
const MAX_CALLS: usize = 4_096;
/// Streams and talks that are remembered; the oldest go.
const MAX_KNOWN: usize = 4_096;

/// Questions to the gateway that are not answered yet.
#[derive(Debug, Default)]
pub struct Calls {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Calls {
    /// A fresh number and where its answer will come; none when too many wait.
    pub fn open(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let mut waiting = self.waiting.lock().ok()?;
        waiting.retain(|_, sender| !sender.is_closed());
        if waiting.len() >= MAX_CALLS {
            return None;
        }
        let call = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = oneshot::channel();
        waiting.insert(call, sender);
        Some((call, receiver))
    }

    /// Hands an answer over; nobody waiting is fine.
    pub fn answer(&self, call: u64, answer: Answer) {
        let sender = self.waiting.lock().ok().and_then(|mut waiting| waiting.remove(&call));
        if let Some(sender) = sender {
            let _ = sender.send(answer);
        }
    }
}

/// A bounded map that forgets the oldest.
#[derive(Debug)]
struct Recent<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + std::hash::Hash, V> Recent<K, V> {
    fn new() -> Self {
        Recent { map: HashMap::new(), order: VecDeque::new() }
    }
    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// Which circuit carried the newest stream of a SOCKS user name.
#[derive(Debug)]
pub struct Streams(Mutex<Recent<String, CircuitId>>);

impl Default for Streams {
    fn default() -> Self {
        Streams(Mutex::new(Recent::new()))
    }
}

impl Streams {
    /// A stream of `user` rides `circ`.
    pub fn saw(&self, user: String, circ: CircuitId) {
        if let Ok(mut known) = self.0.lock() {
            known.insert(user, circ);
        }
    }
    /// The circuit of its newest stream.
    pub fn circuit(&self, user: &str) -> Option<CircuitId> {
        self.0.lock().ok().and_then(|known| known.map.get(user).copied())
    }
}

/// A talk with a web service.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Our own SOCKS port.
    pub socks: SocketAddr,
    /// SOCKS user name: the circuit.
    pub isolation: String,
    /// `http://host[:port]`.
    pub origin: url::Url,
    /// Value of the session header.
    pub session: String,
}

/// Talks with web services.
#[derive(Debug)]
pub struct Exchanges {
    next: AtomicU64,
    talks: Mutex<Recent<u64, Talk>>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Exchanges { next: AtomicU64::new(0), talks: Mutex::new(Recent::new()) }
    }
}

impl Exchanges {
    /// Remembers a talk under a fresh number.
    pub fn open(&self, talk: Talk) -> u64 {
        let exchange = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        if let Ok(mut talks) = self.talks.lock() {
            talks.insert(exchange, talk);
        }
        exchange
    }
    /// The talk of this number.
    pub fn get(&self, exchange: u64) -> Option<Talk> {
        self.talks.lock().ok().and_then(|talks| talks.map.get(&exchange).cloned())
    }
}
