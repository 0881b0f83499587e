//! Configuration of a node's payments: `magicwave tor --gateway FILE`, one TOML file, resolved once.
//!
//! Unknown keys are refused. Amounts are stroops of the payment asset unless a key says native. Errors: `MW-CONF-1`
//! cannot be read, `-2` not this form, `-3` a value that cannot be meant, `-4` a ledger that would be reached past tor,
//! `-5` `--gateway` without the name of a file, `-6` a database that is not on this machine.
mod check;
mod database;

use crate::error::{Error, Result};
use crate::gateway::core::locks::Locks;
use crate::gateway::core::policy::Mode;
use crate::stellar::asset::Asset;
use crate::stellar::keys::parse_account_id;
use crate::stellar::network::{NetworkId, PUBLIC};
use crate::units::{Price, Stroops};
use check::require;
pub use database::{Database, DatabaseHost, DatabaseRoute};
use serde::{Deserialize, Serialize};
use std::io::{Error as IoError, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Longest configuration file that is read.
const MAX_FILE: u64 = 64 << 10;
/// `sun_path` of a unix socket.
const MAX_SOCKET: usize = 107;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// What the node is in payments.
    pub role: Role,
    /// Everything durable lies here (SQLite, logs of money). Absolute.
    pub state_dir: PathBuf,
    /// Unix socket of the local API. Absolute.
    pub api_socket: PathBuf,
    /// The local API also at this port of the loopback, for browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_listen: Option<SocketAddr>,
    /// Pages in browsers that may ask at `api_listen`, as their `Origin`: `chrome-extension://ID`. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_origins: Vec<String>,
    /// `[database]`: the books lie on a PostgreSQL server instead of in `state_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// `[wallet]`
    pub wallet: Wallet,
    /// `[ledger]`
    pub ledger: Ledger,
    /// `[offer]`: what a relay or a site sells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// `[pay]`: how a client pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pay: Option<Pay>,
    /// `[links]`: escrows between payer and payee.
    #[serde(default)]
    pub links: Links,
    /// `[policy]`: what unpaid circuits get at a relay.
    #[serde(default)]
    pub policy: Policy,
    /// `[site]`: the web server that a site stands before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
}

/// What a node is in payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Carries cells and is paid for it.
    Relay,
    /// Uses circuits and pays for it.
    Client,
    /// Stands before a web server and is paid through all three hops.
    Site,
}

/// Keys of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wallet {
    /// File of `magicwave wallet init`, or with one line, the secret seed `S…`; mode 0600. Absolute.
    pub seed_file: PathBuf,
    /// File with the passphrase of an encrypted seed file on its first line; mode 0600. Absolute.
    /// `MAGICWAVE_PASSPHRASE_FILE` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// How many of the wallet's accounts partners may get to see, 1 to 16: each guard of a client, and each relay that
    /// pays a site, sees one of its own while there is one that holds enough. A relay has one.
    /// [default: 3, of a relay 1]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<u8>,
}

impl Wallet {
    /// How many accounts this wallet has in such a node.
    pub fn accounts(&self, role: Role) -> u8 {
        self.accounts.unwrap_or(if role == Role::Relay { 1 } else { 3 })
    }
}

/// Which ledger and which asset. Exactly one of `horizon` and `loopback_for_tests` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Address of a Horizon server, always reached through this node's own tor: `https://…`, or `http://` to an onion
    /// address. On a network of our own also `http://127.0.0.1:PORT`, which is then the exit's loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon: Option<String>,
    /// A second Horizon server, of somebody else, of the same form: escrows and landed transactions count only when
    /// both show them. Wanted on the public network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// The one exception: a test ledger on this machine's loopback, reached directly. Refused on the public network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loopback_for_tests: Option<SocketAddr>,
    /// Network passphrase.
    pub passphrase: String,
    /// Code of the payment asset, 1 to 12 letters and digits.
    pub asset_code: String,
    /// Account that issued it, `G…`.
    pub asset_issuer: String,
}

/// How a ledger is reached. There is no value of this type for a direct connection that leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerRoute {
    /// Through our own tor, on streams isolated per account: the base URL without a trailing slash.
    Tor(String),
    /// Directly, on the loopback.
    Loopback(SocketAddr),
}

/// What a payee sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Stroops per MiB; a power of two from 1 to 2^32, so that an amount is no fingerprint of a payee. There is no
    /// price of 0: who carries for nothing runs without payments.
    pub price: Price,
    /// Stroops kept of each chain payment that is passed on; 0 or a power of two up to 2^32.
    pub fee: Stroops,
    /// Bytes served before the first payment.
    pub credit_bytes: u32,
    /// Bytes that a payer is asked to stay ahead.
    pub ahead_bytes: u32,
    /// How long a quote holds, seconds: 60 to 86400.
    pub quote_secs: u32,
}

/// How a payer pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    /// The most bytes paid ahead at one hop of a circuit. A circuit begins with what the offer suggests; the window
    /// grows with what was paid on it and with rate times payment latency.
    pub ahead_bytes: u32,
    /// Dearest offer that is taken, stroops per MiB, for each hop.
    pub max_price: Price,
    /// Highest forwarding fee that is taken.
    pub max_fee: Stroops,
    /// Budget per day for everything.
    pub day: Stroops,
    /// Budget per day and site.
    pub site: Stroops,
    /// Which payments go under locks, so that a payment that fails costs nothing: `always`, `large` (those above what a
    /// plain one may cost: a first increment of 2 MiB at a hop) or `never`.
    #[serde(default)]
    pub locks: Locks,
    /// What happens to payments inside these limits.
    #[serde(default)]
    pub mode: Mode,
    /// This wallet pays for whoever reaches a SOCKS port (or HTTPTunnelPort, TransPort, NATDPort) of its tor over TCP:
    /// all users of the machine, and other machines where the port is open to them. Else only connections of programs
    /// of the node's own user and of root are taken there. A unix socket is guarded by its file's mode either way.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared_socks: bool,
    /// `[pay.tor]`: what differs for relays of circuits.
    #[serde(default, skip_serializing_if = "KindPay::is_default")]
    pub tor: KindPay,
    /// `[pay.ipfs]`: what differs for IPFS providers.
    #[serde(default, skip_serializing_if = "KindPay::is_default")]
    pub ipfs: KindPay,
    /// `[pay.http]`: what differs for web services.
    #[serde(default, skip_serializing_if = "KindPay::is_default")]
    pub http: KindPay,
    /// `[[pay.rule]]`: what differs for one site; at most `RULES_MAX` with those of the kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<SitePay>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What differs for one kind of service; what is not said is as in `[pay]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindPay {
    /// Budget per day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Stroops>,
    /// Dearest offer that is taken, stroops per MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Price>,
    /// What happens to payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// What differs for one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SitePay {
    /// `host[:port]` in lower case; the port only when it is not 80.
    pub site: String,
    /// What happens to payments.
    pub mode: Mode,
    /// Budget per day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Stroops>,
}

/// Escrows of links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Deposit of an escrow that this node opens.
    pub deposit: Stroops,
    /// Sum of the deposits that are out at a time.
    pub liquidity: Stroops,
    /// Observation period O of an escrow, seconds: the payee flushes before it is over.
    pub period_secs: u32,
    /// Seconds between flushes of a link to the ledger; up to as many again are added at random.
    pub flush_secs: u32,
    /// Dearest transaction, native stroops.
    pub max_ledger_fee: u32,
    /// Flushed amounts are multiples of this, so that an amount on the ledger tells little; 1 = exact.
    pub denomination: Stroops,
    /// Seconds by which a claim under a lock outlives the one that is signed onwards for it: a node has so long to
    /// bring in what it paid. 2 to 3600; a client's locks last up to seven times as long.
    pub lock_secs: u16,
}

impl Default for Links {
    /// For the public network.
    fn default() -> Self {
        let units = |n: u64| Stroops::new(n * 10_000_000).unwrap_or(Stroops::MAX);
        Links {
            deposit: units(10),
            liquidity: units(500),
            period_secs: 7 * 86_400,
            flush_secs: 6 * 3_600,
            max_ledger_fee: 100_000,
            denomination: Stroops::new(100_000).unwrap_or(Stroops::ZERO),
            lock_secs: 600,
        }
    }
}

/// What circuits get whose origin never said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockClients {
    /// What the paid ones leave over; never stopped.
    BestEffort,
    /// They are unpaid.
    PaidOnly,
}

/// What unpaid circuits get. Cells are relay cells of 514 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// See [`StockClients`].
    pub stock_clients: StockClients,
    /// Free window of a circuit; behind a guard at most 127 (64 KiB).
    pub free_cells: u32,
    /// Guard: free cells outstanding per client address.
    pub free_cells_address: u32,
    /// Behind a guard: free cells outstanding per upstream relay.
    pub free_cells_channel: u32,
    /// One free cell returns to a pool each so many milliseconds.
    pub free_refill_ms: u32,
    /// What every circuit gets although its pool is empty, so that it can still agree on a payment.
    pub base_cells: u32,
    /// Bytes per second of a circuit that used up its window.
    pub trickle_bytes: u32,
    /// From trickle to stopped, milliseconds.
    pub grace_ms: u32,
    /// Cells held per circuit.
    pub max_held_cells: u32,
    /// Cells held in all.
    pub max_held_total: u32,
}

impl Default for Policy {
    /// For the public network.
    fn default() -> Self {
        Policy {
            stock_clients: StockClients::BestEffort,
            free_cells: 127,
            free_cells_address: 2_048,
            free_cells_channel: 8_192,
            free_refill_ms: 64,
            base_cells: 32,
            trickle_bytes: 8_192,
            grace_ms: 30_000,
            max_held_cells: 2_000,
            max_held_total: 65_536,
        }
    }
}

/// The web server that a site stands before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Where visitors' requests arrive; the loopback unless the site has a certificate of its own before it.
    pub listen: SocketAddr,
    /// The web server itself; on the loopback, since nothing may pass by outside tor.
    pub upstream: SocketAddr,
    /// Path prefixes that cost what `[offer]` says per MiB of response; all others are free. At most 256, without dot
    /// segments, `\\` and `%2f`.
    pub paid_paths: Vec<String>,
}

impl GatewayConfig {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self> {
        let unreadable = |why: String| Error::never("MW-CONF-1", format!("cannot read {}: {why}", path.display()));
        let text = read_plain(path).map_err(|e| unreadable(e.to_string()))?;
        Self::parse(&text).map_err(|e| Error { text: format!("{}: {}", path.display(), e.text), ..e })
    }

    /// Reads and checks the text of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|e| Error::never("MW-CONF-2", e.to_string().trim_end()))?;
        config.check()?;
        Ok(config)
    }

    /// The text of a file that `parse` reads back.
    pub fn render(&self) -> Result<String> {
        self.check()?;
        toml::to_string(self).map_err(|e| Error::never("MW-CONF-2", e.to_string()))
    }

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<()> {
        for (key, path) in
            [("state_dir", &self.state_dir), ("api_socket", &self.api_socket), ("seed_file", &self.wallet.seed_file)]
        {
            require(path.is_absolute(), || format!("{key} = {path:?} is not an absolute path"))?;
        }
        let passphrase = self.wallet.passphrase_file.as_ref().filter(|path| !path.is_absolute());
        require(passphrase.is_none(), || format!("passphrase_file = {passphrase:?} is not an absolute path"))?;
        check::accounts(self.role, self.wallet.accounts)?;
        let socket = self.api_socket.as_os_str().len();
        require(socket <= MAX_SOCKET, || {
            format!("api_socket is {socket} bytes long; a unix socket takes {MAX_SOCKET}")
        })?;
        check::api(self.api_listen, &self.api_origins)?;
        self.database.as_ref().map_or(Ok(()), Database::check)?;
        self.ledger.route()?;
        self.ledger.witness_route()?;
        self.ledger.asset()?;
        let sells = self.role != Role::Client;
        require(sells == self.offer.is_some(), || "a relay and a site have an [offer], a client has none".into())?;
        let pays = self.role == Role::Client;
        require(pays == self.pay.is_some(), || "a client has [pay], a relay and a site have none".into())?;
        require((self.role == Role::Site) == self.site.is_some(), || "a site, and only a site, has [site]".into())?;
        self.offer.as_ref().map_or(Ok(()), |offer| offer.check(self))?;
        self.pay.as_ref().map_or(Ok(()), Pay::check)?;
        if let Some(site) = &self.site {
            let upstream = site.upstream;
            require(upstream.ip().is_loopback(), || format!("site.upstream {upstream} is not on the loopback"))?;
            site.check(self.offer.as_ref().map_or(Price(0), |offer| offer.price))?;
        }
        self.links.check()?;
        self.policy.check()
    }
}

/// The text of a file of at most `limit` bytes; of a file without an end no more than that is read.
///
/// # Errors
/// The system's, and `InvalidData` for a file that is longer or no text.
pub fn read_text(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        let why = format!("it is longer than the {limit} bytes that are read");
        return Err(IoError::new(ErrorKind::InvalidData, why));
    }
    Ok(text)
}

/// The text of a configuration file. A pipe or a device is refused before it is opened: that could wait for ever.
///
/// # Errors
/// As [`read_text`], and `InvalidData` for what is no plain file.
pub fn read_plain(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(IoError::new(ErrorKind::InvalidData, "it is no plain file"));
    }
    read_text(path, MAX_FILE)
}

impl Ledger {
    /// How the ledger is reached; an error when that would be past tor.
    pub fn route(&self) -> Result<LedgerRoute> {
        let refuse = |text: String| Err(Error::never("MW-CONF-4", text));
        match (&self.horizon, self.loopback_for_tests) {
            (None, Some(_)) if self.passphrase == PUBLIC => refuse(
                "ledger.loopback_for_tests is for test networks, and the passphrase is the public network's".into(),
            ),
            (None, Some(address)) if !address.ip().is_loopback() => {
                refuse(format!("ledger.loopback_for_tests = {address} is not on the loopback; use ledger.horizon"))
            }
            (None, Some(address)) => Ok(LedgerRoute::Loopback(address)),
            (Some(horizon), None) => self.over_tor("horizon", horizon).map(LedgerRoute::Tor),
            _ => refuse("[ledger] wants either horizon or loopback_for_tests".into()),
        }
    }

    /// The second server, reached as the first one is; an error when it is the same or would be reached past tor.
    pub fn witness_route(&self) -> Result<Option<LedgerRoute>> {
        let Some(witness) = &self.witness else { return Ok(None) };
        let route = LedgerRoute::Tor(self.over_tor("witness", witness)?);
        match self.route()? {
            LedgerRoute::Tor(_) if self.route()? != route => Ok(Some(route)),
            LedgerRoute::Tor(_) => {
                Err(Error::never("MW-CONF-4", "ledger.witness is the same server as ledger.horizon"))
            }
            LedgerRoute::Loopback(_) => Err(Error::never("MW-CONF-4", "ledger.witness wants ledger.horizon")),
        }
    }

    fn over_tor(&self, key: &str, address: &str) -> Result<String> {
        let refuse = |why: &str| Error::never("MW-CONF-4", format!("ledger.{key} = {address:?}: {why}"));
        let url = url::Url::parse(address).map_err(|e| refuse(&e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("only a host, a port and a path"));
        }
        let host = url.host_str().unwrap_or_default();
        let test = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) && self.passphrase != PUBLIC;
        match url.scheme() {
            "https" => {}
            "http" if host.ends_with(".onion") || test => {}
            _ => return Err(refuse("https, or http to an onion address: an exit reads everything else")),
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    /// The payment asset.
    pub fn asset(&self) -> Result<Asset> {
        let issuer = parse_account_id(&self.asset_issuer)
            .map_err(|e| Error::never("MW-CONF-3", format!("ledger.asset_issuer: {}", e.text)))?;
        Asset::credit(&self.asset_code, issuer)
            .map_err(|e| Error::never("MW-CONF-3", format!("ledger.asset_code = {:?}: {}", self.asset_code, e.text)))
    }

    /// What signatures are bound to.
    pub fn network(&self) -> NetworkId {
        NetworkId::of(&self.passphrase)
    }
}

#[cfg(test)]
mod tests;
