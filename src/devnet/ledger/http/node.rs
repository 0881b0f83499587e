//! A ledger that closes on a timer and remembers.
use super::problem::Problem;
use crate::devnet::ledger::chain::{Genesis, Ledger, Submission};
use crate::devnet::ledger::frame::Frame;
use crate::devnet::ledger::outcome::Outcome;
use crate::devnet::ledger::store::{Store, StoreError, TransactionRow};
use crate::redact::Sensitive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, Semaphore, watch};

/// Submissions that may wait for a close at a time.
pub const MAX_WAITING: usize = 10_000;

/// How a node runs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Names the network.
    pub passphrase: String,
    /// Between closes; at least 10 ms.
    pub close_every: Duration,
    /// How long a synchronous submission waits.
    pub submit_timeout: Duration,
    /// Seed of the root account; `None`: the network id.
    pub root_seed: Option<Sensitive<[u8; 32]>>,
}

impl NodeConfig {
    /// Closes each second, submissions wait 30 s.
    pub fn new(passphrase: impl Into<String>) -> Self {
        NodeConfig {
            passphrase: passphrase.into(),
            close_every: Duration::from_secs(1),
            submit_timeout: Duration::from_secs(30),
            root_seed: None,
        }
    }
}

/// Ledger and store, changed together.
pub(super) struct Core {
    pub ledger: Ledger,
    pub store: Store,
}

/// A running ledger; share it as `Arc`.
pub struct Node {
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) config: NodeConfig,
    pub(super) genesis: Genesis,
    pub(super) closed: watch::Sender<u32>,
    pub(super) waiting: Semaphore,
    pub(super) friendbot: super::friendbot::Friendbot,
}

/// Unix seconds now.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// What a submission came to, seen from outside.
pub(super) enum Submitted {
    /// In the queue, or there already.
    Waits,
    /// In the queue already.
    Duplicate,
    /// Another one of the source waits.
    TryAgainLater,
    /// Refused.
    Refused(Outcome),
    /// In a ledger already.
    Landed(TransactionRow),
}

impl Node {
    /// Opens the ledger in `dir`, or begins one there.
    pub fn open(dir: &Path, config: NodeConfig) -> Result<Arc<Self>, StoreError> {
        Self::with_store(Store::open(dir)?, config)
    }

    /// A ledger that ends with the process.
    pub fn in_memory(config: NodeConfig) -> Result<Arc<Self>, StoreError> {
        Self::with_store(Store::memory()?, config)
    }

    fn with_store(mut store: Store, config: NodeConfig) -> Result<Arc<Self>, StoreError> {
        let mut genesis = Genesis::standalone(config.passphrase.clone(), now());
        genesis.root_seed = config.root_seed;
        let root = genesis.root_key().verifying_key().to_bytes();
        let ledger = store.load(&config.passphrase, &root, || Ledger::new(&genesis))?;
        let closed = watch::Sender::new(ledger.header().ledger);
        Ok(Arc::new(Node {
            core: Arc::new(Mutex::new(Core { ledger, store })),
            config,
            genesis,
            closed,
            waiting: Semaphore::new(MAX_WAITING),
            friendbot: super::friendbot::Friendbot::default(),
        }))
    }

    /// Closes one ledger at `now` (unix seconds) and makes it durable; returns its number. On an error nothing of it
    /// was stored and the node must stop: its memory is ahead of its disk.
    pub async fn close(&self, now: u64) -> Result<u32, StoreError> {
        let mut core = Arc::clone(&self.core).lock_owned().await;
        // the lock is held until the close is on disk: nobody reads what could be lost
        let work = tokio::task::spawn_blocking(move || {
            let closed = core.ledger.close(now);
            let core = &mut *core;
            core.store.commit(&core.ledger, &closed).map(|()| closed.header.ledger)
        });
        let number = work.await.map_err(|_| StoreError::Damaged("the close did not end"))??;
        self.closed.send_replace(number);
        Ok(number)
    }

    /// The number of the last closed ledger.
    pub fn latest(&self) -> u32 {
        *self.closed.borrow()
    }

    // Two closes, and the time since the last: what maxTime must allow.
    fn upper(&self, core: &Core) -> u64 {
        let two = self.config.close_every.saturating_mul(2).as_millis().div_ceil(1000);
        let since = now().saturating_sub(core.ledger.header().close_time);
        u64::try_from(two).unwrap_or(u64::MAX).saturating_add(since)
    }

    /// Hands a transaction to the queue, unless it is in a ledger already.
    pub(super) async fn submit(&self, frame: Frame) -> Result<Submitted, Problem> {
        let mut core = self.core.lock().await;
        if let Some(row) = core.store.transaction(&frame.hash())? {
            return Ok(Submitted::Landed(row));
        }
        let upper = self.upper(&core);
        Ok(match core.ledger.submit(frame, upper) {
            Submission::Pending => Submitted::Waits,
            Submission::Duplicate => Submitted::Duplicate,
            Submission::TryAgainLater => Submitted::TryAgainLater,
            Submission::Refused(outcome) => Submitted::Refused(outcome),
        })
    }

    /// Submits and waits until the transaction is in a ledger. `Err(None)`: not known yet.
    pub(super) async fn land(&self, frame: Frame) -> Result<Result<TransactionRow, Option<Outcome>>, Problem> {
        let hash = frame.hash();
        let _slot = self.waiting.try_acquire().map_err(|_| Problem::busy())?;
        let mut closes = self.closed.subscribe();
        let mut deadline = tokio::time::Instant::now() + self.config.submit_timeout;
        match self.submit(frame).await? {
            Submitted::Landed(row) => return Ok(Ok(row)),
            Submitted::Refused(outcome) => return Ok(Err(Some(outcome))),
            Submitted::Waits | Submitted::Duplicate => {}
            // Horizon would wait in vain; two closes tell as much
            Submitted::TryAgainLater => {
                deadline = deadline.min(tokio::time::Instant::now() + self.config.close_every.saturating_mul(2));
            }
        }
        while let Ok(Ok(())) = tokio::time::timeout_at(deadline, closes.changed()).await {
            if let Some(row) = self.core.lock().await.store.transaction(&hash)? {
                return Ok(Ok(row));
            }
        }
        Ok(Err(None))
    }
}
