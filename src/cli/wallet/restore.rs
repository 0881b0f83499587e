//! `magicwave wallet restore`: a wallet of words that somebody has.
use super::Output;
use super::init;
use super::setup::{Files, Words};
use crate::error::{Error, Result};
use crate::wallet::secret::{MAX_TEXT, Secret};
use crate::wallet::{self, Wallet};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The most that is read of standard input.
const MAX_INPUT: usize = 2 * MAX_TEXT;
/// The most words of a wallet: a terminal is read until so many are there.
const MAX_WORDS: usize = 24;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// Read the words (or a seed, S…) from a file that only you may read [default: standard input]
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// No passphrase: whoever reads the wallet's file has the money
    #[arg(long)]
    plain: bool,
}

pub fn run(args: &Args) -> Result<Output> {
    let path = args.files.path()?;
    let secret = match &args.words_file {
        Some(file) => wallet::read_words(file)?,
        None => Secret::parse(&typed()?)?,
    };
    // The words are the owner's already: they go nowhere but into the wallet.
    init::make(&args.files, &path, &secret, args.plain, &Words::Screen)?;
    let account = Wallet::of(&secret).account_id();
    let text = format!("Wallet restored: {}\nAccount: {account}\n", path.display());
    let value = json!({"account": account, "seed_file": path, "encrypted": !args.plain, "from": secret.kind()});
    Ok(Output::new(text, value))
}

/// Standard input: all of a pipe; of a terminal, lines until an empty one or the last word.
fn typed() -> Result<Zeroizing<String>> {
    let failed = |error: std::io::Error| Error::never("MW-WALLET-14", format!("The words cannot be read: {error}."));
    // Room from the start: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_INPUT + 1));
    let mut input = std::io::stdin().lock().take(MAX_INPUT as u64 + 1);
    if std::io::stdin().is_terminal() {
        let _ = writeln!(std::io::stderr(), "Type the words, on one or more lines, and end with an empty line:");
        loop {
            let before = text.len();
            let read = input.read_line(&mut text).map_err(failed)?;
            if read == 0 || text[before..].trim().is_empty() || text.split_whitespace().count() >= MAX_WORDS {
                break;
            }
        }
    } else {
        input.read_to_string(&mut text).map_err(failed)?;
    }
    if text.len() > MAX_INPUT {
        return Err(Error::never("MW-WALLET-14", "That is longer than the words of a wallet can be."));
    }
    Ok(text)
}
