//! `magicwave devnet status|logs|down`: works on the files of a network, whoever holds it.
use super::devnet::{StateDir, command};
use crate::devnet::network::child::ProcessId;
use crate::devnet::network::state::{NodeView, State};
use crate::devnet::network::{Binary, Progress, fund, place, progress_of};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The supervisor ends its nodes in this time.
const DOWN_PATIENCE: Duration = Duration::from_secs(20);
/// What is left after it gets this long between SIGTERM and SIGKILL.
const REST_PATIENCE: Duration = Duration::from_secs(3);
/// How often followed logs are looked at.
const FOLLOW: Duration = Duration::from_millis(200);
/// The end of a log that `logs` looks at.
const TAIL_BYTES: u64 = 1 << 20;
/// Exit status of `status` when nothing runs.
const NOT_UP: u8 = 3;

#[derive(clap::Args)]
pub struct DownArgs {
    #[command(flatten)]
    state: StateDir,
    /// Remove what it made, and its directory when nothing else lies in it
    #[arg(long)]
    purge: bool,
}

#[derive(clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    state: StateDir,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct LogsArgs {
    #[command(flatten)]
    state: StateDir,
    /// A node, `ledger` or `web` [default: all]
    node: Option<String>,
    /// Go on until Ctrl-C or the end of the network
    #[arg(short, long)]
    follow: bool,
    /// Lines of each log to begin with
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Ends the network: its supervisor first, then whatever of it is left.
pub fn down(args: DownArgs) -> anyhow::Result<ExitCode> {
    let dir = args.state.path()?;
    let state = State::load(&dir)?;
    let mut out = std::io::stdout();
    let ended = runtime()?.block_on(async {
        let was_up = state.supervisor.is_running();
        if was_up {
            state.supervisor.signal(Signal::SIGTERM, false);
            if !state.supervisor.wait_gone(DOWN_PATIENCE).await {
                state.supervisor.signal(Signal::SIGKILL, false);
                state.supervisor.wait_gone(REST_PATIENCE).await;
            }
        }
        // With the supervisor gone the kernel ends the rest; this is for a kernel that did not.
        let rest: Vec<ProcessId> = state.processes().map(|(_, id)| id).filter(ProcessId::is_running).collect();
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            rest.iter().for_each(|id| id.signal(signal, true));
            for id in &rest {
                id.wait_gone(REST_PATIENCE).await;
            }
        }
        was_up || !rest.is_empty()
    });
    let what = if ended { "ended the devnet" } else { "no devnet ran" };
    writeln!(out, "{what} in {}", dir.display())?;
    if args.purge {
        for kept in place::purge(&dir)? {
            writeln!(out, "kept {}: no devnet made it", dir.join(kept).display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what runs.
pub fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let dir = args.state.path()?;
    let Some(state) = State::find(&dir)? else {
        let mut out = std::io::stdout();
        if args.json {
            writeln!(out, "{}", json!({"state_dir": dir, "up": false, "ready": false, "nodes": []}))?;
        } else {
            writeln!(out, "no devnet in {}; `magicwave devnet up` makes one", dir.display())?;
        }
        return Ok(ExitCode::from(NOT_UP));
    };
    let up = state.supervisor.is_running();
    let progress = progress_of(&state);
    let (ledger, accounts) = runtime()?.block_on(money(&state));
    let mut out = std::io::stdout();
    if args.json {
        let report = report(&dir, &state, up, &progress, ledger, &accounts);
        writeln!(out, "{report}")?;
    } else {
        write!(out, "{}", table(&dir, &state, up, &progress, ledger, &accounts))?;
    }
    Ok(if up { ExitCode::SUCCESS } else { ExitCode::from(NOT_UP) })
}

type Balances = BTreeMap<String, (String, String)>;

/// Last ledger, and (native, asset) of each node's account; nothing of what cannot be asked now.
async fn money(state: &State) -> (Option<u64>, Balances) {
    let mut balances = BTreeMap::new();
    let (Some(ledger), Some(money)) = (&state.ledger, &state.money) else { return (None, balances) };
    if !ledger.process.is_some_and(|p| p.is_running()) {
        return (None, balances);
    }
    for node in &state.nodes {
        let Some(account) = &node.account else { continue };
        if let Ok(Some(held)) = fund::balances(ledger.address, money, account).await {
            balances.insert(node.name.clone(), held);
        }
    }
    (fund::last_ledger(ledger.address).await.ok(), balances)
}

fn report(dir: &Path, state: &State, up: bool, progress: &Progress, last: Option<u64>, held: &Balances) -> Value {
    let nodes = state.nodes.iter().zip(&progress.nodes).map(|(node, p)| {
        let (native, asset) = held.get(&node.name).cloned().unzip();
        json!({
            "name": node.name, "role": node.role, "binary": node.binary, "running": runs(node.process),
            "pid": node.process.map(|p| p.pid), "or_port": node.or_port, "dir_port": node.dir_port,
            "socks_port": node.socks_port, "listen": node.listen, "fingerprint": node.fingerprint,
            "bootstrap": p.bootstrap.percent, "doing": p.bootstrap.doing, "dir": node.dir, "control": node.control,
            "api_socket": node.api_socket, "account": node.account, "native": native, "asset": asset,
        })
    });
    let service = |view: &Option<crate::devnet::network::ServiceView>| {
        view.as_ref()
            .map(|v| json!({"address": v.address, "running": runs(v.process), "pid": v.process.map(|p| p.pid)}))
    };
    json!({
        "state_dir": dir, "up": up, "ready": up && state.ready && progress.is_ready(), "pid": state.supervisor.pid,
        "nodes": nodes.collect::<Vec<_>>(), "ledger": service(&state.ledger), "last_ledger": last,
        "web": service(&state.web), "files": state.files, "money": state.money,
        "listed": progress.listed, "relays": progress.relays,
    })
}

fn runs(process: Option<ProcessId>) -> bool {
    process.is_some_and(|p| p.is_running())
}

fn table(dir: &Path, state: &State, up: bool, progress: &Progress, last: Option<u64>, held: &Balances) -> String {
    let mut text = String::new();
    let word = if up { "up" } else { "not up" };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "devnet in {}: {word}", dir.display());
    // Columns only of what is known.
    let two =
        |asset: &str, native: &str| if held.is_empty() { String::new() } else { format!("  {asset:>16} {native:>16}") };
    let code = state.money.as_ref().map_or("", |m| m.asset_code.as_str());
    let _ = writeln!(
        text,
        "{:<10} {:<10} {:<6} {:>8} {:>6} {:>6} {:>5}{}",
        "node",
        "role",
        "tor",
        "pid",
        "OR",
        "SOCKS",
        "boot",
        two(code, "XLM")
    );
    for (node, p) in state.nodes.iter().zip(&progress.nodes) {
        let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |p| p.to_string());
        let pid = node.process.filter(ProcessId::is_running).map_or_else(|| "gone".into(), |p| p.pid.to_string());
        let (native, asset) = held.get(&node.name).cloned().unwrap_or_default();
        let role = format!("{:?}", node.role).to_lowercase();
        let tor = if node.binary == Binary::Ours { "ours" } else { "stock" };
        let percent = format!("{}%", p.bootstrap.percent);
        let (or, socks) = (port(node.or_port), port(node.socks_port));
        let _ = writeln!(
            text,
            "{:<10} {role:<10} {tor:<6} {pid:>8} {or:>6} {socks:>6} {percent:>5}{}",
            node.name,
            two(&asset, &native)
        );
    }
    for (name, view) in [("ledger", &state.ledger), ("web", &state.web)] {
        let Some(view) = view else { continue };
        let state = if runs(view.process) { "runs" } else { "gone" };
        let extra = last.filter(|_| name == "ledger").map_or_else(String::new, |n| format!(", last ledger {n}"));
        let _ = writeln!(text, "{name:<10} http://{} {state}{extra}", view.address);
    }
    text
}

/// What a person needs to look around in a network that is up.
pub fn summary(state: &State, dir: &Path) -> std::io::Result<String> {
    let progress = progress_of(state);
    let mut text = table(dir, state, true, &progress, None, &Balances::new());
    let socks = state.nodes.iter().find_map(|n| n.socks_port);
    if let (Some(socks), Some(web)) = (socks, &state.web) {
        let _ = writeln!(text, "\ntry:  curl --socks5-hostname 127.0.0.1:{socks} http://{}/", web.address);
    }
    for (what, verb) in [("look:", "status"), ("     ", "logs"), ("end: ", "down")] {
        let _ = writeln!(text, "{what} {}", command(verb, dir)?);
    }
    Ok(text)
}

/// One followed file.
struct Tail {
    name: String,
    path: PathBuf,
    at: u64,
}

impl Tail {
    /// What was added since the last look, whole lines only.
    fn news(&mut self) -> std::io::Result<String> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(String::new()) };
        let length = file.metadata()?.len();
        if length < self.at {
            self.at = 0;
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        bytes.truncate(whole);
        self.at += whole as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn tails(state: &State, wanted: Option<&str>) -> Vec<Tail> {
    let tail = |name: &str, path: PathBuf| {
        let length = std::fs::metadata(&path).map_or(0, |m| m.len());
        Tail { name: name.to_owned(), path, at: length.saturating_sub(TAIL_BYTES) }
    };
    let node = |n: &NodeView| [tail(&n.name, n.log.clone()), tail(&n.name, n.output.clone())];
    let mut all: Vec<_> = state.nodes.iter().flat_map(node).collect();
    all.extend(state.ledger.iter().map(|s| tail("ledger", s.output.clone())));
    let web = |dir: &Path| ["error.log", "access.log", "output.log"].map(|file| tail("web", dir.join(file)));
    all.extend(state.web.iter().flat_map(|s| web(&s.dir)));
    all.retain(|t| wanted.is_none_or(|name| t.name == name));
    all
}

/// Shows logs.
pub fn logs(args: LogsArgs) -> anyhow::Result<ExitCode> {
    let state = State::load(&args.state.path()?)?;
    let mut tails = tails(&state, args.node.as_deref());
    if tails.is_empty() {
        let names: Vec<_> = state.nodes.iter().map(|n| n.name.as_str()).chain(["ledger", "web"]).collect();
        anyhow::bail!("nothing of that name in this devnet; there are {}", names.join(", "));
    }
    let mut out = std::io::stdout();
    let mut keep = args.lines;
    loop {
        for tail in &mut tails {
            let text = tail.news()?;
            let lines: Vec<_> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(keep)..] {
                writeln!(out, "{:<8} {line}", tail.name)?;
            }
        }
        keep = usize::MAX;
        if !args.follow || !state.supervisor.is_running() {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(FOLLOW);
    }
}
