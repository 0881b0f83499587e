//! `magicwave devnet up`: holds a network until it is told to end.
use super::devnet::StateDir;
use super::devnet_look::summary;
use crate::devnet::network::child::ProcessId;
use crate::devnet::network::state::State;
use crate::devnet::network::{Devnet, Options, Progress, Topology};
use anyhow::{Context, bail};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often a network that is up is looked at.
const WATCH: Duration = Duration::from_millis(500);
/// Lines of progress, when they are not drawn over each other, come no faster.
const LINE_PAUSE: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    state: StateDir,
    /// Return when the network is up, and leave it running
    #[arg(long)]
    detach: bool,
    /// Nobody asks for money: no ledger, no site
    #[arg(long)]
    free: bool,
    /// The distribution's tor for every node, and no money
    #[arg(long)]
    stock: bool,
    /// The process behind --detach
    #[arg(long, hide = true)]
    supervise: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = args.state.path()?;
    if args.detach {
        return detach(&dir, &args);
    }
    if args.supervise {
        // A session of its own: the terminal that started it may close.
        nix::unistd::setsid().context("cannot leave the terminal's session")?;
    }
    let mut options = Options::new(&dir)?;
    options.topology = match (args.stock, args.free) {
        (true, _) => Topology::default().all_stock(),
        (_, true) => Topology::default().without_money(),
        _ => Topology::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(hold(options, args.supervise))
}

async fn hold(options: Options, supervised: bool) -> anyhow::Result<ExitCode> {
    let dir = options.state_dir.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut told =
        async || tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => (), _ = hangup.recv() => () };
    note(&format!("a devnet in {}\n", dir.display()));
    let mut board = Board::new();
    let up = async {
        let mut net = Devnet::start_telling(options, |what| note(&format!("  {what}\n"))).await?;
        net.wait_ready(|progress| board.show(progress)).await?;
        anyhow::Ok(net)
    };
    let mut net = tokio::select! {
        net = up => net?,
        // Dropping a network that is half up kills what there is of it.
        () = told() => return Ok(ExitCode::from(130)),
    };
    if !supervised {
        let mut out = std::io::stdout();
        write!(out, "{}", summary(net.state(), &dir)?)?;
        writeln!(out, "\nCtrl-C ends it.")?;
    }
    let mut broken = None;
    loop {
        tokio::select! {
            () = told() => break,
            () = tokio::time::sleep(WATCH) => {}
        }
        let now = net.check_alive().err().map(|e| e.to_string());
        if let (Some(text), true) = (&now, now != broken) {
            log(&dir, text);
            if !supervised {
                note(&format!("{text}\n"));
            }
        }
        broken = now;
    }
    if !supervised {
        note("ending the network\n");
    }
    net.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the same program in the background and waits until its network is up.
fn detach(dir: &Path, args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["devnet", "up", "--supervise", "--state"]).arg(dir);
    command.args(args.stock.then_some("--stock")).args(args.free.then_some("--free"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the process that holds the network")?;
    let id = ProcessId::of(child.id());
    let errors = child.stderr.take().context("no pipe to the process that holds the network")?;
    // Ends with the pipe, or with this program.
    let relay = std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            note(&format!("{line}\n"));
        }
    });
    loop {
        if let Some(status) = child.try_wait()? {
            // Its last words first.
            let _ = relay.join();
            bail!("the network did not come up ({status})");
        }
        match State::load(dir) {
            Ok(state) if state.ready && Some(state.supervisor) == id => {
                write!(std::io::stdout(), "{}", summary(&state, dir)?)?;
                return Ok(ExitCode::SUCCESS);
            }
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// To standard error. Whoever reads it may have gone; the network goes on.
pub(super) fn note(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// To `up.log` of the network, for whoever looks later.
fn log(dir: &Path, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(dir.join("up.log"));
    let _ = file.and_then(|mut f| writeln!(f, "{text}"));
}

/// The bootstrap of every node on standard error: drawn in place on a terminal, else a line a second.
pub(super) struct Board {
    terminal: bool,
    drawn: usize,
    last: Option<Instant>,
}

impl Board {
    pub(super) fn new() -> Self {
        Board { terminal: std::io::stderr().is_terminal(), drawn: 0, last: None }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let text = if self.terminal { self.picture(progress) } else { self.line(progress) };
        note(&text);
    }

    fn picture(&mut self, progress: &Progress) -> String {
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A", self.drawn);
        }
        for node in &progress.nodes {
            let percent = usize::from(node.bootstrap.percent.min(100));
            let bar = "█".repeat(percent / 5) + &"·".repeat(20 - percent / 5);
            let doing: String = node.bootstrap.doing.chars().take(40).collect();
            text += &format!("\r\x1b[K  {:<10} {bar} {percent:>3} %  {doing}\n", node.name);
        }
        let (listed, relays, seconds) = (progress.listed, progress.relays, progress.seconds);
        text += &format!("\r\x1b[K  relays in the clients' consensus: {listed} of {relays}; {seconds:.1} s\n");
        self.drawn = progress.nodes.len() + 1;
        text
    }

    fn line(&mut self, progress: &Progress) -> String {
        if !progress.is_ready() && self.last.is_some_and(|last| last.elapsed() < LINE_PAUSE) {
            return String::new();
        }
        self.last = Some(Instant::now());
        let nodes = progress.nodes.iter().map(|n| format!("{} {}%", n.name, n.bootstrap.percent));
        let (listed, relays, seconds) = (progress.listed, progress.relays, progress.seconds);
        format!("{seconds:6.1} s  {}  listed {listed}/{relays}\n", nodes.collect::<Vec<_>>().join("  "))
    }
}
