//! Whether a payment that a server refuses can still land, or has. A server that trails its ledger refuses what landed
//! long ago (its number is used) and finds it nowhere, so neither a refusal nor a look-up that finds nothing proves
//! anything: only what the account's own transactions show, or the ledger's own clock.
use super::Purse;
use super::history::{key, transaction};
use super::journal::Pending;
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::LedgerResult;
use crate::stellar::horizon::{TransactionRecord, landed};
use crate::stellar::network::NetworkId;

/// Transactions a page, and pages, that are read: whoever sends something to the account stands in them, too.
const PAGE: u8 = 200;
const PAGES: u32 = 20;

/// What is known of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in a ledger.
    Landed(LedgerResult),
    /// It is in none and never will be.
    Void,
    /// Neither is proved.
    Open,
}

/// What a server showed of an account, in the order in which it was asked.
struct Shown {
    /// Unix seconds at which its latest ledger closed.
    closed_at: u64,
    /// That ledger.
    ledger: u32,
    /// The account's sequence number after that.
    sequence: i64,
    /// The ledger of which that number was told, 0 when the server did not say.
    sequence_of: u32,
    /// Transactions of the account, newest first.
    records: Vec<TransactionRecord>,
}

/// A payment as its journal has it.
struct Ours {
    account: AccountKey,
    hash: [u8; 32],
    /// The sequence number that it takes.
    number: i64,
    max_time: u64,
    body: stellar_base::xdr::Transaction,
}

impl Purse {
    /// What became of a payment. `MW-HZN-*`: the server cannot be asked; `MW-WALLET-32`: the journal is damaged.
    pub(super) async fn fate(&self, pending: &Pending) -> Result<Fate> {
        let body = transaction(&pending.envelope)?;
        // Not this purse's account: an earlier run may have paid from another one of the wallet.
        let (account, number) = (key(&body.source_account), body.seq_num.0);
        let ours = Ours { account, hash: pending.hash_bytes()?, number, max_time: pending.max_time, body };
        Ok(ours.fate(&self.shown(&account, number).await?))
    }

    /// The clock first, then the number: a number that is not used then was not used at that time.
    async fn shown(&self, account: &AccountKey, number: i64) -> Result<Shown> {
        let garbled = || Error::later("MW-HZN-9", "The ledger's server does not say when its latest ledger closed.");
        let root = self.ledger.root().await?;
        if NetworkId::of(&root.network_passphrase) != self.network() {
            return Err(Error::never("MW-HZN-8", "The ledger's server is on another network than the one configured."));
        }
        let closed = chrono::DateTime::parse_from_rfc3339(&root.history_latest_ledger_closed_at);
        let closed_at = closed.ok().and_then(|time| u64::try_from(time.timestamp()).ok()).ok_or_else(garbled)?;
        let gone = || Error::later("MW-HZN-9", "The ledger's server does not know the account that paid.");
        let view = self.ledger.account(account).await?.ok_or_else(gone)?;
        let (sequence, mut records) = (view.sequence, Vec::new());
        // What others sent to the account since its number moved last is passed over.
        let moved = (sequence >= number && view.sequence_ledger > 0).then_some(view.sequence_ledger);
        let mut cursor = moved.map(|ledger| (u64::from(ledger).saturating_add(1) << 32).to_string());
        for _ in 0..PAGES {
            let page = self.ledger.latest_of(account, cursor.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            cursor = Some(last.paging_token.clone());
            let reached = page.iter().any(|record| number_of(record, account).is_some_and(|its| its <= number));
            records.extend(page);
            if reached {
                break;
            }
        }
        Ok(Shown { closed_at, ledger: root.history_latest_ledger, sequence, sequence_of: view.latest_ledger, records })
    }
}

impl Ours {
    fn fate(&self, shown: &Shown) -> Fate {
        let mut taken = false;
        for record in &shown.records {
            let body = transaction(&record.envelope_xdr).ok();
            if record.is(&self.hash) || body.as_ref() == Some(&self.body) {
                return landed(record, &self.hash).map_or(Fate::Open, Fate::Landed);
            }
            taken |= number_of(record, &self.account) == Some(self.number);
        }
        // A number that was told of an older ledger than the clock may have been used since.
        let fresh = shown.ledger > 0 && shown.sequence_of >= shown.ledger;
        let over = shown.closed_at > self.max_time && fresh && shown.sequence < self.number;
        if taken || over { Fate::Void } else { Fate::Open }
    }
}

/// The number that a transaction took of this account; none when it is another's, or makes no sense.
fn number_of(record: &TransactionRecord, account: &AccountKey) -> Option<i64> {
    let body = transaction(&record.envelope_xdr).ok()?;
    (key(&body.source_account) == *account).then_some(body.seq_num.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stellar::keys::SecretSeed;
    use crate::stellar::template::{self, Source, ops};
    use crate::units::Stroops;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    const MAX_TIME: u64 = 1_000;

    /// A transaction of the account of `seed` with this number, as an account's history has it, and its hash.
    fn record(seed: u8, number: i64, amount: u64) -> (TransactionRecord, [u8; 32]) {
        let pair = SecretSeed::from_bytes(&[seed; 32]);
        let source = Source {
            network: NetworkId::of("a ledger"),
            account: pair.public(),
            sequence: number - 1,
            fee_per_op: 100,
            max_time: MAX_TIME,
        };
        let amount = Stroops::new(amount).expect("stroops");
        let pay = ops::payment(None, &[7; 32], &crate::stellar::asset::Asset::Native, amount);
        let signed = template::batch(&source, vec![pay]).expect("built").sign(&[&pair]).expect("signed");
        let text = serde_json::json!({
            "hash": hex::encode(signed.hash()), "ledger": 5, "successful": true, "fee_charged": 100,
            "envelope_xdr": STANDARD.encode(signed.to_xdr().expect("bytes")),
        });
        (serde_json::from_value(text).expect("a record"), signed.hash())
    }

    fn ours() -> Ours {
        let (record, hash) = record(1, 42, 1);
        let body = transaction(&record.envelope_xdr).expect("an envelope");
        Ours { account: key(&body.source_account), hash, number: 42, max_time: MAX_TIME, body }
    }

    fn shown(records: Vec<TransactionRecord>) -> Shown {
        Shown { closed_at: MAX_TIME - 10, ledger: 9, sequence: 42, sequence_of: 9, records }
    }

    #[test]
    fn only_another_transaction_of_the_same_account_and_number_takes_a_payments_place() {
        let fate = |records| ours().fate(&shown(records));
        assert_eq!(fate(vec![]), Fate::Open, "a used number alone says nothing about who used it");
        assert_eq!(fate(vec![record(1, 41, 9).0, record(1, 43, 9).0, record(2, 42, 9).0]), Fate::Open);
        assert_eq!(fate(vec![record(1, 43, 9).0, record(1, 42, 9).0]), Fate::Void);
        assert!(matches!(fate(vec![record(1, 43, 9).0, record(1, 42, 1).0]), Fate::Landed(_)));
    }

    #[test]
    fn time_is_over_by_the_ledgers_clock_and_for_a_number_that_is_at_least_as_new() {
        let over = || Shown { closed_at: MAX_TIME + 1, sequence: 41, ..shown(vec![]) };
        assert_eq!(ours().fate(&over()), Fate::Void);
        assert_eq!(ours().fate(&Shown { closed_at: MAX_TIME, ..over() }), Fate::Open, "a ledger of that time takes it");
        assert_eq!(
            ours().fate(&Shown { sequence: 42, ..over() }),
            Fate::Open,
            "somebody used the number, it may be us"
        );
        assert_eq!(ours().fate(&Shown { sequence_of: 8, ..over() }), Fate::Open, "the number is older than the clock");
        assert_eq!(ours().fate(&Shown { ledger: 0, sequence_of: 0, ..over() }), Fate::Open, "nobody knows how old");
    }
}
