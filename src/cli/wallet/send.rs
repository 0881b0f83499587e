//! `magicwave wallet send ACCOUNT AMOUNT`.
use super::Output;
use super::setup::{Network, confirm};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::stellar::keys;
use crate::units::Stroops;
use crate::wallet::ledger::{Journal, Memo, Plan, Sent, Settled, Wish};
use serde_json::json;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub network: Network,
    /// The account to pay, G…
    #[arg(value_name = "ACCOUNT")]
    to: String,
    /// How much: digits, and if need be a point and up to 7 more
    #[arg(value_name = "AMOUNT")]
    amount: String,
    /// `native` (XLM) or CODE:ISSUER [default: the payment asset]
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
    /// A text of at most 28 bytes for a payee who asked for it; everybody can read it
    #[arg(long, value_name = "TEXT")]
    memo: Option<String>,
    /// A number for a payee who asked for it; everybody can read it
    #[arg(long, value_name = "NUMBER", conflicts_with = "memo")]
    memo_id: Option<u64>,
    /// The most that the transaction may cost, in native stroops
    #[arg(long, value_name = "STROOPS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    max_fee: u32,
    /// Send without a question
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: &Args) -> Result<Output> {
    let memo = match (&args.memo, args.memo_id) {
        (Some(text), _) => Memo::Text(text.clone()),
        (None, Some(id)) => Memo::Id(id),
        (None, None) => Memo::None,
    };
    let (to, amount) = (account_of(&args.to)?, amount_of(&args.amount)?);
    let ledger = args.network.files.ledger()?;
    let from = args.network.which.number();
    let wish = Wish { from, to, asset: asset_of(args.asset.as_deref(), &ledger.asset()?)?, amount, memo };
    let purse = args.network.purse().await?;
    let journal = Journal::open(&args.network.files.path()?, &purse.network())?;
    match purse.settle(&journal).await? {
        Settled::Landed(sent) if sent.wish == wish => return Ok(output(&sent, true)),
        Settled::Landed(sent) => eprintln!("An earlier payment landed meanwhile: {}", describe(&sent)),
        Settled::Void(old, code) => {
            eprintln!("An earlier payment of {} never landed and never will ({code}).", name(old.amount, &old.asset));
        }
        Settled::None => {}
    }
    let plan = purse.plan(wish, args.max_fee).await?;
    if let Some(number) = purse.number_of(&to) {
        eprintln!("That is account {number} of this wallet: everybody who reads the ledger will know the two for one.");
    }
    if !args.yes {
        confirm(&question(&plan))?;
    }
    purse.send(&journal, &plan).await.map(|sent| output(&sent, false))
}

fn question(plan: &Plan) -> String {
    let Wish { to, asset, amount, .. } = &plan.wish;
    let creates = if plan.creates { ", an account that this creates" } else { "" };
    let (amount, to) = (name(*amount, asset), keys::account_id(to));
    format!("Send {amount} to {to}{creates}, for a fee of at most {} XLM?", plan.fee)
}

fn output(sent: &Sent, repeated: bool) -> Output {
    let Wish { from, to, asset, amount, memo } = &sent.wish;
    let mut text = format!("Sent: {}\n", describe(sent));
    if repeated {
        text += "An earlier run had sent it; nothing was sent now. To pay the same again, repeat the command.\n";
    }
    let value = json!({
        "hash": sent.hash,
        "ledger": sent.ledger,
        "fee": sent.fee.to_string(),
        "account_number": from,
        "to": keys::account_id(to),
        "asset": asset,
        "amount": amount.to_string(),
        "memo": memo,
        "created": sent.created,
        "repeated": repeated,
    });
    Output::new(text, value)
}

fn describe(sent: &Sent) -> String {
    let (amount, to) = (name(sent.wish.amount, &sent.wish.asset), keys::account_id(&sent.wish.to));
    format!("{amount} to {to}, ledger {}, fee {} XLM, transaction {}", sent.ledger, sent.fee, sent.hash)
}

fn name(amount: Stroops, asset: &Asset) -> String {
    match asset {
        Asset::Native => format!("{amount} XLM"),
        Asset::Credit(credit) => format!("{amount} {}", credit.code()),
    }
}

/// `MW-WALLET-23`: no account.
fn account_of(text: &str) -> Result<AccountKey> {
    keys::parse_account_id(text).map_err(|_| {
        let text = if text.starts_with('M') {
            "A muxed address (M…) names a customer of an account. Ask for the account (G…) and a memo instead."
        } else {
            "The destination is no account: 56 characters that begin with G. Compare it with what you were given."
        };
        Error::never("MW-WALLET-23", text)
    })
}

/// An amount that a person wrote. `MW-WALLET-22`: it is none.
pub fn amount_of(text: &str) -> Result<Stroops> {
    Stroops::from_decimal(text)
        .map_err(|why| Error::never("MW-WALLET-22", format!("The amount cannot be used: {why}. Write it like 12.5")))
}

/// The asset that a person wrote, or the payment asset. `MW-ASSET-1`, `-2`, `MW-KEY-1`: it is none.
pub fn asset_of(text: Option<&str>, payments: &Asset) -> Result<Asset> {
    text.map_or(Ok(*payments), |text| if text.eq_ignore_ascii_case("xlm") { Ok(Asset::Native) } else { text.parse() })
}
