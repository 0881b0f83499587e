//! `magicwave devnet demo`: the main job, shown.
use std::process::ExitCode;

/// Bring a network up, pay for a download, check the ledger, and show what happens to who does not pay.
#[derive(clap::Args)]
pub struct Args {
    /// One JSON object on standard output at the end; progress goes to standard error either way
    #[arg(long)]
    json: bool,
    /// Leave the network running and say how to look around
    #[arg(long)]
    keep: bool,
}

/// Runs the demo; the exit status tells the truth.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("wip")
}
