//! Two servers that must agree: one of them alone could show an escrow that is not there, or a flush that never landed.
//!
//! ```text
//! account, transaction -> both are asked: same answer -> that; else -> unknown, and the gateway asks again
//! submit -> first server: landed or refused -> does the second one see the same?
//!                         unknown           -> submitted by the second one as well (it can land once only)
//! ```
use super::{AccountRecord, HorizonLedger};
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::gateway::port::{AccountHistory, AccountView, LedgerAnswer, LedgerCall, LedgerResult};
use crate::stellar::asset::Asset;
use crate::stellar::escrow_check::check_issuer;
use crate::stellar::network::NetworkId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A Horizon server, and a second one that has to confirm what it says.
#[derive(Clone, Debug)]
pub struct WitnessedLedger {
    first: HorizonLedger,
    second: Option<HorizonLedger>,
    /// The network that the servers have to be on, the issuer of our asset, and whether both are what they should be.
    network: Option<NetworkId>,
    issuer: Option<AccountKey>,
    checked: Arc<AtomicBool>,
}

impl WitnessedLedger {
    /// Without a `second` one the first is believed.
    pub fn new(first: HorizonLedger, second: Option<HorizonLedger>) -> Self {
        WitnessedLedger { first, second, network: None, issuer: None, checked: Arc::default() }
    }

    /// The same servers over streams of this account.
    pub fn isolated(&self, account: &AccountKey) -> Self {
        let second = self.second.as_ref().map(|ledger| ledger.isolated(account));
        WitnessedLedger { first: self.first.isolated(account), second, ..self.clone() }
    }

    /// The same servers, of which nothing counts before they have said that they are on this network, where what its
    /// issuer gives away it can never take back: on another one there is none of our escrows.
    pub fn on(self, network: NetworkId, asset: &Asset) -> Self {
        let issuer = match asset {
            Asset::Native => None,
            Asset::Credit(credit) => Some(*credit.issuer()),
        };
        WitnessedLedger { network: Some(network), issuer, checked: Arc::default(), ..self }
    }

    /// Asks the servers which network they are on, and what the issuer may do, until they have said it: flags that
    /// are fixed are so for good. `MW-HZN-8`: one of them is on another network; `MW-ESC-30`: the issuer can take
    /// back; else they could not be asked.
    pub async fn check(&self) -> Result<()> {
        let Some(network) = self.network.filter(|_| !self.checked.load(Ordering::Acquire)) else { return Ok(()) };
        for server in std::iter::once(&self.first).chain(&self.second) {
            server.check_network(&network).await?;
            if let Some(issuer) = &self.issuer {
                let gone = || Error::later("MW-ESC-31", "The asset's issuer is not on the ledger.");
                check_issuer(server.issuer_flags(issuer).await?.ok_or_else(gone)?)?;
            }
        }
        self.checked.store(true, Ordering::Release);
        Ok(())
    }

    /// An account as the first server has it, for people to look at: nothing is decided by it. None when there is no
    /// such account. `MW-HZN-*`.
    pub async fn account_record(&self, account: &AccountKey) -> Result<Option<AccountRecord>> {
        self.check().await?;
        self.first.account_record(account).await
    }

    /// Answers a call of the gateway; what only one of the two says is `Unknown`.
    pub async fn call(&self, call: LedgerCall) -> LedgerAnswer {
        if let Err(error) = self.check().await {
            return LedgerAnswer { tag: call.tag(), result: LedgerResult::Unknown { why: error.to_string() } };
        }
        let Some(second) = &self.second else { return self.first.call(call).await };
        let LedgerCall::Submit { tag, envelope, hash } = call else {
            let (one, other) = tokio::join!(self.first.call(call.clone()), second.call(call));
            return LedgerAnswer { tag: one.tag, result: agreed(one.result, other.result) };
        };
        let submit = |envelope| LedgerCall::Submit { tag, envelope, hash };
        let one = self.first.call(submit(envelope.clone())).await.result;
        let result = match one {
            LedgerResult::Unknown { .. } => agreed(one, second.call(submit(envelope)).await.result),
            // The second server may trail by a ledger.
            LedgerResult::Landed { .. } => self.confirmed(second, tag, hash, one).await,
            LedgerResult::Rejected { .. } => match second.call(LedgerCall::Transaction { tag, hash }).await.result {
                LedgerResult::NotFound => one,
                other => agreed(one, other),
            },
            other => other,
        };
        LedgerAnswer { tag, result }
    }

    async fn confirmed(&self, second: &HorizonLedger, tag: u64, hash: [u8; 32], one: LedgerResult) -> LedgerResult {
        let end = Instant::now() + self.patience();
        loop {
            let other = second.call(LedgerCall::Transaction { tag, hash }).await.result;
            if other != LedgerResult::NotFound || Instant::now() >= end {
                return agreed(one, other);
            }
            sleep(second.timing.poll).await;
        }
    }

    fn patience(&self) -> Duration {
        self.first.timing.poll.saturating_mul(self.first.timing.looks)
    }
}

fn agreed(one: LedgerResult, other: LedgerResult) -> LedgerResult {
    match (one, other) {
        (LedgerResult::Account(one), LedgerResult::Account(other)) if same(&one, &other) => {
            // What holds at both held at the older one of the two ledgers.
            let latest_ledger = one.latest_ledger.min(other.latest_ledger);
            LedgerResult::Account(Box::new(AccountView { latest_ledger, ..*one }))
        }
        (LedgerResult::History(one), LedgerResult::History(other)) => {
            // A landed claim proves itself, whoever shows it; that nothing landed is true only when both say so.
            let both = (&one.envelopes, one.sequence) == (&other.envelopes, other.sequence);
            let closed_at = if both { one.closed_at.min(other.closed_at) } else { 0 };
            let mut envelopes = one.envelopes.clone();
            envelopes.extend(other.envelopes.into_iter().filter(|envelope| !one.envelopes.contains(envelope)));
            let sequence = one.sequence.min(other.sequence);
            LedgerResult::History(Box::new(AccountHistory { closed_at, envelopes, sequence }))
        }
        (unknown @ LedgerResult::Unknown { .. }, _) | (_, unknown @ LedgerResult::Unknown { .. }) => unknown,
        (one, other) if one == other => one,
        (one, other) => {
            let why = format!("the two servers of the ledger differ: {} and {}", name(&one), name(&other));
            LedgerResult::Unknown { why }
        }
    }
}

fn same(one: &AccountView, other: &AccountView) -> bool {
    AccountView { latest_ledger: 0, ..one.clone() } == AccountView { latest_ledger: 0, ..other.clone() }
}

/// For the log: nothing of whom it is about.
fn name(result: &LedgerResult) -> &'static str {
    match result {
        LedgerResult::Landed { success: true, .. } => "landed",
        LedgerResult::Landed { success: false, .. } => "landed and failed",
        LedgerResult::Rejected { .. } => "rejected",
        LedgerResult::NotFound => "not found",
        LedgerResult::Account(_) => "an account",
        LedgerResult::History(_) => "a history",
        LedgerResult::Unknown { .. } => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(sequence: i64, latest_ledger: u32) -> LedgerResult {
        LedgerResult::Account(Box::new(AccountView { sequence, latest_ledger, ..AccountView::default() }))
    }

    #[test]
    fn only_what_both_say_is_said() {
        assert_eq!(agreed(account(7, 3), account(7, 4)), account(7, 3));
        assert_eq!(agreed(LedgerResult::NotFound, LedgerResult::NotFound), LedgerResult::NotFound);
        for (one, other) in [(account(7, 3), account(8, 3)), (account(7, 3), LedgerResult::NotFound)] {
            assert!(matches!(agreed(one.clone(), other.clone()), LedgerResult::Unknown { .. }));
            assert!(matches!(agreed(other, one), LedgerResult::Unknown { .. }));
        }
        let unknown = LedgerResult::Unknown { why: "outage".into() };
        assert_eq!(agreed(unknown.clone(), account(7, 3)), unknown);
        assert_eq!(agreed(account(7, 3), unknown.clone()), unknown);
    }
}
