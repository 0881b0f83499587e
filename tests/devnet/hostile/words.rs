//! What a hostile peer says unasked, drawn from a seed: bytes that are no messages, and messages that have no place.
use crate::make::{Bytes, KINDS};
use magicwave::gateway::core::codec::{self, decode, encode};
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal::{SEALED_CLAIM_LEN, SEALED_TEMPLATE_LEN};
use magicwave::stellar::keys::SecretSeed;
use magicwave::tor::cell::{BODY_MAX, FRAGMENT_DATA, FRAGMENT_HEADER, Reassembler, fragment};
use magicwave::units::{Price, Stroops};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap};

/// The most that an honest client of these networks accepts, so that it listens to what follows.
pub const PRICE: Price = Price(1 << 12);
/// Links that a hostile payee asks for: each one that is answered makes the other side set up an escrow account.
const MOST_WISHES: u32 = 4;

/// Where words go: `hop` 0 is the origin of a circuit through us, `talk` a circuit for link partners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub circ: u64,
    pub hop: u32,
    pub talk: bool,
}

/// The kinds of hostile words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes.
    Noise,
    /// The beginning of a message, or of a cell.
    Truncated,
    /// Lengths and indices that say something else than what is there, or claim too much.
    Lying,
    /// The fragments of a message backwards.
    Reordered,
    /// Each fragment twice.
    Repeated,
    /// The fragments of two messages mixed.
    Interleaved,
    /// A message whose end never comes.
    Unfinished,
    /// Unknown types and versions.
    Unknown,
    /// Any message with any content.
    Any,
    /// What only the other side may say.
    WrongWay,
    /// Link messages where streams go, payments where link partners talk.
    OtherTalk,
    /// Well-formed, with amounts and ids that make no sense.
    Absurd,
    /// What was heard, said back.
    Echo,
    /// An answer that the protocol has a place for.
    Answer,
}

const DRAWN: [Kind; 13] = [
    Kind::Noise,
    Kind::Truncated,
    Kind::Lying,
    Kind::Reordered,
    Kind::Repeated,
    Kind::Interleaved,
    Kind::Unfinished,
    Kind::Unknown,
    Kind::Any,
    Kind::WrongWay,
    Kind::OtherTalk,
    Kind::Absurd,
    Kind::Echo,
];
/// What is never put together again, and what is but is no message.
const NEVER_WHOLE: [Kind; 3] = [Kind::Noise, Kind::Lying, Kind::Unfinished];
const NO_MESSAGE: [Kind; 5] = [Kind::Truncated, Kind::Reordered, Kind::Repeated, Kind::Interleaved, Kind::Unknown];
/// Said by payees, and by payers.
const OF_PAYEES: [u8; 10] = [2, 3, 5, 7, 9, 33, 35, 37, 38, 40];
const OF_PAYERS: [u8; 9] = [1, 4, 6, 8, 10, 34, 36, 39, 41];

/// The words of one hostile host.
pub struct Words {
    pub(super) rng: SmallRng,
    network: [u8; 8],
    asset: AssetId,
    numbers: HashMap<(u64, u32), u32>,
    pub(super) heard: Vec<Message>,
    wishes: u32,
    /// How many cells of each kind were made.
    pub said: BTreeMap<Kind, u64>,
}

impl Words {
    pub fn new(seed: u64, network: [u8; 8], asset: AssetId) -> Words {
        let rng = SmallRng::seed_from_u64(seed);
        let (numbers, heard) = (HashMap::new(), Vec::new());
        Words { rng, network, asset, numbers, heard, wishes: 0, said: BTreeMap::new() }
    }

    /// Cells of something hostile.
    pub fn draw(&mut self, place: Place) -> Vec<Vec<u8>> {
        let mut kind = DRAWN[self.rng.random_range(0..DRAWN.len())];
        // Unfinished messages fill the other side's room for them; with that full it looks at nothing long any more.
        if kind == Kind::Unfinished && self.rng.random_range(0..4) > 0 {
            kind = Kind::WrongWay;
        }
        let bodies = self.of_kind(kind, place);
        *self.said.entry(kind).or_default() += bodies.len() as u64;
        bodies
    }

    fn of_kind(&mut self, kind: Kind, place: Place) -> Vec<Vec<u8>> {
        match kind {
            Kind::Noise => {
                let len = self.rng.random_range(0..=BODY_MAX);
                vec![self.bytes(len)]
            }
            Kind::Truncated => self.truncated(place),
            Kind::Lying => self.lying(place),
            Kind::Reordered => self.long(place).into_iter().rev().collect(),
            Kind::Repeated => self.long(place).into_iter().flat_map(|body| [body.clone(), body]).collect(),
            Kind::Interleaved => {
                let (one, other) = (self.long(place), self.long(place));
                let mixed = one.iter().zip(&other).flat_map(|(a, b)| [a.clone(), b.clone()]);
                let rest = one.iter().skip(other.len()).chain(other.iter().skip(one.len()));
                mixed.chain(rest.cloned()).collect()
            }
            Kind::Unfinished => self.long(place).into_iter().take(1).collect(),
            Kind::Unknown => {
                let mut bytes = self.any(&KINDS);
                match self.rng.random_range(0..3) {
                    0 => bytes[0] = self.rng.random_range(2..=255),
                    1 => bytes[1] = self.rng.random_range(43..=255),
                    _ => bytes[1] = 0,
                }
                self.cut(place, &bytes)
            }
            Kind::Any => {
                let bytes = self.any(&KINDS);
                self.cut(place, &bytes)
            }
            Kind::WrongWay => {
                let bytes = self.any(if place.hop == 0 { &OF_PAYERS } else { &OF_PAYEES });
                self.cut(place, &bytes)
            }
            Kind::OtherTalk => {
                let kinds: Vec<u8> = KINDS.into_iter().filter(|kind| (*kind < 32) == place.talk).collect();
                let bytes = self.any(&kinds);
                self.cut(place, &bytes)
            }
            Kind::Absurd => {
                let message = self.absurd();
                let mut bytes = encode(&message);
                // Beyond what any amount may be: no `Stroops` holds it, a wire does.
                let most = Stroops::MAX.get().to_be_bytes();
                let at = bytes.windows(8).position(|window| window == most);
                if let Some(at) = at.filter(|_| self.rng.random()) {
                    bytes[at..at + 8].fill(0xff);
                }
                self.cut(place, &bytes)
            }
            Kind::Echo | Kind::Answer => {
                let which = self.rng.random_range(0..self.heard.len().max(1));
                let message = self.heard.get(which).cloned().unwrap_or_else(|| self.absurd());
                self.cut(place, &encode(&message))
            }
        }
    }

    /// Cells of one message, as an honest sender makes them.
    pub fn say(&mut self, place: Place, message: &Message) -> Vec<Vec<u8>> {
        let bodies = self.cut(place, &encode(message));
        *self.said.entry(Kind::Answer).or_default() += bodies.len() as u64;
        bodies
    }

    fn cut(&mut self, place: Place, bytes: &[u8]) -> Vec<Vec<u8>> {
        let number = self.numbers.entry((place.circ, place.hop)).or_default();
        *number += 1;
        fragment(bytes, *number).expect("fits")
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.rng.fill_bytes(&mut out);
        out
    }

    fn any(&mut self, kinds: &[u8]) -> Vec<u8> {
        let kind = kinds[self.rng.random_range(0..kinds.len())];
        let entropy = self.bytes(700);
        encode(&Bytes(&entropy).message(kind))
    }

    /// A message of two fragments at least.
    fn long(&mut self, place: Place) -> Vec<Vec<u8>> {
        let mut bytes = self.any(&[6]);
        // No message of today is that long: its header says what is there, or what was.
        bytes.resize(self.rng.random_range(FRAGMENT_DATA + 1..=codec::MESSAGE_MAX), 0x5a);
        if self.rng.random() {
            let body = u16::try_from(bytes.len() - codec::HEADER_LEN).expect("short");
            bytes[2..codec::HEADER_LEN].copy_from_slice(&body.to_be_bytes());
        }
        self.cut(place, &bytes)
    }

    fn truncated(&mut self, place: Place) -> Vec<Vec<u8>> {
        let bytes = self.any(&KINDS);
        let whole = self.rng.random();
        let end = self.rng.random_range(1..bytes.len());
        if whole {
            return self.cut(place, &bytes[..end]);
        }
        let mut bodies = self.cut(place, &bytes);
        let last = bodies.last_mut().expect("one at least");
        let len = self.rng.random_range(0..last.len());
        last.truncate(len);
        bodies
    }

    fn lying(&mut self, place: Place) -> Vec<Vec<u8>> {
        let bytes = self.any(&KINDS);
        let mut body = self.cut(place, &bytes).swap_remove(0);
        let total = u16::try_from(bytes.len()).expect("short");
        match self.rng.random_range(0..7) {
            0 => body[6..8].copy_from_slice(&u16::MAX.to_be_bytes()),
            1 => body[6..8].copy_from_slice(&2049u16.to_be_bytes()),
            2 => body[6..8].fill(0),
            3 => body[6..8].copy_from_slice(&(total + 460).to_be_bytes()),
            4 => body[8] = self.rng.random_range(5..=255),
            5 => body[10..12].copy_from_slice(&u16::MAX.to_be_bytes()),
            // Oversized: more bytes than the header says, up to the end of the cell.
            _ if body.len() < BODY_MAX => body.resize(BODY_MAX, 0xa5),
            _ => body.truncate(FRAGMENT_HEADER),
        }
        vec![body]
    }

    fn absurd(&mut self) -> Message {
        let (most, hop_id) = (Stroops::MAX, if self.rng.random() { [0; 16] } else { self.array() });
        let (claim, template) = (self.carried(SEALED_CLAIM_LEN), self.carried(SEALED_TEMPLATE_LEN));
        let mut asset = self.asset;
        if self.rng.random() {
            asset = AssetId { code: *b"FORGED\0\0\0\0\0\0", issuer: [0; 32] };
        }
        let network = if self.rng.random() { self.network } else { [0; 8] };
        match self.rng.random_range(0..12) {
            0 => Message::Hello(Hello { version: codec::VERSION, network, asset, nonce: [0; 16] }),
            1 => Message::Create(Create {
                hop_id,
                request: [0; 16],
                amount: most,
                payer: PayerRef::Previous,
                lock: LockWish::Last,
            }),
            2 => Message::Create(Create {
                hop_id,
                request: [0; 16],
                amount: most,
                payer: PayerRef::Link([0; 8]),
                lock: LockWish::Plain,
            }),
            3 => Message::Sign(Sign { hop_id, amount_in: most, amount_out: most, claim, template, lock: None }),
            4 => Message::Sign(Sign {
                hop_id,
                amount_in: Stroops::ZERO,
                amount_out: most,
                claim,
                template,
                lock: Some(LockOrder { offset: [7; 32], max_time: u64::MAX }),
            }),
            5 => Message::Deliver(Deliver { hop_id, amount: most, proof: Proof::Locked(claim, [9; 32]) }),
            6 => Message::Delivered(Delivered { hop_id, paid: most, secret: Some([8; 32]) }),
            7 => Message::Template(Template { hop_id, fee: most, lock: Some([6; 32]), template }),
            8 => Message::PaymentRequest(self.request([0; 16], u64::MAX, most)),
            9 => Message::LinkHello(LinkHello { network, asset, deposit: most, ..self.link_hello(true) }),
            10 => Message::LinkHello(LinkHello {
                network,
                asset,
                link: [0; 16],
                account: [0; 32],
                signer: [0; 32],
                deposit: Stroops::ZERO,
                period: u32::MAX,
                ..self.link_hello(true)
            }),
            _ => Message::Claim(Claim { escrow: [0; 32], epoch: u32::MAX, cumulative: most, signature: [0; 64] }),
        }
    }

    fn request(&mut self, session: Id, units: u64, amount_due: Stroops) -> PaymentRequest {
        let entropy = self.bytes(300);
        let request = Bytes(&entropy).request();
        PaymentRequest { session, units_in: units, units_out: units, amount_due, kind: ServiceKind::Tor, ..request }
    }

    pub(super) fn carried(&mut self, len: usize) -> Carried {
        Carried { link_tag: self.array(), sealed: self.bytes(len) }
    }

    /// A hello that an honest relay takes.
    pub fn hello(&mut self) -> Message {
        let (network, asset) = (self.network, self.asset);
        Message::Hello(Hello { version: codec::VERSION, network, asset, nonce: self.array() })
    }

    /// A link hello that an honest node takes, as payer or (a few times) as payee.
    pub(super) fn link_hello(&mut self, payer: bool) -> LinkHello {
        let deposit = Stroops::new(10_000_000 * 10).expect("an amount");
        let account = SecretSeed::from_bytes(&self.array()).public();
        LinkHello {
            version: codec::VERSION,
            network: self.network,
            asset: self.asset,
            link: if payer { self.array() } else { [0; 16] },
            payer,
            account,
            signer: if payer { SecretSeed::from_bytes(&self.array()).public() } else { [0; 32] },
            deposit,
            period: 600,
        }
    }

    /// The first words on a circuit for link partners.
    pub fn wish(&mut self) -> Message {
        self.wishes += 1;
        let payer = self.wishes > MOST_WISHES || self.wishes.is_multiple_of(2);
        Message::LinkHello(self.link_hello(payer))
    }
}

/// The generator is what its kinds say: the same for the same seed, and of every kind there is enough.
pub fn check() {
    let asset = AssetId { code: *b"MWT\0\0\0\0\0\0\0\0\0", issuer: [3; 32] };
    let (mut one, mut other) = (Words::new(7, [1; 8], asset), Words::new(7, [1; 8], asset));
    for n in 0..2_000u64 {
        let place = Place { circ: n, hop: (n % 4) as u32, talk: n.is_multiple_of(3) };
        let bodies = one.draw(place);
        assert_eq!(bodies, other.draw(place));
        assert!(bodies.iter().all(|body| body.len() <= BODY_MAX));
    }
    assert!(DRAWN.iter().all(|kind| one.said[kind] > 20), "{:?}", one.said);
    for kind in DRAWN {
        let (mut whole, mut messages) = (0, 0);
        for n in 0..200 {
            let mut inbox = Reassembler::default();
            let place = Place { circ: n, hop: (n % 2) as u32, talk: n.is_multiple_of(3) };
            for bytes in one.of_kind(kind, place).iter().filter_map(|body| inbox.push(0, body).ok().flatten()) {
                whole += 1;
                messages += usize::from(decode(&bytes).is_ok());
            }
        }
        let expected = (!NEVER_WHOLE.contains(&kind), !NEVER_WHOLE.contains(&kind) && !NO_MESSAGE.contains(&kind));
        assert_eq!((whole > 0, messages > 0), expected, "{kind:?}: {whole} whole, {messages} messages");
    }
}
