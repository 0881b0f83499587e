//! Links wired back to back over the embedded ledger: opening, claims, flushes, crashes, hostile partners.
mod claims;
mod crashes;
mod flushes;
mod hostile;
mod opening;
mod random;
mod world;
