//! The operator wants deposits back: no new lanes and payments on a link, its lanes retire, and the partner is asked to
//! close with us (`close_together`). One that is away or says nothing flushes by its own schedule, and each deposit is
//! refunded once its escrow was silent for the period.
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Role};
use crate::gateway::core::message::{AccountKey, Id};
use crate::gateway::port::{Out, Row};
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// A deposit that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returning {
    /// The link.
    #[serde(with = "super::hexed")]
    pub link: Id,
    /// E.
    #[serde(with = "super::hexed")]
    pub escrow: AccountKey,
    /// `EscrowState::name`; not read back.
    #[serde(skip_deserializing)]
    pub state: &'static str,
    /// Stroops that come back at least: what the payee holds no claim to.
    pub amount: Stroops,
    /// When at the latest if the partner does not close with us, unix milliseconds; a claim that lands before begins the
    /// time anew. 0: not yet known.
    pub due_ms: u64,
}

/// After everything was closed nothing is opened for so long: else what is still owed would tie up again what came back.
const REST_MS: u64 = 60_000;

impl Links {
    /// Closes a link on which we pay, or all of them. Durable and idempotent; what comes back, and when. Partners that
    /// are asked for once their link is gone get a new one, a minute after all were closed at the earliest.
    pub fn close(&mut self, now_ms: u64, which: Option<Id>, out: &mut Out) -> Vec<Returning> {
        if which.is_none() {
            self.rest_ms = now_ms.saturating_add(REST_MS);
        }
        let ours = |id: &Id| which.is_none_or(|which| which == *id);
        let mut closed = Vec::new();
        for link in self.links.values_mut().filter(|l| l.row.role == Role::Payer && ours(&l.row.id)) {
            if !link.row.closing {
                link.row.closing = true;
                if !link.tentative {
                    out.rows.push(Row::Link(Box::new(link.row.clone())));
                }
            }
            closed.push(link.row.id);
        }
        let lanes: Vec<AccountKey> =
            self.lanes.values().filter(|l| closed.contains(&l.row.link)).map(|l| l.row.escrow).collect();
        lanes.iter().for_each(|escrow| self.age(now_ms, escrow, out));
        closed.iter().for_each(|link| self.call_to_close(now_ms, link, out));
        lanes.iter().for_each(|escrow| self.poke(now_ms, *escrow, out));
        self.sweep(now_ms, &closed, out);
        self.lanes.values().map(|l| &l.row).filter(|row| closed.contains(&row.link)).filter_map(returning).collect()
    }

    /// Is the link of this lane being closed?
    pub(super) fn is_closing(&self, link: &Id) -> bool {
        self.links.get(link).is_some_and(|l| l.row.closing)
    }

    /// A link that is being closed and of which no lane is left goes at once.
    pub(super) fn is_closed(&self, link: &Id) -> bool {
        self.is_closing(link) && self.lanes_of(link).all(|lane| lane.state == EscrowState::Spare)
    }
}

/// What of a lane comes back; none when there is no deposit in E.
fn returning(lane: &EscrowRow) -> Option<Returning> {
    let amount = match &lane.state {
        EscrowState::Funding { .. } => lane.deposit,
        state if state.is_usable() || *state == EscrowState::Funded => lane.deposit.saturating_sub(lane.drawn()),
        EscrowState::Reclaiming { rest, .. } => *rest,
        state if state.is_returning() => lane.deposit.saturating_sub(lane.landed),
        _ => return None,
    };
    let due_ms = lane.clock_ms(16);
    Some(Returning { link: lane.link, escrow: lane.escrow, state: lane.state.name(), amount, due_ms })
}
