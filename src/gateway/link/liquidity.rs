//! What the operator set aside for escrows, and where it is.
use super::identity::ESCROW_RESERVES;
use super::links::Links;
use super::rows::{EscrowState, Partner, Role};
use crate::units::Stroops;
use serde::Serialize;
use std::collections::BTreeMap;

/// The operator's money in escrows. Stroops of the payment asset unless it says native.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Liquidity {
    /// Set aside for escrows, `links.liquidity`.
    pub total: Stroops,
    /// In escrows or promised to them.
    pub tied_up: Stroops,
    /// What another escrow may take.
    pub free: Stroops,
    /// `tied_up` by what becomes of it.
    pub states: Tied,
    /// Escrows of ours that are not over.
    pub escrows: usize,
    /// Native stroops of reserves that these escrows hold; they come back with the deposit.
    pub reserves: u64,
    /// By payee, the most first.
    pub payees: Vec<PayeeLiquidity>,
}

/// Where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tied {
    /// In escrows that are being opened.
    pub opening: Stroops,
    /// In escrows that claims go to.
    pub open: Stroops,
    /// In escrows that a newer one took over: waits for the last flush and for the period.
    pub retired: Stroops,
    /// On its way back.
    pub returning: Stroops,
    /// In escrows that are over, where nothing brings it back.
    pub stranded: Stroops,
}

/// What one payee ties up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PayeeLiquidity {
    /// Who.
    pub partner: Partner,
    /// How much.
    pub tied_up: Stroops,
    /// In how many escrows.
    pub escrows: usize,
}

impl Links {
    /// What `links.liquidity` is tied up in.
    pub fn liquidity(&self) -> Liquidity {
        let add = |sum: &mut Stroops, amount: Stroops| *sum = sum.add(amount).unwrap_or(Stroops::MAX);
        let mut all = Liquidity { total: self.limits.liquidity_total, ..Liquidity::default() };
        let mut payees: BTreeMap<_, PayeeLiquidity> = BTreeMap::new();
        for row in self.lanes.values().map(|lane| &lane.row).filter(|row| row.role == Role::Payer) {
            let tied_up = row.tied_up();
            add(&mut all.tied_up, tied_up);
            all.escrows += 1;
            let exists = !matches!(row.state, EscrowState::Planned | EscrowState::Creating { .. });
            all.reserves += if exists { ESCROW_RESERVES * self.limits.base_reserve } else { 0 };
            add(
                match &row.state {
                    EscrowState::Open => &mut all.states.open,
                    EscrowState::Retired => &mut all.states.retired,
                    state if state.is_returning() => &mut all.states.returning,
                    _ => &mut all.states.opening,
                },
                tied_up,
            );
            let Some(partner) = self.links.get(&row.link).map(|link| link.row.partner) else { continue };
            let payee =
                payees.entry(row.link).or_insert(PayeeLiquidity { partner, tied_up: Stroops::ZERO, escrows: 0 });
            add(&mut payee.tied_up, tied_up);
            payee.escrows += 1;
        }
        all.states.stranded = self.stranded;
        add(&mut all.tied_up, self.stranded);
        all.free = self.liquidity_left();
        all.payees = payees.into_values().collect();
        all.payees.sort_by_key(|payee| std::cmp::Reverse(payee.tied_up));
        all
    }
}
