//! One pass of a payment, as the client drives it: an immutable plan and a stage.
//!
//! ```text
//! Create ──all templates──▶ Sign(1) ──K_2──▶ Sign(2) ──K_3──▶ … ──all claims──▶ Deliver ──all receipts──▶ Done
//!   │ refusal or silence: nothing is signed yet           │ silence: the same message again, then Dead
//!   ▼                                                      ▼
//!  Dead (payment free)                                    Dead (at most this increment is lost)
//! ```
//! Locked, the last claim goes out alone (Reveal); nothing is paid before its receipt has come with the secret, and
//! after that nothing can be taken back:
//! ```text
//! … ──all claims──▶ Reveal ──secret──▶ Deliver ──all receipts, or enough of waiting──▶ Done
//!                      ↓ refusal or silence
//!                     Dead (nothing is lost: free when the locks' time is over)
//! ```
use super::{ChainLock, PayeeShare, PaymentRow, PaymentState};
use crate::gateway::core::message::*;
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::port::{CircuitId, RelayId};
use crate::stellar::adaptor::LockSecret;
use crate::units::Stroops;

/// The same message goes out again after so long.
const REPEAT_MS: u64 = 4_000;
/// And so often before the pass is dead.
const REPEATS: u32 = 4;
/// So often a claim is asked for again because what its lock stands on has risen.
const STALE: u32 = 8;

/// How a payee is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Payment cells to this hop.
    Hop(u32),
    /// In-band over http.
    Http(u64),
}

/// One payee of the plan and what came back from it.
#[derive(Clone, Debug)]
pub struct Payee {
    /// How it is reached.
    pub via: Via,
    /// Its account and what it gets.
    pub share: PayeeShare,
    /// Names the payment at this payee.
    pub hop_id: Id,
    /// Its own request that is answered.
    pub request: Id,
    /// What it receives, forwarded amounts included.
    pub amount: Stroops,
    /// Who pays it.
    pub payer: PayerRef,
    template: Option<Carried>,
    claim: Option<Carried>,
    delivered: bool,
}

impl Payee {
    /// A payee before its first message.
    pub fn new(via: Via, share: PayeeShare, hop_id: Id, request: Id, amount: Stroops, payer: PayerRef) -> Self {
        Payee { via, share, hop_id, request, amount, payer, template: None, claim: None, delivered: false }
    }
}

/// Where a pass stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Templates are collected.
    Create,
    /// The client has signed K_1; the claim of payee `waiting` (index) is asked for.
    Sign {
        /// Index of the payee whose claim comes next.
        waiting: usize,
    },
    /// The last claim is handed over; its secret is awaited.
    Reveal,
    /// Claims are handed over, or the secrets of their locks.
    Deliver,
    /// All receipts are there.
    Done,
    /// Given up.
    Dead,
}

/// What a pass wants to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(Via, Message),
    /// All templates are there: sign K_1 under this template for the guard. Once more when its lock has to be raised.
    SignFirst(Carried),
    /// The secret is known: K_1 is to be folded.
    Revealed,
    /// Every receipt came.
    Finished,
    /// Refused at `payee` (index) before anything was signed, or dead after it was.
    Failed {
        /// Index of the payee that refused, none for silence.
        payee: Option<usize>,
        /// Why.
        code: RefusalCode,
        /// Milliseconds until it makes sense to try again.
        retry_ms: u32,
        /// True when K_1 was signed.
        signed: bool,
    },
}

/// One pass.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Drawn by the client, told to nobody.
    pub id: Id,
    /// The circuit that carries it.
    pub circ: CircuitId,
    /// The guard, who is paid by the client itself.
    pub guard: RelayId,
    /// Guard first.
    pub payees: Vec<Payee>,
    /// Where it stands.
    pub stage: Stage,
    /// The call of a web payment that waits for the end.
    pub call: Option<u64>,
    /// For the books.
    pub site: Option<String>,
    /// What the web service that is paid offered.
    pub service: Option<Offer>,
    /// The locks of a locked chain.
    pub lock: Option<ChainLock>,
    stale: u32,
    started: u64,
    marks: [u64; 3],
    sent_at: u64,
    repeats: u32,
}

impl Pass {
    /// A plan; `start` gives its first messages.
    pub fn new(
        now: u64,
        id: Id,
        circ: CircuitId,
        guard: RelayId,
        payees: Vec<Payee>,
        call: Option<u64>,
        site: Option<String>,
    ) -> Self {
        Pass {
            id,
            circ,
            guard,
            payees,
            stage: Stage::Create,
            call,
            site,
            service: None,
            lock: None,
            stale: 0,
            started: now,
            marks: [now; 3],
            sent_at: now,
            repeats: 0,
        }
    }

    /// The Create messages, guard first.
    pub fn start(&self) -> Vec<Step> {
        let wish = |k: usize| match &self.lock {
            None => LockWish::Plain,
            Some(_) if k + 1 == self.payees.len() => LockWish::Last,
            Some(_) => LockWish::Onwards,
        };
        let open = self.payees.iter().enumerate().filter(|(_, p)| p.template.is_none());
        open.map(|(k, p)| Step::Send(p.via, create(p, wish(k)))).collect()
    }

    /// What the client's own claim adds.
    pub fn total(&self) -> Stroops {
        self.payees.first().map_or(Stroops::ZERO, |p| p.amount)
    }

    /// Has this payee said that it counts its due as paid? A node that signed onwards has; else its receipt says so.
    pub fn confirmed(&self, index: usize) -> bool {
        if let Some(lock) = &self.lock {
            return lock.is_open();
        }
        let onwards = self.payees.get(index + 1).is_some_and(|next| next.claim.is_some());
        onwards || self.payees.get(index).is_some_and(|p| p.delivered)
    }

    /// Who kept a pass waiting that was signed: the node that was to sign next, or the last one without a receipt.
    pub fn waits_for(&self) -> Option<usize> {
        match self.payees.iter().position(|p| p.claim.is_none()) {
            Some(unsigned) => unsigned.checked_sub(1),
            None => self.payees.iter().rposition(|p| !p.delivered),
        }
    }

    /// Between which payees (none: the client itself) a signed pass got lost: who was to sign, and for whom; or who
    /// was to confirm, and who stands before it.
    pub fn lost_between(&self) -> Option<(Option<usize>, usize)> {
        let waits = self.waits_for()?;
        let signs = self.payees.iter().any(|p| p.claim.is_none());
        Some(if signs { (Some(waits), waits + 1) } else { (waits.checked_sub(1), waits) })
    }

    /// Unix milliseconds: planned.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Milliseconds from the first message to the last one seen.
    pub fn took(&self) -> u64 {
        self.marks[2].saturating_sub(self.started)
    }

    fn index(&self, hop_id: &Id) -> Option<usize> {
        self.payees.iter().position(|p| &p.hop_id == hop_id)
    }

    /// Does a message with this subject belong here?
    pub fn owns(&self, hop_id: &Id) -> bool {
        self.index(hop_id).is_some()
    }

    /// A message from `via`.
    pub fn on_message(&mut self, now: u64, via: Via, message: &Message) -> Vec<Step> {
        match message {
            Message::Template(m) => self.on_template(now, via, m),
            Message::Signed(m) => self.on_signed(now, via, m),
            Message::Delivered(m) => self.on_delivered(now, via, m),
            Message::Refusal(m) => self.on_refusal(via, m),
            _ => Vec::new(),
        }
    }

    fn on_template(&mut self, now: u64, via: Via, m: &Template) -> Vec<Step> {
        let Some(index) = self.index(&m.hop_id).filter(|i| self.payees[*i].via == via) else { return Vec::new() };
        if self.stage != Stage::Create || self.payees[index].template.is_some() {
            return Vec::new();
        }
        let forwards = index + 1 < self.payees.len();
        if forwards && m.fee > self.payees[index].share.fee {
            return self.fail(Some(index), RefusalCode::FEE_ABOVE, 0);
        }
        let last = index + 1 == self.payees.len();
        if let Some(lock) = self.lock.as_mut().filter(|_| last)
            && m.lock.as_ref().is_none_or(|point| lock.set_point(point).is_err())
        {
            return self.fail(Some(index), RefusalCode::LOCK_INVALID, 0);
        }
        self.payees[index].template = Some(m.template.clone());
        if self.payees.iter().any(|p| p.template.is_none()) {
            return Vec::new();
        }
        self.marks[0] = now;
        self.payees[0].template.clone().map(Step::SignFirst).into_iter().collect()
    }

    /// K_1 is signed and durable.
    pub fn signed_first(&mut self, now: u64, claim: Carried) -> Vec<Step> {
        self.payees[0].claim = Some(claim);
        self.next_sign(now, 1)
    }

    fn next_sign(&mut self, now: u64, waiting: usize) -> Vec<Step> {
        self.sent_at = now;
        self.repeats = 0;
        if waiting < self.payees.len() {
            self.stage = Stage::Sign { waiting };
            return self.sign_message(waiting).into_iter().collect();
        }
        self.marks[1] = now;
        self.stage = if self.lock.is_some() { Stage::Reveal } else { Stage::Deliver };
        self.deliver_messages()
    }

    fn sign_message(&self, waiting: usize) -> Option<Step> {
        let (payer, payee) = (&self.payees[waiting - 1], &self.payees[waiting]);
        let sign = Sign {
            hop_id: payer.hop_id,
            amount_in: payer.amount,
            amount_out: payee.amount,
            claim: payer.claim.clone()?,
            template: payee.template.clone()?,
            lock: self.lock.as_ref().and_then(|lock| lock.order_for(waiting)),
        };
        Some(Step::Send(payer.via, Message::Sign(sign)))
    }

    /// Last payee first, as in the diagram.
    fn deliver_messages(&self) -> Vec<Step> {
        let pending = self.payees.iter().enumerate().rev().filter(|(_, p)| !p.delivered);
        let deliver = |(k, p): (usize, &Payee)| {
            let proof = self.proof(k)?;
            Some(Step::Send(p.via, Message::Deliver(Deliver { hop_id: p.hop_id, amount: p.amount, proof })))
        };
        pending.filter_map(deliver).collect()
    }

    /// What a payee is handed now; of a locked chain the last one comes first, and alone.
    fn proof(&self, index: usize) -> Option<Proof> {
        let claim = self.payees[index].claim.clone()?;
        let Some(lock) = &self.lock else { return Some(Proof::Plain(claim)) };
        match lock.secret_of(index) {
            Some(secret) => Some(Proof::Secret(*secret.expose())),
            None if index + 1 == self.payees.len() => Some(Proof::Locked(claim, lock.offset_of(index)?)),
            None => None,
        }
    }

    fn on_signed(&mut self, now: u64, via: Via, m: &Signed) -> Vec<Step> {
        let Stage::Sign { waiting } = self.stage else { return Vec::new() };
        let payer = &self.payees[waiting - 1];
        if payer.hop_id != m.hop_id || payer.via != via {
            return Vec::new();
        }
        self.payees[waiting].claim = Some(m.claim.clone());
        self.next_sign(now, waiting + 1)
    }

    fn on_delivered(&mut self, now: u64, via: Via, m: &Delivered) -> Vec<Step> {
        let Some(index) = self.index(&m.hop_id).filter(|i| self.payees[*i].via == via) else { return Vec::new() };
        if !matches!(self.stage, Stage::Reveal | Stage::Deliver) || self.payees[index].delivered {
            return Vec::new();
        }
        if self.stage == Stage::Reveal {
            if index + 1 < self.payees.len() {
                return Vec::new();
            }
            let opens = |lock: &mut ChainLock| m.secret.as_ref().is_some_and(|secret| lock.open(secret));
            if !self.lock.as_mut().is_some_and(opens) {
                return self.fail(Some(index), RefusalCode::LOCK_INVALID, 0);
            }
            self.payees[index].delivered = true;
            return self.revealed(now);
        }
        self.payees[index].delivered = true;
        self.done(now)
    }

    /// The end, when all receipts are there.
    fn done(&mut self, now: u64) -> Vec<Step> {
        if self.payees.iter().any(|p| !p.delivered) {
            return Vec::new();
        }
        self.marks[2] = now;
        self.stage = Stage::Done;
        let last = &self.payees[self.payees.len() - 1];
        let mut steps = Vec::new();
        if matches!(last.via, Via::Http(_)) {
            steps.push(Step::Send(last.via, Message::Complete(Complete { hop_id: last.hop_id })));
        }
        steps.push(Step::Finished);
        steps
    }

    /// Only the payee itself can refuse what was asked of it.
    fn on_refusal(&mut self, via: Via, m: &Refusal) -> Vec<Step> {
        let Some(index) = self.index(&m.subject).filter(|i| self.payees[*i].via == via) else { return Vec::new() };
        match self.stage {
            Stage::Create => self.fail(Some(index), m.code, m.retry_ms),
            Stage::Sign { waiting } if m.code == RefusalCode::LOCK_STALE && index + 1 == waiting => {
                self.step_back(index)
            }
            Stage::Reveal if m.code == RefusalCode::LOCK_STALE => self.step_back(index),
            // The secret is out: this one has its claim, whatever it says.
            Stage::Deliver if self.lock.is_some() && m.code.retry() != RetryClass::Later => {
                self.payees[index].delivered = true;
                self.done(self.sent_at)
            }
            // A node that says "busy" to a Sign has signed nothing: the same message goes out again.
            Stage::Sign { .. } | Stage::Reveal | Stage::Deliver if m.code.retry() == RetryClass::Later => Vec::new(),
            Stage::Sign { .. } | Stage::Reveal | Stage::Deliver => self.fail(Some(index), m.code, m.retry_ms),
            Stage::Done | Stage::Dead => Vec::new(),
        }
    }

    /// What the lock of the claim for this payee stands on has risen: it is asked for once more.
    fn step_back(&mut self, index: usize) -> Vec<Step> {
        self.stale += 1;
        if self.stale > STALE {
            return self.fail(Some(index), RefusalCode::LOCK_STALE, 0);
        }
        if index == 0 {
            return self.payees[0].template.clone().map(Step::SignFirst).into_iter().collect();
        }
        self.payees[index].claim = None;
        self.stage = Stage::Sign { waiting: index };
        self.sign_message(index).into_iter().collect()
    }

    /// Time passes: repeat or give up.
    pub fn on_tick(&mut self, now: u64) -> Vec<Step> {
        if matches!(self.stage, Stage::Done | Stage::Dead) || now.saturating_sub(self.sent_at) < REPEAT_MS {
            return Vec::new();
        }
        self.repeats += 1;
        self.sent_at = now;
        if self.repeats > REPEATS {
            return self.fail(None, RefusalCode::TIMED_OUT, 0);
        }
        match self.stage {
            Stage::Create => self.start(),
            Stage::Sign { waiting } => self.sign_message(waiting).into_iter().collect(),
            _ => self.deliver_messages(),
        }
    }

    /// Give up from outside (circuit closed, K_1 could not be signed).
    pub fn fail(&mut self, payee: Option<usize>, code: RefusalCode, retry_ms: u32) -> Vec<Step> {
        if self.is_open() {
            // All are paid, receipt or not.
            self.stage = Stage::Done;
            return vec![Step::Finished];
        }
        let signed = self.is_signed();
        self.stage = Stage::Dead;
        vec![Step::Failed { payee, code, retry_ms, signed }]
    }

    /// Is the client's own claim signed?
    pub fn is_signed(&self) -> bool {
        self.payees.first().is_some_and(|p| p.claim.is_some())
    }

    /// Is it locked, under this name, and nobody has told us its secret?
    pub fn is_locked_as(&self, own: &Id) -> bool {
        self.lock.is_some() && !self.is_open() && self.payees.first().is_some_and(|p| p.hop_id == *own)
    }

    /// The guard's lock has opened, as the link with it knows: all the others do.
    pub fn open(&mut self, now: u64, secret: &LockSecret) -> Vec<Step> {
        if !self.lock.as_mut().is_some_and(|lock| lock.open_first(secret)) {
            return Vec::new();
        }
        self.revealed(now)
    }

    fn revealed(&mut self, now: u64) -> Vec<Step> {
        self.stage = Stage::Deliver;
        (self.sent_at, self.repeats) = (now, 0);
        let mut steps = vec![Step::Revealed];
        steps.extend(self.deliver_messages());
        steps.extend(self.done(now));
        steps
    }

    /// Is it locked, and the secret known?
    pub fn is_open(&self) -> bool {
        self.lock.as_ref().is_some_and(ChainLock::is_open)
    }

    /// For the books.
    pub fn row(&self) -> PaymentRow {
        PaymentRow {
            id: self.id,
            at: self.started,
            state: match self.stage {
                _ if self.is_open() => PaymentState::Complete,
                Stage::Done => PaymentState::Complete,
                // Until the time of its locks is over it may still be paid.
                Stage::Dead if self.lock.is_some() => PaymentState::Signed,
                Stage::Dead => PaymentState::Abandoned,
                _ => PaymentState::Signed,
            },
            service: if self.site.is_some() { "http" } else { "tor" }.into(),
            site: self.site.clone(),
            total: self.total(),
            payees: self.payees.iter().map(|p| p.share.clone()).collect(),
            lock: self.lock.as_ref().and(self.payees.first()).map(|first| first.hop_id),
            create_ms: self.marks[0].saturating_sub(self.started),
            sign_ms: self.marks[1].saturating_sub(self.marks[0]),
            deliver_ms: self.marks[2].saturating_sub(self.marks[1]),
        }
    }
}

fn create(p: &Payee, lock: LockWish) -> Message {
    Message::Create(Create { hop_id: p.hop_id, request: p.request, amount: p.amount, payer: p.payer, lock })
}
