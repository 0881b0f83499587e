//! What the partners of a link agree on for one escrow account; every transaction of it follows from this.
use crate::error::{Error, Result};
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::stellar::network::NetworkId;
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// Native stroops that a ledger holds back per entry (0.5 XLM, by vote of the validators).
pub const BASE_RESERVE: u64 = 5_000_000;
/// Entries that count against an escrow's own balance once nobody sponsors them: 2 for the account, 2 signers.
const NATIVE_RESERVES: u64 = 4;
/// Seconds per ledger at most: a gap of period / 7 ledgers never outlasts the period.
const SECONDS_PER_LEDGER: u32 = 7;
/// The last epoch whose claim still lies below the refund's sequence number.
pub const MAX_EPOCH: u32 = u32::MAX - 3;

/// Everything that an escrow's transactions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowTerms {
    /// The network that it lives on.
    pub network: NetworkId,
    /// What is deposited and claimed.
    pub asset: Asset,
    /// The escrow account E.
    pub escrow: AccountKey,
    /// The payer's signer A.
    pub payer_signer: AccountKey,
    /// Funds the deposit, sponsors the reserves, pays for opening.
    pub payer_account: AccountKey,
    /// The payee's signer B.
    pub payee_signer: AccountKey,
    /// Where claims are paid to.
    pub payee_account: AccountKey,
    /// The ledger that created E: its first sequence number is this << 32.
    pub created_ledger: u32,
    /// What the payer moves into E.
    pub deposit: Stroops,
    /// Observation period O in seconds.
    pub period_secs: u32,
}

impl EscrowTerms {
    /// `MW-TERMS-1`: two of escrow, signers and accounts coincide where they must not; `MW-TERMS-2`: no such ledger;
    /// `MW-TERMS-3`: no deposit, or one that reserves eat up; `MW-TERMS-4`: no period.
    pub fn check(&self) -> Result<()> {
        let issuer = match &self.asset {
            Asset::Native => None,
            Asset::Credit(credit) => Some(*credit.issuer()),
        };
        let accounts = [self.payer_account, self.payee_account];
        let keys = [self.payer_signer, self.payee_signer];
        if keys[0] == keys[1]
            || accounts[0] == accounts[1]
            || accounts.contains(&self.escrow)
            || keys.contains(&self.escrow)
            || issuer == Some(self.escrow)
        {
            return Err(Error::never("MW-TERMS-1", "Escrow, signers and accounts of a link must be different keys."));
        }
        if self.created_ledger == 0 || i32::try_from(self.created_ledger).is_err() {
            return Err(Error::never("MW-TERMS-2", "No ledger of this number can have created an account."));
        }
        if self.spendable().is_zero() {
            return Err(Error::never("MW-TERMS-3", "The deposit leaves nothing to claim."));
        }
        if self.period_secs == 0 {
            return Err(Error::never(
                "MW-TERMS-4",
                "An escrow needs an observation period; its refund would win at once.",
            ));
        }
        Ok(())
    }
    /// What claims may take in all. Of a native deposit the reserves stay behind: the sponsor may take its
    /// sponsorship back at any time, and E then has to hold them itself.
    pub fn spendable(&self) -> Stroops {
        match self.asset {
            Asset::Native => {
                let reserve = NATIVE_RESERVES * BASE_RESERVE;
                Stroops::new(self.deposit.get().saturating_sub(reserve)).unwrap_or(Stroops::ZERO)
            }
            Asset::Credit(_) => self.deposit,
        }
    }
    /// E's sequence number at its creation.
    pub fn first_sequence(&self) -> i64 {
        i64::from(self.created_ledger) << 32
    }
    /// E's sequence number once F has landed.
    pub fn funded_sequence(&self) -> i64 {
        self.first_sequence() + 1
    }
    /// The sequence number that all claims of an epoch share. `MW-TERMS-5`: the refund's lies before it.
    pub fn claim_sequence(&self, epoch: u32) -> Result<i64> {
        if epoch > MAX_EPOCH {
            return Err(Error::never("MW-TERMS-5", "This escrow has no epoch of that number; open a new one."));
        }
        Ok(self.funded_sequence() + 1 + i64::from(epoch))
    }
    /// The refund's sequence number, the largest with which the account can still be merged in its ledger's range.
    pub fn refund_sequence(&self) -> i64 {
        self.first_sequence() | i64::from(u32::MAX)
    }
    /// Ledgers that must close after the last claim before the refund is valid.
    pub fn refund_gap(&self) -> u32 {
        self.period_secs / SECONDS_PER_LEDGER
    }
    /// Entries of E that count for the reserve once it is open: two signers, and a trustline.
    pub fn subentries(&self) -> u32 {
        if self.asset == Asset::Native { 2 } else { 3 }
    }
}
