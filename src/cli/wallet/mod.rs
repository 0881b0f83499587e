//! `magicwave wallet …`: one file per verb. Standard output has the result, as text or with --json as one object;
//! questions and what went wrong are on standard error.
mod backup;
mod close;
mod fund;
mod history;
mod init;
mod receive;
mod restore;
mod send;
mod setup;
mod show;

use crate::error::{Error, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;
use zeroize::Zeroizing;

const AFTER_HELP: &str = "Exit codes: 0 done, 1 failed here (arguments, files, passphrase), 3 not reached (daemon, \
proxy, ledger), 5 refused (by a check before anything was sent, or by the ledger), 6 not known or not all done yet: repeat the command. \
Words and passphrases are never arguments; docs/wallet.md has the file's form and the paths of the keys.";

/// Status of what the same command again would bring further.
const NOT_YET: u8 = 6;

/// Arguments of the verb.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a new wallet of 24 words
    Init(init::Args),
    /// Make a wallet of words that you have
    Restore(restore::Args),
    /// Show the words again, or write them to a file
    Backup(backup::Args),
    /// Show the account, what it holds and what can be spent
    Show(setup::Network),
    /// Show where to pay, as an address, a link and a QR code
    Receive(receive::Args),
    /// Send an amount to an account
    Send(send::Args),
    /// Make the account ready: test money where it is given away, the trustline of the payment asset
    Fund(fund::Args),
    /// Show payments in and out
    History(history::Args),
    /// Bring all deposits and reserves back from the escrows
    Close(close::Args),
}

/// Runs a verb; what went wrong is on standard error, as a sentence with a code.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (json, result) = match args.verb {
        Verb::Init(args) => (args.files.json, init::run(&args)),
        Verb::Restore(args) => (args.files.json, restore::run(&args)),
        Verb::Backup(args) => (args.files.json, backup::run(&args)),
        Verb::Show(args) => (args.files.json, wait(show::run(&args))),
        Verb::Receive(args) => (args.files.json, receive::run(&args)),
        Verb::Send(args) => (args.network.files.json, wait(send::run(&args))),
        Verb::Fund(args) => (args.network.files.json, wait(fund::run(&args))),
        Verb::Close(args) => (args.files.json, wait(close::run(&args))),
        Verb::History(args) => (args.network.files.json, wait(history::run(&args))),
    };
    Ok(match result {
        Ok(output) => output.print(json),
        Err(error) => report(&error, json),
    })
}

/// What a verb has to say.
struct Output {
    /// For a person.
    text: String,
    /// For the owner's screen, after the text; never in JSON.
    words: Option<Zeroizing<String>>,
    /// For a program; `ok` is added.
    value: Value,
    /// What was asked for is not done yet: the same command again goes on.
    open: bool,
}

impl Output {
    fn new(text: String, value: Value) -> Self {
        Output { text, words: None, value, open: false }
    }

    fn print(mut self, json: bool) -> ExitCode {
        use std::io::Write;
        if let Value::Object(fields) = &mut self.value {
            fields.insert("ok".into(), true.into());
        }
        let text = if json { self.value.to_string() } else { self.text.trim_end().to_owned() };
        let mut out = std::io::stdout();
        let words = self.words.as_ref().filter(|_| !json);
        let written = writeln!(out, "{text}").and_then(|()| match words {
            Some(words) => write!(out, "\n{}", **words),
            None => Ok(()),
        });
        // A reader that went away (`| head`) is no failure.
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ if self.open => ExitCode::from(NOT_YET),
            _ => ExitCode::SUCCESS,
        }
    }
}

fn wait(verb: impl Future<Output = Result<Output>>) -> Result<Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = |error: std::io::Error| Error::later("MW-WALLET-20", format!("The program cannot start: {error}."));
    runtime.map_err(failed)?.block_on(verb)
}

fn report(error: &Error, json: bool) -> ExitCode {
    eprintln!("magicwave wallet: {error}");
    if json {
        println!("{}", json!({"ok": false, "code": error.code, "error": error.text}));
    }
    ExitCode::from(match error.code {
        "MW-WALLET-20" | "MW-WALLET-37" | "MW-API-1" | "MW-API-2" => 3,
        "MW-HZN-5" | "MW-HZN-6" | "MW-HZN-7" | "MW-HZN-9" => 3,
        "MW-WALLET-35" => NOT_YET,
        "MW-HZN-8" | "MW-WALLET-21" | "MW-WALLET-22" | "MW-WALLET-23" | "MW-WALLET-24" | "MW-WALLET-25" => 5,
        "MW-WALLET-26" | "MW-WALLET-27" | "MW-WALLET-28" | "MW-WALLET-29" | "MW-WALLET-33" | "MW-WALLET-34" => 5,
        "MW-WALLET-36" | "MW-WALLET-38" => 5,
        _ => 1,
    })
}
