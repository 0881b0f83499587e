//! What an account holds, what the ledger holds back, and what is left to spend. Pure.
use crate::error::{Error, Result};
use crate::stellar::asset::Asset;
use crate::stellar::horizon::{AccountRecord, Balance};
use crate::stellar::keys;
use crate::stellar::template::BASE_RESERVE;
use crate::units::Stroops;
use serde::{Serialize, Serializer};

/// An account's balances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// XLM.
    pub native: Native,
    /// Of everything else; shares of liquidity pools are left out.
    pub assets: Vec<Holding>,
}

/// The native balance: balance = reserve + promised + spendable, unless the reserve is not covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Native {
    /// All.
    #[serde(serialize_with = "decimal")]
    pub balance: Stroops,
    /// Held back by the ledger: half an XLM per entry.
    #[serde(serialize_with = "decimal")]
    pub reserve: Stroops,
    /// Entries that the reserve is for.
    pub entries: u64,
    /// Of these, entries of other accounts: escrows that we opened.
    pub sponsoring: u32,
    /// Entries of ours that others bear.
    pub sponsored: u32,
    /// Bound in offers to sell.
    #[serde(serialize_with = "decimal")]
    pub promised: Stroops,
    /// Left for payments and fees.
    #[serde(serialize_with = "decimal")]
    pub spendable: Stroops,
}

/// The balance of one credit asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// `CODE:ISSUER` in JSON.
    pub asset: Asset,
    /// All.
    #[serde(serialize_with = "decimal")]
    pub balance: Stroops,
    /// What can be sent now.
    #[serde(serialize_with = "decimal")]
    pub spendable: Stroops,
    /// What can still be received.
    #[serde(serialize_with = "decimal")]
    pub room: Stroops,
    /// Whether its issuer lets it move.
    pub authorized: bool,
    /// Whether its issuer could take it back.
    pub clawback: bool,
}

fn decimal<S: Serializer>(amount: &Stroops, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

impl Holdings {
    /// The balance of a credit asset, if the account may hold it.
    pub fn of(&self, asset: &Asset) -> Option<&Holding> {
        self.assets.iter().find(|holding| holding.asset == *asset)
    }
}

/// As Horizon tells it. `MW-HZN-9`: it makes no sense.
pub fn holdings(record: &AccountRecord) -> Result<Holdings> {
    let mut native = None;
    let mut assets = Vec::new();
    for line in &record.balances {
        let balance = stroops(line.balance)?;
        let promised = stroops(line.selling_liabilities)?;
        match (&line.asset_code, &line.asset_issuer) {
            _ if line.asset_type == "native" => native = Some((balance, promised)),
            (Some(code), Some(issuer)) => assets.push(holding(line, code, issuer, balance, promised)?),
            _ => {}
        }
    }
    let (balance, promised) = native.ok_or_else(senseless)?;
    let entries = 2 + u64::from(record.subentry_count) + u64::from(record.num_sponsoring);
    let entries = entries.saturating_sub(u64::from(record.num_sponsored));
    let reserve = entries.checked_mul(BASE_RESERVE).and_then(|reserve| Stroops::new(reserve).ok());
    let reserve = reserve.ok_or_else(senseless)?;
    let spendable = balance.saturating_sub(reserve).saturating_sub(promised);
    let (sponsoring, sponsored) = (record.num_sponsoring, record.num_sponsored);
    Ok(Holdings { native: Native { balance, reserve, entries, sponsoring, sponsored, promised, spendable }, assets })
}

fn holding(line: &Balance, code: &str, issuer: &str, balance: Stroops, promised: Stroops) -> Result<Holding> {
    let issuer = keys::parse_account_id(issuer).map_err(|_| senseless())?;
    let asset = Asset::credit(code, issuer).map_err(|_| senseless())?;
    let (free, authorized) = (balance.saturating_sub(promised), line.is_authorized);
    let taken = balance.add(stroops(line.buying_liabilities)?).map_err(|_| senseless())?;
    let room = stroops(line.limit)?.saturating_sub(taken);
    let movable = |amount| if authorized { amount } else { Stroops::ZERO };
    let (spendable, room) = (movable(free), movable(room));
    Ok(Holding { asset, balance, spendable, room, authorized, clawback: line.is_clawback_enabled })
}

fn stroops(amount: i64) -> Result<Stroops> {
    Stroops::try_from(amount).map_err(|_| senseless())
}

fn senseless() -> Error {
    Error::later("MW-HZN-9", "The ledger's server tells of balances that make no sense. Ask again, or another server.")
}
