//! Finds lanes by their link or lock and links by tag or partner, so that no message looks through all of them.
//!
//! Whoever looks checks what it found against the rows: an entry too many costs a look. One too few would hide a link,
//! so every insertion and every change of a tag, a partner or a lane's link comes through here.
use super::rows::{EscrowRow, LinkRow, Lock, Partner, Role};
use crate::gateway::core::message::{AccountKey, Id};
use crate::gateway::port::RelayId;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// Locks of payers that are gone and whose lane is still found by the payment: a client may still tell their secret.
const GONE_LOCKS: usize = 65_536;

/// Names under each key, ascending: what is found comes in the order of a map of them all.
#[derive(Debug)]
struct Names<K, V>(HashMap<K, Vec<V>>);

impl<K: Eq + Hash, V: Copy + Ord> Names<K, V> {
    fn insert(&mut self, key: K, name: V) {
        let names = self.0.entry(key).or_default();
        if let Err(place) = names.binary_search(&name) {
            names.insert(place, name);
        }
    }

    fn remove(&mut self, key: &K, name: &V) {
        let Some(names) = self.0.get_mut(key) else { return };
        names.retain(|known| known != name);
        if names.is_empty() {
            self.0.remove(key);
        }
    }

    fn get(&self, key: &K) -> impl DoubleEndedIterator<Item = &V> {
        self.0.get(key).into_iter().flatten()
    }
}

impl<K, V> Default for Names<K, V> {
    fn default() -> Self {
        Names(HashMap::new())
    }
}

/// See above; as large as the links and lanes that it names.
#[derive(Debug, Default)]
pub(super) struct Index {
    lanes: Names<Id, AccountKey>,
    tags: Names<[u8; 8], Id>,
    relays: Names<RelayId, Id>,
    paying: BTreeSet<AccountKey>,
    /// Links by the number of the account of ours that their partner sees; those of the first one are all others.
    owned: BTreeSet<(u8, Id)>,
    /// Lanes with a lock.
    locked: BTreeSet<AccountKey>,
    /// By our end and our own name of the payment.
    locks: HashMap<(Role, Id), (AccountKey, u64)>,
    /// Names of payers' locks that are gone, and which use of the name it was: one may come again.
    gone: VecDeque<(Id, u64)>,
    uses: u64,
}

impl Index {
    /// A link is there, or has another tag or partner.
    pub fn link(&mut self, row: &LinkRow) {
        self.tags.insert(row.tag, row.id);
        if row.own != 0 {
            self.owned.insert((row.own, row.id));
        }
        if let Partner::Relay(relay) = row.partner {
            self.relays.insert(relay, row.id);
        }
    }

    /// A link is gone, or is about to have another tag or partner.
    pub fn forget_link(&mut self, row: &LinkRow) {
        self.tags.remove(&row.tag, &row.id);
        self.owned.remove(&(row.own, row.id));
        if let Partner::Relay(relay) = row.partner {
            self.relays.remove(&relay, &row.id);
        }
    }

    /// Links whose partner sees another account than our first one, with its number.
    pub fn owned(&self) -> &BTreeSet<(u8, Id)> {
        &self.owned
    }

    /// A lane is there.
    pub fn lane(&mut self, row: &EscrowRow) {
        self.lanes.insert(row.link, row.escrow);
        if row.role == Role::Payer {
            self.paying.insert(row.escrow);
        }
    }

    /// A lane is gone, or is about to have another link.
    pub fn forget_lane(&mut self, row: &EscrowRow) {
        self.lanes.remove(&row.link, &row.escrow);
        self.paying.remove(&row.escrow);
        self.locked.remove(&row.escrow);
    }

    /// A lane has another lock than `before`, or none.
    pub fn lock(&mut self, before: Option<&Lock>, row: &EscrowRow) {
        let (old, new) = (before.map(|lock| lock.own), row.lock.as_ref().map(|lock| lock.own));
        if old == new {
            return;
        }
        match (row.role, old) {
            (Role::Payee, Some(own)) => {
                let known = |locks: &HashMap<_, (AccountKey, u64)>, own| locks.get(&(Role::Payee, own)).map(|l| l.1);
                self.gone.extend(known(&self.locks, own).map(|which| (own, which)));
                if self.gone.len() > GONE_LOCKS
                    && let Some((oldest, which)) = self.gone.pop_front()
                    && known(&self.locks, oldest) == Some(which)
                {
                    self.locks.remove(&(Role::Payee, oldest));
                }
            }
            (Role::Payer, Some(own)) => drop(self.locks.remove(&(Role::Payer, own))),
            (_, None) => {}
        }
        if let Some(own) = new {
            self.uses += 1;
            self.locks.insert((row.role, own), (row.escrow, self.uses));
            self.locked.insert(row.escrow);
        } else {
            self.locked.remove(&row.escrow);
        }
    }

    /// Lanes with a lock.
    pub fn locked(&self) -> impl Iterator<Item = &AccountKey> {
        self.locked.iter()
    }

    /// The lane whose lock serves, or lately served, the payment of this name at our end.
    pub fn lane_of_lock(&self, role: Role, own: &Id) -> Option<&AccountKey> {
        self.locks.get(&(role, *own)).map(|(lane, _)| lane)
    }

    /// Lanes of a link.
    pub fn lanes_of(&self, link: &Id) -> impl Iterator<Item = &AccountKey> {
        self.lanes.get(link)
    }

    /// Lanes on which we pay.
    pub fn paying(&self) -> impl Iterator<Item = &AccountKey> {
        self.paying.iter()
    }

    /// Links with a tag.
    pub fn tagged(&self, tag: &[u8; 8]) -> impl Iterator<Item = &Id> {
        self.tags.get(tag)
    }

    /// Links with a relay.
    pub fn with(&self, relay: &RelayId) -> impl Iterator<Item = &Id> {
        self.relays.get(relay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_found_no_more_and_the_rest_stays_in_order() {
        let mut names = Names::default();
        for name in [3, 1, 2, 3] {
            names.insert("a", name);
        }
        assert_eq!(names.get(&"a").copied().collect::<Vec<_>>(), [1, 2, 3]);
        names.remove(&"a", &2);
        names.remove(&"b", &1);
        assert_eq!(names.get(&"a").copied().collect::<Vec<_>>(), [1, 3]);
        names.remove(&"a", &1);
        names.remove(&"a", &3);
        assert!(names.0.is_empty(), "a key without names takes no place");
    }
}
