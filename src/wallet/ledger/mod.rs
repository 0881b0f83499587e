//! What a person does with the wallet's account on the ledger: look, send, open, read the history. Over the Horizon
//! adapter, so through tor or on a test network's loopback only.
mod fate;
mod fund;
mod history;
mod holdings;
mod journal;
mod send;

pub use fund::{Funded, Opened};
pub use history::{Direction, Entry, History, entries};
pub use holdings::{Holding, Holdings, Native, holdings};
pub use journal::{Journal, Pending};
pub use send::{Memo, Plan, Sent, Settled, Wish};

use super::Wallet;
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::stellar::horizon::{AccountRecord, Endpoint, HorizonLedger, LoopbackAddr, Timing};
use crate::stellar::keys;
use crate::stellar::network::NetworkId;
use crate::stellar::template::{self, Source};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds within which a transaction of ours lands or never does.
const LIFETIME: u64 = 300;

/// The way to the ledger's server. There is no value for a direct connection that leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A test network on this machine.
    Loopback(LoopbackAddr),
    /// Through tor.
    Tor {
        /// tor's SOCKS port.
        socks: LoopbackAddr,
        /// The server's URL.
        base: String,
    },
}

impl Reach {
    fn ledger(&self) -> Result<HorizonLedger> {
        let (endpoint, timing) = match self {
            Reach::Loopback(address) => (Endpoint::loopback(*address)?, Timing::devnet()),
            Reach::Tor { socks, base } => {
                let timing = if base.contains("//127.0.0.1:") { Timing::devnet() } else { Timing::default() };
                (Endpoint::tor(*socks, base)?, timing)
            }
        };
        Ok(HorizonLedger::new(endpoint, timing))
    }
}

/// A wallet and the ledger that its account lives on.
#[derive(Clone, Debug)]
pub struct Purse {
    wallet: Wallet,
    passphrase: String,
    asset: Asset,
    reach: Reach,
    ledger: HorizonLedger,
}

impl Purse {
    /// The wallet's account on the network of `passphrase`; `asset` is what its payments are in. `MW-HZN-2` to
    /// `MW-HZN-4`: no server that may be reached like this.
    pub fn new(wallet: Wallet, passphrase: String, asset: Asset, reach: Reach) -> Result<Self> {
        let ledger = reach.ledger()?.isolated(&wallet.account());
        Ok(Purse { wallet, passphrase, asset, reach, ledger })
    }

    /// The same wallet's account of this number, over streams of its own. Errors as `new`, and `MW-WALLET-41`.
    pub fn numbered(&self, number: u8) -> Result<Self> {
        let wallet = self.wallet.clone().numbered(number)?;
        Purse::new(wallet, self.passphrase.clone(), self.asset, self.reach.clone())
    }

    /// The number of an account of this wallet.
    pub fn number_of(&self, account: &AccountKey) -> Option<u8> {
        self.wallet.number_of(account)
    }

    /// The payment asset.
    pub fn asset(&self) -> &Asset {
        &self.asset
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        NetworkId::of(&self.passphrase)
    }

    /// The wallet's account.
    pub fn account(&self) -> AccountKey {
        self.wallet.account()
    }

    /// What the account holds, and what of it can be spent; none when there is no such account. `MW-HZN-*`.
    pub async fn holdings(&self) -> Result<Option<Holdings>> {
        let record = self.ledger.account_record(&self.account()).await?;
        record.map(|record| holdings(&record)).transpose()
    }

    /// Payments in and out, newest first: of at most `limit` (1 to 200) transactions before `cursor`. `MW-HZN-*`.
    pub async fn history(&self, cursor: Option<&str>, limit: u8) -> Result<History> {
        let limit = limit.clamp(1, 200);
        let records = self.ledger.latest_of(&self.account(), cursor, limit).await?;
        let full = records.len() >= usize::from(limit);
        let next = records.last().filter(|_| full).map(|record| record.paging_token.clone());
        let mut found = Vec::new();
        for record in &records {
            found.extend(entries(record, &self.account())?);
        }
        Ok(History { entries: found, next })
    }

    /// `MW-WALLET-21`: there is no such account.
    async fn own_record(&self) -> Result<AccountRecord> {
        self.ledger.account_record(&self.account()).await?.ok_or_else(|| {
            let text = format!(
                "The account {} does not exist yet on this network. Send it XLM, or run `magicwave wallet fund` where \
                 test money is given away.",
                keys::account_id(&self.account())
            );
            Error::never("MW-WALLET-21", text)
        })
    }

    /// What the next transaction is made from. `MW-WALLET-29`: the ledger wants more than `max_fee` per operation.
    async fn source(&self, record: &AccountRecord, max_fee: u32) -> Result<Source> {
        let fees = self.ledger.fees().await?;
        if fees.last_ledger_base_fee > max_fee {
            let text = format!(
                "The ledger asks {} native stroops per operation, more than the {max_fee} that are allowed. Wait, or \
                 raise --max-fee.",
                fees.last_ledger_base_fee
            );
            return Err(Error::later("MW-WALLET-29", text));
        }
        let usual = fees.fee_charged.p95.max(fees.last_ledger_base_fee).max(template::BASE_FEE);
        Ok(Source {
            network: self.network(),
            account: self.account(),
            sequence: record.sequence,
            fee_per_op: usual.min(max_fee.max(template::BASE_FEE)),
            max_time: now().saturating_add(LIFETIME),
        })
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
