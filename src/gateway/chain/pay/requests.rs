//! What became of each payment request, as rows: the person's history outlives the process.
use super::{Pay, ServiceWish};
use crate::gateway::core::message::{ID_LEN, Id, PaymentRequest, RefusalCode};
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::port::{Answer, CircuitId, Effect, Out, RequestOutcome, RequestRow, Row};
use crate::units::Stroops;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;

/// Web payments whose end is awaited, and requests whose last row is remembered; when there are more they are forgotten
/// together, and at worst a row is written twice.
const KNOWN_MAX: usize = 4_096;
/// Rows of one second: whoever asks faster is refused like all others, and not written down.
const ROWS_PER_SECOND: u32 = 20;

/// Rows to be written, and what is needed to write none twice.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By the call that waits for a web payment.
    calls: HashMap<u64, RequestRow>,
    told: HashMap<Id, (RequestOutcome, Option<String>)>,
    rows: Vec<RequestRow>,
    /// The second that is counted, and its rows.
    pace: (u64, u32),
}

impl Requests {
    /// Keeps a row unless the last one of this request said the same.
    fn note(&mut self, row: RequestRow) {
        let said = (row.outcome, row.code.clone());
        if self.told.get(&row.id) == Some(&said) {
            return;
        }
        let second = row.at / 1000;
        self.pace = if self.pace.0 == second { (second, self.pace.1 + 1) } else { (second, 1) };
        if self.pace.1 > ROWS_PER_SECOND {
            return;
        }
        if self.told.len() >= KNOWN_MAX {
            self.told.clear();
        }
        self.told.insert(row.id, said);
        self.rows.push(row);
    }
}

/// What a refusal means for the request at hand.
fn outcome(code: Option<RefusalCode>) -> RequestOutcome {
    match code.map(RefusalCode::retry) {
        None | Some(RetryClass::Later) => RequestOutcome::Held,
        Some(RetryClass::Renew | RetryClass::Never) => RequestOutcome::Refused,
    }
}

impl Pay {
    /// A web payment begins, or is asked for again.
    pub(super) fn note_wish(&mut self, now: u64, wish: &ServiceWish) {
        let row = RequestRow {
            id: self.request_id(&[wish.site.as_bytes(), &wish.request.session, &wish.request.id]),
            at: now,
            kind: "http".into(),
            who: wish.site.clone(),
            site: Some(wish.site.clone()),
            due: wish.request.amount_due.saturating_sub(wish.request.amount_paid),
            outcome: RequestOutcome::Held,
            code: None,
        };
        if self.requested.calls.len() >= KNOWN_MAX {
            self.requested.calls.clear();
        }
        self.requested.calls.insert(wish.call, row);
    }

    /// A relay asked properly: what becomes of that now.
    pub(super) fn note_request(&mut self, now: u64, circ: CircuitId, index: usize, request: &PaymentRequest) {
        let Some(c) = self.circuits.get(&circ) else { return };
        let Some(hop) = c.hops.get(index) else { return };
        let credited = hop.request.as_ref().map_or(Stroops::ZERO, |newest| newest.amount_paid);
        let paid = hop.acknowledged.max(credited) >= request.amount_due;
        let code = c.given_up.or(c.waits).filter(|_| !paid);
        let row = RequestRow {
            id: self.request_id(&[&hop.hop.relay, &request.session, &request.id]),
            at: now,
            kind: "tor".into(),
            who: hop.hop.nickname.clone(),
            site: None,
            due: request.amount_due.saturating_sub(request.amount_paid),
            outcome: if paid { RequestOutcome::Paid } else { outcome(code) },
            code: code.map(|code| code.name().into()),
        };
        self.requested.note(row);
    }

    /// A relay asked for what it is not to get.
    pub(super) fn note_improper(
        &mut self,
        now: u64,
        circ: CircuitId,
        index: usize,
        request: &PaymentRequest,
        code: RefusalCode,
    ) {
        let Some(hop) = self.circuits.get(&circ).and_then(|c| c.hops.get(index)).map(|h| h.hop.clone()) else { return };
        let due = request.amount_due.saturating_sub(request.amount_paid);
        self.note_refused(now, &hop.nickname, due, code, &[&hop.relay, &request.session, &request.id]);
    }

    /// Something of a relay was refused that is no request, or not the one that is open; `key` names it.
    pub(super) fn note_refused(&mut self, now: u64, who: &str, due: Stroops, code: RefusalCode, key: &[&[u8]]) {
        let row = RequestRow {
            id: self.request_id(key),
            at: now,
            kind: "tor".into(),
            who: who.into(),
            site: None,
            due,
            outcome: outcome(Some(code)),
            code: Some(code.name().into()),
        };
        self.requested.note(row);
    }

    /// Adds the rows of an event to its `out`; `from` is where its effects begin.
    pub fn write_requests(&mut self, now: u64, from: usize, out: &mut Out) {
        for effect in out.effects.iter().skip(from) {
            let Effect::Answer { call, answer } = effect else { continue };
            let code = match answer {
                Answer::Paid(_) => None,
                // Nothing more comes of a request whose payment got lost.
                Answer::Failed(code) | Answer::Lost(code) => Some(*code),
                _ => continue,
            };
            let Some(row) = self.requested.calls.remove(call) else { continue };
            let outcome = match answer {
                Answer::Paid(_) => RequestOutcome::Paid,
                Answer::Lost(_) => RequestOutcome::Refused,
                _ => outcome(code),
            };
            self.requested.note(RequestRow { at: now, outcome, code: code.map(|code| code.name().into()), ..row });
        }
        out.rows.extend(self.requested.rows.drain(..).map(|row| Row::Request(Box::new(row))));
    }

    /// Names of others are not ours to use: one could stand for another's row.
    fn request_id(&self, parts: &[&[u8]]) -> Id {
        let mut id = [0; ID_LEN];
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return id };
        mac.update(b"magicwave request id");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        id.copy_from_slice(&mac.finalize().into_bytes()[..ID_LEN]);
        id
    }
}
