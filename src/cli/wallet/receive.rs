//! `magicwave wallet receive`: where to pay.
use super::Output;
use super::send::{amount_of, asset_of};
use super::setup::{Files, Which};
use crate::error::{Error, Result};
use crate::wallet::{Wallet, uri};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use std::io::IsTerminal;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub which: Which,
    /// Ask for this amount
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,
    /// Ask for `native` (XLM) or CODE:ISSUER [default: the payment asset]
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
    /// Show the QR code even when the output is no terminal
    #[arg(long)]
    qr: bool,
}

pub fn run(args: &Args) -> Result<Output> {
    let ledger = args.files.ledger()?;
    let asset = asset_of(args.asset.as_deref(), &ledger.asset()?)?;
    let amount = args.amount.as_deref().map(amount_of).transpose()?;
    if amount.is_some_and(|amount| amount.is_zero()) {
        let text = "Nobody can pay an amount of 0. Ask for more, or leave --amount out: then the payer chooses.";
        return Err(Error::never("MW-WALLET-22", text));
    }
    let wallet = Wallet::of(&args.files.secret()?).numbered(args.which.number())?;
    let account = wallet.account_id();
    let uri = uri::pay(&wallet.account(), &asset, amount, &ledger.passphrase);
    let mut text = format!("{account}\n{uri}\n");
    if args.qr || std::io::stdout().is_terminal() {
        let code = QrCode::new(&uri).map_err(|error| {
            Error::never("MW-WALLET-40", format!("The link does not fit a QR code: {error}. Leave --qr out."))
        })?;
        // Light modules are printed and dark ones left out: right on a dark screen, and readers take both.
        text += &code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    }
    let value = json!({"account": account, "uri": uri, "asset": asset, "amount": amount.map(|it| it.to_string())});
    Ok(Output::new(text, value))
}
