//! Payments that wait for a person's word, and the words that were given.
use super::Wish;
use crate::gateway::core::message::ServiceKind;
use crate::units::{Price, Stroops};
use serde::Serialize;

/// Payments that wait at a time, at most.
pub const APPROVALS_MAX: usize = 64;
/// Milliseconds that a payment waits for a person, and that a word holds which was not for a whole day.
pub const APPROVAL_MS: u64 = 600_000;

/// Names are exact in JSON.
const NAME_MASK: u64 = (1 << 53) - 1;
const DAY_MS: u64 = 86_400_000;

/// A payment that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Names it; drawn at random, at most 2^53 - 1, so that an old name never means a new payment.
    pub id: u64,
    /// What is sold.
    pub kind: ServiceKind,
    /// `host[:port]` of a web service; none for the relays of circuits, which are asked for once a day.
    pub site: Option<String>,
    /// All that is to be paid now: a web service and the fees of the hops that pass it on, or what the hops of the
    /// circuit that asked are due.
    pub amount: Stroops,
    /// Stroops per MiB.
    pub price: Price,
    /// Unix milliseconds: asked for first.
    pub since: u64,
    /// Unix milliseconds: asked for last, and `APPROVAL_MS` more; it is gone then.
    pub until: u64,
}

/// What a person said, or did not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing yet.
    Awaited,
    /// Pay.
    Yes,
    /// Do not.
    No,
    /// Nobody could be asked: too many payments wait.
    Full,
}

/// What was said about one payment.
#[derive(Clone, Debug)]
struct Said {
    kind: ServiceKind,
    site: Option<String>,
    allow: bool,
    /// No payment above this.
    amount: Stroops,
    until: u64,
}

/// All that wait, and what was said. Neither outlives the process: who still wants to pay asks again.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    waiting: Vec<Approval>,
    said: Vec<Said>,
}

impl Approvals {
    /// What does a person say to this payment? Asks when nothing was said; `fresh` is random, for the new name.
    ///
    /// A yes to a site is for one payment of at most what was shown (see [`Approvals::used`]); a yes to the relays of
    /// circuits is for all of that day, within the budgets. A no holds as long.
    pub fn ask(&mut self, now_ms: u64, fresh: u64, wish: &Wish<'_>) -> Word {
        match self.word(now_ms, wish) {
            Word::Awaited => {}
            said => return said,
        }
        let (kind, site) = (wish.offer.kind, wish.site);
        let until = now_ms.saturating_add(APPROVAL_MS);
        let asked = self.waiting.iter().position(|a| a.kind == kind && a.site.as_deref() == site);
        if let Some(asked) = asked {
            // A yes to what is shown must never be one to more: more gets a name of its own.
            let shown = &mut self.waiting[asked];
            if site.is_none() || (wish.amount <= shown.amount && wish.offer.price.0 <= shown.price.0) {
                shown.until = until;
                return Word::Awaited;
            }
            self.waiting.remove(asked);
        }
        if self.waiting.len() >= APPROVALS_MAX {
            return Word::Full;
        }
        self.waiting.push(Approval {
            id: fresh & NAME_MASK,
            kind,
            site: site.map(Into::into),
            amount: wish.amount,
            price: wish.offer.price,
            since: now_ms,
            until,
        });
        Word::Awaited
    }

    /// What was said to this payment; nobody is asked.
    pub fn word(&mut self, now_ms: u64, wish: &Wish<'_>) -> Word {
        self.expire(now_ms);
        let (kind, site) = (wish.offer.kind, wish.site);
        let mut said = self.said.iter().filter(|s| s.kind == kind && s.site.as_deref() == site);
        match said.rfind(|s| !s.allow || wish.amount <= s.amount) {
            Some(said) if said.allow => Word::Yes,
            Some(_) => Word::No,
            None => Word::Awaited,
        }
    }

    /// A person's word; the payment that it is about, unless that is gone.
    pub fn decide(&mut self, now_ms: u64, id: u64, allow: bool) -> Option<Approval> {
        self.expire(now_ms);
        let at = self.waiting.iter().position(|a| a.id == id)?;
        let about = self.waiting.remove(at);
        let day_ends = (now_ms / DAY_MS + 1).saturating_mul(DAY_MS);
        let (amount, until) = match about.site {
            Some(_) => (about.amount, now_ms.saturating_add(APPROVAL_MS)),
            None => (Stroops::MAX, day_ends),
        };
        if self.said.len() >= APPROVALS_MAX {
            self.said.remove(0);
        }
        self.said.push(Said { kind: about.kind, site: about.site.clone(), allow, amount, until });
        Some(about)
    }

    /// A payment to this site was signed: the yes to it is used up.
    pub fn used(&mut self, site: &str) {
        self.said.retain(|s| !s.allow || s.site.as_deref() != Some(site));
    }

    /// The rules changed: what was asked and said under the old ones is void.
    pub fn clear(&mut self) {
        *self = Approvals::default();
    }

    /// Oldest first.
    pub fn waiting(&mut self, now_ms: u64) -> &[Approval] {
        self.expire(now_ms);
        &self.waiting
    }

    fn expire(&mut self, now_ms: u64) {
        self.waiting.retain(|a| now_ms < a.until);
        self.said.retain(|s| now_ms < s.until);
    }
}
