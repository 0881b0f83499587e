//! `magicwave wallet init`: a new wallet of 24 words.
use super::Output;
use super::setup::{Files, Words, on_screen};
use crate::error::Result;
use crate::wallet::sealed::Cost;
use crate::wallet::{self, Wallet};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// Write the words to a new file (mode 0600) instead of the terminal
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// No passphrase: whoever reads the wallet's file has the money
    #[arg(long)]
    plain: bool,
}

pub fn run(args: &Args) -> Result<Output> {
    let path = args.files.path()?;
    let words = Words::place(args.words_file.as_deref(), args.files.json)?;
    let secret = wallet::fresh()?;
    make(&args.files, &path, &secret, args.plain, &words)?;
    let account = Wallet::of(&secret).account_id();
    let mut text = format!("Wallet made: {}\nAccount: {account}\n", path.display());
    match words {
        Words::File(file) => text += &format!("Words: {}. Move that file to a safe place.\n", file.display()),
        Words::Screen => {
            text += "\nWrite these words down, in this order, and keep them apart from this machine. Whoever has them \
                     has the money; without them a lost file is lost money.\n";
        }
    }
    let words = matches!(words, Words::Screen).then(|| on_screen(&secret));
    let value = json!({"account": account, "seed_file": path, "encrypted": !args.plain, "words_file": args.words_file});
    Ok(Output { words, ..Output::new(text, value) })
}

/// Writes the wallet and, for a file of words, that first: words without a wallet hurt nobody.
pub fn make(files: &Files, path: &Path, secret: &wallet::secret::Secret, plain: bool, words: &Words) -> Result<()> {
    // Asked before anything is written.
    let passphrase = if plain { None } else { Some(files.new_passphrase()?) };
    if let Words::File(file) = words {
        wallet::write_words(file, secret)?;
    }
    let cost = Cost::default();
    let made = wallet::create(path, secret, passphrase.as_ref().map(|passphrase| (passphrase, &cost)));
    if let (Words::File(file), Err(_)) = (words, &made) {
        let _ = std::fs::remove_file(file);
    }
    made
}
