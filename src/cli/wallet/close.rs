//! `magicwave wallet close`: every deposit and its reserves come back from the escrows. While some are out the status
//! says so.
use super::Output;
use super::setup::Files;
use crate::api::client::call;
use crate::api::close::{Closing, Returning};
use crate::error::{Error, Result};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For one answer of the daemon.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// The running daemon's socket [default: api_socket of --gateway]
    #[arg(long, value_name = "SOCKET")]
    api: Option<PathBuf>,
    /// How long to wait for the deposits, seconds; 0 only begins. Partners that are there close within a few ledgers, of
    /// others the deposits come back once their escrows were silent for their period
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
}

pub async fn run(args: &Args) -> Result<Output> {
    let configured = if args.api.is_some() { None } else { args.files.api_socket()? };
    let none =
        || Error::never("MW-WALLET-40", "Name the daemon's socket with --api, or its configuration with --gateway.");
    let socket = args.api.clone().or(configured).ok_or_else(none)?;
    let end = Instant::now() + Duration::from_secs(args.wait);
    let first = ask(&socket).await?;
    let mut left = first.clone();
    while !left.is_empty() && Instant::now() < end {
        eprintln!("{} of {} deposits are still in their escrows", left.len(), first.len());
        tokio::time::sleep(PAUSE.min(end.saturating_duration_since(Instant::now()))).await;
        left = ask(&socket).await?;
    }
    let back: Vec<&Returning> = first.iter().filter(|one| left.iter().all(|l| l.escrow != one.escrow)).collect();
    let value = json!({"back": back, "returning": left});
    let open = !left.is_empty();
    Ok(Output { open, ..Output::new(text(first.len(), back.len(), &left), value) })
}

/// Closing is idempotent: asking again is how one looks.
async fn ask(socket: &Path) -> Result<Vec<Returning>> {
    let closing: Closing = call(socket, "/api/close", Some(&json!({})), PATIENCE).await?;
    Ok(closing.returning)
}

fn text(all: usize, back: usize, left: &[Returning]) -> String {
    let mut text = match (all, left.len()) {
        (0, _) => "There are no deposits in escrows.\n".to_owned(),
        (_, 0) => format!("{back} of {all} deposits are back, with the reserves of their escrows.\n"),
        _ => format!("{back} of {all} deposits are back. The others come by themselves while the daemon runs:\n"),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
    for one in left {
        let when = match one.due_ms.saturating_sub(now).div_ceil(60_000) {
            _ if one.due_ms == 0 => "when is not known yet".to_owned(),
            minutes => format!("in {minutes} min at the latest, unless a claim lands before"),
        };
        let _ = writeln!(text, "  {} ({}): {} stroops at least, {when}", one.escrow, one.state, one.amount.0);
    }
    text
}
