//! Our keys on links, and every transaction of a link as bytes: the only file here that builds or signs one.
use super::rows::{Close, EscrowRow, Held, LinkRow, Role, Tx};
use crate::error::Result;
use crate::gateway::core::message::{AccountKey, AssetId, Id, Signature};
use crate::gateway::port::AccountView;
use crate::stellar::adaptor::LockSecret;
use crate::stellar::asset::Asset;
use crate::stellar::escrow_check;
use crate::stellar::keys::{ACCOUNTS, SecretSeed};
use crate::stellar::network::NetworkId;
use crate::stellar::template::{self, EscrowTerms, NetTerms, Source};
use crate::units::Stroops;
use crate::wallet::{self, Wallet};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

const LINK_KEY: &str = "link-key";
const LINK_TAG: &str = "link-tag";
const LOCK_SECRET: &str = "lock-secret";
/// Operations of O1 at most, for its fee.
const OPEN_OPS: u64 = 4;
/// The same for the transaction that empties and merges E.
const RECLAIM_OPS: u64 = 3;
/// Reserves that the payer lends to an escrow: two for the account, its trustline, two signers.
pub(super) const ESCROW_RESERVES: u64 = 5;

/// The accounts that pay and are paid, and the wallet that all other keys come from: one signer per link, one key per
/// escrow.
#[derive(Clone, Debug)]
pub struct Identity {
    wallet: Wallet,
    /// How many of the wallet's accounts new links may have.
    accounts: u8,
    network: NetworkId,
    asset: Asset,
}

/// What the payee derives for a link: nothing has to be stored before an escrow is offered.
pub(super) struct LinkSecrets {
    pub key: [u8; 32],
    pub tag: [u8; 8],
}

impl Identity {
    /// The wallet's first account on `network`, its links in `asset`.
    pub fn new(wallet: Wallet, network: NetworkId, asset: Asset) -> Self {
        Identity { accounts: 1, wallet, network, asset }
    }
    /// New links may have any of the first `accounts` of the wallet.
    pub fn with_accounts(self, accounts: u8) -> Self {
        Identity { accounts: accounts.clamp(1, ACCOUNTS), ..self }
    }
    /// How many accounts new links may have.
    pub(super) fn accounts(&self) -> u8 {
        self.accounts
    }
    /// Our account of this number; the first one for a number that no wallet has.
    pub fn account(&self, number: u8) -> AccountKey {
        self.wallet.account_keys().get(usize::from(number)).map_or_else(|| self.wallet.account(), SecretSeed::public)
    }
    /// The number of an account of ours.
    pub(super) fn number_of(&self, account: &AccountKey) -> Option<u8> {
        self.wallet.number_of(account)
    }
    fn key(&self, account: &AccountKey) -> SecretSeed {
        let ours = self.wallet.account_keys().iter().find(|key| key.public() == *account);
        ours.cloned().unwrap_or_else(|| self.wallet.account_key())
    }
    /// The network, as messages name it.
    pub fn network(&self) -> [u8; 8] {
        self.network.short()
    }
    /// The asset of all links.
    pub fn asset(&self) -> AssetId {
        self.asset.id()
    }
    /// Our signer on a link. As payee: the partner's account goes in, so that a stranger who repeats a link's id learns
    /// nothing; and the period, so that whatever we signed before and forgot, no refund for another period fits an
    /// escrow of this link.
    pub(super) fn signer(&self, link: &LinkRow) -> SecretSeed {
        let context = match link.role {
            Role::Payer => [b"payer", &joined(&link.id, None)[..]].concat(),
            Role::Payee => {
                let period = if link.by_period { &link.period.to_be_bytes()[..] } else { &[] };
                [b"payee", &joined(&link.id, Some(&link.account))[..], period].concat()
            }
        };
        self.wallet.derive(wallet::LINK_SIGNER, &context)
    }
    /// Key and tag of a link that we are paid on.
    pub(super) fn secrets(&self, link: &Id, partner: &AccountKey) -> LinkSecrets {
        let context = joined(link, Some(partner));
        let mut tag = [0; 8];
        tag.copy_from_slice(&self.wallet.derive_bytes(LINK_TAG, &context)[..8]);
        LinkSecrets { key: *self.wallet.derive_bytes(LINK_KEY, &context), tag }
    }
    /// The secret of the lock that a chain of locked claims ends with here: no two payments have the same.
    pub(super) fn lock_secret(&self, hop: &Id) -> Result<LockSecret> {
        let seed = self.wallet.derive_bytes(LOCK_SECRET, hop);
        let wide = Zeroizing::new(Sha512::new().chain_update(LOCK_SECRET).chain_update(*seed).finalize().into());
        LockSecret::derived(&wide)
    }
    /// E of this counter, opened by our account number `own`: a store that is gone begins its counters again, and no two
    /// accounts may then come by the same E.
    pub(super) fn escrow(&self, own: u8, index: u32) -> AccountKey {
        self.escrow_key(own, index).public()
    }
    fn escrow_key(&self, own: u8, index: u32) -> SecretSeed {
        let mut context = index.to_be_bytes().to_vec();
        context.extend((own != 0).then_some(own));
        self.wallet.derive(wallet::ESCROW, &context)
    }
    /// What the partners agreed on for a lane.
    pub(super) fn terms(&self, link: &LinkRow, lane: &EscrowRow, signer: &SecretSeed) -> EscrowTerms {
        let (own, other) = ((signer.public(), self.account(lane.own)), (link.signer, link.account));
        let (payer, payee) = if lane.role == Role::Payer { (own, other) } else { (other, own) };
        EscrowTerms {
            network: self.network,
            asset: self.asset,
            escrow: lane.escrow,
            payer_signer: payer.0,
            payer_account: payer.1,
            payee_signer: payee.0,
            payee_account: payee.1,
            created_ledger: lane.created,
            deposit: lane.deposit,
            period_secs: lane.period,
        }
    }
    /// O1 for a lane's escrow, `sequence` being that of our account as it stands.
    pub(super) fn open(&self, lane: &EscrowRow, sequence: i64, fee: u64) -> Result<Tx> {
        let source = self.source(self.account(lane.own), sequence, fee, OPEN_OPS);
        let escrow = self.escrow_key(lane.own, lane.index);
        let signed = template::open(&source, &escrow.public(), &self.asset)?;
        let signed = signed.sign(&[&self.key(&source.account), &escrow])?;
        Ok(Tx { hash: signed.hash(), envelope: signed.to_xdr()?, sequence: sequence.saturating_add(1), fee })
    }
    /// F in its fee bump; checks the payee's signature on R.
    pub(super) fn fund(&self, terms: &EscrowTerms, lane: &EscrowRow, refund: &Signature, fee: u64) -> Result<Tx> {
        let own = self.key(&terms.payer_account);
        let inner = template::complete_fund(terms, &self.escrow_key(lane.own, lane.index), &own, refund)?;
        self.bump(&own, &inner, terms.funded_sequence(), fee)
    }
    /// The flush of an epoch in its fee bump: a claim that the payer signed; `max_time` 0 for a plain one.
    pub(super) fn flush(
        &self,
        terms: &EscrowTerms,
        signer: &SecretSeed,
        epoch: u32,
        claim: &Held,
        max_time: u64,
        fee: u64,
    ) -> Result<Tx> {
        let signature = claim.signature.unwrap_or([0; 64]);
        let cumulative = claim.cumulative;
        let inner = match max_time {
            0 => template::complete_claim(terms, epoch, cumulative, &signature, signer)?,
            max_time => template::LockedClaim { epoch, cumulative, max_time }.complete(terms, &signature, signer)?,
        };
        self.bump(&self.key(&terms.payee_account), &inner, terms.claim_sequence(epoch)?, fee)
    }
    /// R in its fee bump; checks the payee's signature.
    pub(super) fn refund(
        &self,
        terms: &EscrowTerms,
        signer: &SecretSeed,
        signature: &Signature,
        fee: u64,
    ) -> Result<Tx> {
        let inner = template::complete_refund(terms, signer, signature)?;
        self.bump(&self.key(&terms.payer_account), &inner, terms.refund_sequence(), fee)
    }
    /// Our signature over the close of an escrow that we are paid from.
    pub(super) fn sign_close(&self, terms: &EscrowTerms, signer: &SecretSeed, epoch: u32) -> Result<Signature> {
        template::sign_close(terms, epoch, signer)
    }
    /// The close in its fee bump; checks the payee's signature.
    pub(super) fn close(&self, terms: &EscrowTerms, signer: &SecretSeed, close: &Close, fee: u64) -> Result<Tx> {
        let inner = template::complete_close(terms, close.epoch, signer, &close.signature)?;
        self.bump(&self.key(&terms.payer_account), &inner, terms.claim_sequence(close.epoch)?, fee)
    }
    /// Our two signatures over what settles both directions, as the one that is asked: as payer of the inward escrow and
    /// as payee of the outward one.
    pub(super) fn sign_net(
        &self,
        terms: &NetTerms,
        payer: &SecretSeed,
        payee: &SecretSeed,
    ) -> Result<(Signature, Signature)> {
        let [payer, payee] = template::sign_net(terms, payer, payee)?;
        Ok((payer, payee))
    }
    /// What settles both directions in our fee bump, as the one that proposed it; checks the other's signatures.
    pub(super) fn net(
        &self,
        terms: &NetTerms,
        (payee, payer): (&SecretSeed, &SecretSeed),
        others: &[Signature; 2],
        fee: u64,
    ) -> Result<Tx> {
        let own = self.wallet.account_key();
        let inner = template::complete_net(terms, &own, payee, payer, others)?;
        self.bump(&own, &inner, terms.sequence, fee)
    }
    /// Takes `rest` out of E after R and merges E, `sequence` being that of our account as it stands.
    pub(super) fn reclaim(
        &self,
        terms: &EscrowTerms,
        signer: &SecretSeed,
        rest: Stroops,
        sequence: i64,
        fee: u64,
    ) -> Result<Tx> {
        let source = self.source(terms.payer_account, sequence, fee, RECLAIM_OPS);
        let signed = template::reclaim(&source, terms, rest)?.sign(&[&self.key(&source.account), signer])?;
        Ok(Tx { hash: signed.hash(), envelope: signed.to_xdr()?, sequence: sequence.saturating_add(1), fee })
    }
    /// An account of ours as source of a transaction with its next number.
    fn source(&self, account: AccountKey, sequence: i64, fee: u64, operations: u64) -> Source {
        let fee_per_op = u32::try_from(fee / operations).unwrap_or(u32::MAX / 8).max(template::BASE_FEE);
        Source { network: self.network, account, sequence, fee_per_op, max_time: 0 }
    }
    fn bump(&self, own: &SecretSeed, inner: &template::Signed, sequence: i64, fee: u64) -> Result<Tx> {
        let fee = i64::try_from(fee).unwrap_or(i64::MAX);
        let bump = template::fee_bump(inner, &own.public(), fee)?.sign(&[own])?;
        Ok(Tx { hash: bump.hash(), envelope: bump.to_xdr()?, sequence, fee: fee.unsigned_abs() })
    }
    /// Native stroops that our account can spend: its balance less what the ledger holds back and what is promised.
    pub(super) fn spendable_native(view: &AccountView, base_reserve: u64) -> u64 {
        let entries = 2 + u64::from(view.subentries) + u64::from(view.sponsoring);
        let held_back = entries.saturating_sub(u64::from(view.sponsored)).saturating_mul(base_reserve);
        u64::try_from(view.native).unwrap_or(0).saturating_sub(held_back)
    }
    /// Stroops of the asset that an account holds; what cannot be moved counts as nothing.
    pub(super) fn balance(&self, view: &AccountView) -> u64 {
        let balance = match &self.asset {
            Asset::Native => view.native,
            Asset::Credit(credit) => view
                .trustlines
                .iter()
                .find(|line| line.code == credit.code() && line.issuer == *credit.issuer() && line.authorized)
                .map_or(0, |line| line.balance),
        };
        u64::try_from(balance).unwrap_or(0)
    }
    /// Could this account be given the asset?
    pub(super) fn can_hold(&self, view: &AccountView) -> bool {
        match &self.asset {
            Asset::Native => true,
            Asset::Credit(credit) => {
                view.trustlines.iter().any(|line| line.code == credit.code() && line.issuer == *credit.issuer())
            }
        }
    }
    /// True when deposits are taken from what fees are paid with.
    pub(super) fn is_native(&self) -> bool {
        self.asset == Asset::Native
    }
}

/// What of the deposit has left E, as its account shows.
pub(super) fn left_escrow(me: &Identity, lane: &EscrowRow, view: &AccountView) -> Stroops {
    lane.deposit.saturating_sub(Stroops::new(me.balance(view)).unwrap_or(Stroops::MAX))
}

/// Is E what the partners agreed on?
pub(super) fn check(terms: &EscrowTerms, view: &AccountView) -> Result<()> {
    escrow_check::check(view, terms)
}

/// Can our account, as it stands, take this much of a claim?
pub(super) fn check_destination(terms: &EscrowTerms, view: &AccountView, amount: Stroops) -> Result<()> {
    escrow_check::check_destination(view, terms, amount)
}

fn joined(link: &Id, partner: Option<&AccountKey>) -> Vec<u8> {
    let mut context = link.to_vec();
    context.extend_from_slice(partner.map_or(&[][..], |key| &key[..]));
    context
}
