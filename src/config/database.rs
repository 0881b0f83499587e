//! `[database]`: a PostgreSQL server in place of the SQLite file, for an operator of several relays.
use super::check::require;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// PostgreSQL's own port.
const PORT: u16 = 5432;
/// Longest name of a user or a database (PostgreSQL cuts off what is longer).
const MAX_NAME: usize = 63;
/// Longest password that is read.
const MAX_PASSWORD: u64 = 1_024;

/// Where a node's books lie when not in `state_dir`. Several gateways of one operator share a database, each under its
/// own wallet's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://USER@127.0.0.1:PORT/NAME`, or over a unix socket
    /// `postgres:///NAME?host=/run/postgresql&user=USER&port=PORT`. Only a loopback address or a socket's directory:
    /// nothing leaves this machine outside tor. Never a password.
    pub url: String,
    /// File with the password on its first line, mode 0600. Absolute. Not needed where the server knows its user by the
    /// unix socket (peer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// Where a database server listens. There is no value of this type that leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseHost {
    /// On the loopback.
    Loopback(SocketAddr),
    /// In this directory, the socket `.s.PGSQL.PORT`.
    Socket(PathBuf, u16),
}

/// What [`Database::url`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRoute {
    /// The server.
    pub host: DatabaseHost,
    /// Who we are there.
    pub user: String,
    /// Name of the database.
    pub name: String,
}

impl Database {
    /// Takes the address apart. `MW-CONF-6`: not of the form above, or past this machine, or with a password.
    pub fn route(&self) -> Result<DatabaseRoute> {
        // Never the address itself: it may hold a password.
        let refuse = |why: &str| Err(Error::never("MW-CONF-6", format!("database.url: {why}")));
        let Ok(url) = url::Url::parse(&self.url) else { return refuse("no address of the form postgres://…") };
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return refuse("it begins with postgres://");
        }
        if url.password().is_some() {
            return refuse("a password does not belong here; write it to a file and name it as database.password_file");
        }
        if url.fragment().is_some() {
            return refuse("no # in it; % followed by two hex digits stands for any character");
        }
        let Some(name) = plain(url.path().trim_start_matches('/')) else {
            return refuse("it ends with the name of a database, /NAME");
        };
        let (mut directory, mut user, mut port) = (None, plain(url.username()), url.port());
        for (key, value) in url.query_pairs() {
            let place = match &*key {
                "host" if url.host_str().unwrap_or_default().is_empty() => {
                    directory.replace(value.to_string()).is_none()
                }
                "user" if user.is_none() => {
                    user = plain(&value);
                    user.is_some()
                }
                "port" if port.is_none() => {
                    port = value.parse().ok();
                    port.is_some()
                }
                _ => false,
            };
            if !place {
                return refuse("of what may follow the ? there are host, user and port, each once, and nothing else");
            }
        }
        let Some(user) = user else { return refuse("it names no user, of at most 63 letters, digits, _ and -") };
        let port = port.unwrap_or(PORT);
        let host = match (url.host_str().unwrap_or_default(), directory) {
            ("", Some(path)) if path.starts_with('/') => DatabaseHost::Socket(path.into(), port),
            ("", _) => return refuse("without an address it needs ?host=/DIRECTORY, where the server has its socket"),
            (host, _) => match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(ip) if ip.is_loopback() => DatabaseHost::Loopback(SocketAddr::new(ip, port)),
                _ => return refuse("the server is on the loopback (127.0.0.1 or [::1]), or behind a unix socket"),
            },
        };
        Ok(DatabaseRoute { host, user, name })
    }

    /// The first line of the password's file. `MW-CONF-1`: it cannot be read; `MW-CONF-3`: others may read it, or it is
    /// empty.
    pub fn password(&self) -> Result<Option<String>> {
        use std::os::unix::fs::PermissionsExt;
        let Some(path) = &self.password_file else { return Ok(None) };
        let unreadable = |e: std::io::Error| Error::never("MW-CONF-1", format!("cannot read {}: {e}", path.display()));
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        require(mode & 0o077 == 0, || format!("{}: others may read this password; chmod 600 it", path.display()))?;
        let text = super::read_text(path, MAX_PASSWORD).map_err(unreadable)?;
        let line = text.lines().next().unwrap_or_default();
        require(!line.is_empty(), || format!("{}: its first line is empty", path.display()))?;
        Ok(Some(line.to_owned()))
    }

    pub(super) fn check(&self) -> Result<()> {
        let relative = self.password_file.as_ref().filter(|path| !path.is_absolute());
        require(relative.is_none(), || format!("database.password_file = {relative:?} is not an absolute path"))?;
        self.route().map(drop)
    }
}

/// A name that needs no quoting anywhere.
fn plain(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    (fits && plain).then(|| name.to_owned())
}
