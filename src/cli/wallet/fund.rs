//! `magicwave wallet fund`: test money where it is given away, and the trustline of the payment asset.
use super::Output;
use super::setup::Network;
use crate::error::Result;
use crate::stellar::keys;
use crate::wallet::ledger::Opened;
use serde_json::json;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub network: Network,
    /// The most that a transaction may cost per operation, in native stroops
    #[arg(long, value_name = "STROOPS", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    max_fee: u32,
}

pub async fn run(args: &Args) -> Result<Output> {
    let purse = args.network.purse().await?;
    let done = purse.fund(args.max_fee).await?;
    let account = keys::account_id(&purse.account());
    let made = if done.created { "was made by the network's friendbot" } else { "was there already" };
    let (line, hash) = match &done.trustline {
        Opened::Before => ("was there already".to_owned(), None),
        Opened::Now(hash) => (format!("is open (transaction {hash})"), Some(hash)),
        Opened::NotNeeded => ("is not needed".to_owned(), None),
    };
    let text = format!("The account {account} {made}.\nThe trustline for {} {line}.\n", purse.asset());
    let value = json!({
        "account": account,
        "created": done.created,
        "asset": purse.asset(),
        "trustline": match done.trustline {
            Opened::Before => "before",
            Opened::Now(_) => "opened",
            Opened::NotNeeded => "not_needed",
        },
        "hash": hash,
    });
    Ok(Output::new(text, value))
}
