//! Accounts of the network: an issuer that can take nothing back, and accounts with a trustline for each wallet.
use super::http;
use super::node_config::seed_file;
use super::state::{MoneyView, NodeView};
use super::topology::{Role, Topology};
use crate::error::{Error, Result};
use crate::stellar::asset::Asset;
use crate::stellar::keys::{SecretSeed, account_id};
use crate::stellar::network::NetworkId;
use crate::stellar::template::{Source, batch, ops, payment};
use crate::units::Stroops;
use crate::wallet::{self, Wallet};
use base64::Engine;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// Code of the payment asset.
const ASSET: &str = "MWT";
/// Native balance of each account: reserves of some fifty escrows, and fees. Sixty-four of them come out of what the
/// ledger's friendbot gives.
const NATIVE: Stroops = match Stroops::new(140 * 10_000_000) {
    Ok(native) => native,
    Err(_) => Stroops::ZERO,
};
/// Accounts made by one transaction: it carries a signature of each and at most 20.
const BATCH: usize = 16;
/// Fee offered per operation, native stroops.
const FEE: u32 = 1_000;

/// Accounts of a client or a site with money: conflux takes two guards, and the network has two exits.
const SEVERAL: usize = 2;

/// An account of a wallet and the units that it shall hold.
pub struct Purse {
    key: SecretSeed,
    asset: Stroops,
}

/// Makes the wallet of every node that takes part in payments and notes its accounts.
pub fn wallets(topology: &Topology, nodes: &mut [NodeView]) -> Result<Vec<Purse>> {
    let mut purses = Vec::new();
    for (spec, node) in topology.nodes.iter().zip(nodes) {
        let Some(funding) = spec.funding else { continue };
        let wallet = Wallet::load_or_create(&seed_file(node))?;
        let several = matches!(spec.role, Role::Client | Role::Site) && !funding.asset.is_zero();
        let keys = wallet.account_keys().iter().take(if several { SEVERAL } else { 1 });
        let mut ids = keys.clone().map(|key| account_id(&key.public()));
        (node.account, node.more_accounts) = (ids.next(), ids.collect());
        purses.extend(keys.map(|key| Purse { key: key.clone(), asset: funding.asset }));
    }
    Ok(purses)
}

/// Makes the issuer and all accounts; returns when the ledger holds them.
pub async fn fund(ledger: SocketAddr, state_dir: &Path, purses: &[Purse]) -> Result<MoneyView> {
    let root = get_json(ledger, "/").await?;
    let passphrase = field(&root, "network_passphrase")?.to_owned();
    let issuer = Wallet::load_or_create(&state_dir.join("issuer.seed"))?.derive(wallet::ACCOUNT, b"");
    let id = account_id(&issuer.public());
    let (status, body) = http::get(ledger, &format!("/friendbot?addr={id}")).await?;
    if status != 200 {
        return Err(refused("friendbot", status, &body));
    }
    let asset = Asset::credit(ASSET, issuer.public())?;
    let network = NetworkId::of(&passphrase);
    for (i, part) in purses.chunks(BATCH).enumerate() {
        let source = source(ledger, network, &issuer).await?;
        let mut operations = Vec::new();
        if i == 0 {
            operations.push(ops::set_flags(None, ops::AUTH_IMMUTABLE, 0));
        }
        for purse in part {
            let account = purse.key.public();
            operations.push(ops::create_account(None, &account, NATIVE));
            operations.push(ops::change_trust(Some(&account), &asset, Stroops::MAX));
            if !purse.asset.is_zero() {
                operations.push(ops::payment(None, &account, &asset, purse.asset));
            }
        }
        let signers: Vec<_> = std::iter::once(&issuer).chain(part.iter().map(|purse| &purse.key)).collect();
        submit(ledger, &batch(&source, operations)?.sign(&signers)?.to_xdr()?).await?;
    }
    Ok(MoneyView { passphrase, asset_code: ASSET.into(), issuer: id })
}

/// Pays `amount` more from the issuer to an account that trusts it.
pub async fn top_up(ledger: SocketAddr, state_dir: &Path, money: &MoneyView, to: &str, amount: Stroops) -> Result<()> {
    let issuer = Wallet::load(&state_dir.join("issuer.seed"))?.derive(wallet::ACCOUNT, b"");
    let asset = Asset::credit(&money.asset_code, issuer.public())?;
    let source = source(ledger, NetworkId::of(&money.passphrase), &issuer).await?;
    let to = crate::stellar::keys::parse_account_id(to)?;
    submit(ledger, &payment(&source, &to, &asset, amount)?.sign(&[&issuer])?.to_xdr()?).await
}

/// What an account holds: (native, payment asset) in stroops as the ledger prints them, `None` when there is none.
pub async fn balances(ledger: SocketAddr, money: &MoneyView, account: &str) -> Result<Option<(String, String)>> {
    let (status, body) = http::get(ledger, &format!("/accounts/{account}")).await?;
    if status == 404 {
        return Ok(None);
    }
    let answer = json(status, &body, "accounts")?;
    let held = |wanted: &dyn Fn(&Value) -> bool| {
        let lines = answer.get("balances").and_then(Value::as_array);
        let line = lines.and_then(|lines| lines.iter().find(|line| wanted(line)));
        line.and_then(|line| line.get("balance")?.as_str()).unwrap_or("0").to_owned()
    };
    let is = |line: &Value, key: &str, value: &str| line.get(key).and_then(Value::as_str) == Some(value);
    let native = held(&|line| is(line, "asset_type", "native"));
    let asset = held(&|line| is(line, "asset_code", &money.asset_code) && is(line, "asset_issuer", &money.issuer));
    Ok(Some((native, asset)))
}

/// Number of the last closed ledger.
pub async fn last_ledger(ledger: SocketAddr) -> Result<u64> {
    let root = get_json(ledger, "/").await?;
    let number = root.get("history_latest_ledger").and_then(Value::as_u64);
    number.ok_or_else(|| Error::later("MW-NET-13", "the ledger does not say how far it is"))
}

async fn source(ledger: SocketAddr, network: NetworkId, key: &SecretSeed) -> Result<Source> {
    let account = get_json(ledger, &format!("/accounts/{}", account_id(&key.public()))).await?;
    let sequence = field(&account, "sequence")?.parse();
    let sequence = sequence.map_err(|_| Error::never("MW-NET-13", "an account's sequence number is no number"))?;
    Ok(Source { network, account: key.public(), sequence, fee_per_op: FEE, max_time: 0 })
}

async fn submit(ledger: SocketAddr, envelope: &[u8]) -> Result<()> {
    let text = base64::engine::general_purpose::STANDARD.encode(envelope);
    let form = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let (status, body) = http::post(ledger, "/transactions", format!("tx={form}")).await?;
    match json(status, &body, "transactions")?.get("successful").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => Err(refused("transactions", status, &body)),
    }
}

/// A JSON answer of the ledger.
pub async fn get_json(ledger: SocketAddr, path: &str) -> Result<Value> {
    let (status, body) = http::get(ledger, path).await?;
    json(status, &body, path)
}

fn json(status: u16, body: &[u8], path: &str) -> Result<Value> {
    match serde_json::from_slice(body) {
        Ok(value) if status == 200 => Ok(value),
        _ => Err(refused(path, status, body)),
    }
}

fn field<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    let found = value.get(key).and_then(Value::as_str);
    found.ok_or_else(|| Error::never("MW-NET-13", format!("the ledger's answer has no {key}")))
}

fn refused(path: &str, status: u16, body: &[u8]) -> Error {
    let body: String = String::from_utf8_lossy(body).chars().take(600).collect();
    Error::later("MW-NET-13", format!("the ledger answers {status} to {path}: {body}"))
}
