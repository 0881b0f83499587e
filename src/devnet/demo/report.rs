//! What the demo found, for a person and as JSON (the shape of `docs/figures.md`).
use crate::api::payments;
use crate::gateway::chain::pay::Stamped;
use crate::gateway::port::Counted;
use crate::units::{CELL_BYTES, Stroops};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Payment cells over all cells, at most.
const MAX_SHARE: f64 = 0.005;

/// One payment of the client.
#[derive(Clone, Debug, Default)]
pub struct Payment {
    /// Hex.
    pub id: String,
    /// `tor` or `http`.
    pub service: String,
    /// It went under locks.
    pub locked: bool,
    /// Stroops, the nodes' shares included.
    pub amount: u64,
    /// Milliseconds of the three phases.
    pub phases: [u64; 3],
    /// (who, for carrying or serving, for forwarding)
    pub payees: Vec<(String, u64, u64)>,
}

impl Payment {
    /// From a row of /api/payments.
    pub fn of(row: payments::Payment) -> Self {
        let payees = row.payees.into_iter();
        Payment {
            id: row.id,
            service: row.service,
            locked: row.locked,
            amount: row.total.0,
            phases: [row.create_ms, row.sign_ms, row.deliver_ms],
            payees: payees.map(|payee| (payee.name, payee.due.0, payee.fee.0)).collect(),
        }
    }
    /// For a person.
    pub fn line(&self) -> String {
        let payees: Vec<String> = self.payees.iter().map(|(who, due, fee)| format!("{who} {due}+{fee}")).collect();
        let [create, sign, deliver] = self.phases;
        format!(
            "{:>7} stroops = {}; create {create} ms, sign {sign} ms, deliver {deliver} ms",
            self.amount,
            payees.join(", ")
        )
    }
}

/// A hop of a leg of the download, guard first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The relay's name.
    pub name: String,
    /// Both ends' counts at the relay's last word; none when it never spoke.
    pub stamped: Option<Stamped>,
    /// The client's count of cells towards it, now.
    pub inward: u64,
    /// The client's count of cells away from it, now.
    pub outward: u64,
}

impl Hop {
    /// Inbound the relay counted what the client did, outbound at most that.
    pub fn agrees(&self) -> bool {
        self.stamped.is_some_and(|stamped| stamped.agrees() && stamped.client.inward > 0)
    }

    /// What it carried in both directions by the client's count, in bytes of whole cells.
    pub fn carried(&self) -> u64 {
        self.inward.saturating_add(self.outward).saturating_mul(CELL_BYTES)
    }
}

/// A leg of the download.
pub type Leg = Vec<Hop>;

/// An account before and after.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose.
    pub node: String,
    /// Stroops of the asset on the account.
    pub before: i64,
    /// The same at the end.
    pub after: i64,
    /// What lies in escrows that it opened.
    pub deposits: i64,
    /// What it gained according to the ledger.
    pub gain: i64,
    /// What it gained according to the client's books.
    pub books: i64,
}

/// A partner of a node that has several accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who has them.
    pub node: String,
    /// How many of them are on the ledger for partners to see.
    pub accounts: usize,
    /// The relay at the other end.
    pub relay: String,
    /// Number of the account that it sees.
    pub number: u8,
}

/// The half without money.
#[derive(Clone, Debug, Default)]
pub struct Starved {
    /// Of the paying client.
    pub full_kib_s: f64,
    /// After the free window.
    pub trickle_kib_s: f64,
    /// Nothing arrived any more.
    pub stopped: bool,
    /// After the top-up.
    pub recovered_kib_s: f64,
    /// The file arrived intact in the end.
    pub whole: bool,
}

impl Starved {
    /// Slowed, stopped, and back to a speed that is no trickle.
    pub fn shown(&self) -> bool {
        self.stopped
            && self.whole
            && self.trickle_kib_s < 64.0
            && self.recovered_kib_s > 8.0 * self.trickle_kib_s.max(8.0)
    }
}

/// Everything.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is printed with its name")]
pub struct Report {
    pub ok: bool,
    pub seconds: f64,
    pub legs: Vec<Leg>,
    pub bytes: u64,
    pub full_kib_s: f64,
    pub requests: u64,
    pub payments: Vec<Payment>,
    pub payment_bytes: u64,
    pub share: f64,
    pub accounts: Vec<Standing>,
    pub seen: Vec<Seen>,
    pub fees: i64,
    pub total: Stroops,
    pub top_up: Stroops,
    pub abandoned: u64,
    pub abandoned_total: i64,
    pub asset_exact: bool,
    pub native_exact: bool,
    pub books_agree: bool,
    pub exact: bool,
    pub starved: Starved,
}

impl Report {
    /// Client and relays counted the same, to the cell, on every leg.
    pub fn counts_agree(&self) -> bool {
        !self.legs.is_empty() && self.legs.iter().all(|leg| leg.len() == 3 && leg.iter().all(Hop::agrees))
    }

    /// Partners of a node see different accounts, as long as there are enough.
    pub fn accounts_apart(&self) -> bool {
        self.seen.iter().all(|one| {
            let of_node = || self.seen.iter().filter(|seen| seen.node == one.node);
            let numbers: BTreeSet<u8> = of_node().map(|seen| seen.number).collect();
            numbers.len() >= of_node().count().min(one.accounts)
        })
    }

    /// What does not hold, in words; empty when everything does.
    pub fn faults(&self) -> Vec<&'static str> {
        let checks = [
            (self.exact, "ledger and books do not agree"),
            (self.counts_agree(), "client and relays counted differently"),
            (self.share <= MAX_SHARE, "payment cells are more than 0.5 % of the traffic"),
            (self.payments.iter().all(|p| p.locked), "a payment went without locks"),
            (self.accounts_apart(), "two relays saw the same account while another was free"),
            (self.starved.shown(), "the client without money was not slowed, stopped and served again"),
        ];
        checks.iter().filter(|(holds, _)| !holds).map(|(_, fault)| *fault).collect()
    }

    /// The names of the relays, leg by leg.
    fn path(&self) -> Vec<Vec<&str>> {
        self.legs.iter().map(|leg| leg.iter().map(|hop| hop.name.as_str()).collect()).collect()
    }

    /// One object.
    pub fn json(&self) -> Value {
        let of_hops = |value: &dyn Fn(&Hop) -> Value| -> Vec<serde_json::Map<String, Value>> {
            self.legs.iter().map(|leg| leg.iter().map(|h| (h.name.clone(), value(h))).collect()).collect()
        };
        let counts = |h: &Hop, of: fn(&Counted) -> u64| {
            h.stamped.map(|s| json!({"relay": of(&s.hop), "client": of(&s.client)})).unwrap_or_default()
        };
        let accounts: serde_json::Map<String, Value> = self
            .accounts
            .iter()
            .map(|a| {
                let text = |n: i64| n.to_string();
                let value = json!({"before": text(a.before), "after": text(a.after), "deposits": text(a.deposits),
                    "gain": text(a.gain), "books": text(a.books)});
                (a.node.clone(), value)
            })
            .collect();
        let payments: Vec<Value> = self
            .payments
            .iter()
            .map(|p| {
                let [create, sign, deliver] = p.phases;
                json!({"id": p.id, "service": p.service, "locked": p.locked, "amount": p.amount.to_string(), "create_ms": create,
                    "sign_ms": sign, "deliver_ms": deliver})
            })
            .collect();
        json!({
            "ok": self.ok, "faults": self.faults(), "seconds": self.seconds, "path": self.path(), "bytes": self.bytes,
            "inbound_cells": of_hops(&|h| counts(h, |c| c.inward)),
            "outbound_cells": of_hops(&|h| counts(h, |c| c.outward)),
            "carried_bytes": of_hops(&|h| json!(h.carried())),
            "requests": self.requests, "payments": payments,
            "cells": {"payment_bytes": self.payment_bytes, "share": self.share},
            "seen": self.seen.iter()
                .map(|s| json!({"node": s.node, "relay": s.relay, "account_number": s.number})).collect::<Vec<_>>(),
            "ledger": {"accounts": accounts, "fees": self.fees.to_string(), "exact": self.exact,
                "asset_exact": self.asset_exact, "native_exact": self.native_exact, "books_agree": self.books_agree,
                "abandoned": self.abandoned, "abandoned_total": self.abandoned_total.to_string()},
            "starved": {"full_kib_s": self.starved.full_kib_s, "trickle_kib_s": self.starved.trickle_kib_s,
                "stopped": self.starved.stopped, "recovered_kib_s": self.starved.recovered_kib_s},
        })
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut t = String::new();
        for (k, leg) in self.path().iter().enumerate() {
            let _ = writeln!(t, "{}        {}", if k == 0 { "\npath" } else { "    " }, leg.join(" > "));
        }
        let _ = writeln!(t, "download    {} bytes, {:.0} KiB/s", self.bytes, self.full_kib_s);
        let _ = writeln!(
            t,
            "cells       relay      in: by the relay  by the client   out: by the relay  by the client             bytes carried"
        );
        for hop in self.legs.iter().flatten() {
            let Stamped { hop: relay, client } = hop.stamped.unwrap_or_default();
            let _ = writeln!(
                t,
                "            {:<10} {:>16}  {:>13} {:>19}  {:>13}  {:<9} {:>13}",
                hop.name,
                relay.inward,
                client.inward,
                relay.outward,
                client.outward,
                if hop.agrees() { "agree" } else { "DIFFERENT" },
                hop.carried()
            );
        }
        let _ = writeln!(
            t,
            "payments    {} requests, {} payments, {} of them under locks (strict mode); payment cells {} bytes, {:.2} % of the traffic",
            self.requests,
            self.payments.len(),
            self.payments.iter().filter(|p| p.locked).count(),
            self.payment_bytes,
            self.share * 100.0
        );
        for payment in &self.payments {
            let _ = writeln!(t, "  {:<5} {}", payment.service, payment.line());
        }
        let _ = writeln!(
            t,
            "\nledger      account       before          after       in escrows       gain = by the books (stroops)"
        );
        for a in &self.accounts {
            let _ = writeln!(
                t,
                "            {:<9} {:>13}  {:>13}  {:>13}  {:>9} {} {}",
                a.node,
                a.before,
                a.after,
                a.deposits,
                a.gain,
                if a.gain == a.books { "=" } else { "#" },
                a.books
            );
        }
        let seen: Vec<String> =
            self.seen.iter().map(|s| format!("{} shows {} number {}", s.node, s.relay, s.number)).collect();
        let _ = writeln!(t, "            accounts of one wallet: {}", seen.join(", "));
        let yes = |b: bool| if b { "exact" } else { "NOT EXACT" };
        let _ = writeln!(
            t,
            "            sum of the asset: {}; native balances and {} stroops of fees: {}; payments given up: {} of {} stroops",
            yes(self.asset_exact),
            self.fees,
            yes(self.native_exact),
            self.abandoned,
            self.abandoned_total
        );
        let s = &self.starved;
        let _ = writeln!(
            t,
            "\nwithout money   {:.1} KiB/s, then {}; topped up: {:.0} KiB/s (a paying client: {:.0})",
            s.trickle_kib_s,
            if s.stopped { "stopped" } else { "NOT stopped" },
            s.recovered_kib_s,
            s.full_kib_s
        );
        let _ = writeln!(
            t,
            "\n{} in {:.0} s{}{}",
            if self.ok { "everything holds" } else { "SOMETHING DOES NOT HOLD" },
            self.seconds,
            if self.ok { "" } else { ": " },
            self.faults().join("; ")
        );
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_does_not_hold_and_what_each_hop_carried() {
        let same = Counted { inward: 7, outward: 2 };
        let stamped = Some(Stamped { client: same, hop: Counted { outward: 1, ..same } });
        let hop = |name: &str| Hop { name: name.into(), stamped, inward: 9, outward: 1 };
        let mut report = Report { exact: true, legs: vec![["a", "b", "c"].map(hop).to_vec()], ..Report::default() };
        report.starved =
            Starved { trickle_kib_s: 8.0, stopped: true, recovered_kib_s: 900.0, whole: true, full_kib_s: 900.0 };
        assert!(report.faults().is_empty(), "{:?}", report.faults());
        let json = report.json();
        assert_eq!(json["carried_bytes"][0]["b"], 10 * 514);
        assert_eq!(json["inbound_cells"][0]["b"], json!({"relay": 7, "client": 7}));
        assert_eq!(json["outbound_cells"][0]["b"], json!({"relay": 1, "client": 2}));
        let seen = |relay: &str, number| Seen { node: "a".into(), accounts: 2, relay: relay.into(), number };
        report.seen = vec![seen("b", 0), seen("c", 1), seen("d", 1)];
        assert!(report.faults().is_empty(), "{:?}", report.faults());
        report.seen = vec![seen("b", 1), seen("c", 1)];
        assert_eq!(report.faults(), ["two relays saw the same account while another was free"]);
        report.seen.clear();
        report.share = 0.0059;
        assert_eq!(report.faults(), ["payment cells are more than 0.5 % of the traffic"]);
        let none = report.legs[0][1].stamped.take();
        assert_eq!(report.faults().len(), 2);
        report.legs[0][1].stamped = none.map(|s| Stamped { client: Counted { outward: 0, ..s.client }, ..s });
        report.exact = false;
        assert_eq!(report.faults().len(), 3);
        assert!(report.text().contains("client and relays counted differently"), "{}", report.text());
    }
}
