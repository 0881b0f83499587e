//! `magicwave tor`: the patched tor as a program of its own; arguments, signals and exit status are tor's.
use crate::tor::control::Signal;
use crate::tor::{TorEvent, TorHandle, daemon, run_tor, sys};
use anyhow::Context;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long a tor that was told to halt may take before the process ends without it.
const HALT_LIMIT: Duration = Duration::from_secs(15);

/// Every argument goes to tor as it is, `--help` included.
#[derive(clap::Args)]
#[command(
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "magicwave tor [-f TORRC] [tor options...]\n       magicwave tor --version | --help | --verify-config | --hash-password PASSWORD | …"
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no runtime for the control socket")?;
    let status = runtime.block_on(async {
        let (tor, mut events) = run_tor(args, None).await?;
        let forwarding = tokio::spawn(forward_signals(tor.clone()));
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

/// Upstream's release and our series, e.g. `tor 0.4.9.11 (magicwave 0.1.0: 9 patches, 1f0c2ab49d31)`.
pub fn version() -> String {
    format!("{} (magicwave {}: {})", sys::version(), env!("CARGO_PKG_VERSION"), env!("MAGICWAVE_SERIES"))
}

/// As tor's own main does it: what is no exit status is 1.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// HUP, INT, TERM, USR1 and USR2 mean what they mean to tor. The second INT or TERM stops at once; when even that is
/// not obeyed in time, the process ends as if it were killed.
pub async fn forward_signals(tor: TorHandle) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    let mut stopping = false;
    loop {
        let wanted = tokio::select! {
            Some(()) = hangup.recv() => Signal::Reload,
            Some(()) = interrupt.recv() => Signal::Shutdown,
            Some(()) = terminate.recv() => Signal::Halt,
            Some(()) = user1.recv() => Signal::Dump,
            Some(()) = user2.recv() => Signal::Debug,
        };
        let stop = matches!(wanted, Signal::Shutdown | Signal::Halt);
        let wanted = if stop && stopping { Signal::Halt } else { wanted };
        stopping |= stop;
        let sent = tor.signal(wanted);
        if wanted == Signal::Halt {
            let tor = tor.clone();
            tokio::spawn(async move {
                if sent.is_ok() && tokio::time::timeout(HALT_LIMIT, tor.wait()).await.is_ok() {
                    return;
                }
                let _ = writeln!(std::io::stderr(), "tor did not stop when told to; ending without it");
                std::process::exit(1);
            });
        }
    }
}
