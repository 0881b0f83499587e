//! `magicwave devnet demo`: the main job, shown.
use super::devnet_up::{Board, note};
use crate::devnet::demo;
use crate::devnet::network::{Devnet, Options};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Bring a network up, pay for a download, check the ledger, and show what happens to who does not pay.
#[derive(clap::Args)]
pub struct Args {
    /// One JSON object on standard output at the end; progress goes to standard error either way
    #[arg(long)]
    json: bool,
    /// Leave the network running until Ctrl-C and say how to look around
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
        tokio::select! {
            done = show(&args, &dir) => done,
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
            _ = terminate.recv() => Ok(ExitCode::from(143)),
        }
    });
    // Every process of the network ended with it.
    drop(runtime);
    if temporary {
        let _ = std::fs::remove_dir_all(&dir);
    }
    done
}

async fn show(args: &Args, dir: &std::path::Path) -> anyhow::Result<ExitCode> {
    note(&format!("a private network in {}\n", dir.display()));
    let mut board = Board::new();
    let options = Options { topology: demo::topology(), ..Options::new(dir)? };
    let mut net = Devnet::start_telling(options, |what| note(&format!("  {what}\n"))).await?;
    net.wait_ready(|progress| board.show(progress)).await?;
    let report = demo::run(&net, |line| note(&format!("{line}\n"))).await;
    let ok = match &report {
        Ok(report) => {
            let mut out = std::io::stdout();
            if args.json {
                writeln!(out, "{}", report.json())?;
            } else {
                write!(out, "{}", report.text())?;
            }
            report.ok
        }
        Err(e) => {
            note(&format!("{e}\n"));
            if args.json {
                let failed = serde_json::json!({"ok": false, "error": {"code": e.code, "text": e.text}});
                writeln!(std::io::stdout(), "{failed}")?;
            }
            false
        }
    };
    if args.keep {
        note(&format!(
            "\nthe network goes on; look: magicwave devnet status|logs --state {0}\nCtrl-C ends it\n",
            dir.display()
        ));
        std::future::pending::<()>().await;
    }
    net.stop().await?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
