//! What a network of one's own needs: the embedded ledger and, beside it, relays, names and servers on loopback.
pub mod ledger;
