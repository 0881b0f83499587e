//! What the ledger itself says, held against the books of all nodes.
use super::Net;
use magicwave::devnet::ledger::xdr::{Asset, OperationBody};
use magicwave::devnet::ledger::{Frame, network_id, view};
use magicwave::devnet::network::http;
use magicwave::gateway::link::{EscrowRow, Role};
use magicwave::store::{Books, Reader};
use serde_json::Value;
use std::collections::BTreeMap;

/// Balances and fees in stroops by account, native and of the payment asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// (native, asset) of every account there is.
    pub balances: BTreeMap<String, (i64, i64)>,
    /// Of the payment asset: what the payments of all transactions brought and took.
    pub moved: BTreeMap<String, (i64, i64)>,
    /// Charged for transactions, failed ones too.
    pub fees: BTreeMap<String, i64>,
    pub total_coins: i64,
    pub fee_pool: i64,
    pub transactions: usize,
    pub failed: usize,
}

/// One escrow as both partners' stores have it.
#[derive(Debug, Default)]
pub struct Pair {
    pub payer: Option<(String, EscrowRow)>,
    pub payee: Option<(String, EscrowRow)>,
}

/// Stroops of an amount as Horizon prints it.
fn stroops(value: &Value) -> i64 {
    let text = value.as_str().expect("an amount");
    let (units, rest) = text.split_once('.').unwrap_or((text, "0"));
    assert!(rest.len() <= 7, "{text}");
    let number = |text: &str| text.parse::<i64>().expect("a number");
    number(units) * 10_000_000 + number(&format!("{rest:0<7}"))
}

fn is_credit(asset: &Asset, code: &str) -> bool {
    matches!(asset, Asset::CreditAlphanum4(a) if a.asset_code.as_slice().starts_with(code.as_bytes()))
}

impl Net {
    fn ledger_address(&self) -> std::net::SocketAddr {
        self.devnet.state().ledger.as_ref().expect("ledger").address
    }

    async fn horizon(&self, path: &str) -> (u16, Value) {
        let (status, body) = http::get(self.ledger_address(), path).await.expect("the ledger answers");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// All that ever happened, oldest first: (envelope, successful, fee account, fee).
    async fn history(&self) -> Vec<(Frame, bool, String, i64)> {
        let network = network_id(&self.devnet.state().money.as_ref().expect("money").passphrase);
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/transactions?order=asc&limit=100&include_failed=true&cursor={cursor}");
            let (status, page) = self.horizon(&path).await;
            assert_eq!(status, 200);
            let records = page["_embedded"]["records"].as_array().expect("records").clone();
            let Some(last) = records.last() else { return all };
            cursor = last["paging_token"].as_str().expect("token").into();
            for record in records {
                let text = |key: &str| record[key].as_str().expect("text").to_owned();
                let frame = Frame::parse(&text("envelope_xdr"), &network).expect("an envelope");
                let fee = text("fee_charged").parse().expect("a fee");
                all.push((frame, record["successful"] == true, text("fee_account"), fee));
            }
        }
    }

    /// Everything on the ledger, of one moment: read again when something landed meanwhile.
    pub async fn ledger(&self) -> Ledger {
        for _ in 0..20 {
            let ledger = self.read_ledger().await;
            if self.history().await.len() == ledger.transactions {
                return ledger;
            }
        }
        panic!("the ledger does not come to rest");
    }

    async fn read_ledger(&self) -> Ledger {
        let history = self.history().await;
        let mut all = Ledger { transactions: history.len(), ..Ledger::default() };
        let code = self.devnet.state().money.as_ref().expect("money").asset_code.clone();
        for (frame, successful, fee_account, fee) in &history {
            *all.fees.entry(fee_account.clone()).or_default() += fee;
            all.balances.entry(view::address(&frame.source())).or_default();
            if !successful {
                all.failed += 1;
                continue;
            }
            for operation in frame.tx.operations.iter() {
                let source = view::address(&frame.op_source(operation));
                match &operation.body {
                    OperationBody::CreateAccount(op) => {
                        all.balances.entry(op.destination.to_string()).or_default();
                    }
                    OperationBody::Payment(op) if is_credit(&op.asset, &code) => {
                        all.moved.entry(op.destination.to_string()).or_default().0 += op.amount;
                        all.moved.entry(source).or_default().1 += op.amount;
                    }
                    OperationBody::Payment(op) => panic!("a payment in another asset: {op:?}"),
                    _ => {}
                }
            }
        }
        for (account, held) in &mut all.balances {
            *held = self.balance(account, &code).await;
        }
        let (_, page) = self.horizon("/ledgers?order=desc&limit=1").await;
        let newest = &page["_embedded"]["records"][0];
        (all.total_coins, all.fee_pool) = (stroops(&newest["total_coins"]), stroops(&newest["fee_pool"]));
        all
    }

    async fn balance(&self, account: &str, code: &str) -> (i64, i64) {
        let (status, answer) = self.horizon(&format!("/accounts/{account}")).await;
        assert_eq!(status, 200, "{account} is gone");
        let mut held = (0, 0);
        for line in answer["balances"].as_array().expect("balances") {
            match line["asset_type"].as_str() {
                Some("native") => held.0 = stroops(&line["balance"]),
                _ => {
                    assert_eq!(line["asset_code"], code);
                    held.1 += stroops(&line["balance"]);
                }
            }
        }
        held
    }

    fn reader(&self, node: &str) -> Reader {
        let dir = &self.devnet.node(node).expect("node").dir;
        Reader::open(&dir.join("payments").join("magicwave.db")).expect("a store")
    }

    /// Every escrow in any node's store, by its account.
    pub fn pairs(&self) -> BTreeMap<String, Pair> {
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        for node in self.payers() {
            for row in self.reader(&node).escrows().expect("rows") {
                let pair = pairs.entry(magicwave::stellar::keys::account_id(&row.escrow)).or_default();
                let side = match row.role {
                    Role::Payer => &mut pair.payer,
                    Role::Payee => &mut pair.payee,
                };
                assert!(side.is_none(), "two nodes have the same end of one escrow");
                *side = Some((node.clone(), row));
            }
        }
        pairs
    }

    /// The journal of a node, added up and held against its lanes.
    pub fn books(&self, node: &str) -> Books {
        self.reader(node).check().expect("books")
    }

    /// No payee holds or landed more than its payer signed. Payees are asked first, payers two ticks later: amounts
    /// only rise.
    pub async fn nobody_claims_more_than_was_signed(&self) -> usize {
        let mut claimed = BTreeMap::new();
        for node in self.payers() {
            for lane in lanes(&self.gateway(&node).await, "payee") {
                let [total, held, landed] = ["total", "claimed", "landed"].map(|key| number(&lane[key]));
                assert!(landed <= held && total <= held, "{node} credits more than it holds: {lane}");
                claimed.insert(lane["escrow"].as_str().expect("escrow").to_owned(), (node.clone(), held));
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        let mut matched = 0;
        for node in self.payers() {
            for lane in lanes(&self.gateway(&node).await, "payer") {
                let [signed, landed, netted, locked] =
                    ["total", "landed", "netted", "locked"].map(|key| number(&lane[key]));
                assert!(landed + netted <= signed && signed - netted <= number(&lane["deposit"]), "{node}: {lane}");
                if let Some((payee, held)) = claimed.remove(lane["escrow"].as_str().expect("escrow")) {
                    // A payee may know the secret of a lock already, its payer not yet.
                    assert!(held <= signed + locked, "{payee} holds {held}, {node} signed {signed}, locked {locked}");
                    matched += 1;
                }
            }
        }
        assert!(claimed.is_empty(), "escrows that no payer knows: {claimed:?}");
        matched
    }
}

/// The lanes of a status in one role.
pub fn lanes(gateway: &Value, role: &str) -> Vec<Value> {
    let links = gateway["links"].as_array().expect("links").iter().filter(|link| link["role"] == role);
    links.flat_map(|link| link["lanes"].as_array().expect("lanes").clone()).collect()
}

/// An amount in a status.
pub fn number(value: &Value) -> u64 {
    let text = value.as_str().map(|text| text.parse().expect("a number"));
    text.or_else(|| value.as_u64()).expect("an amount")
}
