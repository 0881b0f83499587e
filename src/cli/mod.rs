//! One file per verb; a verb is `pub struct Args` and `pub fn run(args) -> anyhow::Result<ExitCode>`.
//!
//! A new verb is one `mod`, one line in [`Verb`] and one in [`run`].
use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod api;
mod books;
mod csv;
mod date;
mod devnet;
mod devnet_bench;
mod devnet_demo;
pub mod devnet_ledger;
mod devnet_look;
pub mod devnet_replay;
mod devnet_up;
mod export;
pub mod fetch;
mod status;
mod tor;
mod wallet;

/// Anonymous access to the web where those who carry it are paid for what they carry.
#[derive(Parser)]
#[command(name = "magicwave", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The daemon's local API
    Api(api::Args),
    /// Add up what a node has written down
    Books(books::Args),
    /// A private network on this machine
    Devnet(devnet::Args),
    /// Write out payments, payment requests, the journal of money or links as CSV or JSON
    Export(export::Args),
    /// Download a URL through tor and pay what its site asks for
    Fetch(fetch::Args),
    /// How a running node stands, and where its money is
    Status(status::Args),
    /// A complete tor for relay operators
    Tor(tor::Args),
    /// Words, keys and money of a node: make, restore, look, receive, send
    Wallet(wallet::Args),
}

/// Parses the command line and runs its verb.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().verb {
        Verb::Api(args) => api::run(args),
        Verb::Books(args) => Ok(books::run(&args)),
        Verb::Devnet(args) => devnet::run(args),
        Verb::Export(args) => Ok(export::run(&args)),
        Verb::Fetch(args) => fetch::run(args),
        Verb::Status(args) => status::run(&args),
        Verb::Tor(args) => tor::run(args),
        Verb::Wallet(args) => wallet::run(args),
    }
}

/// Logs go to standard error; `MAGICWAVE_LOG` sets the filter, e.g. `magicwave=debug`.
fn log() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("MAGICWAVE_LOG").unwrap_or_else(|_| "magicwave=info".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
