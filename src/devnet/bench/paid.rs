//! Was a timed run paid? A figure of a run that was carried for nothing would be false.
use crate::api::client::call;
use crate::api::payments::{Payment, PaymentState};
use crate::devnet::network::node_config::PRICE;
use crate::error::{Error, Result};
use crate::units::{CELL_BYTES, Stroops};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes of a stream in one relay cell (tor-spec 6.1, the old form; newer forms carry less, so ask for more).
const CELL_PAYLOAD: u64 = 498;
/// Cells that a hop carries on credit, as the network's relays offer it.
const CREDIT_CELLS: u64 = 127;
/// Hops of a circuit for streams.
const HOPS: usize = 3;
/// Newest payments that are looked at.
const ROWS: u32 = 2_000;
/// An answer of a local API takes at most so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
struct Status {
    gateway: Gateway,
    tor: Tor,
}

#[derive(Debug, Deserialize)]
struct Gateway {
    #[serde(default)]
    circuits: Vec<Circuit>,
}

#[derive(Debug, Deserialize)]
struct Circuit {
    circ: u64,
    hops: Vec<HopPaid>,
}

#[derive(Debug, Deserialize)]
struct HopPaid {
    inward: u64,
    outward: u64,
    paid: Stroops,
}

#[derive(Debug, Deserialize)]
struct Tor {
    cells: Cells,
}

#[derive(Debug, Deserialize)]
struct Cells {
    sent: u64,
    received: u64,
    held_now: u64,
}

/// What circuits that began from some moment on must have been paid.
#[derive(Clone, Debug)]
pub struct Opened {
    at_ms: u64,
    earlier: BTreeSet<u64>,
}

/// How a run was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Payments that every payee has confirmed.
    pub payments: u64,
    /// What all payees together got for carrying.
    pub stroops: u64,
}

/// The paying client of our network, seen through its local API.
#[derive(Clone, Debug)]
pub struct Books {
    api: PathBuf,
}

impl Books {
    /// `api`: socket of the client's local API.
    pub fn new(api: PathBuf) -> Self {
        Books { api }
    }

    /// Circuits that are paid now are not those of the run that begins.
    pub async fn open(&self) -> Result<Opened> {
        let status = status(&self.api).await?;
        let paid = status.gateway.circuits.iter().filter(|c| c.hops.iter().any(|h| !h.paid.is_zero()));
        Ok(Opened { at_ms: crate::gateway::reactor::now_ms(), earlier: paid.map(|c| c.circ).collect() })
    }

    /// Payment cells that the client sent and received since its start, in bytes on the wire.
    pub async fn payment_bytes(&self) -> Result<u64> {
        let cells = status(&self.api).await?.tor.cells;
        Ok(cells.sent.saturating_add(cells.received).saturating_mul(CELL_BYTES))
    }

    /// What was settled since `opened`.
    pub async fn settled(&self, opened: &Opened) -> Result<Settled> {
        let rows: Vec<Payment> = call(&self.api, &format!("/api/payments?limit={ROWS}"), None, PATIENCE).await?;
        Ok(sum(&rows, opened.at_ms))
    }

    /// An error unless, within `patience`, `circuits` circuits that began after `opened` are paid at every hop for at
    /// least `bytes` each and for all that was counted there, and the confirmed payments add up to that.
    pub async fn require(&self, opened: &Opened, circuits: usize, bytes: u64, patience: Duration) -> Result<Settled> {
        let end = Instant::now() + patience;
        let need = price_of(bytes)?;
        let whole = need.get().saturating_mul((circuits * HOPS) as u64);
        loop {
            let now = status(&self.api).await?;
            let covered = covered(&now.gateway.circuits, &opened.earlier, need);
            let settled = self.settled(opened).await?;
            if covered >= circuits && settled.stroops >= whole {
                return Ok(settled);
            }
            if Instant::now() >= end {
                let text = format!(
                    "{covered} of {circuits} circuits are paid for their {bytes} bytes, {} of {whole} stroops are \
                     settled in {} payments: no figure",
                    settled.stroops, settled.payments
                );
                return Err(Error::later("MW-BENCH-2", text));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Cells that a relay holds now for want of payment, all its circuits together.
pub async fn held_now(api: &Path) -> Result<u64> {
    Ok(status(api).await?.tor.cells.held_now)
}

async fn status(api: &Path) -> Result<Status> {
    call(api, "/api/status", None, PATIENCE).await
}

/// The least that a hop is owed for carrying `bytes` of a stream.
fn price_of(bytes: u64) -> Result<Stroops> {
    let cells = bytes.div_ceil(CELL_PAYLOAD).saturating_sub(CREDIT_CELLS);
    PRICE.of_cells(cells).map_err(|e| Error::never("MW-BENCH-2", e.to_string()))
}

/// Later circuits that at every hop are paid for `need` and for all cells that the client counted there.
fn covered(circuits: &[Circuit], earlier: &BTreeSet<u64>, need: Stroops) -> usize {
    let paid = |h: &HopPaid| {
        let counted = h.inward.saturating_add(h.outward).saturating_sub(CREDIT_CELLS);
        h.paid >= need && PRICE.of_cells(counted).is_ok_and(|owed| h.paid >= owed)
    };
    let later = circuits.iter().filter(|c| !earlier.contains(&c.circ) && c.hops.len() == HOPS);
    later.filter(|c| c.hops.iter().all(paid)).count()
}

fn sum(rows: &[Payment], since_ms: u64) -> Settled {
    let mine = rows.iter().filter(|r| r.service == "tor" && r.at >= since_ms && r.state == PaymentState::Complete);
    let (mut payments, mut stroops) = (0, 0u64);
    for row in mine {
        payments += 1;
        stroops = row.payees.iter().fold(stroops, |all, p| all.saturating_add(p.due.0));
    }
    Settled { payments, stroops }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::amount::Amount;
    use crate::api::payments::Payee;

    fn circuit(circ: u64, paid: [u64; 3]) -> Circuit {
        let hop = |paid| HopPaid { inward: 40_000, outward: 900, paid: Stroops::new(paid).expect("in range") };
        Circuit { circ, hops: paid.map(hop).into() }
    }

    #[test]
    fn a_circuit_counts_when_every_hop_of_it_is_paid_and_it_is_not_an_earlier_one() {
        let need = price_of(20 << 20).expect("in range");
        // 20 MiB are 42 112 cells of 498 bytes; less the credit, at 1024 stroops for a MiB on the wire.
        assert_eq!(need.get(), 21_075);
        let enough = need.get();
        let short = circuit(2, [enough, enough - 1, enough]);
        let circuits = [circuit(1, [enough; 3]), short, circuit(3, [enough; 3]), circuit(4, [0; 3])];
        assert_eq!(covered(&circuits, &BTreeSet::from([3]), need), 1);
        assert_eq!(covered(&circuits, &BTreeSet::new(), need), 2);
        // 40 900 counted cells are owed as well, whatever the run asked for.
        let few = price_of(1 << 20).expect("in range");
        assert_eq!(covered(&[circuit(5, [few.get(); 3])], &BTreeSet::new(), few), 0);
    }

    #[test]
    fn only_confirmed_payments_of_this_run_count() {
        let row = |at, state| Payment {
            locked: false,
            cursor: String::new(),
            id: String::new(),
            at,
            state,
            service: "tor".into(),
            site: None,
            total: Amount(0),
            payees: (0..3)
                .map(|_| Payee { account: String::new(), name: "relay1".into(), due: Amount(4096), fee: Amount(0) })
                .collect(),
            create_ms: 0,
            sign_ms: 0,
            deliver_ms: 0,
        };
        let rows = [row(10, PaymentState::Complete), row(11, PaymentState::Signed), row(9, PaymentState::Complete)];
        assert_eq!(sum(&rows, 10), Settled { payments: 1, stroops: 3 * 4096 });
    }
}
