//! `magicwave wallet backup`: the words again.
use super::Output;
use super::setup::{Files, Words, on_screen};
use crate::error::Result;
use crate::wallet::{self, Wallet};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// Write the words to a new file (mode 0600) instead of the terminal
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<Output> {
    let words = Words::place(args.words_file.as_deref(), args.files.json)?;
    let secret = args.files.secret()?;
    let account = Wallet::of(&secret).account_id();
    let text = match words {
        Words::File(file) => {
            wallet::write_words(file, &secret)?;
            format!("Backup of {account}: {}. Move that file to a safe place.\n", file.display())
        }
        Words::Screen => format!("Backup of {account} ({}):\n", secret.kind()),
    };
    let words = matches!(words, Words::Screen).then(|| on_screen(&secret));
    let value = json!({"account": account, "kind": secret.kind(), "words_file": args.words_file});
    Ok(Output { words, ..Output::new(text, value) })
}
