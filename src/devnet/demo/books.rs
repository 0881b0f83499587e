//! The ledger's own accounts, before and after, held against what the client's books say it paid.
use super::report::{Report, Standing};
use super::{PAUPER, ask, socket};
use crate::api::{amount::Amount, payments};
use crate::devnet::network::{Devnet, fund};
use crate::error::{Error, Result};
use crate::stellar::keys::account_id;
use crate::units::Stroops;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Flushes land within a few closes.
const PATIENCE: Duration = Duration::from_secs(40);
/// Locks of the devnet end within this time.
const REST: Duration = Duration::from_secs(90);

/// The accounts of the network at one moment.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// Node -> (asset, native), stroops.
    nodes: BTreeMap<String, (i64, i64)>,
    /// Escrow -> (the payer's node, asset, native).
    escrows: BTreeMap<String, (String, i64, i64)>,
    issuer_native: i64,
    fee_pool: i64,
    last: u64,
}

impl Picture {
    fn asset(&self) -> i64 {
        self.nodes.values().map(|n| n.0).sum::<i64>() + self.escrows.values().map(|e| e.1).sum::<i64>()
    }
    fn native(&self) -> i64 {
        self.issuer_native
            + self.nodes.values().map(|n| n.1).sum::<i64>()
            + self.escrows.values().map(|e| e.2).sum::<i64>()
    }
    fn deposits_of(&self, node: &str) -> i64 {
        self.escrows.values().filter(|e| e.0 == node).map(|e| e.1).sum()
    }
}

/// Nodes with a gateway.
fn paid_nodes(net: &Devnet) -> impl Iterator<Item = &str> {
    net.state().nodes.iter().filter(|n| n.api_socket.is_some()).map(|n| n.name.as_str())
}

fn ledger(net: &Devnet) -> Result<SocketAddr> {
    let none = || Error::never("MW-DEMO-2", "this network has no ledger");
    Ok(net.state().ledger.as_ref().ok_or_else(none)?.address)
}

/// Reads every account; again when the ledger closed meanwhile, so that all are of one moment.
pub async fn read(net: &Devnet) -> Result<Picture> {
    let mut picture = read_once(net).await?;
    for _ in 0..20 {
        let again = read_once(net).await?;
        if again.asset() == picture.asset()
            && again.native() + again.fee_pool == picture.native() + picture.fee_pool
            && again.fee_pool == picture.fee_pool
        {
            return Ok(again);
        }
        picture = again;
    }
    Err(Error::later("MW-DEMO-6", format!("the accounts do not come to rest (ledger {})", picture.last)))
}

async fn read_once(net: &Devnet) -> Result<Picture> {
    let address = ledger(net)?;
    let money = net.state().money.as_ref().ok_or_else(|| Error::never("MW-DEMO-2", "this network has no money"))?;
    let mut picture = Picture::default();
    for node in paid_nodes(net) {
        for account in net.node(node)?.accounts() {
            let (asset, native) = balances(address, account).await?;
            let held = picture.nodes.entry(node.to_owned()).or_default();
            *held = (held.0 + asset, held.1 + native);
        }
        for link in lanes(&ask(net, node, "/api/status").await?, "payer") {
            let Some(escrow) = link["escrow"].as_str().and_then(key) else { continue };
            let id = account_id(&escrow);
            let (asset, native) = balances(address, &id).await?;
            picture.escrows.insert(id, (node.to_owned(), asset, native));
        }
    }
    picture.issuer_native = balances(address, &money.issuer).await?.1;
    let head = fund::get_json(address, "/ledgers?order=desc&limit=1").await?;
    let head = &head["_embedded"]["records"][0];
    picture.fee_pool = stroops(head["fee_pool"].as_str().unwrap_or_default())?;
    picture.last = head["sequence"].as_u64().unwrap_or(0);
    Ok(picture)
}

fn key(hex_text: &str) -> Option<[u8; 32]> {
    hex::decode(hex_text).ok()?.try_into().ok()
}

fn lanes<'a>(status: &'a Value, role: &str) -> Vec<&'a Value> {
    let links = status["gateway"]["links"].as_array().map(Vec::as_slice).unwrap_or_default();
    links
        .iter()
        .filter(|l| l["role"] == role)
        .flat_map(|l| l["lanes"].as_array().map(Vec::as_slice).unwrap_or_default())
        .collect()
}

/// (asset, native) of an account; nothing when it is not on the ledger.
async fn balances(address: SocketAddr, account: &str) -> Result<(i64, i64)> {
    let Ok(view) = fund::get_json(address, &format!("/accounts/{account}")).await else { return Ok((0, 0)) };
    let (mut asset, mut native) = (0, 0);
    for balance in view["balances"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let amount = stroops(balance["balance"].as_str().unwrap_or_default())?;
        if balance["asset_type"] == "native" { native += amount } else { asset += amount }
    }
    Ok((asset, native))
}

/// "12.3400000" in stroops.
fn stroops(text: &str) -> Result<i64> {
    let bad = || Error::never("MW-DEMO-7", format!("the ledger says {text:?} where an amount should stand"));
    let (whole, part) = text.split_once('.').ok_or_else(bad)?;
    let (whole, part): (i64, i64) = (whole.parse().map_err(|_| bad())?, part.parse().map_err(|_| bad())?);
    whole.checked_mul(10_000_000).and_then(|w| w.checked_add(part)).ok_or_else(bad)
}

/// Every payee brings its claims to the ledger; returns when all have landed.
async fn flush(net: &Devnet) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut open = Vec::new();
        for node in paid_nodes(net) {
            let status: Value = ask(net, node, "/api/status").await?;
            let part = |lane: &Value, name: &str| lane[name].as_u64().unwrap_or(0);
            let open_still = |l: &&Value| part(l, "claimed") != part(l, "landed") + part(l, "netted");
            if lanes(&status, "payee").iter().any(open_still) {
                open.push(node);
                let flush: Result<Value> = crate::api::client::call(
                    socket(net, node)?,
                    "/api/flush",
                    Some(&Value::Null),
                    Duration::from_secs(10),
                )
                .await;
                flush?;
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::later(
                "MW-DEMO-6",
                format!("claims of {} did not land in {PATIENCE:?}", open.join(", ")),
            ));
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

/// The payments of a client, by its node's name.
type Paid = Vec<(&'static str, Vec<payments::Payment>)>;

async fn paid(net: &Devnet) -> Result<Paid> {
    let mut all = Vec::new();
    for client in ["client1", PAUPER] {
        all.push((client, ask(net, client, "/api/payments?limit=10000").await?));
    }
    Ok(all)
}

/// The accounts and the payments once all of these have landed: a payment that is still under locks ends first, and one
/// that is made meanwhile is waited for.
pub async fn at_rest(net: &Devnet) -> Result<(Picture, Paid)> {
    let end = Instant::now() + REST;
    let under_way =
        |all: &Paid| all.iter().flat_map(|(_, rows)| rows).any(|row| row.state == payments::PaymentState::Signed);
    loop {
        let first = paid(net).await?;
        if !under_way(&first) {
            flush(net).await?;
            let picture = read(net).await?;
            if paid(net).await? == first {
                return Ok((picture, first));
            }
        }
        if Instant::now() >= end {
            return Err(Error::later("MW-DEMO-6", format!("the payments do not come to rest in {REST:?}")));
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

/// Does it add up? To the stroop, fees included.
pub fn compare(net: &Devnet, before: &Picture, after: &Picture, paid: Paid, report: &mut Report) -> Result<()> {
    let mut earned: BTreeMap<String, i64> = BTreeMap::new();
    let (mut abandoned, mut abandoned_total) = (0, 0i64);
    let mut spent: BTreeMap<String, i64> = BTreeMap::new();
    for (client, rows) in paid {
        // What ended with the time of its locks reached nobody.
        for row in rows.into_iter().filter(|row| row.state != payments::PaymentState::Expired) {
            let stroops = |amount: Amount| amount.stroops().unwrap_or(Stroops::ZERO).as_i64();
            let total = stroops(row.total);
            if row.state != payments::PaymentState::Complete {
                abandoned += 1;
                abandoned_total += total;
            }
            *spent.entry(client.to_owned()).or_default() += total;
            for payee in row.payees {
                *earned.entry(payee.account).or_default() += stroops(payee.due) + stroops(payee.fee);
            }
        }
    }
    let mut differences = Vec::new();
    for (node, then) in &before.nodes {
        let now = after.nodes.get(node).copied().unwrap_or_default();
        let account = net.node(node)?.account.clone().unwrap_or_default();
        let alms = if node == PAUPER { report.top_up.as_i64() } else { 0 };
        // What lies in escrows that a node opened and nobody claimed is still the node's.
        let gain = now.0 + after.deposits_of(node) - then.0 - before.deposits_of(node) - alms;
        let books = earned.get(&account).copied().unwrap_or(0) - spent.get(node).copied().unwrap_or(0);
        differences.push(gain - books);
        report.accounts.push(Standing {
            node: node.clone(),
            before: then.0,
            after: now.0,
            deposits: after.deposits_of(node),
            gain,
            books,
        });
    }
    report.abandoned = abandoned;
    report.fees = after.fee_pool - before.fee_pool;
    report.asset_exact = after.asset() == before.asset() + report.top_up.as_i64();
    report.native_exact = before.native() - after.native() == report.fees;
    report.abandoned_total = abandoned_total;
    report.books_agree = explained(&differences, 0);
    report.exact = report.asset_exact && report.native_exact && explained(&differences, abandoned_total);
    report.total = Stroops::try_from(spent.values().sum::<i64>()).unwrap_or(Stroops::ZERO);
    Ok(())
}

/// Whether payments that were given up explain by how much accounts and books differ: such a payment is in the client's
/// books, but reached all, some or none of its payees. Nobody can be off by more than all of them together.
fn explained(differences: &[i64], abandoned_total: i64) -> bool {
    differences.iter().all(|d| d.unsigned_abs() <= abandoned_total.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_that_was_given_up_explains_no_more_than_its_own_amount() {
        assert!(explained(&[0, 0], 0));
        assert!(!explained(&[0, 1], 0), "nothing was given up");
        assert!(explained(&[70, -30, -40], 70));
        assert!(!explained(&[71, -31, -40], 70));
        assert!(!explained(&[0, -71], 70));
    }
}
