//! Plain transactions of one account: what a devnet, a wallet and an issuer need.
use super::{Body, Source, Unsigned, from_source, ops};
use crate::error::Result;
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::units::Stroops;
use stellar_base::xdr;

/// Several operations at once (1 to 100); each source that occurs must sign. `MW-TX-1` as below for all of these.
pub fn batch(source: &Source, operations: Vec<xdr::Operation>) -> Result<Unsigned> {
    from_source(source, operations)
}

/// Creates an account with `balance` native stroops.
pub fn create_account(source: &Source, created: &AccountKey, balance: Stroops) -> Result<Unsigned> {
    batch(source, vec![ops::create_account(None, created, balance)])
}

/// Lets the source hold `asset` up to `limit`.
pub fn change_trust(source: &Source, asset: &Asset, limit: Stroops) -> Result<Unsigned> {
    batch(source, vec![ops::change_trust(None, asset, limit)])
}

/// Pays `amount` of `asset`; from its issuer that issues it.
pub fn payment(source: &Source, to: &AccountKey, asset: &Asset, amount: Stroops) -> Result<Unsigned> {
    batch(source, vec![ops::payment(None, to, asset, amount)])
}

/// Sets and clears account flags of an issuer (`ops::AUTH_IMMUTABLE` and its like).
pub fn set_flags(source: &Source, set: u32, clear: u32) -> Result<Unsigned> {
    batch(source, vec![ops::set_flags(None, set, clear)])
}

/// `batch` with a memo, for a payee who tells its customers apart by that. Our own payments never carry one.
pub fn batch_with_memo(source: &Source, operations: Vec<xdr::Operation>, memo: xdr::Memo) -> Result<Unsigned> {
    match batch(source, operations)? {
        Unsigned { body: Body::Tx(tx), network, .. } => {
            Unsigned::new(Body::Tx(xdr::Transaction { memo, ..tx }), network)
        }
        bump => Ok(bump),
    }
}
