//! `magicwave tor`: the patched tor as a program of its own; arguments, signals and exit status are tor's.
use crate::config::GatewayConfig;
use crate::error::Error;
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

const OURS: &str = "magicwave tor: a complete tor; its own help follows.

  --gateway FILE   pay and be paid as FILE says (TOML, keys in src/config.rs); without it this is tor as upstream made it

Signals and the exit status are tor's. RunAsDaemon is refused.
";

/// Runs tor to its end; the exit status is tor's. What fails here is one line on standard error, and status 1.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(start(args.args).unwrap_or_else(|error| {
        eprintln!("magicwave tor: {error:#}");
        ExitCode::FAILURE
    }))
}

fn start(args: Vec<String>) -> anyhow::Result<ExitCode> {
    let (gateway, args) = split_gateway(args)?;
    if args.iter().any(|word| word == "--version") {
        writeln!(std::io::stdout(), "{}", version())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = gateway.map(|file| GatewayConfig::load(&file)).transpose()?;
    if daemon::is_command(&args) {
        if args.iter().any(|word| word == "--help" || word == "-h") {
            let mut out = std::io::stdout();
            writeln!(out, "{OURS}")?;
            out.flush()?;
        }
        return Ok(exit_code(daemon::run_command(&args)?));
    }
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
        let name = match word.strip_prefix("--gateway") {
            Some("") => words.next(),
            Some(value) if value.starts_with('=') => Some(value[1..].to_owned()),
            _ => {
                rest.push(word);
                continue;
            }
        };
        let name = name.filter(|name| !name.is_empty() && !name.starts_with("--"));
        if file.replace(PathBuf::from(name.ok_or_else(no_file)?)).is_some() {
            return Err(no_file().into());
        }
    }
    Ok((file, rest))
}

fn no_file() -> Error {
    Error::never("MW-CONF-5", "--gateway wants the name of one configuration file, once: --gateway FILE")
}

/// Upstream's release and our series, e.g. `tor 0.4.9.11 (magicwave 0.1.0: 8 patches, 1f0c2ab49d31)`.
pub fn version() -> String {
    format!("{} (magicwave {}: {})", sys::version(), env!("CARGO_PKG_VERSION"), env!("MAGICWAVE_SERIES"))
}

/// As tor's own main does it: what is no exit status is 1.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_file_is_named_in_either_form_and_once() {
        let split = |text: &str| split_gateway(text.split(' ').map(String::from).collect());
        for text in ["--gateway g.toml -f torrc", "-f torrc --gateway=g.toml"] {
            let (file, rest) = split(text).expect("good");
            assert_eq!((file, rest), (Some(PathBuf::from("g.toml")), vec!["-f".to_owned(), "torrc".to_owned()]));
        }
        assert_eq!(split("-f torrc").expect("good").0, None);
        for text in ["-f torrc --gateway", "--gateway=", "--gateway --quiet", "--gateway a --gateway b"] {
            assert!(split(text).expect_err(text).to_string().contains("MW-CONF-5"), "{text}");
        }
    }
}
