//! `magicwave wallet show`: the account, what it holds and what of it can be spent.
use super::Output;
use super::setup::Network;
use crate::error::Result;
use crate::stellar::asset::Asset;
use crate::stellar::keys;
use crate::wallet::ledger::Holdings;
use serde_json::json;
use std::fmt::Write;

pub async fn run(args: &Network) -> Result<Output> {
    let purse = args.purse().await?;
    let account = keys::account_id(&purse.account());
    let holdings = purse.holdings().await?;
    let mut text = format!("Account  {account}\n");
    match &holdings {
        None => text += "It does not exist yet on this network: send it XLM, or run `magicwave wallet fund`.\n",
        Some(holdings) => describe(&mut text, holdings, purse.asset()),
    }
    // Their ids alone: questions about all of them at one time would tell the ledger's server that they belong together.
    let others = if args.which.account.is_none() { args.files.accounts()? } else { 1 };
    let mut accounts = Vec::new();
    for number in 1..others {
        let other = keys::account_id(&purse.numbered(number)?.account());
        let _ = writeln!(text, "Account  {other} (number {number}; --account {number} shows it)");
        accounts.push(json!({"number": number, "account": other}));
    }
    let value = json!({
        "account": account,
        "number": args.which.number(),
        "others": accounts,
        "exists": holdings.is_some(),
        "asset": purse.asset(),
        "network": hex::encode(purse.network().0),
        "holdings": holdings,
    });
    Ok(Output::new(text, value))
}

fn describe(text: &mut String, holdings: &Holdings, payments: &Asset) {
    let native = &holdings.native;
    let _ = writeln!(text, "XLM      {}, of which {} can be spent", native.balance, native.spendable);
    let (entries, sponsoring, sponsored) = (native.entries, native.sponsoring, native.sponsored);
    let _ = writeln!(
        text,
        "         {} held back for {entries} entries ({sponsoring} borne for others, {sponsored} borne by others)",
        native.reserve
    );
    if !native.promised.is_zero() {
        let _ = writeln!(text, "         {} bound in offers", native.promised);
    }
    for line in &holdings.assets {
        let Asset::Credit(credit) = &line.asset else { continue };
        let note = match (line.authorized, line.clawback, line.asset == *payments) {
            (false, ..) => " (its issuer does not let it move)",
            (_, true, _) => " (its issuer can take it back)",
            (.., true) => " (the payment asset)",
            _ => "",
        };
        let _ = writeln!(text, "{:<8} {}, of which {} can be sent{note}", credit.code(), line.balance, line.spendable);
        let _ = writeln!(text, "         issued by {}", keys::account_id(credit.issuer()));
    }
    if let Asset::Credit(credit) = payments
        && holdings.of(payments).is_none()
    {
        let _ = writeln!(text, "{:<8} no trustline yet: run `magicwave wallet fund`", credit.code());
    }
}
