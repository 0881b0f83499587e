//! What a node must not forget: links, lanes, payments and the journal of money, in one SQLite file of the owner.
//!
//! Bodies are JSON; money and keys stand in columns beside them, so that books can be read and added up by SQL.
//! One process writes ([`Sqlite`]); status pages read beside it ([`Reader`]).
mod books;
mod reader;
mod record;
mod schema;
mod sqlite;

pub use books::{Balance, Books};
pub use reader::Reader;
pub use sqlite::{FILE, Sqlite};

use crate::error::Result;
use crate::gateway::chain::{HopRow, PaymentRow, PaymentState};
use crate::gateway::core::policy::{OTHER_SITES, PolicyRow, SITES_MAX, Spent, site_id};
use crate::gateway::link::{EscrowRow, LinkRow};
use crate::gateway::port::Row;
use crate::units::Stroops;

/// Durable state of a node. Errors: `MW-STORE-*`, see [`Sqlite`].
pub trait Store {
    /// Everything that a start at `now_ms` needs; of the answers to payments the newest `hops`.
    fn load(&mut self, hops: u32, now_ms: u64) -> Result<Snapshot>;
    /// Makes rows durable, all or none, in order. When this returns an error nothing may leave the node.
    fn commit(&mut self, rows: &[Row]) -> Result<()>;
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
        for payment in self.payments.iter().filter(|p| p.at / DAY_MS + 1 == day) {
            add(&mut spent.before, payment.total);
        }
        for payment in self.payments.iter().filter(|p| p.at / DAY_MS == day) {
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
