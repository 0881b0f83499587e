//! GET: accounts, transactions, ledgers, fees, the root document.
use super::node::{Core, Node};
use super::page::{Page, PageQuery};
use super::problem::{Name, Problem};
use super::resource;
use crate::devnet::ledger::chain::MAX_OPERATIONS;
use crate::devnet::ledger::entry::Id;
use crate::devnet::ledger::store::{Query, TransactionRow};
use crate::devnet::ledger::time::rfc3339;
use crate::devnet::ledger::view::account_view;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;

type Answer = Result<Json<Value>, Problem>;
type Paging = Result<UrlQuery<PageQuery>, QueryRejection>;

/// Ledgers that `fee_stats` looks back over, as Horizon does.
const FEE_LEDGERS: u32 = 5;

/// `http://host` as the client wrote it, for links. Anything but a plain host and port is left out.
pub(super) fn base(headers: &HeaderMap) -> String {
    let host = headers.get(axum::http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let plain = host.len() <= 255 && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    if plain && !host.is_empty() { format!("http://{host}") } else { String::new() }
}

fn page_of(query: Paging, node: &Node) -> Result<Page, Problem> {
    let UrlQuery(query) = query.map_err(|e| Problem::bad_request("query", e.body_text()))?;
    query.read(node.latest())
}

fn account_of(text: &str) -> Result<Id, Problem> {
    resource::parse_account(text).ok_or_else(|| Problem::bad_request("account_id", "not a valid account address"))
}

pub(super) async fn root(State(node): State<Arc<Node>>, headers: HeaderMap) -> Answer {
    let core = node.core.lock().await;
    let header = core.ledger.header();
    Ok(Json(json!({
        "_links": resource::root_links(&base(&headers)),
        "horizon_version": concat!("magicwave-devnet-", env!("CARGO_PKG_VERSION")),
        "core_version": concat!("magicwave-devnet-", env!("CARGO_PKG_VERSION")),
        "ingest_latest_ledger": header.ledger,
        "history_latest_ledger": header.ledger,
        "history_latest_ledger_closed_at": rfc3339(header.close_time),
        "history_elder_ledger": 1,
        "core_latest_ledger": header.ledger,
        "network_passphrase": node.config.passphrase,
        "current_protocol_version": header.protocol,
        "supported_protocol_version": header.protocol,
        "core_supported_protocol_version": header.protocol,
    })))
}

pub(super) async fn account(State(node): State<Arc<Node>>, headers: HeaderMap, Name(id): Name) -> Answer {
    let id = account_of(&id)?;
    let core = node.core.lock().await;
    let closed_at = |ledger| {
        let row = core.store.ledgers(Some(ledger), None, true, 1).ok()?;
        row.first().map(|row| rfc3339(row.header.close_time))
    };
    let mut view = account_view(&core.ledger, &id, closed_at).ok_or_else(Problem::not_found)?;
    view["_links"] = resource::account_links(&base(&headers), &id);
    Ok(Json(view))
}

fn records(base: &str, core: &Core, rows: &[TransactionRow]) -> Result<Vec<Value>, Problem> {
    let network = core.ledger.network_id();
    let records = rows.iter().map(|row| resource::transaction(base, row, network, &row.hash));
    records.collect::<Option<Vec<_>>>().ok_or_else(|| Problem::internal("a stored envelope cannot be read"))
}

async fn list(
    node: &Node,
    headers: &HeaderMap,
    path: &str,
    page: Page,
    account: Option<Id>,
    ledger: Option<u32>,
) -> Answer {
    let core = node.core.lock().await;
    let query = Query {
        account,
        ledger,
        cursor: page.cursor,
        descending: page.descending,
        limit: page.limit,
        include_failed: page.include_failed,
    };
    let rows = core.store.transactions(&query)?;
    let base = base(headers);
    let records = records(&base, &core, &rows)?;
    Ok(Json(resource::page(&base, path, &page, records)))
}

pub(super) async fn account_transactions(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Name(text): Name,
    query: Paging,
) -> Answer {
    let id = account_of(&text)?;
    let page = page_of(query, &node)?;
    list(&node, &headers, &format!("/accounts/{text}/transactions"), page, Some(id), None).await
}

pub(super) async fn transactions(State(node): State<Arc<Node>>, headers: HeaderMap, query: Paging) -> Answer {
    let page = page_of(query, &node)?;
    list(&node, &headers, "/transactions", page, None, None).await
}

pub(super) async fn ledger_transactions(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    Name(number): Name,
    query: Paging,
) -> Answer {
    let number = ledger_number(&number)?;
    let page = page_of(query, &node)?;
    list(&node, &headers, &format!("/ledgers/{number}/transactions"), page, None, Some(number)).await
}

pub(super) async fn transaction(State(node): State<Arc<Node>>, headers: HeaderMap, Name(hash): Name) -> Answer {
    let mut bytes = [0; 32];
    hex::decode_to_slice(&hash, &mut bytes)
        .map_err(|_| Problem::bad_request("tx_id", "a transaction is named by 64 hexadecimal digits"))?;
    let core = node.core.lock().await;
    let row = core.store.transaction(&bytes)?.ok_or_else(Problem::not_found)?;
    let view = resource::transaction(&base(&headers), &row, core.ledger.network_id(), &bytes);
    view.map(Json).ok_or_else(|| Problem::internal("a stored envelope cannot be read"))
}

fn ledger_number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::bad_request("ledger_id", "a ledger is named by its number"))
}

pub(super) async fn ledgers(State(node): State<Arc<Node>>, headers: HeaderMap, query: Paging) -> Answer {
    let page = page_of(query, &node)?;
    let core = node.core.lock().await;
    let cursor = page.cursor.map(|c| c >> 32);
    let rows = core.store.ledgers(None, cursor, page.descending, page.limit)?;
    let base = base(&headers);
    let records = rows.iter().map(|row| resource::ledger(&base, row, MAX_OPERATIONS)).collect();
    Ok(Json(resource::page(&base, "/ledgers", &page, records)))
}

pub(super) async fn ledger(State(node): State<Arc<Node>>, headers: HeaderMap, Name(number): Name) -> Answer {
    let number = ledger_number(&number)?;
    let core = node.core.lock().await;
    let rows = core.store.ledgers(Some(number), None, true, 1)?;
    let row = rows.first().ok_or_else(Problem::not_found)?;
    Ok(Json(resource::ledger(&base(&headers), row, MAX_OPERATIONS)))
}

// Nearest-rank percentiles; `sorted` may be empty, then everything is `least`.
fn distribution(sorted: &[i64], least: i64) -> Value {
    let rank = |percent: usize| {
        let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(index).copied().unwrap_or(least).to_string()
    };
    let mut best = (0usize, sorted.first().copied().unwrap_or(least));
    for run in sorted.chunk_by(|a, b| a == b) {
        if run.len() > best.0 {
            best = (run.len(), run[0]);
        }
    }
    let mut out = json!({"max": rank(100), "min": rank(1), "mode": best.1.to_string()});
    for percent in [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99] {
        out[format!("p{percent}")] = json!(rank(percent));
    }
    out
}

pub(super) async fn fee_stats(State(node): State<Arc<Node>>) -> Answer {
    let core = node.core.lock().await;
    let header = core.ledger.header();
    let fees = core.store.fees_since(header.ledger.saturating_sub(FEE_LEDGERS - 1))?;
    let last = core.store.latest()?.map_or(0, |row| row.set_operations);
    let usage = f64::from(last) / f64::from(u32::try_from(MAX_OPERATIONS).unwrap_or(u32::MAX));
    let least = i64::from(header.base_fee);
    let sorted = |pick: fn(&(i64, i64)) -> i64| {
        let mut all: Vec<i64> = fees.iter().map(pick).collect();
        all.sort_unstable();
        all
    };
    Ok(Json(json!({
        "last_ledger": header.ledger.to_string(),
        "last_ledger_base_fee": header.base_fee.to_string(),
        "ledger_capacity_usage": format!("{usage:.2}"),
        "fee_charged": distribution(&sorted(|f| f.0), least),
        "max_fee": distribution(&sorted(|f| f.1), least),
    })))
}
