//! The same with locks: a claim in and one onwards, both under locks that one secret opens, so that a node pays nobody
//! whom it is not paid for and the client pays nobody before all are.
use super::{Key, Serve, no};
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::link::{Links, NewLock};
use crate::gateway::port::*;
use crate::stellar::adaptor::LockOffset;
use crate::units::Stroops;
use rand::Rng;

impl Serve {
    /// The lock of what is signed onwards is computed from the one that came in, so that what opens the one opens the
    /// other; both are durable before the answer leaves. A repeat gets the claim as it stands by then.
    pub(super) fn on_sign_locked(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        sign: &Sign,
        order: &LockOrder,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (sign.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let name = session.name;
        self.owned(key, &sign.hop_id).map_err(refuse)?;
        let known = self.answered(&sign.hop_id, sign.amount_in, Some(sign.amount_out)).transpose().map_err(refuse)?;
        if matches!(known, Some(Message::Delivered(_))) {
            return Err(refuse(RefusalCode::DUPLICATE_CONFLICT));
        }
        let (_, payee) = self.onwards(key, sign, links, out).map_err(refuse)?;
        let margin = links.lock_margin();
        if order.max_time < (now / 1000).saturating_add(margin) {
            return Err(refuse(RefusalCode::LOCK_TIME));
        }
        let late = order.max_time.saturating_add(margin);
        let taken = links.check_lock(now, &sign.hop_id, sign.amount_in, &sign.claim, late).map_err(refuse)?;
        let offset = LockOffset::from_bytes(&order.offset).map_err(|_| refuse(RefusalCode::LOCK_INVALID))?;
        let point = taken.point().unshift(&offset).map_err(|_| refuse(RefusalCode::LOCK_INVALID))?;
        let new = NewLock { point, max_time: order.max_time, offset: Some(offset) };
        let claim = links
            .sign_locked(now, rng, sign.hop_id, payee, sign.amount_out, &sign.template, new, out)
            .map_err(refuse)?;
        links.keep_lock(now, taken, out);
        let message = Message::Signed(Signed { hop_id: sign.hop_id, claim });
        self.answer(now, name, &sign.hop_id, (sign.amount_in, sign.amount_out), true, &message, out);
        Ok(message)
    }

    /// The last payee: the claim is under the lock that it drew itself, shifted by what the client says. It is paid
    /// from here on, and gives the secret away.
    pub(super) fn on_deliver_last(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        deliver: &Deliver,
        (claim, offset): (&Carried, &[u8; 32]),
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (deliver.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let (paid, name) = (session.paid, session.name);
        self.owned(key, &deliver.hop_id).map_err(refuse)?;
        let known = self.answered(&deliver.hop_id, deliver.amount, None).transpose().map_err(refuse)?;
        match known {
            Some(Message::Delivered(before)) => return Ok(Message::Delivered(Delivered { paid, ..before })),
            Some(_) => return Err(refuse(RefusalCode::DUPLICATE_CONFLICT)),
            None => {}
        }
        let invalid = |_| refuse(RefusalCode::LOCK_INVALID);
        let offset = LockOffset::from_bytes(offset).map_err(invalid)?;
        let secret = links.lock_secret(&deliver.hop_id).map_err(refuse)?.shift(&offset).map_err(invalid)?;
        let late = (now / 1000).saturating_add(links.lock_margin());
        let taken = links.check_lock(now, &deliver.hop_id, deliver.amount, claim, late).map_err(refuse)?;
        if *taken.point() != secret.point() {
            return Err(refuse(RefusalCode::LOCK_INVALID));
        }
        links.keep_lock(now, taken, out);
        let secret = *secret.expose();
        links.reveal(now, &deliver.hop_id, &secret, out).map_err(refuse)?;
        self.credit(key, deliver.amount, out);
        if let Key::Circuit(circ) = key {
            self.open_onwards(now, rng, links, circ, out);
        }
        let paid = self.sessions.get(&key).map_or(paid, |s| s.paid);
        let message = Message::Delivered(Delivered { hop_id: deliver.hop_id, paid, secret: Some(secret) });
        self.answer(now, name, &deliver.hop_id, (deliver.amount, Stroops::ZERO), false, &message, out);
        Ok(message)
    }

    /// A node that signed onwards: what it keeps is credited once the secret opens its own lock.
    pub(super) fn on_deliver_secret(
        &mut self,
        now: u64,
        links: &mut Links,
        key: Key,
        deliver: &Deliver,
        secret: &[u8; 32],
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (deliver.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let (paid, fee, name) = (session.paid, session.offer.fee, session.name);
        self.owned(key, &deliver.hop_id).map_err(refuse)?;
        let row = self.hops.get(&deliver.hop_id).cloned().ok_or(refuse(RefusalCode::HOP_UNKNOWN))?;
        if row.amount_in != deliver.amount {
            return Err(refuse(RefusalCode::DUPLICATE_CONFLICT));
        }
        if !row.locked {
            let delivered = matches!(codec::decode(&row.reply), Ok(Message::Delivered(_)));
            let again = Message::Delivered(Delivered { hop_id: deliver.hop_id, paid, secret: None });
            return if delivered { Ok(again) } else { Err(refuse(RefusalCode::UNEXPECTED)) };
        }
        // Too late is too late for the session; what the secret is still good for is done all the same.
        if let Err(code) = links.reveal(now, &deliver.hop_id, secret, out) {
            return Ok(no(deliver.hop_id, code));
        }
        self.credit(key, row.amount_in.saturating_sub(row.amount_out).saturating_sub(fee), out);
        let paid = self.sessions.get(&key).map_or(paid, |s| s.paid);
        let message = Message::Delivered(Delivered { hop_id: deliver.hop_id, paid, secret: None });
        self.answer(now, name, &deliver.hop_id, (row.amount_in, row.amount_out), false, &message, out);
        Ok(message)
    }
}
