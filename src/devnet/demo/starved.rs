//! The other half: a client with an empty wallet is slowed, stopped, topped up, and gets full speed back.
use super::PAUPER;
use super::download::{Fetched, Go, download};
use super::paid::{file, socks};
use super::report::{Report, Starved};
use crate::devnet::network::{Devnet, fund};
use crate::error::{Error, Result};
use crate::units::Stroops;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The whole of it takes less.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nothing arrives for so long: stopped.
const SILENCE: Duration = Duration::from_secs(4);
/// What the wallet gets.
const ALMS: u64 = 100 * 10_000_000;

type Samples = Arc<Mutex<Vec<(Duration, u64)>>>;

/// Downloads with nothing to pay with.
pub async fn show(net: &Devnet, report: &mut Report, say: &mut impl FnMut(&str)) -> Result<()> {
    let (web, path, sha256) = file(net)?;
    let none = || Error::never("MW-DEMO-2", format!("{PAUPER} has no account"));
    let account = net.node(PAUPER)?.account.clone().ok_or_else(none)?;
    let money = net.state().money.clone().ok_or_else(none)?;
    let ledger = net.state().ledger.as_ref().ok_or_else(none)?.address;
    say(&format!("{PAUPER} has an empty wallet and downloads the same file"));
    let samples = Samples::default();
    let seen = samples.clone();
    let socks = socks(net, PAUPER)?;
    let task = tokio::spawn(async move {
        download(socks, "pauper", web, &path, PATIENCE, |bytes, at| {
            if let Ok(mut seen) = seen.lock() {
                seen.push((at, bytes));
            }
            Go::On
        })
        .await
    });
    let (stopped_at, held) = wait_for_stop(&samples, &task, say).await?;
    let trickle = trickle(&samples, stopped_at);
    say(&format!(
        "  {:.0} KiB arrived, the last of them at {trickle:.1} KiB/s; nothing for {} s: stopped",
        held as f64 / 1024.0,
        SILENCE.as_secs()
    ));
    let alms = Stroops::new(ALMS).map_err(|e| Error::never("MW-DEMO-2", e.to_string()))?;
    fund::top_up(ledger, &net.options().state_dir, &money, &account, alms).await?;
    report.top_up = alms;
    say(&format!("  its wallet gets {alms} {}; it sees that through its own SOCKS port", money.asset_code));
    let topped = Instant::now();
    let got: Fetched = task.await.map_err(|e| Error::never("MW-DEMO-5", e.to_string()))??;
    let whole = got.whole && got.sha256 == sha256;
    let recovered = recovered(&samples, held);
    say(&format!(
        "  {}: {recovered:.0} KiB/s, done {:.1} s after the top-up",
        if whole { "intact" } else { "NOT whole" },
        topped.elapsed().as_secs_f64()
    ));
    report.starved = Starved {
        full_kib_s: report.full_kib_s,
        trickle_kib_s: trickle,
        stopped: true,
        recovered_kib_s: recovered,
        whole,
    };
    Ok(())
}

/// Until nothing arrives any more: when the last byte came, and how many there were.
async fn wait_for_stop<T>(
    samples: &Samples,
    task: &tokio::task::JoinHandle<T>,
    say: &mut impl FnMut(&str),
) -> Result<(Duration, u64)> {
    let start = Instant::now();
    let mut told = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let all = samples.lock().map(|s| s.clone()).unwrap_or_default();
        if let Some(&(now, bytes)) = all.last() {
            let since = all.iter().find(|(_, b)| *b == bytes).map_or(now, |(at, _)| *at);
            if bytes > 0 && now.saturating_sub(since) >= SILENCE {
                return Ok((since, bytes));
            }
            if now.as_secs() / 3 > told {
                told = now.as_secs() / 3;
                say(&format!("  {:.0} KiB after {:.1} s", bytes as f64 / 1024.0, now.as_secs_f64()));
            }
        }
        if task.is_finished() {
            return Err(Error::never("MW-DEMO-5", "the client without money was served to the end"));
        }
        if start.elapsed() > Duration::from_secs(80) {
            return Err(Error::never("MW-DEMO-5", "the client without money was never stopped"));
        }
    }
}

/// KiB/s from two seconds after the first byte, when the free window is used up, to the stop.
fn trickle(samples: &Samples, stopped_at: Duration) -> f64 {
    let all = samples.lock().map(|s| s.clone()).unwrap_or_default();
    let first = all.iter().find(|(_, bytes)| *bytes > 0).map_or(Duration::ZERO, |(at, _)| *at);
    let from = all.iter().find(|(at, _)| *at >= first + Duration::from_secs(2));
    let to = all.iter().rev().find(|(at, _)| *at <= stopped_at);
    match (from, to) {
        (Some((t0, b0)), Some((t1, b1))) if t1 > t0 => (b1 - b0) as f64 / 1024.0 / (*t1 - *t0).as_secs_f64(),
        _ => 0.0,
    }
}

/// KiB/s from the first byte after the stop to the end.
fn recovered(samples: &Samples, held: u64) -> f64 {
    let all = samples.lock().map(|s| s.clone()).unwrap_or_default();
    let from = all.iter().find(|(_, bytes)| *bytes > held);
    match (from, all.last()) {
        (Some((t0, _)), Some((t1, b1))) if t1 > t0 => (b1 - held) as f64 / 1024.0 / (*t1 - *t0).as_secs_f64(),
        _ => 0.0,
    }
}
