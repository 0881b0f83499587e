//! Links wired back to back over the embedded ledger: opening, claims, flushes, crashes, hostile partners.
mod accounts;
#[cfg(feature = "node")]
mod books;
mod claims;
mod closing;
mod closing_crashes;
mod closing_odd;
mod crashes;
mod fees;
mod flushes;
mod forgetting;
#[cfg(feature = "node")]
mod horizon;
mod hostile;
mod lanes;
mod lock_rogues;
mod locks;
mod lost;
mod netting;
mod opening;
mod periods;
mod posing;
mod random;
mod restored;
mod slipped;
mod together;
mod traps;
pub(crate) mod world;
mod world_circuit;
pub(crate) mod world_ledger;
mod world_pay;
