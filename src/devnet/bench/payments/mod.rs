//! What payments cost in processor, disk and bytes, without tor around them: claims, whole chains, and how both grow
//! with the number of links in the store.
//!
//! Chains run in a world of simulated time (`devnet::sim`): five whole gateways with stores of their own on one thread,
//! so that wall time is the work of all of them. `MW-BENCH-1`: chains did not complete, and no figure is printed.
mod claims;
mod fill;
mod load;

use super::figure::{Figure, Good};
use crate::error::{Error, Result};
use crate::gateway::core::locks::Locks;
use load::Load;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sizes of the runs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of each measure.
    pub rounds: usize,
    /// Claims verified a round.
    pub claims: usize,
    /// Chains a round.
    pub chains: usize,
    /// Links in the guard's store for the growth, ascending; the first is what the others are held against.
    pub links: &'static [u32],
    /// That list ends early.
    pub quick: bool,
}

impl Plan {
    /// About ten minutes.
    pub fn full() -> Self {
        let links = &[1_000, 10_000, 100_000, 1_000_000];
        Plan { rounds: 5, claims: 10_000, chains: 2_000, links, quick: false }
    }
    /// About a minute.
    pub fn quick() -> Self {
        Plan { rounds: 3, claims: 2_000, chains: 500, links: &[1_000, 10_000], quick: true }
    }
}

/// Payments that are under way at the same time.
pub const AT_ONCE: usize = 64;
/// One way over one hop in the world of the first payment.
const HOP_MS: u64 = 50;

/// Runs all measures with stores under `dir`; `tell` hears how far it is. `MW-BENCH-1`, and errors of the store.
pub fn run(plan: &Plan, dir: &Path, tell: &dyn Fn(&str)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let file_system = file_system(dir);
    tell("verifying claims");
    let verified = (0..plan.rounds).map(|_| claims::verified_per_second(plan.claims)).collect::<Result<Vec<_>>>()?;
    figures.extend(figure("claims_per_second", "claims/s", Good::Higher, Some(15_000.0), &verified, claims::SETUP));
    let bytes = claims::bytes()?;
    figures.extend(figure("bytes_per_claim", "bytes", Good::Lower, Some(110.0), &[bytes], claims::BYTES_SETUP));

    tell("first payments");
    let first = (0..plan.rounds).map(|round| load::first_over_round_trip(&dir.join("first"), round, HOP_MS));
    let first = first.collect::<Result<Vec<_>>>()?;
    figures.extend(figure("first_payment_over_rtt_ratio", "ratio", Good::Lower, None, &first, &first_setup()));

    tell("chains");
    let mut load = Load::open(&dir.join("chains"), Locks::Never)?;
    load.chains(plan.chains / 4)?; // warm-up: pages, caches, lanes that remember as much as they ever will
    let (mut chains, mut durable, mut commits, mut claims) = (vec![], vec![], 0, 0);
    for _ in 0..plan.rounds {
        let took = load.chains(plan.chains)?;
        chains.push(took.chains as f64 / took.wall.as_secs_f64());
        durable.push(took.chains as f64 / took.payee.as_secs_f64());
        commits += took.payee_commits;
        claims += took.chains;
    }
    let stores = format!(
        "SQLite, WAL, synchronous=FULL, on {file_system}; {AT_ONCE} payments at once, what comes at the same time shares \
         a commit"
    );
    let setup = format!(
        "the last payee of chains (a site): template, check, books, commit, receipt; only its own time counts; {stores}; \
         {claims} claims in {commits} commits, each with one fsync of the write-ahead log (checkpoints come on top)"
    );
    figures.extend(figure("durable_claims_per_second", "claims/s", Good::Higher, Some(5_000.0), &durable, &setup));
    let setup = format!(
        "client, three relays and a site pay and are paid in one pass of four claims; five gateways, five stores and the \
         codec on one thread; {stores}"
    );
    figures.extend(figure("chains_per_second", "chains/s", Good::Higher, Some(500.0), &chains, &setup));
    drop(load);
    tell("chains under locks");
    let mut load = Load::open(&dir.join("strict"), Locks::Always)?;
    load.chains(plan.chains / 8)?;
    let strict = (0..plan.rounds).map(|_| load.chains(plan.chains / 4)).collect::<Result<Vec<_>>>()?;
    let strict: Vec<f64> = strict.iter().map(|took| took.chains as f64 / took.wall.as_secs_f64()).collect();
    let setup = format!("{setup}; under locks, one open lock a lane: the chains of a path go one after another");
    figures.extend(figure("strict_chains_per_second", "chains/s", Good::Higher, None, &strict, &setup));
    drop(load);
    figures.extend(growth(plan, dir, &stores, tell)?);
    Ok(figures)
}

/// Time per chain, per durable claim, per tick and for a start with more and more links in the guard's store.
fn growth(plan: &Plan, dir: &Path, stores: &str, tell: &dyn Fn(&str)) -> Result<Vec<Figure>> {
    let mut load = Load::open(&dir.join("growth"), Locks::Never)?;
    let mut figures = Vec::new();
    let (mut links, mut least) = (0, None::<[Vec<f64>; 2]>);
    for many in plan.links.iter().copied() {
        tell(&format!("{many} links in the guard's store"));
        let before = rss_mib();
        let start = Instant::now();
        load.fill(links, many)?;
        let filled = start.elapsed();
        links = many;
        let loaded = load.restart()?;
        let grown = rss_mib() - before;
        load.chains(plan.chains / 8)?;
        let runs = (0..plan.rounds).map(|_| load.chains(plan.chains / 4)).collect::<Result<Vec<_>>>()?;
        let each = |time: fn(&load::Took) -> Duration| -> Vec<f64> {
            runs.iter().map(|took| time(took).as_secs_f64() * 1e6 / took.chains as f64).collect()
        };
        let (claim, chain) = (each(|t| t.guard), each(|t| t.wall));
        let ticks = (0..plan.rounds).map(|_| load.tick()).collect::<Result<Vec<_>>>()?;
        let name = format!("1e{}", many.ilog10());
        let setup = format!(
            "{many} links of clients with an open escrow each in the store of the guard, through which all chains go; \
             filled by rows in {:.1} s; {stores}",
            filled.as_secs_f64()
        );
        let mut add = |measure: &str, unit, runs: &[f64]| {
            figures.extend(figure(&format!("{measure}_{name}"), unit, Good::Lower, None, runs, &setup));
        };
        add("claim_us", "us", &claim);
        add("chain_us", "us", &chain);
        add("tick_ms", "ms", &ticks.iter().map(|(tick, _)| tick.as_secs_f64() * 1e3).collect::<Vec<_>>());
        add("status_ms", "ms", &ticks.iter().map(|(_, status)| status.as_secs_f64() * 1e3).collect::<Vec<_>>());
        add("load_seconds", "s", &[loaded.as_secs_f64()]);
        add("load_rss_mib", "MiB", &[grown]);
        let now = [claim, chain];
        if let Some([claim, chain]) = &least {
            let over = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
            let setup =
                format!("time of the guard per claim with {many} links over that with {}; {setup}", plan.links[0]);
            let runs = over(&now[0], claim);
            figures.extend(figure(&format!("growth_{name}_over_1e3"), "ratio", Good::Lower, Some(2.0), &runs, &setup));
            let runs = over(&now[1], chain);
            figures.extend(figure(
                &format!("chain_growth_{name}_over_1e3"),
                "ratio",
                Good::Lower,
                Some(2.0),
                &runs,
                &setup,
            ));
        } else {
            least = Some(now);
        }
    }
    Ok(figures)
}

fn figure(
    measure: &str,
    unit: &'static str,
    better: Good,
    goal: Option<f64>,
    runs: &[f64],
    setup: &str,
) -> Option<Figure> {
    let figure = Figure::of(measure, unit, better, goal, runs)?;
    Some(Figure { bench: "payments", baseline: "none: a figure of its own".into(), setup: setup.into(), ..figure })
}

fn first_setup() -> String {
    format!(
        "from the first Create to the last receipt of the first payment of a circuit to its three hops, over the \
         circuit's round trip; links prebuilt; simulated time, {HOP_MS} ms a hop each way, processing counts as nothing"
    )
}

/// Resident memory of this process.
fn rss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).map_or(0.0, |kib| kib / 1024.0)
}

/// The type of the file system that a directory lies on, as the system's table of mounts has it.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        dir.starts_with(place).then(|| (place.len(), kind.to_owned()))
    };
    mounts.lines().filter_map(of).max().map_or_else(|| "an unknown file system".into(), |(_, kind)| kind)
}

fn incomplete(what: impl Into<String>) -> Error {
    Error::later("MW-BENCH-1", what)
}
