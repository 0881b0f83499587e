//! How a site is spelled, wherever it is named: in rules, budgets, approvals and the history.
use url::{Host, Url};

/// Longest name of a site, `host[:port]`: a host of 253 bytes and a port.
pub const SITE_NAME_MAX: usize = 259;
/// Longest host, and longest of its parts between dots (RFC 1035).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// The site that an http address is of, as `host[:port]`: in lower case, other letters than ASCII in punycode, IPv6 in
/// brackets, the port unless it is 80. None for what is no http address, and for hosts that nothing can be reached by.
pub fn site_name(address: &Url) -> Option<String> {
    let host = address.host().filter(|_| address.scheme() == "http")?;
    match host {
        Host::Domain(name) if !is_host(name) => None,
        host => Some(address.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))),
    }
}

/// The spelling of the site that somebody meant, if that can be told.
pub(super) fn site_meant(name: &str) -> Option<String> {
    let address = match Host::parse(&format!("[{name}]")) {
        Ok(bare) => format!("http://{bare}"),
        Err(_) if name.contains("://") => name.to_owned(),
        Err(_) => format!("http://{name}"),
    };
    site_name(&Url::parse(&address).ok()?)
}

/// A name as the DNS has them, with or without the dot at the end; what else a URL takes, `*` say, is nobody's.
fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let label = |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(fits);
    name.len() <= HOST_MAX && name.split('.').all(label)
}
