//! `magicwave devnet ledger`: the embedded ledger as a server on loopback.
use crate::devnet::ledger::http::{Node, NodeConfig, serve};
use crate::redact::Sensitive;
use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stellar_base::crypto::{decode_secret_seed, encode_secret_seed};
use zeroize::Zeroizing;

/// Run the embedded ledger: Stellar's classic operations with Horizon's paths and JSON.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Directory that keeps the closed ledgers (created if missing).
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Names the network.
    #[arg(long, default_value = "Standalone Network ; February 2017")]
    pub passphrase: String,
    /// Milliseconds between closes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub close_ms: u64,
    /// File with the secret seed (S…) of the account that holds everything at the beginning. A missing file is
    /// written, with mode 0600, with the seed that every standalone network of this passphrase has.
    #[arg(long, value_name = "FILE")]
    pub root_seed_file: Option<PathBuf>,
}

fn seed_of(secret: &str) -> anyhow::Result<[u8; 32]> {
    let seed = decode_secret_seed(secret.trim());
    let seed = seed.map_err(|_| anyhow::anyhow!("it holds no secret seed (S and 55 more characters)"))?;
    seed.try_into().map_err(|_| anyhow::anyhow!("it holds no ed25519 seed"))
}

fn root_seed(path: &Path, passphrase: &str) -> anyhow::Result<[u8; 32]> {
    match std::fs::read_to_string(path) {
        Ok(text) => seed_of(&Zeroizing::new(text)).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            use std::os::unix::fs::OpenOptionsExt;
            let seed = crate::devnet::ledger::network_id(passphrase);
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{}", Zeroizing::new(encode_secret_seed(&seed)).as_str())?;
            file.sync_all()?;
            Ok(seed)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

async fn stopped() -> std::io::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = term.recv() => Ok(()),
    }
}

/// Serves until interrupted. Prints `ledger listening on ADDRESS:PORT` when it is ready.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !args.listen.ip().is_loopback() {
        bail!("the ledger listens on loopback only (127.0.0.1 or [::1]), not on {}", args.listen.ip());
    }
    std::fs::create_dir_all(&args.state).with_context(|| format!("cannot create {}", args.state.display()))?;
    let mut config = NodeConfig::new(args.passphrase.clone());
    config.close_every = Duration::from_millis(args.close_ms);
    if let Some(path) = &args.root_seed_file {
        config.root_seed = Some(Sensitive(root_seed(path, &args.passphrase)?));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let node = Node::open(&args.state, config).with_context(|| args.state.display().to_string())?;
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        println!("ledger listening on {}", listener.local_addr()?);
        std::io::stdout().flush()?;
        tokio::select! {
            ended = serve(listener, node) => ended.map_err(anyhow::Error::from),
            signal = stopped() => signal.map_err(anyhow::Error::from),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
