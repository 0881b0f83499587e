//! Says what the gateway made durable, and what changed in its picture, to those who listen at the API.
use super::views;
use crate::api::balance::{Earning, Paying};
use crate::api::feed::{Feed, News};
use crate::api::state::Account;
use crate::gateway::chain::PaymentState;
use crate::gateway::chain::pay::Refused;
use crate::gateway::node::Status;
use crate::gateway::port::{CircuitId, Row};
use crate::gateway::reactor::Onlooker;
use crate::units::Stroops;
use std::collections::BTreeMap;

/// Lines of the journal about single claims: too many for news, and sums tell the same.
const CLAIMS: &str = "claim_";

/// Makes news for a feed. While nobody listens it only forgets.
pub struct Reporter {
    feed: Feed,
    last: Option<Picture>,
}

/// What news are told against.
struct Picture {
    circuits: BTreeMap<CircuitId, Stroops>,
    /// At most 256.
    refused: Vec<Refused>,
    /// Without the time of the look, which is no news.
    account: Option<Account>,
    sums: (Paying, Earning),
}

impl Reporter {
    /// For the listeners of `feed`.
    pub fn new(feed: Feed) -> Self {
        Reporter { feed, last: None }
    }

    fn compare(&self, last: &Picture, now: &Picture, status: &Status) {
        for refused in status.refused.iter().filter(|one| !last.refused.contains(one)) {
            self.feed.say(&News::Refused {
                at: refused.at,
                since: refused.since,
                count: refused.count,
                who: refused.who.clone(),
                code: refused.code,
                text: refused.text.into(),
                by_us: refused.by_us,
            });
        }
        if now.account != last.account
            && let Some(account) = &status.account
        {
            self.feed.say(&News::State(views::account(account)));
        }
        for (circuit, paid) in last.circuits.iter().filter(|(circuit, _)| !now.circuits.contains_key(circuit)) {
            self.feed.say(&News::CircuitClosed { circuit: *circuit, paid: (*paid).into() });
        }
        for circuit in status.circuits.iter().filter(|circuit| !last.circuits.contains_key(&circuit.circ)) {
            let hops = circuit.hops.iter().map(|hop| hop.nickname.clone()).collect();
            self.feed.say(&News::CircuitOpened { circuit: circuit.circ, hops });
        }
        if now.sums != last.sums {
            let (paying, earning) = now.sums.clone();
            self.feed.say(&News::Balance { paying, earning });
        }
    }
}

impl Onlooker for Reporter {
    fn committed(&mut self, rows: &[Row]) {
        if !self.feed.is_heard() {
            return;
        }
        for row in rows {
            match row {
                Row::Payment(row) => {
                    let payment = views::payment(row);
                    self.feed.say(&match row.state {
                        PaymentState::Signed => News::PaymentBegun(payment),
                        PaymentState::Complete => News::PaymentComplete(payment),
                        PaymentState::Abandoned => News::PaymentFailed(payment),
                    });
                }
                Row::Event(event) if !event.what.starts_with(CLAIMS) => {
                    self.feed.say(&News::Link(views::line(event)));
                }
                Row::Request(row) => self.feed.say(&News::Request(views::request(row))),
                Row::Event(_) | Row::Link(_) | Row::Escrow(_) | Row::Hop(_) | Row::Policy(_) => {}
            }
        }
    }

    fn ticked(&mut self, status: &Status) {
        if !self.feed.is_heard() {
            self.last = None;
            return;
        }
        let paid = |hops: &[crate::gateway::chain::pay::HopStatus]| {
            hops.iter().fold(Stroops::ZERO, |sum, hop| sum.add(hop.paid).unwrap_or(Stroops::MAX))
        };
        let now = Picture {
            circuits: status.circuits.iter().map(|circuit| (circuit.circ, paid(&circuit.hops))).collect(),
            refused: status.refused.clone(),
            account: status.account.as_ref().map(|account| Account { seen_ms: 0, ..views::account(account) }),
            sums: views::sums(status),
        };
        if let Some(last) = &self.last {
            self.compare(last, &now, status);
        }
        self.last = Some(now);
    }
}
