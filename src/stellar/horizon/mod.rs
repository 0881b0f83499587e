//! The adapter to a Horizon server: isolated streams through tor (or a loopback test network), bounded answers, and
//! failures told apart by what may have happened to what we sent.
//!
//! `LedgerCall`s are answered in `call`; everything else here is what it stands on.
mod account;
mod call;
mod code;
mod endpoint;
mod http;
mod request;
mod resource;
mod witness;

pub use account::{AccountFlags, AccountRecord, Balance, Signer, Thresholds};
pub use call::landed;
pub use endpoint::{Endpoint, Isolation, LoopbackAddr};
pub use http::{Failure, Refusal};
pub use request::{Account, AccountTransactions, Fees, Root, Submit, SubmitAsync, Transaction};
pub use resource::{AsyncReceipt, FeeRecord, FeeSpread, Link, Page, RootLinks, RootRecord, TransactionRecord};
pub use witness::WitnessedLedger;

use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::AccountView;
use crate::stellar::keys;
use crate::stellar::network::NetworkId;
use ::http::HeaderMap;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use stellar_horizon::client::HorizonClient;
use stellar_horizon::error::Error as StockError;
use stellar_horizon::request::{Request, StreamRequest};
use tokio::sync::Semaphore;

/// Requests under way at once over all isolations; further ones wait.
const MAX_REQUESTS: usize = 16;

/// How long to wait, and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a connection, tor's circuit included.
    pub connect: Duration,
    /// For a whole answer to a submission, which a server may hold until its ledger closes.
    pub answer: Duration,
    /// For a whole answer to anything else.
    pub read: Duration,
    /// Between two looks at the ledger; about a ledger's time.
    pub poll: Duration,
    /// Looks for a transaction whose fate is open, before it is reported as unknown.
    pub looks: u32,
    /// Tries of one request that did not get through.
    pub tries: u32,
    /// The longest time that a server may tell us to stay away within one call.
    pub longest_wait: Duration,
    /// For a whole `LedgerCall`, all tries and looks included.
    pub call: Duration,
}

impl Default for Timing {
    /// For the public networks: ledgers of 5 to 6 seconds, over tor.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timing {
            connect: seconds(60),
            answer: seconds(75),
            read: seconds(30),
            poll: seconds(4),
            looks: 5,
            tries: 3,
            longest_wait: seconds(30),
            call: seconds(300),
        }
    }
}

impl Timing {
    /// For a test network of ours with ledgers of about a second.
    pub fn devnet() -> Self {
        Timing {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(20),
            read: Duration::from_secs(10),
            poll: Duration::from_millis(400),
            call: Duration::from_secs(60),
            ..Timing::default()
        }
    }
}

/// Which of Horizon's two ways to submit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Submission {
    /// `POST /transactions`: the server answers once a ledger holds it.
    #[default]
    Waiting,
    /// `POST /transactions_async`: the server answers at once, we look for it.
    Async,
}

/// A Horizon server as one isolated customer of it. Cheap to clone; clones share the limit on requests.
#[derive(Clone, Debug)]
pub struct HorizonLedger {
    endpoint: Arc<Endpoint>,
    timing: Timing,
    submission: Submission,
    requests: Arc<Semaphore>,
    isolation: Isolation,
}

impl HorizonLedger {
    /// Nothing is sent before the first call.
    pub fn new(endpoint: Endpoint, timing: Timing) -> Self {
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        let (endpoint, submission) = (Arc::new(endpoint), Submission::default());
        HorizonLedger { endpoint, timing, submission, requests, isolation: Isolation::common() }
    }

    /// The same server, submitted to in this way.
    pub fn submitting(self, submission: Submission) -> Self {
        HorizonLedger { submission, ..self }
    }

    /// The same server over streams that tor never joins with those of another account.
    pub fn isolated(&self, account: &AccountKey) -> Self {
        self.with(Isolation::of(account))
    }

    fn with(&self, isolation: Isolation) -> Self {
        HorizonLedger { isolation, ..self.clone() }
    }

    /// What the server says about itself.
    pub async fn root(&self) -> Result<RootRecord> {
        Ok(self.send(&Root).await?.1)
    }

    /// `MW-HZN-8` when the server is on another network than ours.
    pub async fn check_network(&self, network: &NetworkId) -> Result<()> {
        if NetworkId::of(&self.root().await?.network_passphrase) == *network {
            return Ok(());
        }
        Err(Error::never("MW-HZN-8", "The ledger's server is on another network than the one configured."))
    }

    /// What transactions cost in the last ledgers.
    pub async fn fees(&self) -> Result<FeeRecord> {
        Ok(self.send(&Fees).await?.1)
    }

    /// An account as it stands, none when there is no such account.
    pub async fn account(&self, account: &AccountKey) -> Result<Option<AccountView>> {
        let Some((headers, record)) = self.isolated(account).read(&Account(*account)).await? else { return Ok(None) };
        record.view(account, request::latest_ledger(&headers)).map(Some).map_err(Error::from)
    }

    /// The same with all that Horizon says about it.
    pub async fn account_record(&self, account: &AccountKey) -> Result<Option<AccountRecord>> {
        let answer = self.isolated(account).read(&Account(*account)).await?;
        match answer.map(|(_, record)| record) {
            Some(record) if record.account_id != keys::account_id(account) => {
                Err(Failure::Garbled("another account than the one asked for".into()).into())
            }
            record => Ok(record),
        }
    }

    /// An issuer's account flags as `escrow_check::check_issuer` takes them, none when there is no such account.
    pub async fn issuer_flags(&self, issuer: &AccountKey) -> Result<Option<u32>> {
        Ok(self.isolated(issuer).read(&Account(*issuer)).await?.map(|(_, record)| record.flags.bits()))
    }

    /// Up to `limit` (at most 200) transactions that an account took part in, failed ones included, oldest first,
    /// after the record whose paging token is `cursor`.
    pub async fn transactions_of(
        &self,
        account: &AccountKey,
        cursor: Option<&str>,
        limit: u8,
    ) -> Result<Vec<TransactionRecord>> {
        let request =
            AccountTransactions { account: *account, cursor: cursor.map(str::to_owned), limit, newest: false };
        let page = self.isolated(account).read(&request).await?;
        Ok(page.map(|(_, page)| page.records()).unwrap_or_default())
    }

    /// The same, newest first, before the record whose paging token is `cursor`.
    pub async fn latest_of(
        &self,
        account: &AccountKey,
        cursor: Option<&str>,
        limit: u8,
    ) -> Result<Vec<TransactionRecord>> {
        let request = AccountTransactions { account: *account, cursor: cursor.map(str::to_owned), limit, newest: true };
        let page = self.isolated(account).read(&request).await?;
        Ok(page.map(|(_, page)| page.records()).unwrap_or_default())
    }

    /// One request, tried once. The stock request types of `stellar-horizon` work as well as ours.
    pub async fn send<R: Request>(&self, request: &R) -> Result<(HeaderMap, R::Response), Failure> {
        let answer = {
            let _permit = self.requests.acquire().await.map_err(|_| Failure::NotSent("shutting down".into()))?;
            let not_built = |error: StockError| Failure::NotSent(format!("not built: {error}"));
            let uri = request.uri(self.endpoint.base()).map_err(not_built)?;
            let body = request.post_body().map_err(not_built)?;
            http::exchange(&self.endpoint, &self.isolation, &self.timing, &uri, body).await?
        };
        let response = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Garbled(format!("an answer of another form: {error}")))?;
        Ok((answer.headers, response))
    }
}

impl HorizonClient for HorizonLedger {
    fn request<'a, R: Request + 'a>(
        &'a self,
        req: R,
    ) -> BoxFuture<'a, stellar_horizon::error::Result<(HeaderMap, R::Response)>> {
        Box::pin(async move { self.send(&req).await.map_err(http::stock_error) })
    }

    /// Not offered: an event stream would tie a circuit to an account for hours. Always `HorizonServerError`; poll.
    fn stream<'a, R: StreamRequest + 'static>(
        &'a self,
        _req: R,
    ) -> stellar_horizon::error::Result<
        Box<dyn futures::Stream<Item = stellar_horizon::error::Result<R::Resource>> + 'static + Send + Unpin>,
    > {
        Err(StockError::HorizonServerError)
    }
}
