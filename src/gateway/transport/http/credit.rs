//! What a site may serve in each session, as far as it was told. The gateway keeps the books; what is forgotten here is
//! asked for again with the next request.
use crate::gateway::core::message::Id;
use std::collections::{BTreeMap, HashMap};

/// Sessions whose credit is known here. Half of the room is for those that have paid, so that a flood of strangers
/// displaces strangers alone.
const MAX_SESSIONS: usize = 8_192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    covered: u64,
    served: u64,
    paid: bool,
    /// Order of use.
    used: u64,
}

/// Credit of sessions in bytes. What was used longest ago makes room: a response under way uses its session with each
/// piece, so there is always room for a session that was just paid.
#[derive(Debug, Default)]
pub struct Credits {
    entries: HashMap<Id, Entry>,
    /// By order of use: those that have not paid, those that have.
    order: [BTreeMap<u64, Id>; 2],
    uses: u64,
}

impl Credits {
    /// The gateway says: of `session`, which has paid or not, `covered` bytes may have been served in all, and by its
    /// books `served` were.
    pub fn cover(&mut self, session: Id, covered: u64, served: u64, paid: bool) {
        let mut entry = match self.take(&session) {
            // What was served a moment ago is on its way to the gateway's books.
            Some(known) => Entry { covered: known.covered.max(covered), paid: known.paid || paid, ..known },
            None => Entry { covered, served, paid, used: 0 },
        };
        self.make_room(entry.paid);
        self.uses += 1;
        entry.used = self.uses;
        self.order[usize::from(entry.paid)].insert(entry.used, session);
        self.entries.insert(session, entry);
    }

    /// Takes up to `bytes` off what is covered; how many.
    pub fn serve(&mut self, session: &Id, bytes: u64) -> u64 {
        let Some(entry) = self.entries.get_mut(session) else { return 0 };
        let taken = bytes.min(entry.covered.saturating_sub(entry.served));
        entry.served = entry.served.saturating_add(taken);
        self.uses += 1;
        let order = &mut self.order[usize::from(entry.paid)];
        order.remove(&std::mem::replace(&mut entry.used, self.uses));
        order.insert(self.uses, *session);
        taken
    }

    /// So many bytes were taken and did not go out.
    pub fn give_back(&mut self, session: &Id, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(session) {
            entry.served = entry.served.saturating_sub(bytes);
        }
    }

    /// The session is over.
    pub fn forget(&mut self, session: &Id) {
        self.take(session);
    }

    /// Sessions that are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn take(&mut self, session: &Id) -> Option<Entry> {
        let entry = self.entries.remove(session)?;
        self.order[usize::from(entry.paid)].remove(&entry.used);
        Some(entry)
    }

    fn make_room(&mut self, paid: bool) {
        let [strangers, payers] = &self.order;
        let crowded = !paid && strangers.len() >= MAX_SESSIONS / 2;
        if !crowded && self.entries.len() < MAX_SESSIONS {
            return;
        }
        let oldest = strangers.first_key_value().or_else(|| payers.first_key_value()).map(|(_, id)| *id);
        oldest.and_then(|id| self.take(&id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> Id {
        (n as u128).to_be_bytes()
    }

    #[test]
    fn what_is_forgotten_and_told_again_is_not_served_twice() {
        let mut credits = Credits::default();
        credits.cover(id(0), 100, 0, false);
        assert_eq!(credits.serve(&id(0), 60), 60);
        (1..=MAX_SESSIONS).for_each(|n| credits.cover(id(n), 100, 0, false));
        assert_eq!(credits.len(), MAX_SESSIONS / 2);
        assert_eq!(credits.serve(&id(0), 60), 0);
        credits.cover(id(0), 100, 60, false);
        assert_eq!(credits.serve(&id(0), 60), 40);
        credits.give_back(&id(0), 10);
        // What the gateway has not booked yet counts all the same.
        credits.cover(id(0), 200, 0, true);
        assert_eq!(credits.serve(&id(0), 1_000), 110);
    }

    #[test]
    fn strangers_displace_strangers_and_a_session_that_paid_always_finds_room() {
        let mut credits = Credits::default();
        (0..2 * MAX_SESSIONS).for_each(|n| credits.cover(id(n), 100, 0, true));
        assert_eq!(credits.len(), MAX_SESSIONS);
        let live = id(2 * MAX_SESSIONS - 1);
        for n in 2 * MAX_SESSIONS..4 * MAX_SESSIONS {
            credits.cover(id(n), 100, 0, n % 2 == 0);
            assert_eq!((credits.serve(&id(n), 10), credits.serve(&live, 0)), (10, 0));
            assert!(credits.len() <= MAX_SESSIONS);
        }
        assert_eq!(credits.serve(&live, 10), 10);
        let mut credits = Credits::default();
        (0..MAX_SESSIONS / 2).for_each(|n| credits.cover(id(n), 100, 0, true));
        (MAX_SESSIONS..3 * MAX_SESSIONS).for_each(|n| credits.cover(id(n), 100, 0, false));
        assert!((0..MAX_SESSIONS / 2).all(|n| credits.serve(&id(n), 10) == 10), "nobody who paid was displaced");
        assert_eq!(credits.len(), MAX_SESSIONS);
    }
}
