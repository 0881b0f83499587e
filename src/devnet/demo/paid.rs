//! The paid half: a download whose relays are paid, and a web service paid through all of them.
use super::download::{Go, download as fetch};
use super::report::{Hop, Leg, Payment, Report, Seen};
use super::{ask, socket};
use crate::api::{links, payments};
use crate::devnet::network::{Devnet, Role};
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const CLIENT: &str = "client1";
const PATIENCE: Duration = Duration::from_secs(120);

/// The SOCKS port of a client.
pub fn socks(net: &Devnet, node: &str) -> Result<SocketAddr> {
    let none = || Error::never("MW-DEMO-2", format!("{node} has no SOCKS port"));
    Ok(SocketAddr::from(([127, 0, 0, 1], net.node(node)?.socks_port.ok_or_else(none)?)))
}

fn web(net: &Devnet) -> Result<SocketAddr> {
    let none = || Error::never("MW-DEMO-2", "this network has no web server");
    Ok(net.state().web.as_ref().ok_or_else(none)?.address)
}

/// The file of 20 MiB and where it is.
pub fn file(net: &Devnet) -> Result<(SocketAddr, String, String)> {
    let none = || Error::never("MW-DEMO-2", "the web server has no file of 20 MiB");
    let file = net.state().files.iter().find(|f| f.bytes == 20 << 20).ok_or_else(none)?;
    Ok((web(net)?, file.path.clone(), file.sha256.clone()))
}

/// Openings, hellos and the wallet's own circuits cost the same however much is downloaded: some 0.2 MiB of cells.
const DOWNLOADS: usize = 3;

/// Downloads 20 MiB three times: the first opens the links on the way, the last is measured.
pub async fn download(net: &Devnet, report: &mut Report, say: &mut impl FnMut(&str)) -> Result<()> {
    let (web, path, sha256) = file(net)?;
    let start: Value = ask(net, CLIENT, "/api/status").await?;
    for round in 1..=DOWNLOADS {
        let what = if round == 1 { ", which opens the links on the way" } else { "" };
        say(&format!("download {round} of {DOWNLOADS}{what}: 20 MiB through {CLIENT}'s SOCKS port"));
        let mut told = 0;
        let got = fetch(socks(net, CLIENT)?, "demo", web, &path, PATIENCE, |bytes, at| {
            if bytes / (5 << 20) > told {
                told = bytes / (5 << 20);
                say(&format!("  {} MiB after {:.1} s", bytes >> 20, at.as_secs_f64()));
            }
            Go::On
        })
        .await?;
        if !got.whole || got.sha256 != sha256 {
            let text =
                format!("{} of {} bytes arrived, sha256 {} instead of {sha256}", got.bytes, 20 << 20, got.sha256);
            return Err(Error::never("MW-DEMO-3", text));
        }
        say(&format!(
            "  intact: sha256 {sha256}, {:.0} KiB/s, first byte after {} ms",
            got.kib_s(),
            got.first_byte.as_millis()
        ));
        report.bytes = got.bytes;
        report.full_kib_s = got.kib_s();
        if round == DOWNLOADS {
            let after: Value = ask(net, CLIENT, "/api/status").await?;
            // Over all downloads, the openings and the wallet's own circuits included.
            cells(report, &start, &after);
            report.legs = legs(&after);
            report.requests = after["gateway"]["requests"].as_u64().unwrap_or(0);
        }
    }
    Ok(())
}

/// Payment cells over traffic, from the first to the second picture.
fn cells(report: &mut Report, before: &Value, after: &Value) {
    let count = |v: &Value, which: &str| v["tor"]["cells"][which].as_u64().unwrap_or(0);
    let payment = |v: &Value| count(v, "sent") + count(v, "received");
    let traffic = |v: &Value| count(v, "own_circuits");
    let payment_cells = payment(after).saturating_sub(payment(before));
    let traffic_cells = traffic(after).saturating_sub(traffic(before));
    report.payment_bytes = payment_cells * crate::units::CELL_BYTES;
    report.share = payment_cells as f64 / traffic_cells.max(1) as f64;
}

/// The circuit that carried most, and with it all legs of its set; the busiest first.
pub fn legs(status: &Value) -> Vec<Leg> {
    let circuits = status["gateway"]["circuits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let inward = |c: &Value| c["hops"].get(0).and_then(|h| h["inward"].as_u64()).unwrap_or(0);
    let Some(busiest) = circuits.iter().max_by_key(|c| inward(c)) else { return Vec::new() };
    let set = &busiest["set"];
    let mut legs: Vec<_> =
        circuits.iter().filter(|c| c["circ"] == busiest["circ"] || (!set.is_null() && c["set"] == *set)).collect();
    legs.sort_by_key(|c| std::cmp::Reverse(inward(c)));
    let count = |v: &Value| v.as_u64().unwrap_or(0);
    let hop = |hop: &Value| Hop {
        name: hop["nickname"].as_str().unwrap_or_default().to_owned(),
        stamped: serde_json::from_value(hop["stamped"].clone()).ok().filter(|_| hop["speaks"] == true),
        inward: count(&hop["inward"]),
        outward: count(&hop["outward"]),
    };
    let hops = |c: &&Value| c["hops"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(hop).collect();
    legs.iter().map(hops).collect()
}

/// Fetches a paid file of the site: 402, then four transactions for four payees, then the file.
pub async fn service(net: &Devnet, report: &mut Report, say: &mut impl FnMut(&str)) -> Result<()> {
    let site = net.node("site1")?.listen.ok_or_else(|| Error::never("MW-DEMO-2", "the site does not listen"))?;
    let url = format!("http://{site}/1m.bin");
    say(&format!("a web service: magicwave fetch {url}"));
    let output =
        tokio::process::Command::new(std::env::current_exe().map_err(|e| Error::later("MW-DEMO-4", e.to_string()))?)
            .args(["fetch", "--json", &url, "--socks", &socks(net, CLIENT)?.to_string(), "--api"])
            .arg(socket(net, CLIENT)?)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| Error::later("MW-DEMO-4", format!("cannot start magicwave fetch: {e}")))?;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(json!({}));
    if !output.status.success() {
        let text = format!("magicwave fetch failed: {}{}", String::from_utf8_lossy(&output.stderr), answer);
        return Err(Error::never("MW-DEMO-4", text));
    }
    let rows: Vec<payments::Payment> = ask(net, CLIENT, "/api/payments?limit=10000").await?;
    report.payments = rows.into_iter().rev().map(Payment::of).collect();
    if let Some(payment) = report.payments.iter().rev().find(|p| p.service == "http") {
        say(&format!("  paid: {}", payment.line()));
    }
    for node in [CLIENT, "site1"] {
        report.seen.extend(seen(net, node).await?);
    }
    Ok(())
}

/// Which account each relay sees that a node has a link with.
async fn seen(net: &Devnet, node: &str) -> Result<Vec<Seen>> {
    let all: links::Links = ask(net, node, "/api/links").await?;
    let spec = net.node(node)?;
    // A site's first account stands in its offers, so that no relay sees it while there is another.
    let accounts = spec.accounts().count() - usize::from(spec.role == Role::Site);
    let name = |id: &str| {
        let found =
            net.state().nodes.iter().find(|n| n.fingerprint.as_ref().is_some_and(|f| f.eq_ignore_ascii_case(id)));
        found.map_or_else(|| id.to_owned(), |n| n.name.clone())
    };
    let one = |link: links::Link| {
        Some(Seen { node: node.to_owned(), accounts, relay: name(&link.partner?), number: link.account })
    };
    Ok(all.links.into_iter().filter_map(one).collect())
}
