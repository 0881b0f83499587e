//! The hostile host: a tor of ours whose host speaks no protocol but says what [`Words`] draws, on every circuit that
//! it builds or carries. It is a process of its own, a node of the network; what it did so far lies in its directory.
use super::words::{Kind, Place, Words};
use magicwave::devnet::network::State;
use magicwave::gateway::core::codec;
use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::parse_account_id;
use magicwave::stellar::network::NetworkId;
use magicwave::tor::cell::Reassembler;
use magicwave::tor::event::{CircuitId, Counters, Hop, Role};
use magicwave::tor::{Policy, TorEvent, TorHandle, run_tor};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a host did, as a file in its directory.
pub const REPORT: &str = "hostile.json";
/// Unasked cells to one place.
const MOST_PER_PLACE: u64 = 250;
/// How often and how many cells are sent: more would fill the queue of commands.
const BEAT: Duration = Duration::from_millis(10);
const CELLS_A_BEAT: usize = 10;
const BEATS_A_REPORT: u64 = 20;
/// Circuits for link partners to each relay, directly and by a path of tor's choice.
const TALKS: usize = 2;

/// Cells of one host in all.
pub fn most_cells() -> u64 {
    if std::env::var_os("MAGICWAVE_LONG").is_some() { 10_000 } else { 4_000 }
}

/// What a hostile host did so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Cells that tor took, by kind of words.
    pub kinds: BTreeMap<String, u64>,
    /// Places that were spoken to, those for link partners among them.
    pub places: u64,
    pub talks: u64,
    /// Payment cells that really left.
    pub sent: u64,
    /// Messages heard, by type.
    pub heard: BTreeMap<u8, u64>,
    /// Refusals heard, by code.
    pub refused: BTreeMap<u16, u64>,
}

impl Report {
    /// What lies in a node's directory; nothing yet when there is none.
    pub fn of(dir: &Path) -> Report {
        let text = std::fs::read(dir.join(REPORT)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// Who the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Relay,
}

struct Talk {
    place: Place,
    inbox: Reassembler,
    said: u64,
}

struct Host {
    tor: TorHandle,
    words: Words,
    rng: SmallRng,
    side: Side,
    talks: HashMap<(CircuitId, u32), Talk>,
    paths: HashMap<CircuitId, Vec<Hop>>,
    launched: HashSet<[u8; 20]>,
    queue: VecDeque<(CircuitId, u32, Vec<u8>)>,
    made: u64,
    most: u64,
    beats: u64,
    report: Report,
}

/// Runs tor with these arguments and is hostile on it until tor ends.
pub async fn run(side: Side, seed: u64, args: Vec<String>) -> i32 {
    // A relay that lets everything pass: what goes wrong here goes wrong by its words alone.
    let policy = if side == Side::Relay { Policy::own_network().let_all_pass() } else { Policy::client() };
    let (tor, mut events) = run_tor(args, Some(policy)).await.expect("tor starts");
    let mut host = None;
    let mut beat = tokio::time::interval(BEAT);
    let mut early = Vec::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None | Some(TorEvent::Exited { .. }) => return tor.wait().await,
                Some(event) => match &mut host {
                    Some(host) => Host::on(host, event),
                    None => early.push(event),
                },
            },
            _ = beat.tick() => match &mut host {
                Some(host) => Host::beat(host),
                // The network's file has the money in it as soon as everybody is started.
                None => if let Some(mut new) = Host::new(&tor, side, seed) {
                    early.drain(..).for_each(|event| new.on(event));
                    host = Some(new);
                },
            },
        }
    }
}

impl Host {
    fn new(tor: &TorHandle, side: Side, seed: u64) -> Option<Host> {
        let money = State::load(Path::new("..")).ok()?.money?;
        let asset = Asset::credit(&money.asset_code, parse_account_id(&money.issuer).ok()?).ok()?.id();
        Some(Host {
            tor: tor.clone(),
            words: Words::new(seed, NetworkId::of(&money.passphrase).short(), asset),
            rng: SmallRng::seed_from_u64(seed),
            side,
            talks: HashMap::new(),
            paths: HashMap::new(),
            launched: HashSet::new(),
            queue: VecDeque::new(),
            made: 0,
            most: most_cells(),
            beats: 0,
            report: Report::default(),
        })
    }

    fn on(&mut self, event: TorEvent) {
        match event {
            TorEvent::Circuit { circ, role: Role::Origin, token: 0, hops, .. } => {
                self.paths.insert(circ, hops);
            }
            TorEvent::Circuit { circ, role: Role::Origin, hops, .. } => {
                let hop = u32::try_from(hops.len()).expect("few hops");
                let wish = self.words.wish();
                self.meet(Place { circ, hop, talk: true }, &[wish]);
            }
            TorEvent::Begin { circ, .. } => {
                for (hop, relay) in (1..).zip(self.paths.get(&circ).cloned().unwrap_or_default()) {
                    let hello = self.words.hello();
                    self.meet(Place { circ, hop, talk: false }, &[hello]);
                    self.talk_to(relay);
                }
            }
            TorEvent::Cell { circ, hop, body, own, .. } => self.heard(circ, hop, &body, own),
            TorEvent::Closed { circ, hop: 0, .. } => {
                self.talks.retain(|(of, _), _| *of != circ);
                self.paths.remove(&circ);
                self.queue.retain(|(of, ..)| *of != circ);
            }
            _ => {}
        }
    }

    /// Somebody to speak to, and the first words that an honest peer would say there.
    fn meet(&mut self, place: Place, words: &[Message]) {
        self.report.places += 1;
        self.report.talks += u64::from(place.talk);
        self.talks.insert((place.circ, place.hop), Talk { place, inbox: Reassembler::default(), said: 0 });
        words.iter().for_each(|message| self.say(place, message));
    }

    /// Circuits for link partners to a relay of our path.
    fn talk_to(&mut self, relay: Hop) {
        let Some(rsa) = relay.rsa.filter(|rsa| self.side == Side::Client && self.launched.insert(*rsa)) else { return };
        for token in 0..TALKS * 2 {
            let token = (self.launched.len() * 100 + token) as u64;
            self.tor.launch(token, &rsa, token.is_multiple_of(2)).expect("queued");
        }
    }

    fn heard(&mut self, circ: CircuitId, hop: u32, body: &[u8], own: Counters) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        if !self.talks.contains_key(&(circ, hop)) {
            self.meet(Place { circ, hop, talk: false }, &[]);
        }
        let Some(talk) = self.talks.get_mut(&(circ, hop)) else { return };
        let whole = talk.inbox.push(now.as_secs() * 1_000, body).ok().flatten();
        let Some(message) = whole.and_then(|bytes| codec::decode(&bytes).ok()) else { return };
        if let Message::LinkHello(_) = message
            && !talk.place.talk
        {
            talk.place.talk = true;
            self.report.talks += 1;
        }
        let place = talk.place;
        *self.report.heard.entry(message.kind()).or_default() += 1;
        if let Message::Refusal(refusal) = &message {
            let RefusalCode(code) = refusal.code;
            *self.report.refused.entry(code).or_default() += 1;
        }
        let answers = self.words.answers(&message, own, now.as_secs());
        if let ([Message::Offer(_), Message::PaymentRequest(_)], Some(talk)) =
            (&answers[..], self.talks.get_mut(&(circ, hop)))
        {
            // A payee that asks for too much and otherwise behaves gets further than one that shouts.
            talk.said = MOST_PER_PLACE;
        }
        for answer in answers {
            self.say(place, &answer);
        }
    }

    fn say(&mut self, place: Place, message: &Message) {
        let bodies = self.words.say(place, message);
        self.push(place, bodies);
    }

    fn push(&mut self, place: Place, bodies: Vec<Vec<u8>>) {
        for body in bodies {
            if self.made < self.most {
                self.made += 1;
                self.queue.push_back((place.circ, place.hop, body));
            }
        }
    }

    /// Sends what waits; when nothing does, draws something for somebody who has not heard enough.
    fn beat(&mut self) {
        while self.queue.len() < CELLS_A_BEAT {
            let mut open: Vec<_> =
                self.talks.iter().filter(|(_, t)| t.said < MOST_PER_PLACE).map(|(k, _)| *k).collect();
            open.sort_unstable();
            if open.is_empty() || self.made >= self.most {
                break;
            }
            let Some(talk) = self.talks.get_mut(&open[self.rng.random_range(0..open.len())]) else { break };
            let place = talk.place;
            let bodies = self.words.draw(place);
            talk.said += bodies.len().max(1) as u64;
            self.push(place, bodies);
        }
        for _ in 0..CELLS_A_BEAT {
            let Some((circ, hop, body)) = self.queue.pop_front() else { break };
            if self.tor.send(circ, hop, &body).is_err() {
                self.queue.push_front((circ, hop, body));
                break;
            }
        }
        self.beats += 1;
        if self.beats.is_multiple_of(BEATS_A_REPORT) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let name = |kind: &Kind| format!("{kind:?}");
        self.report.kinds = self.words.said.iter().map(|(kind, cells)| (name(kind), *cells)).collect();
        self.report.sent = self.tor.stats().cells_sent;
        let text = serde_json::to_vec(&self.report).expect("JSON");
        // In one step: the test reads it at any time.
        let new = format!("{REPORT}.new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, REPORT)).expect("written");
    }
}
