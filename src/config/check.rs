//! Refuses values that cannot be meant; what is sold, by the protocol's own rules.
use super::{GatewayConfig, KindPay, Links, Offer, Pay, Policy, Role, Site, SitePay};
use crate::error::{Error, Result};
use crate::gateway::core::message::ServiceKind;
use crate::gateway::core::offer::{
    OFFER_TTL_MAX_S, PRICE_EXPONENT_MAX, Terms, WINDOW_MAX_BYTES, fee_permitted, price_permitted,
};
use crate::gateway::core::paths::{PREFIXES_MAX, Prices};
use crate::gateway::core::policy::{Limits, Mode, Policy as CorePolicy, Rule, Target};
use crate::stellar::keys::ACCOUNTS;
use crate::units::Price;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Pages that may ask the API, at most.
const MAX_ORIGINS: usize = 16;
/// Longest of them.
const MAX_ORIGIN: usize = 256;

/// Where the API listens beside its socket, and for which pages.
pub(super) fn api(listen: Option<SocketAddr>, origins: &[String]) -> Result<()> {
    if let Some(address) = listen {
        let home = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        require(home.contains(&address.ip()) && address.port() != 0, || {
            format!("api_listen = {address} is not a port of 127.0.0.1 or [::1]; other machines have no business here")
        })?;
    }
    require(origins.len() <= MAX_ORIGINS, || format!("api_origins: at most {MAX_ORIGINS}"))?;
    let odd = origins.iter().find(|origin| !is_origin(origin));
    require(odd.is_none(), || {
        let odd = odd.map(String::as_str).unwrap_or_default();
        format!(
            "api_origins: {odd:?} is no SCHEME://HOST[:PORT] in lower case without a path, as chrome-extension://ID"
        )
    })
}

/// Relays settle with each other by one account.
pub(super) fn accounts(role: Role, accounts: Option<u8>) -> Result<()> {
    let Some(number) = accounts else { return Ok(()) };
    let most = if role == Role::Relay { 1 } else { ACCOUNTS };
    require((1..=most).contains(&number), || format!("wallet.accounts = {number}: a {role:?} has 1 to {most}"))
}

fn is_origin(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"/\\*?#@".contains(&byte);
    text.len() <= MAX_ORIGIN
        && text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && scheme.bytes().chain(host.bytes()).all(fits)
        })
}

impl Site {
    /// By the very rule of the front: it refuses to start with anything else.
    pub(super) fn check(&self, price: Price) -> Result<()> {
        let paid: Vec<_> = self.paid_paths.iter().map(|path| (path.clone(), price)).collect();
        let odd = paid.iter().find(|one| Prices::new(std::slice::from_ref(one)).is_err());
        require(odd.is_none(), || {
            let path = odd.map(|(path, _)| path.as_str()).unwrap_or_default();
            format!(
                "site.paid_paths: {path:?} does not begin with a slash, or web servers read it in more than one way"
            )
        })?;
        require(Prices::new(&paid).is_ok(), || format!("site.paid_paths: at most {PREFIXES_MAX}"))
    }
}

impl Offer {
    /// By the rules of the protocol, so that no offer is configured that no payer may take.
    pub(super) fn check(&self, config: &GatewayConfig) -> Result<()> {
        let (price, fee) = (self.price.0, self.fee.get());
        require(price_permitted(self.price), || {
            format!("offer.price = {price}: a power of two from 1 to 2^{PRICE_EXPONENT_MAX}")
        })?;
        require(fee_permitted(self.fee), || {
            format!("offer.fee = {fee}: 0 or a power of two up to 2^{PRICE_EXPONENT_MAX}")
        })?;
        window("offer.credit_bytes", self.credit_bytes)?;
        window("offer.ahead_bytes", self.ahead_bytes)?;
        let holds = (60..=OFFER_TTL_MAX_S).contains(&u64::from(self.quote_secs));
        require(holds, || {
            format!("offer.quote_secs = {}: a quote holds a minute to {OFFER_TTL_MAX_S} s", self.quote_secs)
        })?;
        let refused = self.terms(config)?.check().err();
        require(refused.is_none(), || format!("[offer]: {}", refused.map(|code| code.text()).unwrap_or_default()))
    }

    /// What every hello is answered from, but for who is paid.
    pub(super) fn terms(&self, config: &GatewayConfig) -> Result<Terms> {
        Ok(Terms {
            network: config.ledger.network().short(),
            payee: [0; 32],
            asset: config.ledger.asset()?.id(),
            kind: if config.role == Role::Site { ServiceKind::Http } else { ServiceKind::Tor },
            price: self.price,
            fee: self.fee,
            credit_bytes: self.credit_bytes,
            ahead_bytes: self.ahead_bytes,
            lock_secs: config.links.lock_secs,
            ttl_s: self.quote_secs,
        })
    }
}

impl Pay {
    pub(super) fn check(&self) -> Result<()> {
        window("pay.ahead_bytes", self.ahead_bytes)?;
        require(self.ahead_bytes >= 1 << 16, || "pay.ahead_bytes: at least 65536".into())?;
        require(self.site <= self.day, || "pay.site is more than pay.day".into())?;
        let twice = |one: &&SitePay| self.rule.iter().filter(|other| other.site == one.site).count() > 1;
        let twice = self.rule.iter().find(twice).map(|rule| rule.site.clone());
        require(twice.is_none(), || format!("pay.rule: {:?} has two", twice.unwrap_or_default()))?;
        self.policy()
            .and_then(|policy| policy.limits.check())
            .map_err(|e| Error::never("MW-CONF-3", format!("[pay]: {}", e.text)))
    }

    /// Limits and rules as the file says them.
    pub fn policy(&self) -> Result<CorePolicy> {
        let kinds = [&self.tor, &self.ipfs, &self.http];
        let limits = Limits {
            day: self.day,
            site: self.site,
            kinds: kinds.map(|kind| kind.day.unwrap_or(self.day)),
            price_ceilings: kinds.map(|kind| kind.max_price.unwrap_or(self.max_price)),
            fee_ceiling: self.max_fee,
        };
        let rule = |target, mode, day| Rule { target, mode, day };
        let names = [ServiceKind::Tor, ServiceKind::Ipfs, ServiceKind::Http];
        let kinds = names.into_iter().zip(kinds);
        let kinds = kinds.filter_map(|(name, kind)| Some(rule(Target::Kind(name), kind.mode?, None)));
        let all = (self.mode != Mode::Auto).then(|| rule(Target::All, self.mode, None));
        let sites = self.rule.iter().map(|site| rule(Target::Site(site.site.clone()), site.mode, site.day));
        CorePolicy::new(limits).with_rules(all.into_iter().chain(kinds).chain(sites))
    }
}

impl KindPay {
    pub(super) fn is_default(&self) -> bool {
        *self == KindPay::default()
    }
}

impl Links {
    pub(super) fn check(&self) -> Result<()> {
        require(self.deposit <= self.liquidity, || "links.deposit is more than links.liquidity".into())?;
        require(!self.deposit.is_zero(), || "links.deposit is 0".into())?;
        require(self.flush_secs > 0 && self.period_secs / 4 >= self.flush_secs, || {
            "links.flush_secs: at least 1 and at most a quarter of links.period_secs".into()
        })?;
        require((2..=3600).contains(&self.lock_secs), || format!("links.lock_secs = {}: 2 to 3600", self.lock_secs))?;
        require(u32::from(self.lock_secs) * 64 <= self.period_secs, || {
            "links.lock_secs: locks have to end long before links.period_secs".into()
        })?;
        require(!self.denomination.is_zero(), || "links.denomination is 0; 1 flushes exact amounts".into())?;
        require(self.max_ledger_fee >= 200, || "links.max_ledger_fee: a flush costs at least 200 native stroops".into())
    }
}

impl Policy {
    pub(super) fn check(&self) -> Result<()> {
        require(self.trickle_bytes >= 514, || "policy.trickle_bytes: less than a cell a second".into())?;
        require(self.free_refill_ms > 0, || "policy.free_refill_ms is 0".into())?;
        let (cells, total) = (self.max_held_cells, self.max_held_total);
        require(cells > 0 && cells <= total, || "policy.max_held_cells: 1 to policy.max_held_total".into())
    }
}

fn window(key: &str, bytes: u32) -> Result<()> {
    require(bytes <= WINDOW_MAX_BYTES, || format!("{key} = {bytes}: at most {WINDOW_MAX_BYTES}"))
}

pub(super) fn require(holds: bool, text: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::never("MW-CONF-3", text())) }
}
