//! What a relay does with circuits that did not pay; mirrors `mw_policy_t`.

/// What circuits get whose origin never sent a payment cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockClients {
    /// What the paid ones leave over, never stopped: the public network, whose scanners measure relays.
    BestEffort,
    /// They are unpaid: a network of our own.
    PaidOnly,
}

/// Limits of unpaid service. Cells are relay cells of 514 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Advertise and enforce as a relay; false = client only. Fixed at the start.
    pub relay: bool,
    /// See [`StockClients`].
    pub stock_clients: StockClients,
    /// Free window per circuit, cells. Behind a guard tor clips it to 127 (64 KiB).
    pub free_cells: u32,
    /// Guard: free cells outstanding per client address.
    pub free_cells_address: u32,
    /// Behind a guard: free cells outstanding per upstream channel.
    pub free_cells_channel: u32,
    /// One free cell comes back to a pool each so many milliseconds.
    pub free_refill_ms: u32,
    /// Allowance of a circuit whose pool is empty, cells: enough to agree on a payment.
    pub base_cells: u32,
    /// Rate of a circuit that used up its window, bytes per second.
    pub trickle_bytes: u32,
    /// From trickle to stopped, milliseconds.
    pub grace_ms: u32,
    /// Cells held per circuit; beyond it the circuit is closed.
    pub max_held_cells: u32,
    /// Cells held in all.
    pub max_held_total: u32,
}

impl Policy {
    /// A relay in a network of our own: who does not pay is slowed, then stopped.
    pub fn own_network() -> Policy {
        Policy {
            relay: true,
            stock_clients: StockClients::PaidOnly,
            free_cells: 127,
            free_cells_address: 2_048,
            free_cells_channel: 8_192,
            free_refill_ms: 64,
            base_cells: 32,
            trickle_bytes: 8_192,
            grace_ms: 30_000,
            max_held_cells: 2_000,
            max_held_total: 65_536,
        }
    }

    /// A relay in the public network: clients that know nothing of payments get what is left over.
    pub fn public_network() -> Policy {
        Policy { stock_clients: StockClients::BestEffort, ..Policy::own_network() }
    }

    /// A client: pays, holds nothing, advertises nothing.
    pub fn client() -> Policy {
        Policy { relay: false, ..Policy::public_network() }
    }

    /// Lets everything pass: what a relay falls back to when its payments broke, so that tor routes on.
    pub fn let_all_pass(self) -> Policy {
        Policy {
            stock_clients: StockClients::BestEffort,
            free_cells: u32::MAX,
            free_cells_address: u32::MAX,
            free_cells_channel: u32::MAX,
            base_cells: u32::MAX,
            trickle_bytes: u32::MAX,
            grace_ms: u32::MAX,
            ..self
        }
    }
}
