//! Making an account ready: test money where it is given away, and the trustline of the payment asset.
use super::holdings::holdings;
use super::send::{refused, too_little_xlm};
use super::{Purse, Reach};
use crate::error::{Error, Result};
use crate::gateway::port::{LedgerCall, LedgerResult};
use crate::stellar::asset::Asset;
use crate::stellar::keys;
use crate::stellar::network::PUBLIC;
use crate::stellar::template::{self, BASE_RESERVE};
use crate::units::Stroops;
use std::time::Duration;
use stellar_horizon::request::Request;
use url::Url;

/// Looks for an account that a friendbot was asked to make, a second apart.
const LOOKS: u32 = 20;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funded {
    /// Whether a friendbot made the account.
    pub created: bool,
    /// The trustline of the payment asset.
    pub trustline: Opened,
}

/// A trustline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It was there.
    Before,
    /// It was opened by the transaction of this hash (hex).
    Now(String),
    /// XLM needs none, nor does an issuer for its own asset.
    NotNeeded,
}

/// `GET` of a friendbot's address.
struct Friendbot(Url);

impl Request for Friendbot {
    type Response = serde_json::Value;
    fn uri(&self, _host: &Url) -> stellar_horizon::error::Result<Url> {
        Ok(self.0.clone())
    }
}

impl Purse {
    /// Gets the account made where test money is given away, and opens the trustline of the payment asset if it is
    /// missing. To repeat it does no harm. `MW-WALLET-36`: nobody gives money away on this network; `MW-WALLET-37`: the
    /// friendbot did not; `MW-WALLET-38`: the asset's issuer does not exist; `MW-WALLET-27`, `-29`, `-33` to `-35` as
    /// `send`.
    pub async fn fund(&self, max_fee: u32) -> Result<Funded> {
        self.ledger.check_network(&self.network()).await?;
        let created = self.ledger.account_record(&self.account()).await?.is_none();
        if created {
            self.ask_friendbot().await?;
        }
        Ok(Funded { created, trustline: self.open_trustline(max_fee).await? })
    }

    async fn ask_friendbot(&self) -> Result<()> {
        let account = keys::account_id(&self.account());
        let nobody = || {
            let text = format!(
                "Nobody gives money away on this network. Send at least 3 XLM to {account} from another wallet or an \
                 exchange, then run this again for the trustline."
            );
            Error::never("MW-WALLET-36", text)
        };
        if self.passphrase == PUBLIC {
            return Err(nobody());
        }
        let link = self.ledger.root().await?.links.friendbot.ok_or_else(nobody)?;
        let base = match &self.reach {
            Reach::Loopback(address) => format!("http://{}/", address.get()),
            Reach::Tor { base, .. } => base.clone(),
        };
        let base = Url::parse(&base).map_err(|_| nobody())?;
        let mut url = base.join(link.href.split('{').next().unwrap_or_default()).map_err(|_| nobody())?;
        url.set_query(None);
        url.query_pairs_mut().append_pair("addr", &account);
        let ledger = match &self.reach {
            _ if url.origin() == base.origin() => self.ledger.clone(),
            Reach::Tor { socks, .. } => {
                let base = url.origin().ascii_serialization();
                Reach::Tor { socks: *socks, base }.ledger()?.isolated(&self.account())
            }
            Reach::Loopback(_) => return Err(nobody()),
        };
        // Whatever it answers: what counts is whether there is an account.
        let answer = ledger.send(&Friendbot(url)).await;
        for look in 0..LOOKS {
            if self.ledger.account_record(&self.account()).await?.is_some() {
                return Ok(());
            }
            if answer.is_err() && look > 2 {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let why = answer.err().map_or_else(|| "it said that it would".to_owned(), |failure| failure.to_string());
        Err(Error::later("MW-WALLET-37", format!("The friendbot made no account ({why}). Try again later.")))
    }

    async fn open_trustline(&self, max_fee: u32) -> Result<Opened> {
        let Asset::Credit(credit) = self.asset else { return Ok(Opened::NotNeeded) };
        if *credit.issuer() == self.account() {
            return Ok(Opened::NotNeeded);
        }
        let own = self.own_record().await?;
        let held = holdings(&own)?;
        if held.of(&self.asset).is_some() {
            return Ok(Opened::Before);
        }
        if self.ledger.account_record(credit.issuer()).await?.is_none() {
            let text = format!("{} does not exist on this network: its issuer is no account here.", self.asset);
            return Err(Error::never("MW-WALLET-38", text));
        }
        let source = self.source(&own, max_fee).await?;
        let wanted = Stroops::new(BASE_RESERVE + u64::from(source.fee_per_op)).unwrap_or(Stroops::MAX);
        if held.native.spendable < wanted {
            return Err(too_little_xlm(&held, wanted));
        }
        let signed = template::change_trust(&source, &self.asset, Stroops::MAX)?.sign(&[&self.wallet.account_key()])?;
        let hash = signed.hash();
        let call = LedgerCall::Submit { tag: 0, envelope: signed.to_xdr()?, hash };
        match self.ledger.call(call).await.result {
            LedgerResult::Landed { success: true, .. } => Ok(Opened::Now(hex::encode(hash))),
            LedgerResult::Landed { code, .. } => {
                let text = format!("The trustline could not be opened ({code}); it cost its fee. Look at the account.");
                Err(Error::later("MW-WALLET-34", text))
            }
            LedgerResult::Rejected { code } => Err(refused(&code)),
            LedgerResult::Unknown { why } => {
                let text = format!("Whether the trustline was opened is not known yet ({why}). Repeat the command.");
                Err(Error::later("MW-WALLET-35", text))
            }
            _ => Err(Error::later("MW-WALLET-35", "The ledger gave no answer. Repeat the command.")),
        }
    }
}
