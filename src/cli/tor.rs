//! `magicwave tor`: the patched tor as a program of its own; arguments, signals and exit status are tor's.
use crate::config::GatewayConfig;
use crate::tor::{TorEvent, daemon, run_tor, signals, sys};
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Every argument goes to tor as it is, `--help` included.
#[derive(clap::Args)]
#[command(
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "magicwave tor [--gateway FILE] [-f TORRC] [tor options...]\n       magicwave tor --version | --help | --verify-config | --hash-password PASSWORD | …"
)]
pub struct Args {
    /// As in tor(1), e.g. `-f torrc --SocksPort 9050`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "TOR OPTIONS")]
    args: Vec<String>,
}

/// Runs tor to its end; the exit status is tor's.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let args = args.args;
    if args.iter().any(|word| word == "--version") {
        writeln!(std::io::stdout(), "{}", version())?;
        return Ok(ExitCode::SUCCESS);
    }
    if daemon::is_command(&args) {
        return Ok(exit_code(daemon::run_command(&args)?));
    }
    let (gateway, args) = split_gateway(args)?;
    let config = gateway.map(|file| GatewayConfig::load(&file)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if config.is_some() { 2 } else { 1 })
        .enable_all()
        .build()
        .context("no runtime for the control socket")?;
    if let Some(config) = config {
        crate::cli::log();
        let status = runtime.block_on(crate::app::run(config, args));
        // What still waits for an answer of a dead network does not keep the process: rows say where to go on.
        runtime.shutdown_background();
        return Ok(exit_code(status?));
    }
    let status = runtime.block_on(async {
        let (tor, mut events) = run_tor(args, None).await?;
        let forwarding = tokio::spawn(signals::forward(tor.clone()));
        while let Some(event) = events.recv().await {
            if let TorEvent::Exited { .. } = event {
                break;
            }
        }
        forwarding.abort();
        anyhow::Ok(tor.wait().await)
    })?;
    Ok(exit_code(status))
}

/// Takes our one option out of tor's: `--gateway FILE` turns payments on.
fn split_gateway(args: Vec<String>) -> anyhow::Result<(Option<PathBuf>, Vec<String>)> {
    let (mut file, mut rest, mut words) = (None, Vec::new(), args.into_iter());
    while let Some(word) = words.next() {
        if word == "--gateway" {
            file = Some(PathBuf::from(words.next().context("--gateway wants the name of a file")?));
        } else {
            rest.push(word);
        }
    }
    Ok((file, rest))
}

/// Upstream's release and our series, e.g. `tor 0.4.9.11 (magicwave 0.1.0: 9 patches, 1f0c2ab49d31)`.
pub fn version() -> String {
    format!("{} (magicwave {}: {})", sys::version(), env!("CARGO_PKG_VERSION"), env!("MAGICWAVE_SERIES"))
}

/// As tor's own main does it: what is no exit status is 1.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
