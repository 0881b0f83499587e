//! What the ledger says of our first account: asked when somebody wants to know, kept for a moment, and never shown as
//! newer than it is.
use crate::api::Refused;
use crate::api::amount::Amount;
use crate::api::balance::Look;
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::reactor::now_ms;
use crate::stellar::asset::Asset;
use crate::stellar::horizon::WitnessedLedger;
use crate::stellar::template::BASE_RESERVE;
use crate::units::Stroops;
use crate::wallet::ledger::{Holdings, holdings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// A look is not repeated within this time, whether it failed or not.
const FRESH: Duration = Duration::from_secs(10);
/// The ledger's server answers within this time, through tor.
const PATIENCE: Duration = Duration::from_secs(10);

/// Our account on the ledger, with a short memory.
pub struct Till {
    ledger: Arc<WitnessedLedger>,
    account: AccountKey,
    asset: Asset,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    tried: Option<Instant>,
    /// Unix milliseconds, and what was there; nothing when there is no such account.
    seen: Option<(u64, Option<Holdings>)>,
    failed: Option<Error>,
}

impl Till {
    /// Asks `ledger` about `account`.
    pub fn new(ledger: Arc<WitnessedLedger>, account: AccountKey, asset: Asset) -> Self {
        Till { ledger, account, asset, memory: Mutex::default() }
    }

    /// Whose account it is.
    pub fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The payment asset.
    pub fn asset(&self) -> &Asset {
        &self.asset
    }

    /// The newest look, and why the last try failed if it did. One asks at a time, the others wait for its answer.
    pub async fn look(&self) -> (Option<Look>, Option<Refused>) {
        let mut memory = self.memory.lock().await;
        if memory.tried.is_none_or(|at| at.elapsed() >= FRESH) {
            match timeout(PATIENCE, self.ask()).await.unwrap_or_else(|_| Err(late())) {
                Ok(held) => (memory.seen, memory.failed) = (Some((now_ms(), held)), None),
                Err(e) => memory.failed = Some(e),
            }
            memory.tried = Some(Instant::now());
        }
        let look = memory.seen.as_ref().map(|(at, held)| self.show(*at, held.as_ref()));
        (look, memory.failed.clone().map(Into::into))
    }

    async fn ask(&self) -> Result<Option<Holdings>> {
        let record = self.ledger.account_record(&self.account).await?;
        record.map(|record| holdings(&record)).transpose()
    }

    fn show(&self, at: u64, held: Option<&Holdings>) -> Look {
        let of = |amount: Option<Stroops>| Amount::from(amount.unwrap_or(Stroops::ZERO));
        let native = held.map(|held| &held.native);
        let asset = held.and_then(|held| held.of(&self.asset));
        Look {
            at,
            age_ms: now_ms().saturating_sub(at),
            exists: held.is_some(),
            asset: of(asset.map(|line| line.balance)),
            asset_spendable: of(asset.map(|line| line.spendable)),
            native: of(native.map(|native| native.balance)),
            native_spendable: of(native.map(|native| native.spendable)),
            reserve: of(native.map(|native| native.reserve)),
            reserve_escrows: Amount(
                native.map_or(0, |native| u64::from(native.sponsoring).saturating_mul(BASE_RESERVE)),
            ),
        }
    }
}

fn late() -> Error {
    Error::later("MW-APP-6", format!("the ledger's server did not answer within {PATIENCE:?}; ask again"))
}
