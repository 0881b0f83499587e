//! What a ledger remembers: accounts, trustlines, data and claimable balances, and their XDR form.
//!
//! Amounts are stroops. Liabilities are always 0 here: offers and pools are refused (see `ops`).
use super::xdr;
use xdr::{
    AccountId, Asset, LedgerEntry, LedgerEntryData, LedgerEntryExt, MuxedAccount, PublicKey, SignerKey, Uint256,
};

/// An account by its ed25519 public key.
pub type Id = [u8; 32];

/// XDR account of a key.
pub fn account_id(id: &Id) -> AccountId {
    AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(*id)))
}

/// Key of an XDR account.
pub fn id_of(account: &AccountId) -> Id {
    let PublicKey::PublicKeyTypeEd25519(Uint256(id)) = &account.0;
    *id
}

/// Key behind a possibly muxed account.
pub fn muxed_id(account: &MuxedAccount) -> Id {
    match account {
        MuxedAccount::Ed25519(Uint256(id)) => *id,
        MuxedAccount::MuxedEd25519(muxed) => muxed.ed25519.0,
    }
}

/// Who pays an entry's reserve (CAP-33).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sponsorship {
    /// The sponsor; `None` when the owner pays.
    pub by: Option<Id>,
    /// Whether there ever was one: the XDR extension stays when sponsorship ends.
    pub ever: bool,
}

impl Sponsorship {
    /// Sponsored by `id`, or by nobody from the start.
    pub fn new(by: Option<Id>) -> Self {
        Sponsorship { by, ever: by.is_some() }
    }
    /// Changes the sponsor.
    pub fn set(&mut self, by: Option<Id>) {
        self.ever |= by.is_some();
        self.by = by;
    }
    fn to_xdr(&self) -> LedgerEntryExt {
        if !self.ever {
            return LedgerEntryExt::V0;
        }
        LedgerEntryExt::V1(xdr::LedgerEntryExtensionV1 {
            sponsoring_id: xdr::SponsorshipDescriptor(self.by.as_ref().map(account_id)),
            ext: xdr::LedgerEntryExtensionV1Ext::V0,
        })
    }
    fn from_xdr(ext: &LedgerEntryExt) -> Self {
        match ext {
            LedgerEntryExt::V0 => Sponsorship::default(),
            LedgerEntryExt::V1(v1) => Sponsorship { by: v1.sponsoring_id.0.as_ref().map(id_of), ever: true },
        }
    }
}

/// A signer beside the master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSigner {
    /// What signs.
    pub key: SignerKey,
    /// 1 to 255.
    pub weight: u32,
    /// Who pays its reserve, if not the account.
    pub sponsor: Option<Id>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its key.
    pub id: Id,
    /// Native balance in stroops.
    pub balance: i64,
    /// Sequence number of the last transaction.
    pub seq: i64,
    /// Trustlines, data and signers.
    pub subentries: u32,
    /// Kept and shown, without effect since inflation ended.
    pub inflation_dest: Option<Id>,
    /// AUTH_* flags.
    pub flags: u32,
    /// Home domain, ASCII.
    pub home_domain: xdr::String32,
    /// Master weight, then low, medium and high threshold.
    pub thresholds: [u8; 4],
    /// Sorted by key, at most 20.
    pub signers: Vec<AccountSigner>,
    /// Reserves that others pay for this account.
    pub sponsored: u32,
    /// Reserves that this account pays for others.
    pub sponsoring: u32,
    /// Ledger in which the sequence number changed last; 0 when never.
    pub seq_ledger: u32,
    /// Close time of that ledger; 0 when never.
    pub seq_time: u64,
    /// Who pays the base reserve.
    pub reserve: Sponsorship,
    /// Ledger of the last change.
    pub modified: u32,
}

impl Account {
    /// A fresh account with master weight 1 and thresholds 0.
    pub fn new(id: Id, balance: i64, seq: i64) -> Self {
        Account {
            id,
            balance,
            seq,
            subentries: 0,
            inflation_dest: None,
            flags: 0,
            home_domain: xdr::String32::default(),
            thresholds: [1, 0, 0, 0],
            signers: Vec::new(),
            sponsored: 0,
            sponsoring: 0,
            seq_ledger: 0,
            seq_time: 0,
            reserve: Sponsorship::default(),
            modified: 0,
        }
    }

    /// The ledger entry. `None` only for a state that no transaction can reach (more than 20 signers).
    pub fn to_xdr(&self) -> Option<LedgerEntry> {
        let signers = self.signers.iter().map(|s| xdr::Signer { key: s.key.clone(), weight: s.weight });
        let sponsors: Vec<_> =
            self.signers.iter().map(|s| xdr::SponsorshipDescriptor(s.sponsor.as_ref().map(account_id))).collect();
        let v3 = xdr::AccountEntryExtensionV3 {
            ext: xdr::ExtensionPoint::V0,
            seq_ledger: self.seq_ledger,
            seq_time: xdr::TimePoint(self.seq_time),
        };
        let v2 = xdr::AccountEntryExtensionV2 {
            num_sponsored: self.sponsored,
            num_sponsoring: self.sponsoring,
            signer_sponsoring_i_ds: sponsors.try_into().ok()?,
            ext: xdr::AccountEntryExtensionV2Ext::V3(v3),
        };
        let v1 = xdr::AccountEntryExtensionV1 {
            liabilities: xdr::Liabilities::default(),
            ext: xdr::AccountEntryExtensionV1Ext::V2(v2),
        };
        let data = LedgerEntryData::Account(xdr::AccountEntry {
            account_id: account_id(&self.id),
            balance: self.balance,
            seq_num: xdr::SequenceNumber(self.seq),
            num_sub_entries: self.subentries,
            inflation_dest: self.inflation_dest.as_ref().map(account_id),
            flags: self.flags,
            home_domain: self.home_domain.clone(),
            thresholds: xdr::Thresholds(self.thresholds),
            signers: signers.collect::<Vec<_>>().try_into().ok()?,
            ext: xdr::AccountEntryExt::V1(v1),
        });
        Some(LedgerEntry { last_modified_ledger_seq: self.modified, data, ext: self.reserve.to_xdr() })
    }

    fn from_xdr(entry: &LedgerEntry, a: &xdr::AccountEntry) -> Self {
        let mut account = Account::new(id_of(&a.account_id), a.balance, a.seq_num.0);
        account.subentries = a.num_sub_entries;
        account.inflation_dest = a.inflation_dest.as_ref().map(id_of);
        account.flags = a.flags;
        account.home_domain = a.home_domain.clone();
        account.thresholds = a.thresholds.0;
        account.signers =
            a.signers.iter().map(|s| AccountSigner { key: s.key.clone(), weight: s.weight, sponsor: None }).collect();
        if let xdr::AccountEntryExt::V1(v1) = &a.ext
            && let xdr::AccountEntryExtensionV1Ext::V2(v2) = &v1.ext
        {
            account.sponsored = v2.num_sponsored;
            account.sponsoring = v2.num_sponsoring;
            for (signer, sponsor) in account.signers.iter_mut().zip(v2.signer_sponsoring_i_ds.iter()) {
                signer.sponsor = sponsor.0.as_ref().map(id_of);
            }
            if let xdr::AccountEntryExtensionV2Ext::V3(v3) = &v2.ext {
                account.seq_ledger = v3.seq_ledger;
                account.seq_time = v3.seq_time.0;
            }
        }
        account.reserve = Sponsorship::from_xdr(&entry.ext);
        account.modified = entry.last_modified_ledger_seq;
        account
    }
}

/// A balance of an issued asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustLine {
    /// Who holds it.
    pub id: Id,
    /// Never native.
    pub asset: Asset,
    /// Stroops held.
    pub balance: i64,
    /// Stroops that may be held.
    pub limit: i64,
    /// AUTHORIZED, AUTHORIZED_TO_MAINTAIN_LIABILITIES, CLAWBACK_ENABLED.
    pub flags: u32,
    /// Who pays its reserve.
    pub reserve: Sponsorship,
    /// Ledger of the last change.
    pub modified: u32,
}

impl TrustLine {
    /// The ledger entry.
    pub fn to_xdr(&self) -> LedgerEntry {
        let asset = match self.asset.clone() {
            Asset::Native => xdr::TrustLineAsset::Native,
            Asset::CreditAlphanum4(a) => xdr::TrustLineAsset::CreditAlphanum4(a),
            Asset::CreditAlphanum12(a) => xdr::TrustLineAsset::CreditAlphanum12(a),
        };
        let data = LedgerEntryData::Trustline(xdr::TrustLineEntry {
            account_id: account_id(&self.id),
            asset,
            balance: self.balance,
            limit: self.limit,
            flags: self.flags,
            ext: xdr::TrustLineEntryExt::V0,
        });
        LedgerEntry { last_modified_ledger_seq: self.modified, data, ext: self.reserve.to_xdr() }
    }
}

/// A name and value attached to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataItem {
    /// Whose it is.
    pub id: Id,
    /// 1 to 64 bytes.
    pub name: xdr::String64,
    /// 0 to 64 bytes.
    pub value: xdr::DataValue,
    /// Who pays its reserve.
    pub reserve: Sponsorship,
    /// Ledger of the last change.
    pub modified: u32,
}

impl DataItem {
    /// The ledger entry.
    pub fn to_xdr(&self) -> LedgerEntry {
        let data = LedgerEntryData::Data(xdr::DataEntry {
            account_id: account_id(&self.id),
            data_name: self.name.clone(),
            data_value: self.value.clone(),
            ext: xdr::DataEntryExt::V0,
        });
        LedgerEntry { last_modified_ledger_seq: self.modified, data, ext: self.reserve.to_xdr() }
    }
}

/// A claimable balance (CAP-23). It always has a sponsor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// Hash of the operation that made it.
    pub id: [u8; 32],
    /// 1 to 10, with absolute predicates.
    pub claimants: xdr::VecM<xdr::Claimant, 10>,
    /// What may be claimed.
    pub asset: Asset,
    /// How much, in stroops.
    pub amount: i64,
    /// Whether the issuer may take it back.
    pub clawback: bool,
    /// Who pays one reserve a claimant.
    pub reserve: Sponsorship,
    /// Ledger of the last change.
    pub modified: u32,
}

impl Claimable {
    /// The ledger entry.
    pub fn to_xdr(&self) -> LedgerEntry {
        let ext = if self.clawback {
            xdr::ClaimableBalanceEntryExt::V1(xdr::ClaimableBalanceEntryExtensionV1 {
                ext: xdr::ClaimableBalanceEntryExtensionV1Ext::V0,
                flags: 1,
            })
        } else {
            xdr::ClaimableBalanceEntryExt::V0
        };
        let data = LedgerEntryData::ClaimableBalance(xdr::ClaimableBalanceEntry {
            balance_id: xdr::ClaimableBalanceId::ClaimableBalanceIdTypeV0(xdr::Hash(self.id)),
            claimants: self.claimants.clone(),
            asset: self.asset.clone(),
            amount: self.amount,
            ext,
        });
        LedgerEntry { last_modified_ledger_seq: self.modified, data, ext: self.reserve.to_xdr() }
    }
}

/// Any entry, as read back from XDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account(Box<Account>),
    /// A trustline.
    Trust(TrustLine),
    /// A data item.
    Data(DataItem),
    /// A claimable balance.
    Claimable(Claimable),
}

impl Entry {
    /// Reads an entry; `None` for kinds that this ledger has not (offers, pools, contracts).
    pub fn from_xdr(entry: &LedgerEntry) -> Option<Self> {
        let reserve = Sponsorship::from_xdr(&entry.ext);
        let modified = entry.last_modified_ledger_seq;
        match &entry.data {
            LedgerEntryData::Account(a) => Some(Entry::Account(Box::new(Account::from_xdr(entry, a)))),
            LedgerEntryData::Trustline(t) => Some(Entry::Trust(TrustLine {
                id: id_of(&t.account_id),
                asset: match t.asset.clone() {
                    xdr::TrustLineAsset::CreditAlphanum4(a) => Asset::CreditAlphanum4(a),
                    xdr::TrustLineAsset::CreditAlphanum12(a) => Asset::CreditAlphanum12(a),
                    xdr::TrustLineAsset::Native | xdr::TrustLineAsset::PoolShare(_) => return None,
                },
                balance: t.balance,
                limit: t.limit,
                flags: t.flags,
                reserve,
                modified,
            })),
            LedgerEntryData::Data(d) => Some(Entry::Data(DataItem {
                id: id_of(&d.account_id),
                name: d.data_name.clone(),
                value: d.data_value.clone(),
                reserve,
                modified,
            })),
            LedgerEntryData::ClaimableBalance(c) => {
                let xdr::ClaimableBalanceId::ClaimableBalanceIdTypeV0(xdr::Hash(id)) = c.balance_id;
                Some(Entry::Claimable(Claimable {
                    id,
                    claimants: c.claimants.clone(),
                    asset: c.asset.clone(),
                    amount: c.amount,
                    clawback: matches!(&c.ext, xdr::ClaimableBalanceEntryExt::V1(v1) if v1.flags & 1 != 0),
                    reserve,
                    modified,
                }))
            }
            _ => None,
        }
    }
}
