//! What a link keeps in the store: one [`LinkRow`] per link, one [`EscrowRow`] per lane.
pub use super::agreed::{Close, Net};
use super::hexed;
use crate::gateway::core::message::{AccountKey, Id, Signature};
use crate::gateway::port::RelayId;
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// Which end of a link this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Funds the escrow, signs claims.
    Payer,
    /// Is paid, flushes claims.
    Payee,
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partner {
    /// A relay, by its identity.
    Relay(#[serde(with = "hexed")] RelayId),
    /// A client at its guard, or a service.
    Anonymous,
}

impl std::fmt::Debug for Partner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Partner::Relay(_)) { "Relay([…])" } else { "Anonymous" })
    }
}

/// Durable state of a link; written once the partners agreed on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// Names the link for both sides.
    #[serde(with = "hexed")]
    pub id: Id,
    /// Our end.
    pub role: Role,
    /// The other end.
    pub partner: Partner,
    /// Do we build the circuit for the partners' talk?
    pub dials: bool,
    /// The partner's account.
    #[serde(with = "hexed")]
    pub account: AccountKey,
    /// The partner's signing key.
    #[serde(with = "hexed")]
    pub signer: AccountKey,
    /// Seals what clients carry between the partners.
    #[serde(with = "hexed")]
    pub key: [u8; 32],
    /// Names the link in what is carried.
    #[serde(with = "hexed")]
    pub tag: [u8; 8],
    /// Deposit that the payer named.
    pub deposit: Stroops,
    /// Observation period O in seconds.
    pub period: u32,
    /// Unix milliseconds.
    pub since_ms: u64,
    /// The row may be deleted: nothing of worth ever was on the link, or all of it is over.
    pub dropped: bool,
    /// Payer: the operator wants the deposits back; no new lanes, no new payments.
    #[serde(default)]
    pub closing: bool,
    /// Payee: the period is part of what our signing key is derived from. Not so in rows from before that.
    #[serde(default)]
    pub by_period: bool,
    /// Number of the account of ours that the partner sees.
    #[serde(default)]
    pub own: u8,
}

/// Durable state of a lane: one escrow account of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowRow {
    /// The escrow account E.
    #[serde(with = "hexed")]
    pub escrow: AccountKey,
    /// The link that it belongs to.
    #[serde(with = "hexed")]
    pub link: Id,
    /// Our end.
    pub role: Role,
    /// Payer: counter that E's key is derived from, never used twice. Payee: order of arrival.
    pub index: u32,
    /// Number of the account of ours that opened E, or that it pays.
    #[serde(default)]
    pub own: u8,
    /// Ledger that created E, 0 = not yet known.
    pub created: u32,
    /// What is deposited.
    pub deposit: Stroops,
    /// Observation period O in seconds.
    pub period: u32,
    /// Payee: the shortest period of any refund that we may have signed for E; 0: `period`. Less than that only on a
    /// link whose signing key does not depend on the period.
    #[serde(default)]
    pub clock: u32,
    /// Where the lane stands.
    pub state: EscrowState,
    /// The payee's signature over the refund R.
    #[serde(with = "hexed::option")]
    pub refund: Option<Signature>,
    /// Unix seconds of E's last sequence change as last read, 0 = not yet read.
    pub seq_time: u64,
    /// Stroops that reached the payee in epochs that are over.
    pub landed: Stroops,
    /// Stroops that count as paid because the partner owed as much the other way: nothing left E for them.
    #[serde(default)]
    pub netted: Stroops,
    /// Payer: sum of all payments that were signed. Payee: sum of all payments that were credited.
    pub total: Stroops,
    /// The open epoch.
    pub epoch: u32,
    /// The largest claim of the open epoch: signed (payer), valid and held (payee).
    pub held: Held,
    /// The epoch before, while its flush is under way.
    pub frozen: Option<Frozen>,
    /// Payee: what the payer is about to carry from the epoch before into the open one.
    pub carry: Option<Carry>,
    /// Payee: the newest flush that is in a ledger, for `FlushDone`.
    pub flushed: Option<Flushed>,
    /// Payee: which parts of the recent epochs were credited, so that no claim is credited twice.
    pub spans: Vec<Span>,
    /// The newest payments by hop id, so that a repeat gets the same answer; at most [`RECENT`].
    pub recent: Vec<Recent>,
    /// Payer: what came back with E's end. None while E is there; rows from before deposits came back have none.
    #[serde(default)]
    pub returned: Option<Stroops>,
    /// Payer: fee of a refund that is in a ledger and did not apply. The next one offers more, so that it has another
    /// name.
    #[serde(default)]
    pub refund_fee: u64,
    /// Payer: the payee's signature over the close, with the epoch whose number it takes.
    #[serde(default)]
    pub close: Option<Close>,
    /// Payee: sum of what was signed onwards out of payments on this lane; rows from before it was counted have 0.
    #[serde(default)]
    pub forwarded: Stroops,
    /// The claim under a lock that is open on this lane; one at a time, since claims of an epoch are alternatives.
    #[serde(default)]
    pub lock: Option<Lock>,
}

/// A claim under a lock, in the open epoch of its lane or in the one that is frozen.
///
/// ```text
/// payer: signed ─secret told, or read off the ledger→ folded into a plain claim (gone)
///           └─── its time is over on the ledger, or another claim of its epoch landed ──→ gone
/// payee: taken ─secret→ revealed ─plain claim that covers it, or landed→ gone
///           │               └─ about to end → it goes to the ledger itself
///           └─── a plain claim that covers it, or its time is over ──→ gone
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Names the payment at the payee.
    #[serde(with = "hexed")]
    pub hop: Id,
    /// Payer: its own name of the payment. At a node that is the name under which it holds the lock of the payer
    /// before it.
    #[serde(with = "hexed")]
    pub own: Id,
    /// What the payment adds.
    pub amount: Stroops,
    /// Cumulative amount of the claim, `amount` included.
    pub cumulative: Stroops,
    /// Where it was signed.
    pub epoch: u32,
    /// The lock point.
    #[serde(with = "hexed")]
    pub point: [u8; 32],
    /// Unix seconds after which the claim cannot land.
    pub max_time: u64,
    /// Payer that is a node: d, what its incoming lock's secret is larger by.
    #[serde(with = "hexed::option")]
    pub offset: Option<[u8; 32]>,
    /// Payee: the newest pre-signature.
    #[serde(with = "hexed::option")]
    pub pre: Option<Signature>,
    /// Payee: the secret, once it is known.
    #[serde(with = "hexed::option")]
    pub secret: Option<[u8; 32]>,
}

impl std::fmt::Debug for Lock {
    /// Neither the secrets nor what ties hops to each other.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lock { amount, cumulative, epoch, max_time, secret, .. } = self;
        write!(
            f,
            "Lock {{ {amount:?} to {cumulative:?} in epoch {epoch} until {max_time}, revealed: {} }}",
            secret.is_some()
        )
    }
}

/// How many payments a lane remembers by hop id.
pub const RECENT: usize = 64;

/// ```text
/// payer: Planned ─O1 signed→ Creating ─landed→ Created ─refund signed→ Funding ─landed→ Funded ─partner: open→ Open
///           ↑                   │ seq. used     │ link dropped            │ failed        │ too late            │ newer lane,
///           └───────────────────┘               ↓                         ↓               ↓                     │ or closed
///                                             Spare ─next lane→ Created  Dropped       Retired ←────────────────┘
///
///        Open or
///        Retired ─O over, R signed→ Refunding ─landed→ Refunded ─reclaim signed→ Reclaiming ─landed, or E gone→ Spent
///           ↑                           │ a claim landed   ↑                         │ failed
///           └───────────────────────────┘                  └─────────────────────────┘
///
///        (Retired ─both signed the close→ Refunding, with the close in the place of R)
///
/// payee: Offered ─escrow account checked→ Open ─newer lane→ Retired ─all landed→ Spent
///           │                              └─── E silent for O and nothing left to flush, or E refunded or gone ──↑
///           │                              └─── asked to close, all landed→ Closed ─E unlocked or gone, or O over─↑
///           └─invalid, or replaced→ Dropped
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum EscrowState {
    /// Payer: E's key is chosen; waits for funds and for the account's sequence number to be free.
    Planned,
    /// Payer: the transaction that creates E (O1) is signed and may be in a ledger.
    Creating {
        /// O1.
        tx: Tx,
    },
    /// Payer: E exists; the payee has to sign the refund.
    Created,
    /// Payer: E exists and no link wants it; the next lane takes it.
    Spare,
    /// Payer: the funding transaction (F) is signed and may be in a ledger.
    Funding {
        /// F inside its fee bump.
        tx: Tx,
    },
    /// Payer: the deposit is in E; the payee has to look at it.
    Funded,
    /// Payee: the refund is signed; the deposit is to come.
    Offered,
    /// Claims count.
    Open,
    /// A newer lane took over, or it is to end; late claims count, all of it gets flushed.
    Retired,
    /// Payer: E was silent for O; the refund (R) is signed and may be in a ledger.
    Refunding {
        /// R inside its fee bump.
        tx: Tx,
    },
    /// Payer: E is ours alone; to be read, then emptied and merged.
    Refunded,
    /// Payer: the transaction that empties and merges E is signed and may be in a ledger.
    Reclaiming {
        /// It, with a sequence number of our account.
        tx: Tx,
        /// What it takes out of E.
        rest: Stroops,
    },
    /// Payee: nothing of ours is in E any more, and we signed its close; no claim counts.
    Closed {
        /// The epoch whose number the close takes.
        epoch: u32,
    },
    /// Nothing more can come of it.
    Spent,
    /// Never opened.
    Dropped,
}

impl EscrowState {
    /// Stable name.
    pub fn name(&self) -> &'static str {
        match self {
            EscrowState::Planned => "planned",
            EscrowState::Creating { .. } => "creating",
            EscrowState::Created => "created",
            EscrowState::Spare => "spare",
            EscrowState::Funding { .. } => "funding",
            EscrowState::Funded => "funded",
            EscrowState::Offered => "offered",
            EscrowState::Open => "open",
            EscrowState::Retired => "retired",
            EscrowState::Refunding { .. } => "refunding",
            EscrowState::Refunded => "refunded",
            EscrowState::Reclaiming { .. } => "reclaiming",
            EscrowState::Closed { .. } => "closed",
            EscrowState::Spent => "spent",
            EscrowState::Dropped => "dropped",
        }
    }
    /// On its way to `Open`.
    pub fn is_opening(&self) -> bool {
        use EscrowState::*;
        matches!(self, Planned | Creating { .. } | Created | Funding { .. } | Funded | Offered)
    }
    /// Claims on it count.
    pub fn is_usable(&self) -> bool {
        matches!(self, EscrowState::Open | EscrowState::Retired)
    }
    /// Over.
    pub fn is_over(&self) -> bool {
        matches!(self, EscrowState::Spent | EscrowState::Dropped)
    }
    /// The deposit is on its way back.
    pub fn is_returning(&self) -> bool {
        use EscrowState::*;
        matches!(self, Refunding { .. } | Refunded | Reclaiming { .. })
    }
    /// The payer's own transaction that this state is about.
    pub fn tx(&self) -> Option<&Tx> {
        use EscrowState::*;
        match self {
            Creating { tx } | Funding { tx } | Refunding { tx } | Reclaiming { tx, .. } => Some(tx),
            _ => None,
        }
    }
    /// The same, to be replaced by a copy at a higher fee.
    pub(super) fn tx_mut(&mut self) -> Option<&mut Tx> {
        use EscrowState::*;
        match self {
            Creating { tx } | Funding { tx } | Refunding { tx } | Reclaiming { tx, .. } => Some(tx),
            _ => None,
        }
    }
    /// That transaction takes the next sequence number of our account; the others take E's.
    pub fn uses_own_number(&self) -> bool {
        matches!(self, EscrowState::Creating { .. } | EscrowState::Reclaiming { .. })
    }
}

/// A transaction that was signed and may be in a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tx {
    /// Its hash (of the fee bump, when it is one).
    #[serde(with = "hexed")]
    pub hash: [u8; 32],
    /// TransactionEnvelope XDR.
    #[serde(with = "hexed::bytes")]
    pub envelope: Vec<u8>,
    /// The sequence number that it uses (of the inner transaction's source).
    pub sequence: i64,
    /// Largest fee that it may cost, native stroops.
    pub fee: u64,
}

/// A claim of one epoch: cumulative amount and the payer's signature, none while it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Stroops.
    pub cumulative: Stroops,
    /// The payer's, over the claim transaction.
    #[serde(with = "hexed::option")]
    pub signature: Option<Signature>,
}

/// An epoch whose flush is under way. Nothing new is signed in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Which.
    pub epoch: u32,
    /// Its largest claim.
    pub held: Held,
    /// What is to land, at most that.
    pub amount: Stroops,
    /// Payee: the flush itself once it is signed. Until then the payer's `FlushAck` is awaited.
    pub flush: Option<Flush>,
    /// Unix milliseconds of the freeze.
    pub since_ms: u64,
    /// Payee: the open epoch holds more than was credited in it, so what this flush leaves over may be in there.
    #[serde(default)]
    pub carried: bool,
    /// It may be settled together with an epoch of the other direction.
    #[serde(default)]
    pub net: Option<Net>,
}

/// A flush that is signed by both and may be in a ledger. Never replaced by another claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flush {
    /// What it claims.
    pub claim: Held,
    /// The claim in its fee bump.
    pub tx: Tx,
    /// Unix seconds after which it cannot land: a claim that was under a lock. 0: never.
    #[serde(default)]
    pub max_time: u64,
    /// What the payment under that lock adds.
    #[serde(default)]
    pub locked: Stroops,
}

/// Signed minus landed of an epoch that is over, until the payer signed it into the open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// Stroops.
    pub amount: Stroops,
    /// Counts as held until then (unix milliseconds).
    pub until_ms: u64,
}

/// A flush that is in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    /// The epoch that it ended.
    pub epoch: u32,
    /// Of the fee bump.
    #[serde(with = "hexed")]
    pub hash: [u8; 32],
}

/// The part `from < x <= to` of an epoch's cumulative amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which epoch.
    pub epoch: u32,
    /// Stroops, exclusive.
    pub from: u64,
    /// Stroops, inclusive.
    pub to: u64,
}

/// One payment on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Names the payment at the payee.
    #[serde(with = "hexed")]
    pub hop: Id,
    /// What it added.
    pub amount: Stroops,
    /// Where it was signed.
    pub epoch: u32,
    /// Cumulative amount of its claim.
    pub cumulative: Stroops,
}

impl EscrowRow {
    /// A lane before anything happened on it.
    pub fn new(escrow: AccountKey, link: &LinkRow, index: u32, state: EscrowState) -> Self {
        EscrowRow {
            escrow,
            link: link.id,
            role: link.role,
            index,
            own: link.own,
            created: 0,
            deposit: link.deposit,
            period: link.period,
            clock: 0,
            state,
            refund: None,
            seq_time: 0,
            landed: Stroops::ZERO,
            netted: Stroops::ZERO,
            total: Stroops::ZERO,
            epoch: 0,
            held: Held::default(),
            frozen: None,
            carry: None,
            flushed: None,
            spans: Vec::new(),
            recent: Vec::new(),
            returned: None,
            refund_fee: 0,
            close: None,
            forwarded: Stroops::ZERO,
            lock: None,
        }
    }
    /// The payment with this hop id, while it is remembered.
    pub fn recent(&self, hop: &Id) -> Option<&Recent> {
        self.recent.iter().rev().find(|r| r.hop == *hop)
    }
    /// Remembers a payment and forgets the oldest beyond [`RECENT`].
    pub fn remember(&mut self, payment: Recent) {
        if self.recent.len() >= RECENT {
            self.recent.remove(0);
        }
        self.recent.push(payment);
    }
    /// The period by which our clock for E runs: never longer than that of a refund that may be out.
    pub fn clock(&self) -> u32 {
        if self.clock == 0 { self.period } else { self.clock.min(self.period) }
    }
    /// E's sequence number before its first transaction.
    pub fn base_sequence(&self) -> i64 {
        i64::from(self.created) << 32
    }
    /// The transaction whose fate is open, if any.
    pub fn pending_tx(&self) -> Option<&Tx> {
        let frozen = self.frozen.as_ref();
        let flush = || frozen.and_then(|f| f.flush.as_ref()).map(|f| &f.tx);
        self.state.tx().or_else(flush).or_else(|| self.net_tx())
    }
    /// The transaction of this node that settles both directions, while it may still land.
    pub fn net_tx(&self) -> Option<&Tx> {
        self.frozen.as_ref().filter(|f| f.flush.is_none()).and_then(|f| f.net.as_ref()?.tx.as_ref())
    }
    /// What needs no payment any more: it landed, or was set off.
    pub fn settled(&self) -> Stroops {
        self.landed.add(self.netted).unwrap_or(Stroops::MAX)
    }
    /// What E has to stand for: all payments less what was set off.
    pub fn drawn(&self) -> Stroops {
        self.total.saturating_sub(self.netted)
    }
    /// Nothing is claimed beyond what is over, and nothing is under way.
    pub fn is_at_rest(&self) -> bool {
        self.frozen.is_none() && self.carry.is_none() && self.lock.is_none() && self.held.cumulative.is_zero()
    }
    /// True while the partners still have something to settle here.
    pub fn is_unsettled(&self) -> bool {
        self.state.is_opening()
            || self.frozen.is_some()
            || (self.state.is_usable() && (self.total > self.settled() || self.lock.is_some()))
    }
}
