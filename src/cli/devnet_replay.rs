//! `magicwave devnet replay FILE…`: does the embedded ledger answer what a real one answered?
use crate::devnet::ledger::replay::{MAX_RECORDING_BYTES, Report, replay_json};
use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde_json::json;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Replay recordings of a real ledger into the embedded one and say where it differs.
///
/// Exit code 0 when nothing differs, 1 when something does, 2 when a file cannot be read.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Recordings (JSON); their form is described in tests/vectors/README.md.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Print one JSON object a line on standard output, and the differences on standard error.
    #[arg(long)]
    pub json: bool,
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let limit = u64::try_from(MAX_RECORDING_BYTES).unwrap_or(u64::MAX);
    let unread = || format!("cannot read {} [MW-REPLAY-6]", path.display());
    let file = std::fs::File::open(path).with_context(unread)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(unread)?;
    if bytes.len() > MAX_RECORDING_BYTES {
        bail!("{} is longer than {MAX_RECORDING_BYTES} bytes [MW-REPLAY-7]", path.display());
    }
    replay_json(&bytes).with_context(|| format!("{} cannot be replayed", path.display()))
}

fn print(path: &Path, report: &Report, as_json: bool) -> std::io::Result<()> {
    let (mut out, mut notes) = (std::io::stdout().lock(), std::io::stderr().lock());
    let (applied, rejected, unsupported) = (report.applied, report.rejected, report.unsupported);
    let (file, mismatches) = (path.display().to_string(), report.differences.len());
    if as_json {
        let line = json!({
            "file": file, "applied": applied, "rejected": rejected, "unsupported": unsupported,
            "mismatches": mismatches,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{file}: {applied} applied, {rejected} rejected, {unsupported} unsupported, {mismatches} mismatches"
        )?;
    }
    for difference in &report.differences {
        if as_json {
            writeln!(notes, "{file}: {difference}")?;
        } else {
            writeln!(out, "  {difference}")?;
        }
    }
    Ok(())
}

/// Replays each file; see [`Args`] for the exit code.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut worst = 0u8;
    for path in &args.files {
        match read(path) {
            Ok(report) => {
                print(path, &report, args.json)?;
                worst = worst.max(u8::from(!report.is_clean()));
            }
            Err(error) => {
                eprintln!("{error:#}");
                worst = 2;
            }
        }
    }
    Ok(ExitCode::from(worst))
}
