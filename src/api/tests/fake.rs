//! A daemon that only answers, with something in every field.
use super::super::*;
use crate::api::amount::Amount;
use crate::error::Error;
use crate::gateway::core::message::Id;

#[derive(Default)]
pub struct Quiet {
    feed: feed::Feed,
}

pub fn payment() -> payments::Payment {
    payments::Payment {
        locked: false,
        cursor: payments::cursor(5, &[1; 16]),
        id: hex::encode([1; 16]),
        at: 5,
        state: payments::PaymentState::Complete,
        service: "http".into(),
        site: Some("shop.example:80".into()),
        total: Amount(12),
        payees: vec![payments::Payee { account: "G".into(), name: "relay1".into(), due: Amount(8), fee: Amount(4) }],
        create_ms: 1,
        sign_ms: 2,
        deliver_ms: 3,
    }
}

pub fn line() -> events::JournalLine {
    let text = |n| Some(hex::encode(vec![7; n]));
    let (at, what) = (9, "flush_landed".into());
    events::JournalLine { at, what, link: text(16), hop: None, amount: Amount(1), fee: Amount(200), tx: text(32) }
}

pub fn request() -> requests::PaymentRequest {
    requests::PaymentRequest {
        id: hex::encode([2; 16]),
        at: 5,
        kind: "tor".into(),
        who: "relay1".into(),
        site: None,
        due: Amount(1 << 60),
        outcome: requests::Outcome::Held,
        code: Some("NEEDS_APPROVAL".into()),
    }
}

pub fn account() -> state::Account {
    state::Account {
        state: state::AccountState::OutOfFundsNative,
        text: "x".into(),
        advice: "y".into(),
        number: 0,
        spendable: Some(Amount(7)),
        native: None,
        seen_ms: 8,
        no_circuit: true,
    }
}

fn terms() -> offers::Terms {
    offers::Terms { price: Amount(1024), fee: Amount(8), credit_bytes: 65_278, ahead_bytes: 1 << 20 }
}

fn per_kind() -> budgets::PerKind {
    budgets::PerKind { tor: Amount(1), ipfs: Amount(2), http: Amount(3) }
}

fn now<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T>> {
    Box::pin(async { Ok(value) })
}

impl Backend for Quiet {
    fn status(&self) -> BoxFuture<'_, Result<serde_json::Value>> {
        now(serde_json::json!({"socks": "127.0.0.1:9050"}))
    }
    fn state(&self) -> BoxFuture<'_, Result<state::NodeState>> {
        let tor = state::TorState { bootstrap: 100, summary: "Done".into() };
        let socks = Some("127.0.0.1:9050".into());
        now(state::NodeState { role: state::Role::Client, tor, socks, account: Some(account()) })
    }
    fn balance(&self) -> BoxFuture<'_, Result<balance::Balance>> {
        let zero = Amount(0);
        now(balance::Balance {
            account: "G".into(),
            asset: "MWT:G".into(),
            ledger: Some(balance::Look {
                at: 1,
                age_ms: 2,
                exists: true,
                asset: Amount(i64::MAX as u64),
                asset_spendable: zero,
                native: zero,
                native_spendable: zero,
                reserve: zero,
                reserve_escrows: zero,
            }),
            failed: Some(Refused { code: "MW-HZN-5".into(), text: "x".into() }),
            accounts: vec![balance::Other {
                number: 1,
                account: "G".into(),
                at: 3,
                asset: zero,
                native_spendable: zero,
            }],
            paying: balance::Paying::default(),
            earning: balance::Earning::default(),
            earned: Amount(9),
        })
    }
    fn payments(&self, which: PaymentsWhere) -> BoxFuture<'_, Result<Vec<payments::Payment>>> {
        now(vec![payment(); which.limit.min(3) as usize])
    }
    fn events(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>> {
        now(vec![line(); limit.min(3) as usize])
    }
    fn history(&self, span: history::Span) -> BoxFuture<'_, Result<history::History>> {
        let paid = [("tor".to_owned(), history::Paid { payments: 2, amount: Amount(7) })].into();
        let bins = vec![history::Bin { at: span.from, requests: 3, refused: 1, paid }];
        now(history::History { from: span.from, to: span.to, bin: span.bin, bins })
    }
    fn requests(&self, limit: u32) -> BoxFuture<'_, Result<Vec<requests::PaymentRequest>>> {
        now(vec![request(); limit.min(3) as usize])
    }
    fn transactions(&self, limit: u32) -> BoxFuture<'_, Result<Vec<events::JournalLine>>> {
        self.events(limit)
    }
    fn offers(&self) -> BoxFuture<'_, Result<offers::Offers>> {
        let (name, due, paid) = ("relay1".into(), None, Amount(5));
        let hop = offers::HopOffer { circuit: 3, hop: 1, name, terms: terms(), expires: 9, due, paid };
        let (site, due) = ("shop.example".into(), Amount(5));
        let service = offers::ServiceOffer { site, terms: terms(), expires: 9, due, at: 4 };
        now(offers::Offers { hops: vec![hop], services: vec![service], own: Some(terms()) })
    }
    fn budgets(&self, change: Option<budgets::Change>) -> BoxFuture<'_, Result<budgets::Budgets>> {
        let rule = match change {
            Some(budgets::Change::SetRule(rule)) => Some(rule),
            Some(budgets::Change::RemoveRule(_)) => {
                return Box::pin(async { Err(Error::never("MW-POL-5", "There is no rule for this target.")) });
            }
            _ => None,
        };
        let target = || budgets::Target::Kind(budgets::Kind::Tor);
        let n = Amount(4);
        now(budgets::Budgets {
            limits: budgets::Limits { day: n, site: n, kinds: per_kind(), price_ceilings: per_kind(), fee_ceiling: n },
            rules: rule.into_iter().collect(),
            day: 20_000,
            lines: vec![budgets::Line { target: target(), limit: n, spent: n, reserved: n, left: n }],
            approvals: vec![budgets::Approval {
                id: 1,
                kind: budgets::Kind::Http,
                site: Some("shop.example".into()),
                amount: n,
                price: n,
                since: 1,
                until: 2,
            }],
        })
    }
    fn links(&self, _: u32, after: Option<Id>) -> BoxFuture<'_, Result<links::Links>> {
        let lane = links::Lane {
            escrow: "G".into(),
            state: "open".into(),
            deposit: Amount(9),
            total: Amount(5),
            claimed: Amount(5),
            landed: Amount(4),
            netted: Amount(0),
            locked: Amount(2),
            epoch: 1,
            flushing: false,
            tied_up: Amount(5),
            blocked: None,
        };
        let link = links::Link {
            link: hex::encode(after.unwrap_or([3; 16])),
            role: links::LinkRole::Payer,
            partner: Some("0".repeat(40)),
            account: 1,
            connected: true,
            closing: false,
            lanes: vec![lane],
        };
        now(links::Links { liquidity: links::Liquidity::default(), count: 1, links: vec![link] })
    }
    fn pay(&self, _: PayCall) -> BoxFuture<'_, PayAnswer> {
        Box::pin(async { PayAnswer::default() })
    }
    fn flush(&self) -> BoxFuture<'_, Result<flush::Flushing>> {
        now(flush::Flushing { flushing: true })
    }
    fn close(&self) -> BoxFuture<'_, Result<close::Closing>> {
        let (state, amount) = ("retired".into(), Amount(7));
        let deposit = close::Returning { link: "00".into(), escrow: "G".into(), state, amount, due_ms: 9 };
        now(close::Closing { returning: vec![deposit] })
    }
    fn feed(&self) -> feed::Feed {
        self.feed.clone()
    }
}
