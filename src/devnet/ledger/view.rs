//! An account as Horizon shows it.
use super::chain::Ledger;
use super::entry::{Account, Id, TrustLine, account_id};
use super::xdr::{Asset, SignerKey, Uint256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Stroops as Horizon prints amounts: seven decimals.
pub fn amount(stroops: i64) -> String {
    let (sign, rest) = if stroops < 0 { ("-", stroops.unsigned_abs()) } else { ("", stroops.unsigned_abs()) };
    format!("{sign}{}.{:07}", rest / 10_000_000, rest % 10_000_000)
}

/// `G…` of an account.
pub fn address(id: &Id) -> String {
    account_id(id).to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `asset_type`, `asset_code` and `asset_issuer` of an asset.
pub fn asset_fields(asset: &Asset) -> Map<String, Value> {
    let (kind, code, issuer) = match asset {
        Asset::Native => {
            return Map::from_iter([("asset_type".to_owned(), json!("native"))]);
        }
        Asset::CreditAlphanum4(a) => ("credit_alphanum4", &a.asset_code.0[..], &a.issuer),
        Asset::CreditAlphanum12(a) => ("credit_alphanum12", &a.asset_code.0[..], &a.issuer),
    };
    let length = code.iter().position(|c| *c == 0).unwrap_or(code.len());
    Map::from_iter([
        ("asset_type".to_owned(), json!(kind)),
        ("asset_code".to_owned(), json!(text(&code[..length]))),
        ("asset_issuer".to_owned(), json!(issuer.to_string())),
    ])
}

fn line(line: &TrustLine) -> Value {
    let mut out = Map::from_iter([
        ("balance".to_owned(), json!(amount(line.balance))),
        ("limit".to_owned(), json!(amount(line.limit))),
        ("buying_liabilities".to_owned(), json!(amount(0))),
        ("selling_liabilities".to_owned(), json!(amount(0))),
        ("last_modified_ledger".to_owned(), json!(line.modified)),
        ("is_authorized".to_owned(), json!(line.flags & 1 != 0)),
        ("is_authorized_to_maintain_liabilities".to_owned(), json!(line.flags & 3 != 0)),
        ("is_clawback_enabled".to_owned(), json!(line.flags & 4 != 0)),
    ]);
    if let Some(sponsor) = &line.reserve.by {
        out.insert("sponsor".to_owned(), json!(address(sponsor)));
    }
    out.extend(asset_fields(&line.asset));
    Value::Object(out)
}

fn signers(account: &Account) -> Vec<Value> {
    let kind = |key: &SignerKey| match key {
        SignerKey::Ed25519(_) => "ed25519_public_key",
        SignerKey::PreAuthTx(_) => "preauth_tx",
        SignerKey::HashX(_) => "sha256_hash",
        SignerKey::Ed25519SignedPayload(_) => "ed25519_signed_payload",
    };
    let master = SignerKey::Ed25519(Uint256(account.id));
    let mut all: Vec<Value> = account
        .signers
        .iter()
        .map(|s| {
            let mut out = json!({"weight": s.weight, "key": s.key.to_string(), "type": kind(&s.key)});
            if let Some(sponsor) = &s.sponsor {
                out["sponsor"] = json!(address(sponsor));
            }
            out
        })
        .collect();
    all.push(json!({"weight": account.thresholds[0], "key": master.to_string(), "type": kind(&master)}));
    all
}

/// The account's JSON without links; `None` when there is no such account. `closed_at` tells the close time of a
/// ledger as RFC 3339 (used for `last_modified_time`), where it is known.
pub fn account_view(ledger: &Ledger, id: &Id, closed_at: impl Fn(u32) -> Option<String>) -> Option<Value> {
    let state = ledger.state();
    let account = state.accounts.get(id)?;
    let mut balances: Vec<Value> = state.trust_of(id).map(line).collect();
    balances.push(json!({
        "balance": amount(account.balance),
        "buying_liabilities": amount(0),
        "selling_liabilities": amount(0),
        "asset_type": "native",
    }));
    let data: Map<String, Value> =
        state.data_of(id).map(|d| (text(&d.name.0), json!(STANDARD.encode(d.value.0.as_slice())))).collect();
    let [_, low, medium, high] = account.thresholds;
    let mut out = json!({
        "id": address(id),
        "account_id": address(id),
        "sequence": account.seq.to_string(),
        "subentry_count": account.subentries,
        "last_modified_ledger": account.modified,
        "thresholds": {"low_threshold": low, "med_threshold": medium, "high_threshold": high},
        "flags": {
            "auth_required": account.flags & 1 != 0,
            "auth_revocable": account.flags & 2 != 0,
            "auth_immutable": account.flags & 4 != 0,
            "auth_clawback_enabled": account.flags & 8 != 0,
        },
        "balances": balances,
        "signers": signers(account),
        "data": data,
        "num_sponsoring": account.sponsoring,
        "num_sponsored": account.sponsored,
        "paging_token": address(id),
    });
    // as Horizon does: absent means never
    if account.seq_ledger != 0 {
        out["sequence_ledger"] = json!(account.seq_ledger);
        out["sequence_time"] = json!(account.seq_time.to_string());
    }
    if let Some(at) = closed_at(account.modified) {
        out["last_modified_time"] = json!(at);
    }
    if let Some(sponsor) = &account.reserve.by {
        out["sponsor"] = json!(address(sponsor));
    }
    if let Some(destination) = &account.inflation_dest {
        out["inflation_destination"] = json!(address(destination));
    }
    if !account.home_domain.0.is_empty() {
        out["home_domain"] = json!(text(&account.home_domain.0));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_seven_decimals_and_a_sign_when_below_zero() {
        assert_eq!(amount(0), "0.0000000");
        assert_eq!(amount(12_345_678), "1.2345678");
        assert_eq!(amount(-1), "-0.0000001");
        assert_eq!(amount(i64::MIN), "-922337203685.4775808");
    }
}
