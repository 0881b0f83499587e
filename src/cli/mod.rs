//! One file per verb; a verb is `pub struct Args` and `pub fn run(args) -> anyhow::Result<ExitCode>`.
pub mod devnet_ledger;
pub mod devnet_replay;
