//! Links to fill a store with: clients of a guard, each with an open escrow on which a little was paid.
use crate::gateway::core::message::{AccountKey, Id};
use crate::gateway::link::{EscrowRow, EscrowState, Held, LinkRow, Partner, Role};
use crate::gateway::port::{MoneyEvent, Row};
use crate::units::Stroops;
use sha2::{Digest, Sha256};

/// Stroops that were paid on each.
const PAID: u64 = 1_000;

/// The rows of link number `number` at its payee at `now_ms`: the link, its lane, and the payment in the journal. The
/// keys are numbers, not curve points: nobody ever signs or claims here, and no ledger knows the escrow.
pub(super) fn rows(number: u32, deposit: Stroops, period: u32, now_ms: u64) -> [Row; 3] {
    let bytes = |what: &str| -> [u8; 32] {
        Sha256::new().chain_update(what).chain_update(number.to_be_bytes()).finalize().into()
    };
    let (mut id, mut tag, escrow): (Id, [u8; 8], AccountKey) = ([0; 16], [0; 8], bytes("escrow"));
    id.copy_from_slice(&bytes("id")[..16]);
    tag.copy_from_slice(&bytes("tag")[..8]);
    let link = LinkRow {
        id,
        role: Role::Payee,
        partner: Partner::Anonymous,
        dials: false,
        account: bytes("account"),
        signer: bytes("signer"),
        key: bytes("key"),
        tag,
        deposit,
        period,
        since_ms: now_ms,
        dropped: false,
        closing: false,
        by_period: true,
        own: 0,
    };
    let paid = Stroops::new(PAID).unwrap_or(Stroops::ZERO);
    let mut lane = EscrowRow::new(escrow, &link, 0, EscrowState::Open);
    lane.created = 1;
    lane.seq_time = now_ms / 1000;
    lane.total = paid;
    lane.held = Held { cumulative: paid, signature: Some([7; 64]) };
    let what = "claim_accepted".into();
    let event = MoneyEvent { at: now_ms, what, link: Some(id), hop: None, amount: paid, fee: 0, tx: None };
    [Row::Link(Box::new(link)), Row::Escrow(Box::new(lane)), Row::Event(event)]
}
