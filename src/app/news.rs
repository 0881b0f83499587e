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
                        PaymentState::Abandoned | PaymentState::Expired => News::PaymentFailed(payment),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::chain::PaymentRow;
    use crate::gateway::chain::pay::{CircuitStatus, HopStatus, OfferStatus, Stamped};
    use crate::gateway::core::policy::{self, AccountState};
    use crate::gateway::link::{LaneSummary, LinkSummary, Partner, Role};
    use crate::gateway::port::MoneyEvent;
    use crate::units::Price;

    fn stroops(n: u64) -> Stroops {
        Stroops::new(n).expect("an amount")
    }

    fn journal(what: &str) -> Row {
        let (amount, fee) = (stroops(5), 200);
        Row::Event(MoneyEvent { at: 1, what: what.into(), link: None, hop: None, amount, fee, tx: Some([7; 32]) })
    }

    fn payment(state: PaymentState) -> Row {
        Row::Payment(Box::new(PaymentRow {
            id: [1; 16],
            at: 1,
            state,
            service: "tor".into(),
            site: None,
            total: stroops(9),
            payees: Vec::new(),
            lock: None,
            create_ms: 0,
            sign_ms: 0,
            deliver_ms: 0,
        }))
    }

    #[test]
    fn durable_rows_become_news_but_for_single_claims() {
        let feed = Feed::default();
        let mut reporter = Reporter::new(feed.clone());
        reporter.committed(&[journal("flush_landed")]);
        let mut heard = feed.overhear();
        reporter.committed(&[
            payment(PaymentState::Signed),
            journal("claim_signed"),
            payment(PaymentState::Complete),
            journal("flush_submitted"),
            payment(PaymentState::Abandoned),
        ]);
        let heard = heard();
        let names: Vec<_> =
            heard.iter().map(|news| serde_json::to_value(news).expect("JSON")["event"].clone()).collect();
        assert_eq!(names, ["payment_begun", "payment_complete", "link", "payment_failed"]);
        assert!(matches!(&heard[2], News::Link(line) if line.tx == Some(hex::encode([7; 32]))), "{heard:?}");
    }

    fn lane(total: u64) -> LaneSummary {
        LaneSummary {
            escrow: [3; 32],
            state: "open",
            deposit: stroops(100),
            total: stroops(total),
            claimed: stroops(total),
            netted: stroops(0),
            locked: stroops(0),
            landed: stroops(10),
            epoch: 0,
            flushing: false,
            tied_up: stroops(90),
            blocked: None,
        }
    }

    fn picture(circuit: Option<u64>, total: u64, state: AccountState, seen_ms: u64) -> Status {
        let offer = OfferStatus { price: Price(1 << 20), fee: stroops(1), credit_bytes: 0, ahead_bytes: 0, expires: 9 };
        let hop = HopStatus {
            nickname: "relay1".into(),
            speaks: true,
            inward: 1,
            outward: 1,
            stamped: Stamped::default(),
            paid: stroops(2_000),
            offer: Some(offer),
            due: None,
        };
        let circuits =
            circuit.map(|circ| CircuitStatus { circ, set: None, hops: vec![hop], given_up: None, waits: None });
        let (link, role, partner) = ([2; 16], Role::Payer, Partner::Anonymous);
        let account = policy::Account { state, seen_ms, ..policy::Account::default() };
        Status {
            links: vec![LinkSummary {
                link,
                role,
                partner,
                own: 0,
                connected: true,
                closing: false,
                lanes: vec![lane(total)],
            }],
            circuits: circuits.into_iter().collect(),
            account: Some(account),
            ..Status::default()
        }
    }

    #[test]
    fn what_changed_between_two_pictures_is_told_once() {
        let (well, low) = (AccountState::Paying, AccountState::Low);
        let feed = Feed::default();
        let mut reporter = Reporter::new(feed.clone());
        let mut heard = feed.overhear();
        reporter.ticked(&picture(Some(1), 30, well, 1));
        assert_eq!(heard(), [], "the first picture is the one to compare with");
        // A newer look at the ledger with the same outcome is none.
        reporter.ticked(&picture(Some(1), 30, well, 2));
        assert_eq!(heard(), []);
        reporter.ticked(&picture(Some(2), 40, low, 3));
        let now = heard();
        assert!(now.contains(&News::CircuitClosed { circuit: 1, paid: stroops(2_000).into() }), "{now:?}");
        assert!(now.contains(&News::CircuitOpened { circuit: 2, hops: vec!["relay1".into()] }), "{now:?}");
        assert!(now.iter().any(|news| matches!(news, News::State(account) if account.seen_ms == 3)), "{now:?}");
        let paying = now.iter().find_map(|news| match news {
            News::Balance { paying, .. } => Some(paying.clone()),
            _ => None,
        });
        // Two cells of 514 bytes at a stroop a byte are used of what was paid.
        let amount = |n| stroops(n).into();
        let expected =
            Paying { escrows: amount(90), signed: amount(30), free: amount(60), credit: amount(2_000 - 1_028) };
        assert_eq!((paying, now.len()), (Some(expected), 4));
        reporter.ticked(&picture(Some(2), 40, low, 3));
        assert_eq!(heard(), []);
    }

    #[test]
    fn a_refusal_is_told_when_it_comes_and_when_it_comes_again() {
        let feed = Feed::default();
        let mut reporter = Reporter::new(feed.clone());
        let mut heard = feed.overhear();
        let refused = |at, count| {
            let (who, code, text, by_us) = ("relay1".to_owned(), 9, "too dear", true);
            Status { refused: vec![Refused { at, since: 1, count, who, code, text, by_us }], ..Status::default() }
        };
        for (status, told) in [(Status::default(), 0), (refused(1, 1), 1), (refused(1, 1), 0), (refused(2, 2), 1)] {
            reporter.ticked(&status);
            assert_eq!(heard().len(), told);
        }
    }
}
