//! `magicwave wallet history`: payments in and out.
use super::Output;
use super::setup::Network;
use crate::cli::csv::field;
use crate::error::Result;
use crate::stellar::asset::Asset;
use crate::wallet::ledger::{Direction, Entry, History};
use serde_json::json;
use std::fmt::Write;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub network: Network,
    /// Transactions on a page, newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=200))]
    limit: u8,
    /// The page before this place, as the page after it named it
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    before: Option<String>,
    /// Print CSV with a head line; the next page's place is on standard error
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

fn cursor(text: &str) -> Result<String, &'static str> {
    let plain = !text.is_empty() && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { Ok(text.to_owned()) } else { Err("a place is a number") }
}

pub async fn run(args: &Args) -> Result<Output> {
    let history = args.network.purse().await?.history(args.before.as_deref(), args.limit).await?;
    let text = if args.csv {
        if let Some(next) = &history.next {
            eprintln!("next page: --before {next}");
        }
        csv(&history.entries)
    } else {
        page(&history)
    };
    Ok(Output::new(text, json!({"entries": history.entries, "next": history.next})))
}

fn page(history: &History) -> String {
    let mut text = String::new();
    for entry in &history.entries {
        let sign = if entry.direction == Direction::In { '+' } else { '-' };
        let other = match (&entry.other, entry.direction) {
            (Some(other), Direction::In) => format!(" from {other}"),
            (Some(other), Direction::Out) => format!(" to {other}"),
            (None, _) => String::new(),
        };
        let memo = entry.memo.as_ref().map(|memo| format!(", memo {memo:?}")).unwrap_or_default();
        let (amount, asset) = (entry.amount, code(&entry.asset));
        let _ = writeln!(text, "{} {sign}{amount} {asset} {}{other}{memo}", entry.time, entry.kind);
        let _ = writeln!(text, "  ledger {}, transaction {}", entry.ledger, entry.hash);
    }
    if history.entries.is_empty() {
        text += "No payments here.\n";
    }
    if let Some(next) = &history.next {
        let _ = writeln!(text, "More: --before {next}");
    }
    text
}

fn code(asset: &Asset) -> &str {
    match asset {
        Asset::Native => "XLM",
        Asset::Credit(credit) => credit.code(),
    }
}

/// RFC 4180, amounts with their sign.
fn csv(entries: &[Entry]) -> String {
    let mut text = String::from("time,ledger,transaction,kind,amount,asset,other,memo\r\n");
    for entry in entries {
        let sign = if entry.direction == Direction::In { "" } else { "-" };
        let Entry { time, ledger, hash, kind, amount, asset, .. } = entry;
        let (other, memo) = (entry.other.as_deref().unwrap_or_default(), entry.memo.as_deref().unwrap_or_default());
        let (time, memo) = (field(time), field(memo));
        let _ = write!(text, "{time},{ledger},{hash},{kind},{sign}{amount},{asset},{other},{memo}\r\n");
    }
    text
}
