//! What payments cost the traffic: downloads and small requests over a paid network of ours, over upstream's sources in
//! our build and over the distribution's tor; memory of relays with many circuits.
use super::arms::{Arm, Samples, Side, World};
use super::figure::{Figure, Good, against, median};
use super::paid::{Books, Opened, held_now};
use crate::error::{Error, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Downloaded over a circuit before it is measured.
const WARM: (&str, u64) = ("/1m.bin", MIB);
/// One timed stream.
const LONG: (&str, u64) = ("/20m.bin", 20 * MIB);
/// Each of many timed streams.
const PART: (&str, u64) = ("/8m.bin", 8 * MIB);
const SMALL: &str = "/index.html";
/// Streams at a time.
const STREAMS: usize = 8;
/// A fresh circuit is paid for its warm-up within this time, opening links on the way included.
const LINK_PATIENCE: Duration = Duration::from_secs(60);
/// The payments of a timed run are confirmed within this time of its end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at what relays hold.
const HELD_STEP: Duration = Duration::from_millis(20);
/// Rounds without which there is no figure.
const LEAST_ROUNDS: usize = 2;

/// How much is measured and how long it may take. No round begins after its section's end.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of one stream and of many.
    pub rounds: usize,
    /// Circuits of each side for small requests, and requests on each.
    pub small: (usize, usize),
    /// Runs in which it is watched what relays hold.
    pub held: usize,
    /// Circuits whose memory is measured.
    pub crowd: usize,
    /// Over which processor time at rest is measured; a voting interval of the network is 10 seconds.
    pub rest: Duration,
    /// Ends of the sections with rounds, from the start of the program: one stream, many, small requests, what is held.
    pub until: [Duration; 4],
    /// Everything ends by then.
    pub end: Duration,
}

impl Plan {
    /// Five rounds, 200 small requests, below 10 minutes.
    pub fn full() -> Self {
        let until = [220, 360, 420, 440].map(Duration::from_secs);
        Plan {
            rounds: 5,
            small: (10, 20),
            held: 3,
            crowd: 250,
            rest: Duration::from_secs(10),
            until,
            end: Duration::from_secs(560),
        }
    }
    /// Two rounds, 40 small requests, below 3 minutes.
    pub fn quick() -> Self {
        let until = [115, 140, 155, 160].map(Duration::from_secs);
        Plan {
            rounds: 2,
            small: (4, 10),
            held: 1,
            crowd: 50,
            rest: Duration::from_secs(5),
            until,
            end: Duration::from_secs(190),
        }
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Figures that hold.
    pub figures: Vec<Figure>,
    /// Sections without figures, and why.
    pub withheld: Vec<(&'static str, Error)>,
}

/// A running measurement.
struct Bench<'a> {
    world: &'a World,
    books: Books,
    plan: Plan,
    start: Instant,
    tell: &'a dyn Fn(&str),
}

/// Measures everything over networks that are up. `start`: when the program began; `tell` hears the progress.
pub async fn run(world: &World, plan: Plan, start: Instant, tell: &dyn Fn(&str)) -> Result<Outcome> {
    let api = world.ours.client_api.clone();
    let api = api.ok_or_else(|| Error::never("MW-BENCH-4", "our client takes no part in payments"))?;
    let bench = Bench { world, books: Books::new(api), plan, start, tell };
    let mut outcome = Outcome::default();
    let mut keep = |section, result: Result<Vec<Figure>>| match result {
        Ok(figures) => outcome.figures.extend(figures),
        Err(e) => {
            tell(&format!("no figures of `{section}`: {e}"));
            outcome.withheld.push((section, e));
        }
    };
    keep("one stream", bench.one_stream().await);
    keep("many streams", bench.many_streams().await);
    keep("small requests", bench.small_requests().await);
    keep("held", bench.held().await);
    keep("memory", bench.memory().await);
    Ok(outcome)
}

impl Bench<'_> {
    /// An error when a section got less rounds than mean anything; a word when less than planned.
    fn enough(&self, section: &str, rounds: usize, planned: usize) -> Result<()> {
        if rounds < planned {
            (self.tell)(&format!("{section}: time for {rounds} of {planned} rounds only"));
        }
        if rounds >= LEAST_ROUNDS.min(planned) {
            return Ok(());
        }
        Err(Error::later("MW-BENCH-3", format!("{section}: {rounds} rounds; {LEAST_ROUNDS} are the least")))
    }

    /// Rounds while there is time.
    fn rounds(&self, planned: usize, section: usize) -> impl Iterator<Item = usize> {
        let (start, until) = (self.start, self.plan.until.get(section).copied().unwrap_or_default());
        (0..planned).take_while(move |_| start.elapsed() < until)
    }

    /// A circuit of `user`'s own, with its links open and its first MiB paid.
    async fn warm(&self, side: Side, user: &str) -> Result<Option<Opened>> {
        let opened = if side == Side::Ours { Some(self.books.open().await?) } else { None };
        self.world.arm(side).fetch(user, WARM.0).await?;
        if let Some(opened) = &opened {
            self.books.require(opened, 1, WARM.1, LINK_PATIENCE).await?;
        }
        Ok(opened)
    }

    /// Ticks a second of each network at rest, all looked at over the same time.
    async fn rest(&self) -> Result<[f64; 4]> {
        let look = || -> Result<[u64; 4]> {
            let mut ticks = [0; 4];
            for (ticks, side) in ticks.iter_mut().zip(Side::order(0)) {
                *ticks = self.world.arm(side).cpu_ticks()?;
            }
            Ok(ticks)
        };
        let before = look()?;
        tokio::time::sleep(self.plan.rest).await;
        let mut after = look()?.into_iter();
        Ok(before.map(|b| after.next().unwrap_or(b).saturating_sub(b) as f64 / self.plan.rest.as_secs_f64()))
    }

    async fn one_stream(&self) -> Result<Vec<Figure>> {
        let rest = self.rest().await?;
        let (mut speed, mut cpu) = (Samples::default(), Samples::default());
        let (mut share, mut payments) = (Vec::new(), Vec::new());
        let mut done = 0;
        for round in self.rounds(self.plan.rounds, 0) {
            for side in Side::order(round) {
                let (arm, user) = (self.world.arm(side), format!("one-{round}-{}", side.name()));
                let opened = self.warm(side, &user).await?;
                let before = match &opened {
                    Some(opened) => Some((self.books.payment_bytes().await?, self.books.settled(opened).await?)),
                    None => None,
                };
                let ticks = arm.cpu_ticks()?;
                let fetched = arm.fetch(&user, LONG.0).await?;
                let used = arm.cpu_ticks()?.saturating_sub(ticks) as f64;
                if let (Some(opened), Some((bytes, settled))) = (&opened, before) {
                    let now = self.books.require(opened, 1, WARM.1 + LONG.1, SETTLE_PATIENCE).await?;
                    let bytes = self.books.payment_bytes().await?.saturating_sub(bytes);
                    share.push(bytes as f64 / fetched.bytes as f64);
                    payments.push(now.payments.saturating_sub(settled.payments) as f64);
                }
                let at_rest = Side::order(0).iter().zip(rest).find(|(s, _)| **s == side).map_or(0.0, |(_, r)| r);
                let idle = at_rest * fetched.took.as_secs_f64();
                speed.of(side).push(fetched.kib_s() / 1024.0);
                cpu.of(side).push((used - idle).max(0.0));
                (self.tell)(&format!("one stream, round {}, {}: {:.0} KiB/s", round + 1, side.name(), fetched.kib_s()));
            }
            done += 1;
        }
        self.enough("one stream", done, self.plan.rounds)?;
        let mut figures = against("throughput", Good::Higher, &speed);
        figures.extend(against("cpu_per_mib", Good::Lower, &cpu));
        figures.extend(Figure::of("throughput_mib_s", "MiB/s", Good::Higher, None, &speed.ours));
        figures.extend(Figure::of("throughput_pristine_mib_s", "MiB/s", Good::Higher, None, &speed.pristine));
        figures.extend(Figure::of("throughput_stock_mib_s", "MiB/s", Good::Higher, None, &speed.stock));
        figures.extend(Figure::of("payment_bytes_share", "ratio", Good::Lower, Some(0.005), &share));
        figures.extend(Figure::of("payments_settled", "a run", Good::Higher, Some(1.0), &payments));
        Ok(figures)
    }

    async fn many_streams(&self) -> Result<Vec<Figure>> {
        let opened = self.books.open().await?;
        let user = |side: Side, stream: usize| format!("many-{stream}-{}", side.name());
        for side in Side::order(0) {
            let warm = (0..STREAMS).map(|i| {
                let user = user(side, i);
                async move { self.world.arm(side).fetch(&user, WARM.0).await }
            });
            futures::future::try_join_all(warm).await?;
        }
        self.books.require(&opened, STREAMS, WARM.1, LINK_PATIENCE).await?;
        let (mut speed, mut done, mut each) = (Samples::default(), 0, WARM.1);
        for round in self.rounds(self.plan.rounds, 1) {
            for side in Side::order(round) {
                let start = Instant::now();
                let parts = (0..STREAMS).map(|i| {
                    let user = user(side, i);
                    async move { self.world.arm(side).fetch(&user, PART.0).await }
                });
                let parts = futures::future::try_join_all(parts).await?;
                let bytes: u64 = parts.iter().map(|p| p.bytes).sum();
                let mib_s = bytes as f64 / MIB as f64 / start.elapsed().as_secs_f64();
                if side == Side::Ours {
                    each += PART.1;
                    self.books.require(&opened, STREAMS, each, SETTLE_PATIENCE).await?;
                }
                speed.of(side).push(mib_s);
                (self.tell)(&format!("{STREAMS} streams, round {}, {}: {mib_s:.1} MiB/s", round + 1, side.name()));
            }
            done += 1;
        }
        self.enough("many streams", done, self.plan.rounds)?;
        let mut figures = against("throughput_8", Good::Higher, &speed);
        figures.extend(Figure::of("throughput_8_mib_s", "MiB/s", Good::Higher, None, &speed.ours));
        figures.extend(Figure::of("throughput_8_pristine_mib_s", "MiB/s", Good::Higher, None, &speed.pristine));
        figures.extend(Figure::of("throughput_8_stock_mib_s", "MiB/s", Good::Higher, None, &speed.stock));
        Ok(figures)
    }

    async fn small_requests(&self) -> Result<Vec<Figure>> {
        let (circuits, requests) = self.plan.small;
        let (mut medians, mut done) = (Samples::default(), 0);
        for block in self.rounds(circuits, 2) {
            let user = |side: Side| format!("small-{block}-{}", side.name());
            for side in Side::order(block) {
                self.warm(side, &user(side)).await?;
                self.world.arm(side).fetch(&user(side), SMALL).await?;
            }
            let mut times = Samples::default();
            for request in 0..requests {
                for side in Side::order(request) {
                    let fetched = self.world.arm(side).fetch(&user(side), SMALL).await?;
                    times.of(side).push(fetched.first_byte.as_secs_f64() * 1000.0);
                }
            }
            for side in Side::order(0) {
                medians.of(side).extend(median(times.of(side)));
            }
            done += 1;
        }
        (self.tell)(&format!("small requests: {} on each side", done * requests));
        self.enough("small requests", done, circuits)?;
        let mut figures = against("ttfb", Good::Lower, &medians);
        figures.extend(Figure::of("ttfb_ms", "ms", Good::Lower, None, &medians.ours));
        figures.extend(Figure::of("ttfb_pristine_ms", "ms", Good::Lower, None, &medians.pristine));
        figures.extend(Figure::of("ttfb_stock_ms", "ms", Good::Lower, None, &medians.stock));
        Ok(figures)
    }

    /// Apart from the timed runs: asking relays what they hold costs them time.
    async fn held(&self) -> Result<Vec<Figure>> {
        let (mut runs, mut done) = (Vec::new(), 0);
        for round in self.rounds(self.plan.held, 3) {
            let user = format!("held-{round}");
            let opened = self.warm(Side::Ours, &user).await?;
            let stop = Arc::new(AtomicBool::new(false));
            let watch = tokio::spawn(watch_held(self.world.ours.relay_apis.clone(), stop.clone()));
            let fetched = self.world.ours.fetch(&user, LONG.0).await;
            stop.store(true, Ordering::Relaxed);
            let (looks, held) = watch.await.map_err(|e| Error::later("MW-BENCH-4", e.to_string()))??;
            let fetched = fetched?;
            if let Some(opened) = &opened {
                self.books.require(opened, 1, WARM.1 + LONG.1, SETTLE_PATIENCE).await?;
            }
            let held_ms = fetched.took.as_secs_f64() * 1000.0 * held as f64 / f64::from(looks.max(1));
            runs.push(held_ms / (fetched.bytes as f64 / MIB as f64));
            (self.tell)(&format!("held, round {}: in {held} of {looks} looks", round + 1));
            done += 1;
        }
        self.enough("held", done, self.plan.held)?;
        Ok(Figure::of("paid_held_ms_per_mib", "ms/MiB", Good::Lower, Some(0.0), &runs).into_iter().collect())
    }

    /// Growth of all relays together while circuits are opened; each crosses three of them.
    async fn memory(&self) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for side in [Side::Ours, Side::Pristine] {
            let arm = self.world.arm(side);
            // What the first circuits set up once is not theirs.
            crowd(arm, STREAMS, "crowd-first").await?;
            let before = arm.relays_rss_kib()?;
            crowd(arm, self.plan.crowd, "crowd").await?;
            let grown = arm.relays_rss_kib()?.saturating_sub(before);
            let mib = grown as f64 / 1024.0 * 1000.0 / self.plan.crowd as f64;
            let name = match side {
                Side::Ours => "rss_per_1000_circuits_mib",
                _ => "rss_per_1000_circuits_pristine_mib",
            };
            figures.extend(Figure::of(name, "MiB", Good::Lower, None, &[mib]));
            (self.tell)(&format!("memory, {}: {grown} KiB for {} circuits", side.name(), self.plan.crowd));
        }
        Ok(figures)
    }
}

/// Opens `circuits` circuits with a small request on each.
async fn crowd(arm: &Arm, circuits: usize, name: &str) -> Result<()> {
    let fetches = (0..circuits).map(|i| {
        let user = format!("{name}-{i}");
        async move { arm.fetch(&user, SMALL).await.map(drop) }
    });
    stream::iter(fetches).buffer_unordered(STREAMS).try_collect().await
}

/// Looks until it is stopped: how often, and how often some relay held cells.
async fn watch_held(relays: Vec<std::path::PathBuf>, stop: Arc<AtomicBool>) -> Result<(u32, u32)> {
    let (mut looks, mut held) = (0u32, 0u32);
    while !stop.load(Ordering::Relaxed) {
        let cells = futures::future::try_join_all(relays.iter().map(|api| held_now(api))).await?;
        looks = looks.saturating_add(1);
        held = held.saturating_add(u32::from(cells.iter().any(|n| *n > 0)));
        tokio::time::sleep(HELD_STEP).await;
    }
    Ok((looks, held))
}
