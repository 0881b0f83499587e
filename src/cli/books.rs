//! `magicwave books`: what a node has written down, added up, also while it runs. Nothing is changed.
use crate::config::GatewayConfig;
use crate::error::Result;
use crate::gateway::core::message::AccountKey;
use crate::stellar::keys::parse_account_id;
use crate::store::{Balance, Books, Reader};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Whose books.
#[derive(clap::Args, Debug)]
pub struct Node {
    /// The node's configuration (gateway.toml)
    #[arg(long, value_name = "FILE")]
    gateway: PathBuf,
    /// The account of the node's wallet, where several nodes share a database server; refused over a file
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    node: Option<AccountKey>,
}

impl Node {
    /// A look at its books.
    pub fn reader(&self) -> Result<Reader> {
        Reader::configured(&GatewayConfig::load(&self.gateway)?, self.node.as_ref())
    }
}

/// `G…`, or the key in hex as the store names it.
fn account(text: &str) -> Result<AccountKey, String> {
    let mut key = AccountKey::default();
    match hex::decode_to_slice(text, &mut key) {
        Ok(()) => Ok(key),
        Err(_) => parse_account_id(text).map_err(|error| error.text),
    }
}

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Derive the balances from the journal and hold them against the links' escrows; status 1 when they differ
    Check(Check),
}

#[derive(clap::Args, Debug)]
struct Check {
    #[command(flatten)]
    node: Node,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> ExitCode {
    let Verb::Check(args) = &args.verb;
    let checked = args.node.reader().and_then(|reader| Ok((reader.balances()?, reader.check()?)));
    let (said, good) = match &checked {
        Ok((balances, books)) if args.json => {
            (json!({"ok": books.wrong.is_empty(), "links": balances, "books": books}).to_string(), true)
        }
        Ok((balances, books)) => (page(balances, books), true),
        Err(error) => {
            eprintln!("magicwave books: {error}");
            (json!({"ok": false, "code": error.code, "error": error.text}).to_string(), args.json)
        }
    };
    // A reader that went away (`| head`) changes nothing about the books.
    let _ =
        good.then(|| std::io::Write::write_all(&mut std::io::stdout(), format!("{}\n", said.trim_end()).as_bytes()));
    match checked {
        Ok((_, books)) if books.wrong.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn page(balances: &[Balance], books: &Books) -> String {
    let mut text = String::from("In stroops of the payment asset, fees on the ledger in native stroops.\n\n");
    let head = ["signed", "landing seen", "returned", "credited", "flushed", "set off", "fees"];
    let _ = writeln!(text, "{:<32}{}", "link", head.map(|name| format!("{name:>16}")).concat());
    let rows = balances.iter().map(|b| {
        (hex::encode(b.link), [b.signed, b.seen, b.returned, b.credited, b.flushed, b.netted].map(|a| a.get()), b.fees)
    });
    let sums = [books.signed, books.seen, books.returned, books.credited, books.flushed, books.netted].map(|a| a.get());
    for (name, amounts, fees) in rows.chain([("all".to_owned(), sums, books.fees)]) {
        let amounts = amounts.map(|amount| format!("{amount:>16}")).concat();
        let _ = writeln!(text, "{name:<32}{amounts}{fees:>16}");
    }
    text.push('\n');
    for wrong in &books.wrong {
        let _ = writeln!(text, "WRONG: {wrong}");
    }
    if books.wrong.is_empty() {
        text.push_str("The journal and the escrows agree.\n");
    }
    text
}
