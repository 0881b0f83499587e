//! Runs: one scenario without a kill, one with a kill at each barrier of it, and many with kills and weather at random.
use super::audit::{Report, audit, open_lanes, pictures};
use super::parent::{Kill, Plan, Pool, Remote};
use super::postgres;
use super::scenario::{Script, close, play};
use super::wire::Be;
use magicwave::config::Database;
use magicwave::devnet::sim::party::{NODES, Setup};
use magicwave::devnet::sim::{START, Sim, Weather};
use magicwave::error::Result;
use magicwave::gateway::core::locks::Locks;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rounds of closing, 20 s of the world's time each, after which a lane that is not over is stuck.
const CLOSINGS: u32 = 40;

/// What a run is.
#[derive(Clone, Debug)]
struct Course {
    setup: Setup,
    /// In `weather`, then `last` in fair weather: whatever happened, everybody can be paid again.
    script: Script,
    last: Script,
    weather: Weather,
    kills: Vec<Kill>,
    /// PostgreSQL in place of SQLite.
    database: Option<Database>,
    /// The stores lie: rows become durable a commit later than they say.
    lying: bool,
}

/// Stores lie in memory where the system has a place for that: SIGKILL asks nothing of the disk, and SQLite synchronises
/// as ever.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("magicwave-kill-").tempdir_in(place).expect("a directory")
}

fn run(course: &Course, pool: &mut Pool) -> Result<Report> {
    let dir = directory();
    let plan = Plan::of(course.kills.clone());
    let start = |node: usize| {
        let store = dir.path().join(node.to_string());
        let (setup, database, lying) = (course.setup.clone(), course.database.clone(), course.lying);
        let be = Be { node, store, database, setup, life: 0, now: START * 1000, lying };
        Remote::start(be, &plan, pool)
    };
    let nodes = (0..NODES).map(start).collect::<Result<Vec<_>>>()?;
    let mut sim = Sim::new(course.setup.clone(), nodes)?;
    sim.weather = course.weather;
    let mut report = Report { stuck: play(&mut sim, course.script)?, ..Report::default() };
    sim.weather = Weather::default();
    report.stuck.extend(play(&mut sim, course.last)?);
    let mut all = Vec::new();
    if !report.stuck.is_empty() {
        let seen = pictures(&mut sim)?;
        report.stuck.extend(seen.iter().enumerate().map(|(node, p)| format!("node {node} has {}", p.status)));
    }
    sim.tick_ms = 2_000; // little happens any more
    for _ in 0..CLOSINGS {
        close(&mut sim)?;
        all = pictures(&mut sim)?;
        if open_lanes(&all).is_empty() {
            break;
        }
    }
    audit(&sim, &all, &mut report);
    report.barriers = plan.borrow().reached;
    report.kills = plan.borrow().done.clone();
    pool.take_back(sim.nodes);
    Ok(report)
}

fn fixed() -> Course {
    Course {
        setup: Setup::default(),
        script: Script { rounds: 1, cells: 300 },
        last: Script { rounds: 1, cells: 40 },
        weather: Weather::default(),
        kills: vec![],
        database: None,
        lying: false,
    }
}

/// What many runs came to.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    kills: u64,
    lost: u64,
    doubled: u64,
    stuck: u64,
    risk: u64,
    unfinished: usize,
    complete: usize,
    /// Most payments of one run that were not completed.
    most: usize,
}

impl Sum {
    fn add(&mut self, name: &str, report: &Report) {
        self.runs += 1;
        self.kills += report.kills.len() as u64;
        self.risk += report.risk;
        self.unfinished += report.unfinished;
        self.most = self.most.max(report.unfinished);
        self.complete += report.complete;
        for (count, what, words) in [
            (&mut self.lost, "lost", &report.lost),
            (&mut self.doubled, "doubled", &report.doubled),
            (&mut self.stuck, "stuck", &report.stuck),
        ] {
            *count += u64::from(!words.is_empty());
            words.iter().for_each(|word| eprintln!("{name}: {what}: {word}"));
        }
        if !report.is_clean() {
            eprintln!("{name}: kills {:?}; once more: {ONE}={name}", report.kills);
        }
    }

    /// The line that long checks end with; a failure unless nothing is lost, doubled or stuck.
    fn end(&self, what: &str) {
        // Past what the test harness keeps for itself when a test succeeds.
        let _ = writeln!(
            std::io::stdout(),
            "{what}: {} kills; {} payments complete, {} not; of what was under way at a kill the client lost {} stroops\n\
             {} runs, {} lost, {} doubled, {} stuck",
            self.kills,
            self.complete,
            self.unfinished,
            self.risk,
            self.runs,
            self.lost,
            self.doubled,
            self.stuck
        );
        assert_eq!((self.lost, self.doubled, self.stuck), (0, 0, 0), "see above");
    }
}

/// Names one run (`barrier-17`, `seed-17`) that is to be done alone.
const ONE: &str = "MAGICWAVE_KILL_ONE";

/// Does all runs of `of` on as many threads as there are processors, or the one that the environment names.
fn all(kind: &str, count: u64, of: impl Fn(u64) -> Course + Sync) -> Sum {
    let one = std::env::var(ONE).ok();
    let only = one.as_deref().map(|one| one.strip_prefix(kind).and_then(|n| n.strip_prefix('-')?.parse::<u64>().ok()));
    let (next, sum) = (AtomicU64::new(only.flatten().unwrap_or(0)), Mutex::new(Sum::default()));
    let end = match only {
        None => count,
        Some(one) => one.map_or(0, |one| one + 1),
    };
    let work = || {
        let mut pool = Pool::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                return;
            }
            let name = format!("{kind}-{number}");
            let report = run(&of(number), &mut pool).unwrap_or_else(|error| panic!("{name}: {error}"));
            sum.lock().expect("no panic").add(&name, &report);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    sum.into_inner().expect("no panic")
}

/// A course with one kill, at the barrier behind so many others.
fn one_kill(after: u64) -> Course {
    Course { kills: vec![Kill { after, within: None }], ..fixed() }
}

/// The same with all payments under locks.
fn strict(course: Course) -> Course {
    Course { setup: Setup { locks: Locks::Always, ..course.setup }, ..course }
}

/// The same over PostgreSQL: all worlds and all their gateways in one database.
fn on_postgres(database: &Database, world: u64, course: Course) -> Course {
    Course { setup: Setup { world, ..course.setup }, database: Some(database.clone()), ..course }
}

fn is_long() -> bool {
    std::env::var_os("MAGICWAVE_LONG").is_some()
}

/// Barriers of a course without its kills.
fn barriers(course: Course) -> u64 {
    let whole = run(&Course { kills: vec![], ..course }, &mut Pool::default()).expect("ran");
    assert!(whole.is_clean() && whole.complete >= 4, "without a kill: {whole:?}");
    whole.barriers
}

#[test]
fn every_step_of_every_machine_is_killed_once() {
    let sum = all("barrier", barriers(fixed()), one_kill);
    sum.end("a kill at each barrier");
    // One of the circuit and one of the site may be under way at a kill: the client's stated risk in plain mode.
    assert!(sum.most <= 2, "one kill cost {} payments", sum.most);
}

#[test]
fn every_step_of_every_machine_under_locks_is_killed_once_and_nobody_loses_a_stroop() {
    let count = barriers(strict(fixed()));
    let (step, of) = (if is_long() { 1 } else { 6 }, |after| strict(one_kill(after)));
    let sum = all("strict-barrier", count.div_ceil(step), |n| of(n * step));
    sum.end("a kill at barriers, under locks");
    assert_eq!(sum.risk, 0, "under locks a client loses nothing");
}

#[test]
fn kills_and_bad_weather_at_random_under_locks_cost_nobody_a_stroop() {
    let sum = all("strict-seed", if is_long() { 4_000 } else { 25 }, |seed| strict(random(seed)));
    sum.end("kills at random, under locks");
    assert_eq!(sum.risk, 0, "under locks a client loses nothing");
}

/// Every `usual`-th barrier over PostgreSQL; in the long run all.
fn barriers_over_postgresql(kind: &str, usual: u64, of: fn(u64) -> Course) -> Sum {
    let (database, step) = (postgres::database(), if is_long() { 1 } else { usual });
    let count = barriers(of(u64::MAX)).div_ceil(step);
    all(kind, count, |n| on_postgres(&database, n * step, of(n * step)))
}

#[test]
fn every_step_of_every_machine_is_killed_once_over_postgresql() {
    barriers_over_postgresql("postgresql-barrier", 13, one_kill).end("a kill at barriers, over PostgreSQL");
}

#[test]
fn every_step_of_every_machine_under_locks_is_killed_once_over_postgresql() {
    let sum = barriers_over_postgresql("postgresql-strict-barrier", 29, |after| strict(one_kill(after)));
    sum.end("a kill at barriers, under locks over PostgreSQL");
    assert_eq!(sum.risk, 0, "under locks a client loses nothing");
}

/// Several kills a run, at barriers and between them, in weather of all kinds.
fn random(seed: u64) -> Course {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut percent = |most: u32| if rng.random_bool(0.5) { 0 } else { rng.random_range(0..=most) };
    let weather = Weather { loss: percent(10), repeat: percent(20), reorder: percent(20), unknown: percent(20) };
    let mut kill = |_| {
        let within = rng.random_bool(0.3).then(|| rng.random_range(0..2_000));
        Kill { after: rng.random_range(0..200), within }
    };
    let kills = (0..6).map(&mut kill).collect();
    let setup = Setup { seed, ..Setup::default() };
    Course { setup, weather, kills, ..fixed() }
}

#[test]
fn kills_and_bad_weather_at_random_lose_nothing() {
    all("seed", if is_long() { 4_000 } else { 100 }, random).end("kills at random");
}

#[test]
fn kills_and_bad_weather_at_random_lose_nothing_over_postgresql() {
    let database = postgres::database();
    // Each second one under locks.
    let course = |seed: u64| if seed.is_multiple_of(2) { random(seed) } else { strict(random(seed)) };
    let of = |seed| on_postgres(&database, seed, course(seed));
    all("postgresql-seed", if is_long() { 2_000 } else { 10 }, of).end("kills at random, over PostgreSQL");
}

#[test]
fn a_store_that_lies_about_what_is_durable_is_found_out() {
    let course = |seed| Course { lying: true, weather: Weather::default(), ..random(seed) };
    let found = (0..40).find(|seed| match run(&course(*seed), &mut Pool::default()) {
        Ok(report) => !report.lost.is_empty() || !report.doubled.is_empty(),
        Err(_) => false, // it cannot even start again
    });
    assert!(found.is_some(), "these runs would not see a lost stroop");
}
