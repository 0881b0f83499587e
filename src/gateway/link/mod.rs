//! One payer-payee pair: escrow, cumulative claims, flush, re-establish (design: payments.md 2, 5, 7).
//!
//! [`Links`] holds all links of a node, in both roles. It is pure: time and randomness come in, rows and effects go
//! out in an `Out`; the reactor makes the rows durable before it releases the effects. After a restart [`Links::load`]
//! gets the rows back and [`Links::on_tick`] picks every unfinished step up, transactions by their hash first.
//!
//! ```text
//!   payer A                              payee B
//!   dial ─────────── LinkHello ────────────→          (a service dials: LinkHello{payer: false} asks for it;
//!                                                      a relay is called back first: call_back.rs)
//!        ←────────── LinkAccept ───────────
//!   O1 → ledger
//!        ─────────── EscrowOffer ──────────→ signs R
//!        ←────────── RefundSigned ─────────
//!   F → ledger
//!        ─────────── EscrowReady ──────────→ reads E
//!        ←────────── EscrowOpen ───────────
//!   sign ═ claims, carried by clients ═════→ accept
//!        ←────────── FlushBegin ───────────
//!   freezes  ─────── FlushAck ─────────────→ K → ledger
//!        ←────────── FlushDone ────────────
//!   reads E  ─────── Claim (with carry) ───→
//!   sign_locked ═ carried by clients ══════→ check_lock, keep_lock
//!        ←────────── Reveal ───────────────                       (when the client did not tell)
//!   folds ────────── Claim ────────────────→ (or the locked claim → ledger, and A reads the secret there)
//!        ─────────── CloseAsk ─────────────→ flushes, until nothing of its own is in E
//!        ←────────── CloseSigned ───────────
//!   the close → ledger, reclaim → ledger                   (together)
//!   E silent for O: R → ledger, reclaim → ledger          (alone; nothing is said)
//! ```
mod agreed;
mod call_back;
mod claim;
mod close;
mod close_together;
mod dial;
mod flush_payee;
mod flush_payer;
mod forget;
mod hello;
pub mod hexed;
mod identity;
mod index;
mod lanes;
mod lazy;
mod ledger;
mod limits;
mod links;
mod liquidity;
mod lock;
mod net;
mod net_answer;
mod onwards;
mod open_payee;
mod open_payer;
mod purse;
mod reestablish;
mod refund;
mod rows;
mod submit;
mod tick;
mod watch;

pub use close::Returning;
pub use dial::CircuitNews;
pub use identity::Identity;
pub use limits::Limits;
pub use links::{LaneSummary, LinkSummary, Links};
pub use liquidity::{Liquidity, PayeeLiquidity, Tied};
pub use lock::{LockNews, NewLock, Taken};
pub use purse::OwnAccount;
pub use rows::{
    Carry, Close, EscrowRow, EscrowState, Flush, Flushed, Frozen, Held, LinkRow, Lock, Net, Partner, RECENT, Recent,
    Role, Span, Tx,
};

use super::core::message::{AccountKey, Id};
use super::port::RelayId;
use crate::units::Stroops;

/// Who is to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayeeRef {
    /// The next relay of a circuit.
    Relay(RelayId),
    /// A service, by the link tag that its template came with.
    Tag([u8; 8]),
}

/// Who is to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerRef {
    /// The relay before us on a circuit.
    Relay(RelayId),
    /// A client at its guard, by its link's tag.
    Tag([u8; 8]),
}

/// Can a payee be paid?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Claims can be signed.
    Ready,
    /// The escrow is being made.
    Opening,
    /// The wallet does not hold enough for an escrow; tried again by itself.
    NoFunds,
    /// Liquidity or the number of links is used up.
    NoCapacity,
    /// The operator closes the link: the deposits are on their way back.
    Closing,
    /// Nobody asked for a link yet.
    NoLink,
}

/// What the books say after a claim was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRefInfo {
    /// The link.
    pub link: Id,
    /// Its payer.
    pub partner: Partner,
    /// The lane's escrow account.
    pub escrow: AccountKey,
    /// Stroops credited on the lane, this payment included.
    pub credited: Stroops,
    /// Stroops claimed on the lane: landed and held.
    pub claimed: Stroops,
    /// Stroops that landed.
    pub landed: Stroops,
    /// The payment was accepted before; nothing new was credited.
    pub repeated: bool,
}
