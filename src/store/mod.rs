//! What a node must not forget: links, lanes, payments and the journal of money, in one SQLite file of the owner or in
//! a PostgreSQL database that an operator's gateways share.
//!
//! Bodies are JSON; money and keys stand in columns beside them, so that books can be read and added up by SQL.
//! One process writes for a node ([`open`]); status pages and commands read beside it ([`Reader`]). Both databases are
//! asked the same SQL (`sql.rs`); they differ in how tables are made (`sql/*.sql`) and in how a commit becomes durable.
//! docs/store.md is for operators.
mod books;
mod export;
mod history;
mod paging;
mod postgres;
mod reader;
mod record;
mod schema;
mod sql;
mod sqlite;
mod state;

pub use books::{Balance, Books};
pub use export::{Field, Topic};
pub use history::{BINS_MAX, Bin, SPENDINGS_MAX, Spending, Sum};
pub use paging::PaymentsWhere;
pub use postgres::Postgres;
pub use reader::Reader;
pub use sqlite::{FILE, Sqlite};

use crate::config::GatewayConfig;
use crate::error::{Error, Result};
use crate::gateway::chain::{HopRow, PaymentRow, PaymentState};
use crate::gateway::core::message::AccountKey;
use crate::gateway::core::policy::{OTHER_SITES, PolicyRow, SITES_MAX, Spent, site_id};
use crate::gateway::link::{EscrowRow, LinkRow};
use crate::gateway::port::Row;
use crate::units::Stroops;
use std::path::Path;
use std::time::Duration;

/// Durable state of a node. Errors: `MW-STORE-*`, see [`Sqlite`] and [`Postgres`].
pub trait Store {
    /// Everything that a start at `now_ms` needs; of the answers to payments the newest `hops`.
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot>;
    /// Makes rows durable, all or none, in order. When this returns an error nothing may leave the node: the rows may be
    /// durable or not, and only a new start knows.
    fn commit(&mut self, rows: &[Row]) -> Result<()>;
    /// An error when the store is known to be lost; asked at each tick, and before effects leave that have no rows.
    fn alive(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot> {
        (**self).load(hops, now_ms)
    }
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        (**self).commit(rows)
    }
    fn alive(&mut self) -> Result<()> {
        (**self).alive()
    }
}

/// For the lock of a process that has just ended to be let go: by a child that it was starting, by a server.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries for it.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// In `state_dir` of a node whose books lie on a server, so that an emptied `[database]` does not begin new ones.
const ELSEWHERE: &str = "magicwave.db.elsewhere";

/// The configured store of the node whose wallet has this account, to write to, and beside it to read from. Waits for
/// a database server; not to be called inside an asynchronous task. `MW-STORE-11`: the node's books lie in the other
/// kind of database; with new ones it would forget what it signed. `MW-STORE-12`: they are of another wallet.
pub fn open(config: &GatewayConfig, account: &AccountKey) -> Result<(Box<dyn Store + Send>, Reader)> {
    let (file, elsewhere) = (config.state_dir.join(FILE), config.state_dir.join(ELSEWHERE));
    match &config.database {
        Some(_) if file.exists() => Err(other_place(&file)),
        Some(database) => {
            let store = Postgres::open(database, account)?;
            let reader = store.reader()?;
            std::fs::write(&elsewhere, "The books of this node lie in the [database] of its configuration.\n")
                .map_err(|e| Error::never("MW-STORE-1", format!("{} cannot be written ({e}).", elsewhere.display())))?;
            Ok((Box::new(store), reader))
        }
        None if elsewhere.exists() => Err(other_place(&elsewhere)),
        None => {
            let store = Sqlite::open_of(&config.state_dir, account)?;
            let reader = store.reader()?;
            Ok((Box::new(store), reader))
        }
    }
}

fn other_place(file: &Path) -> Error {
    let text = format!(
        "This node kept its books in another place, as {} shows; without them it would forget what it signed. Put \
         [database] back as it was; docs/store.md says how to give books up.",
        file.display()
    );
    Error::never("MW-STORE-11", text)
}

/// What a node starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All links.
    pub links: Vec<LinkRow>,
    /// All lanes, those that are over too (their counters must not be used again).
    pub escrows: Vec<EscrowRow>,
    /// The newest answers to payments, oldest first.
    pub hops: Vec<HopRow>,
    /// Payments of the client in the last two days, and those dated later, oldest first.
    pub payments: Vec<PaymentRow>,
    /// What the person set while the node ran, if anything.
    pub policy: Option<PolicyRow>,
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 86_400_000;

impl Snapshot {
    /// What was spent on the day (UTC) of `now_ms`, so that a restart does not open the budget again. A payment that
    /// was given up counts: its first claim may have been used.
    pub fn spent(&self, now_ms: u64) -> Spent {
        let day = now_ms / DAY_MS;
        let mut spent = Spent { day, ..Spent::default() };
        let paid = |p: &&PaymentRow| p.state != PaymentState::Expired;
        for payment in self.payments.iter().filter(|p| paid(p) && p.at / DAY_MS + 1 == day) {
            add(&mut spent.before, payment.total);
        }
        for payment in self.payments.iter().filter(|p| paid(p) && p.at / DAY_MS == day) {
            let kind = match payment.service.as_str() {
                "tor" => 0,
                "ipfs" => 1,
                _ => 2,
            };
            add(&mut spent.kinds[kind], payment.total);
            if let Some(site) = &payment.site {
                let id = site_id(site);
                let known = spent.sites.contains_key(&id) || spent.sites.len() < SITES_MAX;
                add(spent.sites.entry(if known { id } else { OTHER_SITES }).or_default(), payment.total);
            }
        }
        spent
    }
    /// Payments that were under way when the last process ended.
    pub fn unfinished(&self) -> impl Iterator<Item = &PaymentRow> {
        self.payments.iter().filter(|p| p.state == PaymentState::Signed)
    }
}

fn add(sum: &mut Stroops, amount: Stroops) {
    *sum = sum.add(amount).unwrap_or(Stroops::MAX);
}
