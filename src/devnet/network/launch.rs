//! From a topology to running processes: ports, keys, configuration, start.
use super::child::{ProcessId, Running};
use super::keys::{self, Tools};
use super::run::Options;
use super::state::{NodeView, ServedFile, ServiceView, State, VERSION, io};
use super::topology::{Binary, NodeSpec, Role};
use super::{http, node_config, ports, torrc, web};
use crate::error::{Error, Result};
use futures::future::try_join_all;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A local server opens its port within this time.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// Assigns ports to everything that listens.
pub fn plan(options: &Options) -> Result<State> {
    let topology = &options.topology;
    let mut nodes: Vec<_> = topology.nodes.iter().map(|n| NodeView::planned(n, &options.state_dir)).collect();
    let mut pool = ports::free(nodes.len() * 2 + 2)?.into_iter();
    let mut next = || pool.next().ok_or_else(|| Error::later("MW-NET-3", "too few free ports"));
    for node in &mut nodes {
        if node.role.is_relay() {
            node.or_port = Some(next()?);
        }
        if node.role == Role::Authority {
            node.dir_port = Some(next()?);
        }
        if node.role.has_socks() {
            node.socks_port = Some(next()?);
        }
        if node.role == Role::Site {
            node.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, next()?)));
        }
    }
    let mut service = |wanted: bool, name: &str| -> Result<Option<ServiceView>> {
        if !wanted {
            return Ok(None);
        }
        let dir = options.state_dir.join(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, next()?));
        Ok(Some(ServiceView { process: None, address, output: dir.join("output.log"), dir }))
    };
    let (ledger, web) = (service(topology.ledger, "ledger")?, service(topology.web, "web")?);
    let supervisor =
        ProcessId::of(std::process::id()).ok_or_else(|| Error::never("MW-NET-2", "/proc is not mounted"))?;
    let files = Vec::new();
    Ok(State { version: VERSION, supervisor, ready: false, nodes, ledger, web, files, money: None })
}

/// A directory for every node, readable by nobody else.
pub fn make_directories(state: &State) -> Result<()> {
    for node in &state.nodes {
        for dir in [node.dir.clone(), node.dir.join("data")] {
            fs::create_dir_all(&dir).map_err(|e| io("make", &dir, &e))?;
            only_for_us(&dir)?;
        }
    }
    Ok(())
}

/// Identities of the relays; filled into `state`, and what every torrc says of them.
pub async fn make_keys(tools: &Tools, nodes: &mut [NodeView]) -> Result<torrc::Common> {
    let mut common = torrc::Common::default();
    let authorities: Vec<_> = nodes.iter().filter(|n| n.role == Role::Authority).collect();
    let idents = try_join_all(authorities.iter().map(|n| keys::make_authority(tools, n)));
    let relays: Vec<_> = nodes.iter().filter(|n| n.role.is_relay()).collect();
    let fingerprints = try_join_all(relays.iter().map(|n| keys::make_relay(tools, n)));
    let (idents, fingerprints) = futures::try_join!(idents, fingerprints)?;
    let mut fingerprints = fingerprints.into_iter();
    let mut idents = idents.into_iter();
    for node in nodes.iter_mut().filter(|n| n.role.is_relay()) {
        let Some(fingerprint) = fingerprints.next() else { break };
        node.fingerprint = Some(fingerprint.clone());
        match node.role {
            Role::Authority => {
                let ident = idents.next().unwrap_or_default();
                common.authorities.extend(torrc::authority_line(node, &ident));
                common.authority_fingerprints.push(fingerprint);
            }
            Role::Relay => common.guard_fingerprints.push(fingerprint),
            Role::Exit => common.exit_fingerprints.push(fingerprint),
            _ => {}
        }
    }
    if common.guard_fingerprints.is_empty() {
        common.guard_fingerprints.clone_from(&common.exit_fingerprints);
    }
    Ok(common)
}

/// torrc, gateway.toml and resolv.conf of every node.
pub fn configure(options: &Options, state: &State, common: &torrc::Common) -> Result<()> {
    for (spec, node) in options.topology.nodes.iter().zip(&state.nodes) {
        write(&node.torrc, &torrc::render(spec, node, common))?;
        if let Some(gateway) = &node.gateway {
            let config = node_config::of(spec, node, state)?;
            fs::create_dir_all(&config.state_dir).map_err(|e| io("make", &config.state_dir, &e))?;
            write(gateway, &config.render()?)?;
        }
        if node.role.is_relay() {
            // Exits ask nobody for names: nothing listens there.
            write(&node.dir.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
        }
    }
    Ok(())
}

/// Writes a text file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| io("write", path, &e))
}

fn only_for_us(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(|e| io("change the mode of", dir, &e))
}

/// The program of a node with its arguments.
pub fn node_command(options: &Options, tools: &Tools, spec: &NodeSpec, node: &NodeView) -> Command {
    let mut command = match spec.binary {
        Binary::Stock => Command::new(&tools.tor),
        Binary::Ours => match spec.program.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words);
                command
            }
            None => {
                let mut command = Command::new(&options.magicwave);
                command.arg("tor");
                command
            }
        },
    };
    // First: `magicwave tor` hands everything behind its own options to tor.
    if let Some(gateway) = &node.gateway {
        command.arg("--gateway").arg(gateway);
    }
    command.arg("-f").arg(&node.torrc);
    if spec.binary == Binary::Stock {
        command.args(["--defaults-torrc", "/dev/null", "--hush"]);
    }
    command
}

/// Starts a program with its output going to a file.
pub fn start(mut command: Command, dir: &Path, output: &Path) -> Result<Running> {
    let open = || -> std::io::Result<(File, File)> {
        let file = OpenOptions::new().create(true).append(true).open(output)?;
        Ok((file.try_clone()?, file))
    };
    let (stdout, stderr) = open().map_err(|e| io("open", output, &e))?;
    command.current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    Running::start(command)
}

/// The ledger's program with its arguments.
pub fn ledger_command(options: &Options, ledger: &ServiceView) -> Command {
    let mut command = Command::new(&options.magicwave);
    command.args(["devnet", "ledger", "--listen", &ledger.address.to_string(), "--state"]);
    command.arg(ledger.dir.join("state"));
    command
}

/// The web server's program with its arguments.
pub fn web_command(tools: &Tools, web: &ServiceView) -> Result<Command> {
    let nginx = tools.nginx.as_ref().ok_or_else(|| Error::never("MW-NET-8", "nginx was not looked for"))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&web.dir).arg("-c").arg(web.dir.join("nginx.conf"));
    command.arg("-e").arg(web.dir.join("error.log"));
    Ok(command)
}

/// Starts the web server with its files.
pub async fn start_web(tools: &Tools, web: &mut ServiceView) -> Result<(Running, Vec<ServedFile>)> {
    let dir = web.dir.clone();
    let files = tokio::task::spawn_blocking(move || web::write_files(&dir)).await;
    let files = files.map_err(|e| Error::never("MW-NET-7", e.to_string()))??;
    write(&web.dir.join("nginx.conf"), &web::nginx_conf(&web.dir, web.address))?;
    let mut running = start(web_command(tools, web)?, &web.dir, &web.output)?;
    wait_for_server("web", &mut running, web, "/index.html").await?;
    web.process = Some(running.id());
    Ok((running, files))
}

/// Starts the ledger.
pub async fn start_ledger(options: &Options, ledger: &mut ServiceView) -> Result<Running> {
    fs::create_dir_all(&ledger.dir).map_err(|e| io("make", &ledger.dir, &e))?;
    let mut running = start(ledger_command(options, ledger), &ledger.dir, &ledger.output)?;
    wait_for_server("ledger", &mut running, ledger, "/").await?;
    ledger.process = Some(running.id());
    Ok(running)
}

/// Returns when the server answers; an error when it ends or stays silent.
pub async fn wait_for_server(name: &str, running: &mut Running, view: &ServiceView, path: &str) -> Result<()> {
    let end = Instant::now() + SERVER_PATIENCE;
    loop {
        if let Some(status) = running.ended() {
            let output = last_lines(&view.output);
            let kind = if super::bootstrap::port_taken(&output) { "MW-NET-3" } else { "MW-NET-11" };
            return Err(Error::later(kind, format!("{name} ended with {status}; its last words:\n{output}")));
        }
        match http::get(view.address, path).await {
            Ok((200, _)) => return Ok(()),
            other if Instant::now() > end => {
                let text = format!("{name} at {} does not answer: {other:?}", view.address);
                return Err(Error::later("MW-NET-11", text));
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The end of a log, for an error message.
pub fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// Path of this very program.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::never("MW-NET-2", format!("cannot find this program: {e}")))
}
