//! What a relay does with circuits that did not pay; mirrors `mw_policy_t`.
use crate::config::{Policy as Limits, StockClients};

/// What the C side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Advertise and enforce as a relay; false = client only. Fixed at the start.
    pub relay: bool,
    /// SOCKS ports and other entry ports serve programs of our own user and root's alone. Fixed at the start.
    pub own_user: bool,
    /// What unpaid circuits get.
    pub limits: Limits,
}

impl Policy {
    /// A relay in a network of our own: who does not pay is slowed, then stopped.
    pub fn own_network() -> Policy {
        Policy {
            relay: true,
            own_user: false,
            limits: Limits { stock_clients: StockClients::PaidOnly, ..Limits::default() },
        }
    }

    /// A client: pays for programs of its own user, holds nothing, advertises nothing.
    pub fn client() -> Policy {
        Policy { relay: false, own_user: true, limits: Limits::default() }
    }

    /// Lets everything pass: what a relay falls back to when its payments broke, so that tor routes on.
    pub fn let_all_pass(self) -> Policy {
        let limits = Limits {
            stock_clients: StockClients::BestEffort,
            free_cells: u32::MAX,
            free_cells_address: u32::MAX,
            free_cells_channel: u32::MAX,
            base_cells: u32::MAX,
            trickle_bytes: u32::MAX,
            grace_ms: u32::MAX,
            ..self.limits
        };
        Policy { limits, ..self }
    }
}
