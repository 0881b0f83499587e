//! What must be true once a world is at rest, by the ledger's own accounts, by both ends' lanes and by all journals.
use super::parent::Remote;
use super::wire::Picture;
use magicwave::devnet::sim::party::{CLIENT, NODES, wallet};
use magicwave::devnet::sim::{FUNDS, Sim};
use magicwave::error::Result;
use magicwave::gateway::chain::{PaymentRow, PaymentState};
use magicwave::gateway::core::message::{AccountKey, Id};
use magicwave::gateway::link::{EscrowRow, Role};
use std::collections::{BTreeMap, BTreeSet};

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Money that somebody should have and has not, and books that do not add up.
    pub lost: Vec<String>,
    /// Money that was paid or credited twice.
    pub doubled: Vec<String>,
    /// What does not move any more.
    pub stuck: Vec<String>,
    /// Stroops that the client signed and that were credited to nobody: its stated risk.
    pub risk: u64,
    /// Payments that the client did not complete.
    pub unfinished: usize,
    /// Payments that it did.
    pub complete: usize,
    /// Barriers that were reached, and kills.
    pub barriers: u64,
    /// As `Plan::done`.
    pub kills: Vec<(u64, String)>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.stuck.is_empty()
    }
}

pub fn pictures(sim: &mut Sim<Remote>) -> Result<Vec<Picture>> {
    let now = sim.now;
    sim.nodes.iter_mut().map(|node| node.look(now)).collect()
}

fn lanes(picture: &Picture, role: Role) -> impl Iterator<Item = &EscrowRow> {
    picture.escrows.iter().filter(move |lane| lane.role == role)
}

fn journal(picture: &Picture, what: &str) -> u64 {
    picture.events.iter().filter(|e| e.what == what).map(|e| e.amount.get()).sum()
}

/// Lanes that are not over: (node, lane).
pub fn open_lanes(all: &[Picture]) -> Vec<(usize, &EscrowRow)> {
    let rests = |lane: &EscrowRow| lane.state.is_over() || lane.state.name() == "spare";
    let open = |(node, p)| lanes_of(p).filter(|l| !rests(l)).map(move |lane| (node, lane)).collect::<Vec<_>>();
    all.iter().enumerate().flat_map(open).collect()
}

fn lanes_of(picture: &Picture) -> impl Iterator<Item = &EscrowRow> {
    picture.escrows.iter()
}

/// Everything is closed: holds all books against each other and against the ledger.
pub fn audit(sim: &Sim<Remote>, all: &[Picture], report: &mut Report) {
    let (lost, doubled) = (&mut report.lost, &mut report.doubled);
    for (node, lane) in open_lanes(all) {
        let (role, state) = (lane.role, lane.state.name());
        report.stuck.push(format!("node {node}: a lane ({role:?}) stays {state}: {lane:?}"));
    }
    let issued = FUNDS * NODES as u64;
    if sim.ledger.issued() != issued {
        lost.push(format!("the ledger holds {} of {issued}", sim.ledger.issued()));
    }
    let payees: BTreeMap<AccountKey, &EscrowRow> =
        all.iter().flat_map(|p| lanes(p, Role::Payee)).map(|lane| (lane.escrow, lane)).collect();
    for (node, picture) in all.iter().enumerate() {
        for lane in lanes(picture, Role::Payer).filter(|lane| lane.state.is_over()) {
            let name = hex::encode(&lane.escrow[..4]);
            let left = sim.ledger.balance(&lane.escrow).unwrap_or(0);
            let back = lane.returned.map_or(0, |r| r.get());
            if lane.state.name() == "spent" && lane.landed.get() + back + left != lane.deposit.get() {
                lost.push(format!("escrow {name} of node {node}: {left} are left: {lane:?}"));
            }
            let Some(payee) = payees.get(&lane.escrow) else {
                if !lane.landed.is_zero() {
                    lost.push(format!("escrow {name} of node {node}: paid to a payee that knows nothing: {lane:?}"));
                }
                continue;
            };
            if payee.landed != lane.landed {
                lost.push(format!("escrow {name}: landed {:?}, left {:?}", payee.landed, lane.landed));
            }
            if payee.total > payee.landed {
                lost.push(format!("escrow {name}: credited {:?}, landed {:?}", payee.total, payee.landed));
            }
            if payee.landed > lane.total || payee.total > lane.total {
                doubled.push(format!("escrow {name}: {:?} credited, signed {:?}", payee.total, lane.total));
            }
        }
    }
    for (node, picture) in all.iter().enumerate() {
        lost.extend(picture.wrong.iter().map(|wrong| format!("books of node {node}: {wrong}")));
        let sum = |role, part: fn(&EscrowRow) -> u64| lanes(picture, role).map(part).sum::<u64>();
        let (came, went) = (sum(Role::Payee, |l| l.landed.get()), sum(Role::Payer, |l| l.landed.get()));
        let balance = sim.ledger.balance(&wallet(sim.setup(), node).account()).unwrap_or(0);
        if balance + went != FUNDS + came {
            lost.push(format!("node {node} has {balance}; {came} landed for it and {went} went from it"));
        }
        let (accepted, signed) = (journal(picture, "claim_accepted"), journal(picture, "claim_signed"));
        if node != CLIENT && signed > accepted {
            lost.push(format!("node {node} signed {signed} onwards and accepted {accepted}"));
        }
        // What was under a lock is in the lane's books once its secret is known, and in none when its time is over.
        let plain = || picture.hops.iter().filter(|h| !h.locked);
        let hops = (plain().map(|h| h.amount_in.get()).sum::<u64>(), plain().map(|h| h.amount_out.get()).sum::<u64>());
        let all_plain = plain().count() == picture.hops.len();
        let agree = if all_plain { hops == (accepted, signed) } else { hops.0 <= accepted && hops.1 <= signed };
        if node != CLIENT && !agree {
            doubled.push(format!("node {node}: its answers do not add up to {accepted} in and {signed} out"));
        }
        for what in ["claim_accepted", "claim_signed"] {
            let mut seen: BTreeSet<Id> = BTreeSet::new();
            let twice =
                picture.events.iter().filter(|e| e.what == what).filter_map(|e| e.hop).find(|h| !seen.insert(*h));
            doubled.extend(twice.map(|hop| format!("node {node}: {what} twice for {}", hex::encode(hop))));
        }
        for what in ["claim_lost", "lock_lost"] {
            if journal(picture, what) > 0 {
                lost.push(format!("node {node}: {what}"));
            }
        }
    }
    audit_client(all, report);
}

/// All that the client signed is in its payments, and what nobody was credited is in plain payments that it did not
/// complete: under locks it loses nothing.
fn audit_client(all: &[Picture], report: &mut Report) {
    let client = &all[CLIENT];
    let signed = journal(client, "claim_signed");
    let sum = |which: &dyn Fn(&PaymentRow) -> bool| -> u64 {
        client.payments.iter().filter(|p| which(p)).map(|p| p.total.get()).sum()
    };
    let done = |p: &PaymentRow| p.state == PaymentState::Complete;
    let paid = sum(&|p| p.lock.is_none() || done(p));
    if signed != paid {
        report.doubled.push(format!("the client signed {signed} for payments of {paid}: {:#?}", client.payments));
    }
    let others = all.iter().enumerate().filter(|(node, _)| *node != CLIENT).map(|(_, p)| p);
    let kept: u64 = others.map(|p| journal(p, "claim_accepted").saturating_sub(journal(p, "claim_signed"))).sum();
    let at_risk = sum(&|p| p.lock.is_none() && !done(p));
    report.unfinished = client.payments.iter().filter(|p| !done(p)).count();
    report.complete = client.payments.len() - report.unfinished;
    if kept > signed {
        report.doubled.push(format!("{kept} were credited of {signed} that the client signed"));
    }
    report.risk = signed.saturating_sub(kept);
    if report.risk > at_risk {
        report.lost.push(format!("{} were credited to nobody, {at_risk} were under way", report.risk));
    }
}
