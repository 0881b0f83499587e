//! What all verbs of the wallet share: which files, which ledger, which passphrase.
use crate::api::client::call;
use crate::api::state::NodeState;
use crate::config::{GatewayConfig, Ledger, LedgerRoute, Role, Wallet as WalletConfig, read_plain};
use crate::error::{Error, Result};
use crate::stellar::horizon::LoopbackAddr;
use crate::stellar::keys::ACCOUNTS;
use crate::wallet::ledger::{Purse, Reach};
use crate::wallet::passphrase::{Passphrase, file_of};
use crate::wallet::secret::Secret;
use crate::wallet::{self, Wallet};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use serde::Deserialize;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// For the daemon to say where its SOCKS port is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a wallet lies and how it is opened.
#[derive(clap::Args, Debug)]
pub struct Files {
    /// The node's configuration (gateway.toml), or a file with its [wallet] and [ledger] alone
    #[arg(long, value_name = "FILE")]
    pub gateway: Option<PathBuf>,
    /// The wallet's file [default: seed_file of --gateway]
    #[arg(long, value_name = "FILE")]
    pub seed_file: Option<PathBuf>,
    /// A file with the passphrase on its first line [default: MAGICWAVE_PASSPHRASE_FILE, then passphrase_file of
    /// --gateway, then the terminal]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Which of the wallet's accounts.
#[derive(clap::Args, Debug)]
pub struct Which {
    /// Number of the wallet's account: partners that should not know of each other see different ones
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(..i64::from(ACCOUNTS)))]
    pub account: Option<u8>,
}

impl Which {
    /// The number; the first account when none is named.
    pub fn number(&self) -> u8 {
        self.account.unwrap_or(0)
    }
}

/// The same with a ledger.
#[derive(clap::Args, Debug)]
pub struct Network {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub which: Which,
    /// tor's SOCKS port, when the ledger is reached through tor [default: that of the running daemon]
    #[arg(long, value_name = "ADDR")]
    pub socks: Option<SocketAddr>,
}

/// A configuration file as far as a wallet needs it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(skip)]
    role: Option<Role>,
    wallet: WalletConfig,
    ledger: Ledger,
    api_socket: Option<PathBuf>,
}

impl Settings {
    /// A node's whole file is checked as the node would; one without a `role` has [wallet] and [ledger] alone.
    fn load(path: &Path) -> Result<Self> {
        let unreadable = |why: String| Error::never("MW-CONF-1", format!("cannot read {}: {why}", path.display()));
        let text = read_plain(path).map_err(|error| unreadable(error.to_string()))?;
        let form = |error: toml::de::Error| {
            Error::never("MW-CONF-2", format!("{}: {}", path.display(), error.to_string().trim_end()))
        };
        if toml::from_str::<toml::Table>(&text).map_err(form)?.contains_key("role") {
            let GatewayConfig { role, wallet, ledger, api_socket, .. } = GatewayConfig::load(path)?;
            return Ok(Settings { role: Some(role), wallet, ledger, api_socket: Some(api_socket) });
        }
        let settings: Settings = toml::from_str(&text).map_err(form)?;
        settings.ledger.route()?;
        settings.ledger.asset()?;
        Ok(settings)
    }
}

impl Files {
    fn settings(&self) -> Result<Option<Settings>> {
        self.gateway.as_deref().map(Settings::load).transpose()
    }

    /// The configured ledger. `MW-WALLET-40`: none is named.
    pub fn ledger(&self) -> Result<Ledger> {
        self.settings()?.map(|settings| settings.ledger).ok_or_else(no_gateway)
    }

    /// How many accounts of the wallet the configured node's partners may get to see.
    pub fn accounts(&self) -> Result<u8> {
        Ok(self.settings()?.map_or(1, |settings| settings.wallet.accounts(settings.role.unwrap_or(Role::Client))))
    }

    /// The socket of the configured daemon, when there is one.
    pub fn api_socket(&self) -> Result<Option<PathBuf>> {
        Ok(self.settings()?.and_then(|settings| settings.api_socket))
    }

    /// The wallet's file. `MW-WALLET-40`: none is named.
    pub fn path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.seed_file {
            return Ok(path.clone());
        }
        let text = "Name the wallet's file with --seed-file, or the node's configuration with --gateway.";
        let settings = self.settings()?.ok_or_else(|| Error::never("MW-WALLET-40", text))?;
        Ok(settings.wallet.seed_file)
    }

    fn passphrase_path(&self) -> Result<Option<PathBuf>> {
        let configured = self.settings()?.and_then(|settings| settings.wallet.passphrase_file);
        Ok(file_of(self.passphrase_file.as_deref(), configured.as_deref()))
    }

    /// The secret, after the passphrase when the file has one.
    pub fn secret(&self) -> Result<Secret> {
        let path = self.path()?;
        if !wallet::is_sealed(&path)? {
            return wallet::read(&path, None);
        }
        let passphrase = match self.passphrase_path()? {
            Some(file) => Passphrase::read(&file)?,
            None => Passphrase::new(ask_hidden("Passphrase: ")?)?,
        };
        wallet::read(&path, Some(&passphrase))
    }

    /// A passphrase for a new file: from its file, or typed twice. `MW-WALLET-12`: too short, or not the same twice.
    pub fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(file) = self.passphrase_path()? {
            return Passphrase::read(&file)?.check_new();
        }
        let first = Passphrase::new(ask_hidden("New passphrase: ")?)?.check_new()?;
        if first == Passphrase::new(ask_hidden("The same again: ")?)? {
            return Ok(first);
        }
        Err(Error::never("MW-WALLET-12", "The two passphrases are not the same; nothing was written."))
    }
}

impl Network {
    /// The wallet and its ledger, reached as the node reaches it.
    pub async fn purse(&self) -> Result<Purse> {
        let settings = self.files.settings()?.ok_or_else(no_gateway)?;
        let asset = settings.ledger.asset()?;
        let reach = match settings.ledger.route()? {
            LedgerRoute::Loopback(address) => Reach::Loopback(LoopbackAddr::try_from(address)?),
            LedgerRoute::Tor(base) => {
                let socks = match self.socks {
                    Some(socks) => socks,
                    None => socks_of(settings.api_socket.as_deref()).await?,
                };
                Reach::Tor { socks: LoopbackAddr::try_from(socks)?, base }
            }
        };
        let wallet = Wallet::of(&self.files.secret()?).numbered(self.which.number())?;
        Purse::new(wallet, settings.ledger.passphrase, asset, reach)
    }
}

/// The SOCKS port of the running daemon. `MW-WALLET-20`: it is not running, or has none.
async fn socks_of(api: Option<&Path>) -> Result<SocketAddr> {
    let none = |why: &str| {
        let end = if why.ends_with(['.', '?', '!']) { "" } else { "." };
        let text = format!(
            "The ledger is reached through tor only, and where its SOCKS port is cannot be told: {why}{end} Start the \
             node's daemon, or name tor's SOCKS port with --socks."
        );
        Error::later("MW-WALLET-20", text)
    };
    let api = api.ok_or_else(|| none("no daemon is named"))?;
    // Not /api/status, which grows with every link.
    let state: NodeState = call(api, "/api/state", None, PATIENCE).await.map_err(|error| none(&error.text))?;
    let socks = state.socks.and_then(|socks| socks.parse().ok());
    socks.ok_or_else(|| none("the daemon has no SOCKS port"))
}

fn no_gateway() -> Error {
    Error::never("MW-WALLET-40", "Name the node's configuration with --gateway: it says which ledger and which asset.")
}

/// What is typed without echo. `MW-WALLET-13`: there is no terminal.
fn ask_hidden(prompt: &str) -> Result<Zeroizing<String>> {
    let none = || {
        let text = "There is no terminal to ask for the passphrase on. Name a file with it: --passphrase-file.";
        Error::never("MW-WALLET-13", text)
    };
    if !std::io::stderr().is_terminal() {
        return Err(none());
    }
    echo_comes_back().map_err(|_| none())?;
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => Error::never("MW-WALLET-13", "Interrupted; nothing was done."),
        _ => none(),
    })
}

/// From now on a signal that ends the program first leaves the terminal as it is now: what asks without echo could not
/// put it back. A Ctrl-C on the terminal is none while it asks.
fn echo_comes_back() -> std::io::Result<()> {
    static WATCHED: OnceLock<()> = OnceLock::new();
    if WATCHED.get().is_some() {
        return Ok(());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind)
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    std::thread::spawn(move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hang_up.recv() => SignalKind::hangup(),
            }
        });
        let _ = tcsetattr(&terminal, SetArg::TCSANOW, &before);
        eprintln!();
        // As a shell tells of a program that a signal ended.
        std::process::exit(128 + kind.as_raw_value());
    });
    let _ = WATCHED.set(());
    Ok(())
}

/// A question that wants `yes`. `MW-WALLET-30`: there is no terminal, or the answer is another.
pub fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let text = "Nobody can be asked without a terminal; nothing was sent. Add --yes to send without a question.";
        return Err(Error::never("MW-WALLET-30", text));
    }
    let mut answer = String::new();
    eprint!("{question} Type yes to go on: ");
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    Err(Error::never("MW-WALLET-30", "Not confirmed; nothing was sent."))
}

/// Where words go.
pub enum Words<'a> {
    /// The owner's screen.
    Screen,
    /// A new file.
    File(&'a Path),
}

impl<'a> Words<'a> {
    /// `MW-WALLET-15`: neither a terminal nor a file.
    pub fn place(file: Option<&'a Path>, json: bool) -> Result<Self> {
        match file {
            Some(path) => Ok(Words::File(path)),
            None if std::io::stdout().is_terminal() && !json => Ok(Words::Screen),
            None => {
                let text = "The words are shown on a terminal only, never in a pipe, a log or JSON. Run this on a \
                            terminal, or name a new file for them with --words-file.";
                Err(Error::never("MW-WALLET-15", text))
            }
        }
    }
}

/// The secret for the owner's screen.
pub fn on_screen(secret: &Secret) -> Zeroizing<String> {
    use std::fmt::Write;
    let mut text = Zeroizing::new(String::with_capacity(1_024));
    match secret {
        Secret::Seed(seed) => {
            let _ = writeln!(*text, "  {}", *seed.expose());
        }
        Secret::Phrase(phrase) => {
            for (at, word) in phrase.words().enumerate() {
                let end = if at % 4 == 3 { "\n" } else { "" };
                let _ = write!(*text, "{:4}. {word:<10}{end}", at + 1);
            }
        }
    }
    text
}
