//! Links wired back to back over the embedded ledger: opening, claims, flushes, crashes, hostile partners.
mod claims;
mod flushes;
mod opening;
mod world;
