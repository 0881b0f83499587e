//! `magicwave status`: how a running node stands, and where its money is.
use crate::api::amount::Amount;
use crate::api::balance::Balance;
use crate::api::client::call;
use crate::api::state::NodeState;
use crate::error::Result;
use crate::units::Stroops;
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The daemon looks at the ledger for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// The daemon's API socket, `api_socket` of its configuration; the token lies beside it
    #[arg(long, value_name = "SOCKET")]
    api: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked: Result<(NodeState, Balance)> = runtime.block_on(async {
        let state = call(&args.api, "/api/state", None, PATIENCE).await?;
        Ok((state, call(&args.api, "/api/balance", None, PATIENCE).await?))
    });
    let said = match &asked {
        Ok((state, balance)) if args.json => json!({"ok": true, "state": state, "balance": balance}).to_string(),
        Ok((state, balance)) => page(state, balance),
        Err(error) if args.json => json!({"ok": false, "code": error.code, "error": error.text}).to_string(),
        Err(error) => {
            eprintln!("magicwave status: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    // A reader that went away (`| head`) changes nothing.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{}\n", said.trim_end()).as_bytes());
    Ok(if asked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(state: &NodeState, balance: &Balance) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what:<24} {value}");
    };
    line("tor", format!("{} % ({})", state.tor.bootstrap, state.tor.summary));
    if let Some(account) = &state.account {
        line("account", format!("{} {}", account.text, account.advice));
    }
    line("address", balance.account.clone());
    let code = balance.asset.split(':').next().unwrap_or_default();
    let units = |amount: Amount, code: &str| format!("{} {code}", Stroops::new(amount.0).unwrap_or(Stroops::MAX));
    match &balance.ledger {
        Some(look) => {
            line("on the ledger", format!("{} {} s ago", units(look.asset, code), look.age_ms / 1_000));
            line("", format!("{}, {} to spend", units(look.native, "XLM"), units(look.native_spendable, "XLM")));
        }
        None => line("on the ledger", "not seen yet".into()),
    }
    if let Some(failed) = &balance.failed {
        line("the newest look", format!("{} [{}]", failed.text, failed.code));
    }
    line("in escrows", units(balance.paying.escrows, code));
    line("signed and not landed", units(balance.paying.signed, code));
    line("paid ahead", units(balance.paying.credit, code));
    line("claims to bring home", units(balance.earning.claims, code));
    text
}
