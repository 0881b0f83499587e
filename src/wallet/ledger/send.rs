//! Sending: everything that can be known to fail is refused before anything is signed, and what was signed is written
//! down before it is sent.
//!
//! ```text
//! plan -> (asked for) -> journal.write -> submit -> landed, refused: journal.clear
//!                                                -> unknown: stays; the next run looks it up, sends it again
//!                                                -> its number is used, its time is over: proved (`fate`), or unknown
//! ```
use super::fate::Fate;
use super::holdings::{Holdings, holdings};
use super::journal::{Journal, Pending};
use super::{Purse, now};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{LedgerCall, LedgerResult};
use crate::stellar::asset::Asset;
use crate::stellar::horizon::AccountRecord;
use crate::stellar::keys;
use crate::stellar::template::{self, BASE_RESERVE, Source, ops};
use crate::units::Stroops;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stellar_base::xdr;

/// Bytes of a memo's text.
const MAX_MEMO: usize = 28;
/// What SEP-29 has in an account that tells its customers apart by memos.
const MEMO_REQUIRED: (&str, &str) = ("config.memo_required", "MQ==");
/// Native stroops that an account needs to exist.
const LEAST: u64 = 2 * BASE_RESERVE;

/// A payment that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Number of the wallet's account that pays.
    #[serde(default)]
    pub from: u8,
    /// To whom.
    #[serde(with = "account_text")]
    pub to: AccountKey,
    /// Of what.
    pub asset: Asset,
    /// How much.
    pub amount: Stroops,
    /// With which memo.
    pub memo: Memo,
}

/// What a payee may ask to be sent along. Everybody can read it on the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memo {
    /// Nothing.
    #[default]
    None,
    /// At most 28 bytes.
    Text(String),
    /// A number.
    Id(u64),
}

impl Memo {
    /// `MW-WALLET-28`: longer than a ledger takes.
    fn to_xdr(&self) -> Result<xdr::Memo> {
        match self {
            Memo::None => Ok(xdr::Memo::None),
            Memo::Id(id) => Ok(xdr::Memo::Id(*id)),
            Memo::Text(text) => text.as_bytes().try_into().map(xdr::Memo::Text).map_err(|_| {
                Error::never(
                    "MW-WALLET-28",
                    format!("A memo's text has at most {MAX_MEMO} bytes; write a shorter one."),
                )
            }),
        }
    }
}

/// A payment that was checked against the ledger as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is wanted.
    pub wish: Wish,
    /// Whether it creates its destination.
    pub creates: bool,
    /// The most that it costs, in XLM.
    pub fee: Stroops,
    source: Source,
}

/// A payment that landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What was wanted.
    pub wish: Wish,
    /// Whether it created its destination.
    pub created: bool,
    /// Hex.
    pub hash: String,
    /// The ledger that holds it.
    pub ledger: u32,
    /// What it cost, in XLM.
    pub fee: Stroops,
}

/// What became of a payment of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// There was none.
    None,
    /// It landed.
    Landed(Sent),
    /// It never will; the ledger's word.
    Void(Wish, String),
}

impl Purse {
    /// Checks a payment against the ledger; `max_fee` is in native stroops. Nothing is signed. `MW-WALLET-21` to `-29`
    /// say what stands against it; `MW-HZN-*`: the ledger cannot be asked, or is another than configured.
    pub async fn plan(&self, wish: Wish, max_fee: u32) -> Result<Plan> {
        if wish.amount.is_zero() {
            return Err(Error::never("MW-WALLET-22", "The amount is 0; nothing was sent."));
        }
        if wish.to == self.account() {
            return Err(Error::never("MW-WALLET-23", "The destination is this wallet's own account."));
        }
        wish.memo.to_xdr()?;
        self.ledger.check_network(&self.network()).await?;
        let own = self.own_record().await?;
        let held = holdings(&own)?;
        let destination = self.ledger.account_record(&wish.to).await?;
        check_destination(&wish, destination.as_ref())?;
        let source = self.source(&own, max_fee).await?;
        let fee = Stroops::new(u64::from(source.fee_per_op)).unwrap_or(Stroops::MAX);
        check_funds(&wish, &held, fee, &self.account())?;
        Ok(Plan { wish, creates: destination.is_none(), fee, source })
    }

    /// Sends what was planned and waits for its end. `MW-WALLET-32`: it could not be written down, nothing was sent;
    /// `MW-WALLET-33`: refused, nothing moved; `MW-WALLET-34`: it failed on the ledger and cost its fee;
    /// `MW-WALLET-35`: its end is unknown, and the same command again finds it out.
    pub async fn send(&self, journal: &Journal, plan: &Plan) -> Result<Sent> {
        let Wish { to, asset, amount, memo, .. } = &plan.wish;
        let operation =
            if plan.creates { ops::create_account(None, to, *amount) } else { ops::payment(None, to, asset, *amount) };
        let unsigned = template::batch_with_memo(&plan.source, vec![operation], memo.to_xdr()?)?;
        let signed = unsigned.sign(&[&self.wallet.account_key()])?;
        let pending = Pending {
            wish: plan.wish.clone(),
            creates: plan.creates,
            hash: hex::encode(signed.hash()),
            envelope: STANDARD.encode(signed.to_xdr()?),
            max_time: plan.source.max_time,
        };
        journal.write(&pending)?;
        match self.submit(&pending).await? {
            LedgerResult::Rejected { code } if is_past(&code) => match self.prove(journal, pending, code).await? {
                Proved::Void(_, code) => Err(refused(&code)),
                Proved::Landed(sent) => Ok(sent),
            },
            // A server that was busy before may have passed on what it refuses now: the note stays until that is over.
            LedgerResult::Rejected { code } => Err(under_way(&pending, &code)),
            result => self.end(journal, pending, result),
        }
    }

    /// What became of the payment that an earlier run left behind: it is looked up, and sent again when no ledger has
    /// it. Errors as `send`.
    pub async fn settle(&self, journal: &Journal) -> Result<Settled> {
        let Some(pending) = journal.pending()? else { return Ok(Settled::None) };
        let look = LedgerCall::Transaction { tag: 0, hash: pending.hash_bytes()? };
        let result = match self.ledger.call(look).await.result {
            landed @ LedgerResult::Landed { .. } => landed,
            _ => self.submit(&pending).await?,
        };
        match result {
            LedgerResult::Rejected { code } if is_past(&code) => Ok(match self.prove(journal, pending, code).await? {
                Proved::Void(wish, code) => Settled::Void(wish, code),
                Proved::Landed(sent) => Settled::Landed(sent),
            }),
            LedgerResult::Rejected { code } => Err(open(&pending, &code)),
            result => self.end(journal, pending, result).map(Settled::Landed),
        }
    }

    /// The end of a payment that was refused with `code` for its number or its time. `MW-WALLET-35`: it is not proved.
    async fn prove(&self, journal: &Journal, pending: Pending, code: String) -> Result<Proved> {
        match self.fate(&pending).await {
            Ok(Fate::Landed(result)) => self.end(journal, pending, result).map(Proved::Landed),
            Ok(Fate::Void) => {
                journal.clear()?;
                Ok(Proved::Void(pending.wish, code))
            }
            Ok(Fate::Open) => Err(open(&pending, &format!("{code}, and nothing shows why"))),
            Err(error) => Err(open(&pending, &format!("{code}; then {error}"))),
        }
    }

    async fn submit(&self, pending: &Pending) -> Result<LedgerResult> {
        let (envelope, hash) = (pending.envelope_bytes()?, pending.hash_bytes()?);
        Ok(self.ledger.call(LedgerCall::Submit { tag: 0, envelope, hash }).await.result)
    }

    fn end(&self, journal: &Journal, pending: Pending, result: LedgerResult) -> Result<Sent> {
        match result {
            LedgerResult::Landed { ledger, success: true, fee, .. } => {
                journal.clear()?;
                let fee = Stroops::new(fee).unwrap_or(Stroops::MAX);
                Ok(Sent { wish: pending.wish, created: pending.creates, hash: pending.hash, ledger, fee })
            }
            LedgerResult::Landed { code, ledger, .. } => {
                journal.clear()?;
                let text = format!(
                    "The payment failed in ledger {ledger} ({code}) and cost its fee; the amount did not move. Something \
                     changed since it was checked: look at both accounts, then repeat the command."
                );
                Err(Error::later("MW-WALLET-34", text))
            }
            LedgerResult::Unknown { why } => Err(open(&pending, &why)),
            _ => Err(open(&pending, "the ledger gave no answer")),
        }
    }
}

/// The end of a payment that cannot land any more.
enum Proved {
    Landed(Sent),
    Void(Wish, String),
}

/// Whether a refusal says that the very same bytes can never land: also of those that did.
fn is_past(code: &str) -> bool {
    ["tx_too_late", "tx_bad_seq"].contains(&code)
}

fn open(pending: &Pending, why: &str) -> Error {
    let end = match pending.max_time.saturating_sub(now()) {
        0 => {
            "Its time is over: a server that trails its ledger knows soon. `magicwave wallet history` shows what this \
              one knows so far."
                .to_owned()
        }
        left => format!("In {left} s at the latest the ledger decides."),
    };
    let text = format!(
        "Whether payment {} lands is not known yet ({why}). Repeat the same command: it asks for that very payment and \
         never sends a second one. {end}",
        pending.hash
    );
    Error::later("MW-WALLET-35", text)
}

/// A refusal in words. `MW-WALLET-33`.
pub(super) fn refused(code: &str) -> Error {
    let text = format!("The ledger refused the transaction ({code}): {}. Nothing moved.", advice(code));
    Error::later("MW-WALLET-33", text)
}

/// The same of one that may have been handed on before it was refused. `MW-WALLET-35`.
fn under_way(pending: &Pending, code: &str) -> Error {
    let text = format!(
        "The ledger refused payment {} ({code}): {}. Another try of it may be under way: for {} s the same command asks \
         for that very payment, and pays anew only after that.",
        pending.hash,
        advice(code),
        pending.max_time.saturating_sub(now())
    );
    Error::later("MW-WALLET-35", text)
}

fn advice(code: &str) -> &'static str {
    match code {
        "tx_bad_seq" => "another transaction of this account came first. Repeat the command",
        "tx_insufficient_fee" => "the ledger is busy and asks for more. Wait, or raise --max-fee",
        "tx_insufficient_balance" => "there is not enough XLM for the fee",
        "tx_too_late" => "it took too long to get there. Repeat the command",
        "tx_bad_auth" => "this wallet's key may not sign for the account, or the network is another one",
        _ => "look at the account with `magicwave wallet show`",
    }
}

/// `MW-WALLET-24`: no such account, and it is not created by this; `MW-WALLET-25`: it cannot take the asset;
/// `MW-WALLET-28`: it wants a memo.
fn check_destination(wish: &Wish, account: Option<&AccountRecord>) -> Result<()> {
    let Some(account) = account else {
        return match &wish.asset {
            Asset::Native if wish.amount.get() >= LEAST => Ok(()),
            Asset::Native => {
                let text = "The destination does not exist yet. To create it, send at least 1 XLM.";
                Err(Error::never("MW-WALLET-24", text))
            }
            Asset::Credit(_) => {
                let text = "The destination does not exist on this network. Check it; its owner must create it first.";
                Err(Error::never("MW-WALLET-24", text))
            }
        };
    };
    let (key, value) = MEMO_REQUIRED;
    if wish.memo == Memo::None && account.data.get(key).is_some_and(|set| set == value) {
        let text = "The destination wants a memo and could not tell whose payment this is. Ask its owner, use --memo.";
        return Err(Error::never("MW-WALLET-28", text));
    }
    let Asset::Credit(credit) = &wish.asset else { return Ok(()) };
    if *credit.issuer() == wish.to {
        return Ok(());
    }
    let refuse = |what: String| Err(Error::never("MW-WALLET-25", format!("The destination {what}. Nothing was sent.")));
    match holdings(account)?.of(&wish.asset) {
        None => refuse(format!("has no trustline for {}; its owner must open one first", wish.asset)),
        Some(line) if !line.authorized => refuse(format!("may not hold {}: its issuer has not allowed it", wish.asset)),
        Some(line) if line.room < wish.amount => refuse(format!("has room for {} more only", line.room)),
        Some(_) => Ok(()),
    }
}

/// `MW-WALLET-26`: not enough of the asset; `MW-WALLET-27`: not enough XLM for the fee.
fn check_funds(wish: &Wish, held: &Holdings, fee: Stroops, own: &AccountKey) -> Result<()> {
    let (spendable, native) = match &wish.asset {
        Asset::Native => (held.native.spendable.saturating_sub(fee), true),
        Asset::Credit(credit) if credit.issuer() == own => (Stroops::MAX, false),
        Asset::Credit(_) => (held.of(&wish.asset).map_or(Stroops::ZERO, |line| line.spendable), false),
    };
    if wish.amount > spendable {
        let (name, why) = match &wish.asset {
            Asset::Credit(credit) => (credit.code(), String::new()),
            Asset::Native => ("XLM", format!(" ({} are held back as reserve, {fee} for the fee)", held.native.reserve)),
        };
        let text = format!("There is not enough {name}: {} wanted, {spendable} can be sent{why}.", wish.amount);
        return Err(Error::never("MW-WALLET-26", text));
    }
    if !native && held.native.spendable < fee {
        return Err(too_little_xlm(held, fee));
    }
    Ok(())
}

/// `MW-WALLET-27`.
pub(super) fn too_little_xlm(held: &Holdings, wanted: Stroops) -> Error {
    let text = format!(
        "There is not enough XLM: {wanted} wanted, {} can be spent. Send XLM to this account, or run `magicwave wallet \
         fund` where test money is given away.",
        held.native.spendable
    );
    Error::never("MW-WALLET-27", text)
}

mod account_text {
    use super::{AccountKey, keys};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(key: &AccountKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&keys::account_id(key))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountKey, D::Error> {
        keys::parse_account_id(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
