//! The sessions that a site has open: bounded in number, forgotten after a time.
use super::{parse_session_header, session_proof};
use crate::gateway::core::message::{Id, Offer};
use std::collections::{HashMap, VecDeque};

/// Milliseconds after which a session that paid nothing is forgotten.
pub const FRESH_MS: u64 = 10 * 60_000;

struct Entry {
    proof: [u8; 16],
    paid: bool,
    used_ms: u64,
}

/// Sessions by id. Half of the room is for sessions that have paid, so that a flood of strangers displaces
/// strangers alone.
pub struct Sessions {
    max: usize,
    ttl_ms: u64,
    entries: HashMap<Id, Entry>,
    /// Sessions in the order in which they began; those that are gone or paid since are skipped.
    fresh: VecDeque<Id>,
    paid: usize,
}

impl Sessions {
    /// At most `max` sessions (at least 2); one that paid is forgotten `ttl_ms` after its last use.
    pub fn new(max: usize, ttl_ms: u64) -> Self {
        Sessions { max: max.max(2), ttl_ms, entries: HashMap::new(), fresh: VecDeque::new(), paid: 0 }
    }

    /// Begins the session of an offer; returns the sessions that were forgotten for it.
    pub fn open(&mut self, offer: &Offer, now_ms: u64) -> Vec<Id> {
        let mut gone = self.expire(now_ms);
        if self.entries.contains_key(&offer.session) {
            return gone;
        }
        while self.entries.len() - self.paid >= self.max / 2 {
            let Some(oldest) = self.fresh.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|e| !e.paid) {
                self.entries.remove(&oldest);
                gone.push(oldest);
            }
        }
        self.entries.insert(offer.session, Entry { proof: session_proof(offer), paid: false, used_ms: now_ms });
        self.fresh.push_back(offer.session);
        gone
    }

    /// The session of a header, if it is open and the proof is right.
    pub fn verify(&mut self, header: &str, now_ms: u64) -> Option<Id> {
        let (id, proof) = parse_session_header(header)?;
        let ttl_ms = self.ttl_ms;
        let entry = self.entries.get_mut(&id)?;
        let differ = entry.proof.iter().zip(proof).fold(0, |differ, (a, b)| differ | (a ^ b));
        if differ != 0 || old(entry, now_ms, ttl_ms) {
            return None;
        }
        entry.used_ms = now_ms;
        Some(id)
    }

    /// A payment of the session went through; returns the sessions that were forgotten for it.
    pub fn mark_paid(&mut self, id: &Id, now_ms: u64) -> Vec<Id> {
        let mut gone = self.expire(now_ms);
        if self.entries.get(id).is_none_or(|e| e.paid) {
            return gone;
        }
        if self.paid >= self.max / 2 {
            let idle = self.entries.iter().filter(|(_, e)| e.paid).min_by_key(|(_, e)| e.used_ms).map(|(id, _)| *id);
            if let Some(idle) = idle {
                self.entries.remove(&idle);
                self.paid -= 1;
                gone.push(idle);
            }
        }
        if let Some(entry) = self.entries.get_mut(id) {
            entry.paid = true;
            self.paid += 1;
        }
        gone
    }

    /// Forgets what is too old; returns whom.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Id> {
        let ttl_ms = self.ttl_ms;
        let gone: Vec<Id> = self.entries.iter().filter(|(_, e)| old(e, now_ms, ttl_ms)).map(|(id, _)| *id).collect();
        for id in &gone {
            if self.entries.remove(id).is_some_and(|e| e.paid) {
                self.paid -= 1;
            }
        }
        let entries = &self.entries;
        self.fresh.retain(|id| entries.get(id).is_some_and(|e| !e.paid));
        gone
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn old(entry: &Entry, now_ms: u64, ttl_ms: u64) -> bool {
    now_ms.saturating_sub(entry.used_ms) >= if entry.paid { ttl_ms } else { FRESH_MS }
}
