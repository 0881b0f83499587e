//! `magicwave devnet demo`: the main job, shown.
use super::devnet::command;
use super::devnet_up::{Board, note};
use crate::devnet::demo;
use crate::devnet::network::{Devnet, Options, place};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Bring a network up, pay for a download, check the ledger, and show what happens to who does not pay.
#[derive(clap::Args)]
pub struct Args {
    /// One JSON object on standard output at the end, however it went; progress goes to standard error either way
    #[arg(long)]
    json: bool,
    /// Leave the network running until Ctrl-C and its files after that, and say how to look around and to remove them;
    /// the exit status is still the report's
    #[arg(long)]
    keep: bool,
    /// Directory of the network [default: a temporary one that goes with it]
    #[arg(long = "state", value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the demo; the exit status tells the truth.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (dir, temporary) = match &args.dir {
        Some(dir) => (std::path::absolute(dir)?, false),
        None => (std::env::temp_dir().join(format!("magicwave-demo-{}", std::process::id())), !args.keep),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut told = async || {
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 }
        };
        let (net, ok) = tokio::select! {
            shown = show(&args, &dir) => shown?,
            // Dropping a network that is half up kills what there is of it.
            status = told() => {
                print_failure(&args, "MW-DEMO-8", "told to end before there was a report")?;
                return Ok(ExitCode::from(status));
            }
        };
        if args.keep {
            note(&look_around(&dir)?);
            told().await;
        }
        net.stop().await?;
        anyhow::Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    });
    // Every process of the network ended with it.
    drop(runtime);
    if temporary {
        // Removes nothing that is not the demo's own, should the directory have been somebody else's.
        let _ = place::purge(&dir);
    } else if args.keep && dir.is_dir() {
        note(&format!("what it left lies in {0}; remove it: {1}\n", dir.display(), command("down --purge", &dir)?));
    }
    done
}

/// The network, still up, and whether everything held. Without a network the failure is printed as the report would be.
async fn show(args: &Args, dir: &Path) -> anyhow::Result<(Devnet, bool)> {
    let net = match bring_up(dir).await {
        Ok(net) => net,
        Err(e) => {
            print_failure(args, e.code, &e.text)?;
            return Err(e.into());
        }
    };
    match demo::run(&net, |line| note(&format!("{line}\n"))).await {
        Ok(report) => {
            let mut out = std::io::stdout();
            if args.json {
                writeln!(out, "{}", report.json())?;
            } else {
                write!(out, "{}", report.text())?;
            }
            Ok((net, report.ok))
        }
        Err(e) => {
            note(&format!("{e}\n"));
            print_failure(args, e.code, &e.text)?;
            Ok((net, false))
        }
    }
}

async fn bring_up(dir: &Path) -> crate::error::Result<Devnet> {
    note(&format!("a private network in {}\n", dir.display()));
    let mut board = Board::new();
    let options = Options { topology: demo::topology(), ..Options::new(dir)? };
    let mut net = Devnet::start_telling(options, |what| note(&format!("  {what}\n"))).await?;
    net.wait_ready(|progress| board.show(progress)).await?;
    Ok(net)
}

/// With --json there is one object on standard output, however it went.
fn print_failure(args: &Args, code: &str, text: &str) -> std::io::Result<()> {
    if !args.json {
        return Ok(());
    }
    writeln!(std::io::stdout(), "{}", serde_json::json!({"ok": false, "error": {"code": code, "text": text}}))
}

fn look_around(dir: &Path) -> anyhow::Result<String> {
    let (status, logs) = (command("status", dir)?, command("logs", dir)?);
    Ok(format!("\nthe network goes on in {}; look:\n  {status}\n  {logs}\nCtrl-C ends it\n", dir.display()))
}
