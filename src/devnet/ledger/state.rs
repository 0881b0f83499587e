//! The state of a ledger: four tables with an undo journal, so that a failed operation leaves no trace.
use super::entry::{Account, Claimable, DataItem, Entry, Id, TrustLine};
use super::xdr::Asset;
use std::collections::{BTreeMap, BTreeSet};

/// What a closed ledger says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the ledger.
    pub ledger: u32,
    /// Close time, unix seconds.
    pub close_time: u64,
    /// Protocol version; the rules here are those of 19.
    pub protocol: u32,
    /// Stroops an operation.
    pub base_fee: u32,
    /// Stroops a reserve unit.
    pub base_reserve: u32,
    /// All native coins, fees included.
    pub total_coins: i64,
    /// Fees collected.
    pub fee_pool: i64,
}

/// A table whose changes can be undone.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    rows: BTreeMap<K, V>,
    journal: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { rows: BTreeMap::new(), journal: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// The row of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }
    /// The row of `key` for a change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.journal.push((key.clone(), Some(row.clone())));
        Some(row)
    }
    /// Adds or replaces a row.
    pub fn insert(&mut self, key: K, value: V) {
        let old = self.rows.insert(key.clone(), value);
        self.journal.push((key, old));
    }
    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.rows.remove(key)?;
        self.journal.push((key.clone(), Some(old.clone())));
        Some(old)
    }
    /// All rows in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter()
    }
    /// Rows from `key` on.
    pub fn from(&self, key: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(key..)
    }
    fn rollback(&mut self, mark: usize) {
        while self.journal.len() > mark {
            match self.journal.pop() {
                Some((key, Some(old))) => drop(self.rows.insert(key, old)),
                Some((key, None)) => drop(self.rows.remove(&key)),
                None => return,
            }
        }
    }
    fn take_changed(&mut self) -> BTreeSet<K> {
        self.journal.drain(..).map(|(key, _)| key).collect()
    }
}

/// A point to roll back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark([usize; 4]);

/// Name of an entry that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// An account.
    Account(Id),
    /// A trustline.
    Trust(Id, Asset),
    /// A data item by its name.
    Data(Id, Vec<u8>),
    /// A claimable balance.
    Claimable([u8; 32]),
}

/// Everything that the ledger remembers.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Accounts.
    pub accounts: Table<Id, Account>,
    /// Trustlines by holder and asset.
    pub trust: Table<(Id, Asset), TrustLine>,
    /// Data items by owner and name.
    pub data: Table<(Id, Vec<u8>), DataItem>,
    /// Claimable balances.
    pub claimables: Table<[u8; 32], Claimable>,
    /// Ledger being applied; changed entries carry its number.
    pub ledger: u32,
}

impl State {
    /// The account for a change.
    pub fn account_mut(&mut self, id: &Id) -> Option<&mut Account> {
        let account = self.accounts.get_mut(id)?;
        account.modified = self.ledger;
        Some(account)
    }
    /// The trustline for a change.
    pub fn trust_mut(&mut self, id: &Id, asset: &Asset) -> Option<&mut TrustLine> {
        let line = self.trust.get_mut(&(*id, asset.clone()))?;
        line.modified = self.ledger;
        Some(line)
    }
    /// Trustlines of an account.
    pub fn trust_of(&self, id: &Id) -> impl Iterator<Item = &TrustLine> {
        let id = *id;
        self.trust.from((id, Asset::Native)).take_while(move |((holder, _), _)| *holder == id).map(|(_, line)| line)
    }
    /// Data items of an account.
    pub fn data_of(&self, id: &Id) -> impl Iterator<Item = &DataItem> {
        let id = *id;
        self.data.from((id, Vec::new())).take_while(move |((owner, _), _)| *owner == id).map(|(_, item)| item)
    }
    /// Where the journals stand.
    pub fn mark(&self) -> Mark {
        Mark([
            self.accounts.journal.len(),
            self.trust.journal.len(),
            self.data.journal.len(),
            self.claimables.journal.len(),
        ])
    }
    /// Undoes what changed since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        self.accounts.rollback(mark.0[0]);
        self.trust.rollback(mark.0[1]);
        self.data.rollback(mark.0[2]);
        self.claimables.rollback(mark.0[3]);
    }
    /// Names what changed since the last call and forgets how to undo it.
    pub fn take_changes(&mut self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.accounts.take_changed().into_iter().map(Key::Account).collect();
        keys.extend(self.trust.take_changed().into_iter().map(|(id, asset)| Key::Trust(id, asset)));
        keys.extend(self.data.take_changed().into_iter().map(|(id, name)| Key::Data(id, name)));
        keys.extend(self.claimables.take_changed().into_iter().map(Key::Claimable));
        keys
    }
    /// Puts back an entry that was stored.
    pub fn restore(&mut self, entry: Entry) {
        match entry {
            Entry::Account(a) => self.accounts.insert(a.id, *a),
            Entry::Trust(t) => self.trust.insert((t.id, t.asset.clone()), t),
            Entry::Data(d) => self.data.insert((d.id, d.name.0.to_vec()), d),
            Entry::Claimable(c) => self.claimables.insert(c.id, c),
        }
    }
    /// The entry of `key` as XDR; `None` when it is gone.
    pub fn entry(&self, key: &Key) -> Option<super::xdr::LedgerEntry> {
        match key {
            Key::Account(id) => self.accounts.get(id).and_then(Account::to_xdr),
            Key::Trust(id, asset) => self.trust.get(&(*id, asset.clone())).map(TrustLine::to_xdr),
            Key::Data(id, name) => self.data.get(&(*id, name.clone())).map(DataItem::to_xdr),
            Key::Claimable(id) => self.claimables.get(id).map(Claimable::to_xdr),
        }
    }
    /// Native coins in accounts and claimable balances; `None` on overflow, which no transaction can cause.
    pub fn native_total(&self) -> Option<i64> {
        let accounts = self.accounts.iter().map(|(_, a)| a.balance);
        let claimables = self.claimables.iter().filter(|(_, c)| c.asset == Asset::Native).map(|(_, c)| c.amount);
        accounts.chain(claimables).try_fold(0i64, i64::checked_add)
    }
}

impl Header {
    /// What an account must keep.
    pub fn min_balance(&self, account: &Account) -> i64 {
        let units = 2 + i64::from(account.subentries) + i64::from(account.sponsoring) - i64::from(account.sponsored);
        units.saturating_mul(i64::from(self.base_reserve))
    }
    /// What an account may spend; negative when below its reserve.
    pub fn available(&self, account: &Account) -> i64 {
        account.balance.saturating_sub(self.min_balance(account))
    }
    /// The sequence number of an account created in this ledger.
    pub fn starting_seq(&self) -> i64 {
        i64::from(self.ledger) << 32
    }
}
