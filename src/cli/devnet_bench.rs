//! `magicwave devnet bench`: figures of a paid network of ours beside an unpatched one.
use crate::devnet::bench::arms::World;
use crate::devnet::bench::figure::table;
use crate::devnet::bench::payments;
use crate::devnet::bench::tor::{self, Outcome, Plan};
use anyhow::{Context, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// Measure a paid network of ours beside an unpatched one on this machine.
///
/// All networks are up at the same time, one is loaded at a time. Exit status 1 when a figure had to be withheld.
#[derive(clap::Args)]
pub struct Args {
    /// What is measured
    #[arg(value_enum)]
    name: Name,
    /// One JSON object a line on standard output; progress goes to standard error either way
    #[arg(long)]
    json: bool,
    /// Fewer rounds, below 3 minutes instead of 10
    #[arg(long)]
    quick: bool,
    /// For `tor`: a tor of upstream's sources, built as ours is; `scripts/bench` builds and names it
    #[arg(long, value_name = "PROGRAM", required_if_eq("name", "tor"))]
    pristine: Option<PathBuf>,
    /// Directory of the networks or stores; removed at the end unless something failed [default: magicwave-bench-UID in the
    /// temporary directory]
    #[arg(long = "state", value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Traffic over tor: throughput, time to first byte, what payments add
    Tor,
    /// Payments alone: claims, chains, bytes, and how they grow with the links of a node
    Payments,
}

/// Runs the verb.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let default = || std::env::temp_dir().join(format!("magicwave-bench-{}", nix::unistd::geteuid()));
    let dir = std::path::absolute(args.state.clone().unwrap_or_else(default))?;
    if matches!(args.name, Name::Payments) {
        return payments(&args, &dir);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            done = bench(&args, &dir) => done,
            // Dropping the networks kills every process of them.
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
            _ = terminate.recv() => Ok(ExitCode::from(143)),
        }
    })
}

/// No processes and no sockets: what is started ends with this one.
fn payments(args: &Args, dir: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let load = load();
    let plan = if args.quick { payments::Plan::quick() } else { payments::Plan::full() };
    let dir = dir.join("payments");
    std::fs::create_dir_all(&dir)?;
    let tell = |text: &str| note(&format!("{:6.1} s  {text}\n", start.elapsed().as_secs_f64()));
    let mut figures = payments::run(&plan, &dir, &tell)?;
    for figure in &mut figures {
        let short = if args.quick { "; --quick: shorter, and the growth ends at 10^4 links" } else { "" };
        figure.setup = format!("{}; {}{short}", machine(&load), figure.setup);
    }
    std::fs::remove_dir_all(&dir)?;
    if let Some(parent) = dir.parent() {
        let _ = std::fs::remove_dir(parent); // fails when something else lies in it, and that is right
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        for figure in &figures {
            writeln!(out, "{}", serde_json::to_string(figure)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", table(&figures))?;
    for figure in &figures {
        writeln!(out, "\n{}: {}", figure.measure, figure.setup)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn bench(args: &Args, dir: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let tell = |text: &str| note(&format!("{:6.1} s  {text}\n", start.elapsed().as_secs_f64()));
    let load = load();
    tell(&format!("starting three networks in {}", dir.display()));
    // The nodes run in directories of their own.
    let pristine = std::path::absolute(args.pristine.as_deref().unwrap_or(Path::new("")))?;
    if !pristine.is_file() {
        bail!("{}: no such program; scripts/bench builds one", pristine.display());
    }
    let work = async {
        let mut world = World::start(dir, &pristine).await?;
        tell("all are up");
        let outcome = tor::run(&world, plan, start, &tell).await?;
        world.check_alive()?;
        let version = world.stock.tor_version().unwrap_or_else(|| "of unknown version".into());
        world.stop().await?;
        anyhow::Ok((outcome, version))
    };
    let (mut outcome, version) = tokio::time::timeout(plan.end, work)
        .await
        .with_context(|| format!("not done after {:?}; the machine is too busy to measure on", plan.end))??;
    for figure in &mut outcome.figures {
        figure.baseline = format!("tor {version} (the distribution's), same topology, no money");
        figure.setup = setup(&load);
    }
    print(args, &outcome)?;
    if outcome.withheld.is_empty() {
        // They were cleared when they were started: nothing here is anybody else's.
        for name in World::DIRS {
            std::fs::remove_dir_all(dir.join(name))?;
        }
        // Fails when something else lies in it, and that is right.
        let _ = std::fs::remove_dir(dir);
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!("figures were withheld; the networks' logs lie in {}\n", dir.display()));
    Ok(ExitCode::FAILURE)
}

fn print(args: &Args, outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        for figure in &outcome.figures {
            writeln!(out, "{}", serde_json::to_string(figure)?)?;
        }
        return Ok(());
    }
    write!(out, "{}", table(&outcome.figures))?;
    if let Some(figure) = outcome.figures.first() {
        writeln!(out, "\nbaseline: {}\nsetup: {}", figure.baseline, figure.setup)?;
    }
    for (section, why) in &outcome.withheld {
        writeln!(out, "no figures of `{section}`: {why}")?;
    }
    Ok(())
}

/// What a reader must know to repeat it.
fn setup(load: &str) -> String {
    format!(
        "{}, tor's C at -O2; three networks on the loopback of 3 \
         authorities, 2 guards, 2 exits, a middle and a client each, all up, one loaded at a time; the paid one also \
         has a site, a ledger and payments at every hop; over_pristine: upstream's sources with our flags; \
         ConfluxEnabled 0 in all clients, paths of all clients avoid the middle that is unpatched in ours; order \
         mirrored every second round; A/A is the same unpatched network measured twice a round over different \
         circuits; one stream: a fresh circuit a run, 1 MiB warm-up, then 20 MiB; 8 streams of 8 MiB on 8 warmed \
         circuits; first byte: from SOCKS connect, medians of blocks of a fresh warmed circuit each; processor time \
         of the tor nodes less their time at rest; payment bytes over body bytes of the timed runs; memory: growth \
         of all relays together, each circuit crosses three",
        machine(load)
    )
}

/// The machine, its load before the start, and the build.
fn machine(load: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "unoptimised Rust" } else { "optimised Rust" };
    format!("{cores} cores, load {load} before the start; {build}")
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// To standard error. Whoever reads it may have gone; the measurement goes on.
fn note(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
