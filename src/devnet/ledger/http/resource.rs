//! JSON of transactions, ledgers and pages, with Horizon's links.
use super::page::Page;
use crate::devnet::ledger::entry::{Id, account_id};
use crate::devnet::ledger::frame::{Bump, Frame};
use crate::devnet::ledger::store::{LedgerRow, TransactionRow};
use crate::devnet::ledger::time::rfc3339;
use crate::devnet::ledger::view::{address, amount};
use crate::devnet::ledger::xdr::{DecoratedSignature, Memo, MuxedAccount, Preconditions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

fn href(base: &str, path: &str) -> Value {
    json!({"href": format!("{base}{path}")})
}

fn template(base: &str, path: &str, query: &str) -> Value {
    json!({"href": format!("{base}{path}{{?{query}}}"), "templated": true})
}

/// Adds the links of an account.
pub(super) fn account_links(base: &str, id: &Id) -> Value {
    let at = format!("/accounts/{}", address(id));
    let mut links = Map::from_iter([("self".to_owned(), href(base, &at))]);
    for list in ["transactions", "operations", "payments", "effects", "offers", "trades"] {
        links.insert(list.to_owned(), template(base, &format!("{at}/{list}"), "cursor,limit,order"));
    }
    let data = json!({"href": format!("{base}{at}/data/{{key}}"), "templated": true});
    links.insert("data".to_owned(), data);
    Value::Object(links)
}

fn signatures(all: &[DecoratedSignature]) -> Vec<String> {
    all.iter().map(|s| STANDARD.encode(s.signature.0.as_slice())).collect()
}

fn memo(out: &mut Value, memo: &Memo) {
    let (kind, text) = match memo {
        Memo::None => ("none", None),
        Memo::Text(text) => {
            out["memo_bytes"] = json!(STANDARD.encode(text.as_slice()));
            ("text", Some(String::from_utf8_lossy(text.as_slice()).into_owned()))
        }
        Memo::Id(id) => ("id", Some(id.to_string())),
        Memo::Hash(hash) => ("hash", Some(STANDARD.encode(hash.0))),
        Memo::Return(hash) => ("return", Some(STANDARD.encode(hash.0))),
    };
    out["memo_type"] = json!(kind);
    if let Some(text) = text {
        out["memo"] = json!(text);
    }
}

fn preconditions(out: &mut Value, frame: &Frame) {
    if frame.tx.cond == Preconditions::None {
        return;
    }
    let mut all = Map::new();
    if let Some(bounds) = frame.time_bounds() {
        let mut times = json!({"min_time": bounds.min_time.0.to_string()});
        if bounds.max_time.0 != 0 {
            times["max_time"] = json!(bounds.max_time.0.to_string());
            out["valid_before"] = json!(rfc3339(bounds.max_time.0));
        }
        out["valid_after"] = json!(rfc3339(bounds.min_time.0));
        all.insert("timebounds".to_owned(), times);
    }
    if let Some(v2) = frame.v2() {
        if let Some(bounds) = &v2.ledger_bounds {
            let span = json!({"min_ledger": bounds.min_ledger, "max_ledger": bounds.max_ledger});
            all.insert("ledgerbounds".to_owned(), span);
        }
        if let Some(min) = &v2.min_seq_num {
            all.insert("min_account_sequence".to_owned(), json!(min.0.to_string()));
        }
        all.insert("min_account_sequence_age".to_owned(), json!(v2.min_seq_age.0.to_string()));
        all.insert("min_account_sequence_ledger_gap".to_owned(), json!(v2.min_seq_ledger_gap));
        let extra: Vec<String> = v2.extra_signers.iter().map(ToString::to_string).collect();
        all.insert("extra_signers".to_owned(), json!(extra));
    }
    out["preconditions"] = Value::Object(all);
}

// The muxed form of an account beside its plain one.
fn muxed(out: &mut Value, field: &str, account: &MuxedAccount) {
    if let MuxedAccount::MuxedEd25519(inner) = account {
        out[format!("{field}_muxed")] = json!(account.to_string());
        out[format!("{field}_muxed_id")] = json!(inner.id.to_string());
    }
}

fn bumped(out: &mut Value, frame: &Frame, bump: &Bump, asked_for_inside: bool) {
    out["fee_bump_transaction"] = json!({"hash": hex::encode(bump.hash), "signatures": signatures(&bump.signatures)});
    out["inner_transaction"] = json!({
        "hash": hex::encode(frame.inner_hash),
        "max_fee": frame.tx.fee.to_string(),
        "signatures": signatures(&frame.signatures),
    });
    if asked_for_inside {
        out["signatures"] = json!(signatures(&frame.signatures));
    }
}

/// A transaction, named by `asked` (its own hash or that of the transaction inside it). `None` when the stored
/// envelope cannot be read.
pub(super) fn transaction(base: &str, row: &TransactionRow, network: &[u8; 32], asked: &[u8; 32]) -> Option<Value> {
    let frame = Frame::from_bytes(&row.envelope, network).ok()?;
    let hash = hex::encode(asked);
    let at = format!("/transactions/{hash}");
    let list = "cursor,limit,order";
    let outer = frame.bump.as_ref().map_or(frame.signatures.as_slice(), |b| b.signatures.as_slice());
    let mut out = json!({
        "_links": {
            "self": href(base, &at),
            "transaction": href(base, &at),
            "account": href(base, &format!("/accounts/{}", address(&frame.source()))),
            "ledger": href(base, &format!("/ledgers/{}", row.ledger)),
            "operations": template(base, &format!("{at}/operations"), list),
            "effects": template(base, &format!("{at}/effects"), list),
            "precedes": href(base, &format!("/transactions?order=asc&cursor={}", row.id)),
            "succeeds": href(base, &format!("/transactions?order=desc&cursor={}", row.id)),
        },
        "id": hash,
        "paging_token": row.id.to_string(),
        "successful": row.successful,
        "hash": hash,
        "ledger": row.ledger,
        "created_at": rfc3339(row.close_time),
        "source_account": address(&frame.source()),
        "source_account_sequence": frame.seq().to_string(),
        "fee_account": address(&frame.fee_source()),
        "fee_charged": row.fee.to_string(),
        "max_fee": row.bid.to_string(),
        "operation_count": frame.tx.operations.len(),
        "envelope_xdr": STANDARD.encode(&row.envelope),
        "result_xdr": STANDARD.encode(&row.result),
        // this ledger keeps no meta
        "fee_meta_xdr": "",
        "signatures": signatures(outer),
    });
    memo(&mut out, &frame.tx.memo);
    preconditions(&mut out, &frame);
    muxed(&mut out, "account", &frame.tx.source_account);
    if let Some(bump) = &frame.bump {
        bumped(&mut out, &frame, bump, *asked == frame.inner_hash);
    }
    Some(out)
}

/// A closed ledger. `max_set` is how many operations one may hold.
pub(super) fn ledger(base: &str, row: &LedgerRow, max_set: i64) -> Value {
    let h = &row.header;
    let at = format!("/ledgers/{}", h.ledger);
    let mut links = Map::from_iter([("self".to_owned(), href(base, &at))]);
    for list in ["transactions", "operations", "payments", "effects"] {
        links.insert(list.to_owned(), template(base, &format!("{at}/{list}"), "cursor,limit,order"));
    }
    json!({
        "_links": links,
        "id": hex::encode(row.hash),
        "paging_token": (i64::from(h.ledger) << 32).to_string(),
        "hash": hex::encode(row.hash),
        "prev_hash": hex::encode(row.previous),
        "sequence": h.ledger,
        "successful_transaction_count": row.successful,
        "failed_transaction_count": row.failed,
        "operation_count": row.operations,
        "tx_set_operation_count": row.set_operations,
        "closed_at": rfc3339(h.close_time),
        "total_coins": amount(h.total_coins),
        "fee_pool": amount(h.fee_pool),
        "base_fee_in_stroops": h.base_fee,
        "base_reserve_in_stroops": h.base_reserve,
        "max_tx_set_size": max_set,
        "protocol_version": h.protocol,
        // headers are not kept as XDR
        "header_xdr": "",
    })
}

/// A page of records with links to itself, the next and the one before. Each record has a `paging_token`.
pub(super) fn page(base: &str, path: &str, page: &Page, records: Vec<Value>) -> Value {
    let token = |record: Option<&Value>| {
        record.and_then(|r| r["paging_token"].as_str()).map_or_else(|| page.cursor_text(), str::to_owned)
    };
    let link = |cursor: &str, order: &str| {
        let failed = if page.include_failed { "&include_failed=true" } else { "" };
        href(base, &format!("{path}?cursor={cursor}&limit={}&order={order}{failed}", page.limit))
    };
    let (order, back) = if page.descending { ("desc", "asc") } else { ("asc", "desc") };
    let (first, last) = (token(records.first()), token(records.last()));
    json!({
        "_links": {"self": link(&page.cursor_text(), order), "next": link(&last, order), "prev": link(&first, back)},
        "_embedded": {"records": records},
    })
}

/// Links of the root document.
pub(super) fn root_links(base: &str) -> Value {
    let page = "cursor,limit,order";
    let plain = |path: &str| json!({"href": format!("{base}{path}"), "templated": true});
    json!({
        "self": href(base, "/"),
        "account": plain("/accounts/{account_id}"),
        "account_transactions": plain("/accounts/{account_id}/transactions{?cursor,limit,order}"),
        "assets": template(base, "/assets", page),
        "effects": template(base, "/effects", page),
        "fee_stats": href(base, "/fee_stats"),
        "friendbot": plain("/friendbot{?addr}"),
        "ledger": plain("/ledgers/{sequence}"),
        "ledgers": template(base, "/ledgers", page),
        "operation": plain("/operations/{id}"),
        "operations": template(base, "/operations", page),
        "order_book": href(base, "/order_book"),
        "payments": template(base, "/payments", page),
        "trade_aggregations": href(base, "/trade_aggregations"),
        "trades": href(base, "/trades"),
        "transaction": plain("/transactions/{hash}"),
        "transactions": template(base, "/transactions", page),
    })
}

/// `G…` or `M…` as an account.
pub(super) fn parse_account(text: &str) -> Option<Id> {
    // 69 characters is the longest muxed address
    if text.len() > 69 {
        return None;
    }
    let account: MuxedAccount = text.parse().ok()?;
    let id = crate::devnet::ledger::entry::muxed_id(&account);
    // a key that prints otherwise was not written canonically
    let canonical = account.to_string() == text || account_id(&id).to_string() == text;
    canonical.then_some(id)
}
