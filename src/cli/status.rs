//! `magicwave status`: how a running node stands, and where its money is.
use crate::api::amount::Amount;
use crate::api::balance::Balance;
use crate::api::client::call;
use crate::api::links::{Links, Liquidity};
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
    let asked: Result<(NodeState, Balance, Liquidity)> = runtime.block_on(async {
        let state = call(&args.api, "/api/state", None, PATIENCE).await?;
        let balance = call(&args.api, "/api/balance", None, PATIENCE).await?;
        // The liquidity is that of all links, whatever the page.
        let links: Links = call(&args.api, "/api/links?limit=1", None, PATIENCE).await?;
        Ok((state, balance, links.liquidity))
    });
    let said = match &asked {
        Ok((state, balance, liquidity)) if args.json => {
            json!({"ok": true, "state": state, "balance": balance, "liquidity": liquidity}).to_string()
        }
        Ok((state, balance, liquidity)) => page(state, balance, liquidity),
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

fn page(state: &NodeState, balance: &Balance, liquidity: &Liquidity) -> String {
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
    let Liquidity { limit, tied_up, opening, open, retired, returning, stranded, escrows, reserves, .. } = liquidity;
    line("liquidity tied up", format!("{} of at most {}", units(*tied_up, code), units(*limit, code)));
    let parts =
        [("opening", opening), ("open", open), ("retired", retired), ("returning", returning), ("stranded", stranded)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, amount)| amount.0 > 0)
        .map(|(what, amount)| format!("{what} {}", units(*amount, code)))
        .collect();
    if !parts.is_empty() {
        line("", parts.join(", "));
    }
    if *escrows > 0 {
        line("", format!("{escrows} escrows hold {} of reserves", units(*reserves, "XLM")));
    }
    line("signed and not landed", units(balance.paying.signed, code));
    line("paid ahead", units(balance.paying.credit, code));
    line("claims to bring home", units(balance.earning.claims, code));
    line("earned in all", units(balance.earned, code));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_person_sees_what_was_earned_and_what_the_liquidity_is_tied_up_in() {
        let read = |value: Value| value.to_string();
        let state =
            json!({"role": "relay", "tor": {"bootstrap": 100, "summary": "Done"}, "socks": null, "account": null});
        let balance = json!({
            "account": "G", "asset": "MWT:G", "ledger": null, "failed": null, "accounts": [],
            "paying": {"escrows": "0", "signed": "0", "free": "0", "credit": "0"},
            "earning": {"claims": "0", "landed": "0"}, "earned": "12345678",
        });
        let liquidity = json!({
            "limit": "1000000000", "tied_up": "30000000", "left": "970000000", "opening": "0", "open": "20000000",
            "retired": "0", "returning": "10000000", "stranded": "0", "escrows": 2, "reserves": "30000000",
        });
        let text = page(
            &serde_json::from_str(&read(state)).expect("a state"),
            &serde_json::from_str(&read(balance)).expect("a balance"),
            &serde_json::from_str(&read(liquidity)).expect("liquidity"),
        );
        for said in [
            "earned in all            1.2345678 MWT",
            "liquidity tied up        3.0000000 MWT of at most 100.0000000 MWT",
            " open 2.0000000 MWT, returning 1.0000000 MWT",
            " 2 escrows hold 3.0000000 XLM of reserves",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
