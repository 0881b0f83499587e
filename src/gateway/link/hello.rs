//! The first messages on a link circuit, and who may say what: [`Links::on_message`].
use super::dial::Circuit;
use super::limits::VERSION;
use super::links::{Link, Links};
use super::rows::{LinkRow, Partner, Role};
use crate::gateway::core::message::{Id, LinkAccept, LinkHello, Message, RefusalCode};
use crate::gateway::port::{CircuitId, Effect, Out, RelayId, Row};
use rand::Rng;

impl Links {
    /// A message of type 32 or above, or a refusal, on a circuit. What has no place here is refused and changes nothing.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        from: Partner,
        message: Message,
        out: &mut Out,
    ) {
        if let Message::Refusal(refusal) = &message {
            return self.on_refusal(now_ms, circ, refusal.code, out);
        }
        let known = self.circuits.get(&circ).copied();
        let result = match (message, known.and_then(|c| c.link)) {
            (Message::LinkHello(hello), _) => self.on_hello(now_ms, rng, circ, from, hello, out),
            (Message::LinkAccept(accept), Some(link)) => self.on_accept(now_ms, &link, accept, out),
            (message, Some(link)) if self.is_live(&link) => self.on_talk(now_ms, rng, &link, message, out),
            _ => Err(RefusalCode::UNEXPECTED),
        };
        if let Err(code) = result {
            let hop = known.map_or(0, |c| c.hop);
            let subject = known.and_then(|c| c.link).unwrap_or_default();
            out.effects.push(Effect::Send { circ, hop, message: Message::Refusal(code.refuse(subject)) });
        }
    }

    /// Partners agreed; for a payee that includes those whose first escrow is still to be offered.
    fn is_live(&self, link: &Id) -> bool {
        self.links.get(link).is_some_and(|l| !l.tentative || l.row.role == Role::Payee)
    }

    fn on_talk(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        link: &Id,
        message: Message,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let Some(role) = self.links.get(link).map(|l| l.row.role) else { return Err(RefusalCode::LINK_UNKNOWN) };
        match (role, message) {
            (Role::Payee, Message::EscrowOffer(offer)) => self.on_escrow_offer(now_ms, link, &offer, out),
            (Role::Payer, Message::RefundSigned(signed)) => self.on_refund_signed(now_ms, link, &signed, out),
            (Role::Payee, Message::EscrowReady(escrow)) => self.on_escrow_ready(now_ms, link, &escrow, out),
            (Role::Payer, Message::EscrowOpen(escrow)) => self.on_escrow_open(now_ms, link, &escrow, out),
            (Role::Payer, Message::FlushBegin(begin)) => self.on_flush_begin(now_ms, link, &begin, out),
            (Role::Payee, Message::FlushAck(claim)) => self.on_flush_ack(now_ms, link, &claim, out),
            (Role::Payer, Message::FlushDone(done)) => self.on_flush_done(now_ms, link, &done, out),
            (Role::Payer, Message::Reveal(said)) => self.on_reveal(now_ms, link, &said, out),
            (Role::Payee, Message::Claim(claim)) => self.on_claim(now_ms, link, &claim, out),
            (Role::Payee, Message::CloseAsk(ask)) => self.on_close_ask(now_ms, link, &ask, out),
            (Role::Payer, Message::CloseSigned(signed)) => self.on_close_signed(now_ms, link, &signed, out),
            (Role::Payee, Message::FlushAsk(ask)) => self.on_flush_ask(now_ms, rng, link, &ask),
            (Role::Payer, Message::NetPropose(ask)) => self.on_net_propose(now_ms, link, &ask, out),
            (Role::Payee, Message::NetAccept(accept)) => self.on_net_accept(now_ms, link, &accept, out),
            (_, Message::Reestablish(theirs)) => self.on_reestablish(now_ms, rng, link, &theirs, out),
            _ => Err(RefusalCode::UNEXPECTED),
        }
    }

    /// Our hello: as payer for `link`, as payee to ask for one (zeros: a new one). It names the link's account of ours, or
    /// that of number `own` while there is no link.
    pub(super) fn hello(&self, role: Role, link: Option<Id>, own: u8) -> LinkHello {
        let known = link.and_then(|id| self.links.get(&id));
        let signer = match (role, known) {
            (_, Some(link)) => crate::stellar::keys::SecretSeed::public(&link.signer),
            // Not yet known who pays and on which link: the accept names the signer.
            (_, None) => [0; 32],
        };
        LinkHello {
            version: VERSION,
            network: self.me.network(),
            asset: self.me.asset(),
            link: link.unwrap_or_default(),
            payer: role == Role::Payer,
            account: self.me.account(known.map_or(own, |link| link.row.own)),
            signer,
            deposit: known.map_or(self.limits.deposit, |l| l.row.deposit),
            period: known.map_or(self.limits.period_secs, |l| l.row.period),
        }
    }

    fn on_hello(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        from: Partner,
        hello: LinkHello,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if hello.version != VERSION {
            return Err(RefusalCode::BAD_VERSION);
        }
        if hello.network != self.me.network() {
            return Err(RefusalCode::WRONG_NETWORK);
        }
        if hello.asset != self.me.asset() {
            return Err(RefusalCode::WRONG_ASSET);
        }
        // Our own circuit came back to us. Of several accounts nobody can ask which are ours.
        if self.me.accounts() == 1 && hello.account == self.me.account(0) {
            return Err(RefusalCode::UNEXPECTED);
        }
        if hello.payer {
            self.on_payer_hello(now_ms, circ, from, &hello, out)
        } else {
            self.on_payee_hello(now_ms, rng, circ, from, &hello, out)
        }
    }

    /// Somebody wants to pay us: over a circuit of theirs, or as answer to our own wish.
    fn on_payer_hello(
        &mut self,
        now_ms: u64,
        circ: CircuitId,
        from: Partner,
        hello: &LinkHello,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let circuit = self.circuits.get(&circ).copied();
        let wish = self.dials.iter().find(|((_, role), d)| *role == Role::Payee && d.circ == Some(circ));
        let wish = wish.map(|(key, _)| *key);
        let called = self.called(circ, &hello.link);
        let awaited = |c: Circuit| !c.ours || wish.is_some() || called || c.link.is_some();
        if circuit.is_some_and(|c| !awaited(c) || c.link.is_some_and(|link| link != hello.link)) {
            return Err(RefusalCode::UNEXPECTED);
        }
        if hello.link == Id::default() {
            return Err(RefusalCode::MALFORMED);
        }
        let partner = circuit.filter(|c| c.ours).map_or(from, |c| c.end);
        match self.links.get(&hello.link) {
            Some(link) => {
                // A relay that no consensus of ours named when it said hello first: it is called back, then the link
                // is its own.
                let strange = link.row.partner == Partner::Anonymous && !link.row.dials;
                let theirs = !circuit.is_some_and(|c| c.ours) && partner != Partner::Anonymous;
                let named = strange && (called || theirs);
                let same = link.row.role == Role::Payee
                    && (link.row.partner == partner || named)
                    && (link.row.account, link.row.signer) == (hello.account, hello.signer);
                if !same {
                    return Err(RefusalCode::LINK_UNKNOWN);
                }
            }
            None => self.check_payer(partner, hello)?,
        }
        if let (Partner::Relay(relay), None | Some(Circuit { ours: false, .. })) = (partner, circuit) {
            return self.call_back(now_ms, circ, relay, hello.link, out);
        }
        match self.links.get_mut(&hello.link) {
            None => self.take_payer(now_ms, partner, wish, hello),
            Some(link) if link.row.partner != partner => {
                self.index.forget_link(&link.row);
                link.row.partner = partner;
                self.index.link(&link.row);
                if !link.tentative {
                    out.rows.push(Row::Link(Box::new(link.row.clone())));
                }
            }
            Some(_) => {}
        }
        self.end_call(circ);
        if let Some(dial) = wish.and_then(|key| self.dials.get_mut(&key)) {
            dial.link = Some(hello.link);
        }
        self.circuits.entry(circ).or_insert(Circuit { link: None, hop: 0, end: from, ours: false });
        self.bind(now_ms, hello.link, circ, out);
        let Some(link) = self.links.get(&hello.link) else { return Err(RefusalCode::INTERNAL) };
        let accept = LinkAccept {
            link: hello.link,
            account: self.me.account(link.row.own),
            signer: link.signer.public(),
            link_key: link.row.key,
            link_tag: link.row.tag,
        };
        let live = !link.tentative;
        if let Some(link) = self.links.get_mut(&hello.link) {
            link.agreed = true;
        }
        self.say(&hello.link, Message::LinkAccept(accept), out);
        if live {
            self.resume(now_ms, &hello.link, out);
        }
        Ok(())
    }

    fn check_payer(&self, partner: Partner, hello: &LinkHello) -> Result<(), RefusalCode> {
        if !self.limits.accept(hello.deposit, hello.period) {
            return Err(RefusalCode::DEPOSIT_REFUSED);
        }
        if !self.has_room_for_stranger(partner) {
            return Err(RefusalCode::NO_CAPACITY);
        }
        Ok(())
    }

    fn take_payer(&mut self, now_ms: u64, partner: Partner, wish: Option<(RelayId, Role)>, hello: &LinkHello) {
        let asked = wish.and_then(|key| self.dials.get(&key)).map(|dial| dial.own);
        let own = asked.or_else(|| self.account_for(now_ms, partner, Role::Payee)).unwrap_or(0);
        let secrets = self.me.secrets(&hello.link, &hello.account);
        let row = LinkRow {
            id: hello.link,
            role: Role::Payee,
            partner,
            dials: wish.is_some(),
            account: hello.account,
            signer: hello.signer,
            key: secrets.key,
            tag: secrets.tag,
            deposit: hello.deposit,
            period: hello.period,
            since_ms: now_ms,
            dropped: false,
            closing: false,
            by_period: true,
            own,
        };
        let link = Link { tentative: true, idle_ms: now_ms, ..self.link_of(row) };
        self.add_link(link);
    }

    /// A service asks us to pay it: we answer as payer.
    fn on_payee_hello(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        from: Partner,
        hello: &LinkHello,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if hello.link != Id::default() && hello.signer == [0; 32] {
            return self.on_called(now_ms, circ, from, hello, out);
        }
        if let Some(circuit) = self.circuits.get(&circ) {
            let id = circuit.link.filter(|_| !circuit.ours).ok_or(RefusalCode::UNEXPECTED)?;
            let asked = self.links.get(&id).is_some_and(|l| l.row.role == Role::Payer && !l.row.dials);
            if !asked || self.links.get(&id).is_some_and(|l| l.row.account != hello.account) {
                return Err(RefusalCode::UNEXPECTED);
            }
            let answer = self.hello(Role::Payer, Some(id), 0); // asked again: the same answer
            self.say(&id, Message::LinkHello(answer), out);
            return Ok(());
        }
        let known = self.links.get(&hello.link).filter(|link| {
            link.row.role == Role::Payer
                && !link.row.dials
                && !link.tentative
                && link.row.partner == from
                && (link.row.account, link.row.signer) == (hello.account, hello.signer)
        });
        let id = match known {
            Some(link) => link.row.id,
            None => {
                if !self.has_room_for_stranger(from) || self.liquidity_left() < self.limits.deposit {
                    return Err(RefusalCode::NO_CAPACITY);
                }
                let mut id = Id::default();
                rng.fill_bytes(&mut id);
                let row = LinkRow { account: hello.account, ..self.proposed(now_ms, id, from, false) };
                let link = Link { tentative: true, idle_ms: now_ms, ..self.link_of(row) };
                self.add_link(link);
                id
            }
        };
        self.circuits.insert(circ, Circuit { link: None, hop: 0, end: from, ours: false });
        self.bind(now_ms, id, circ, out);
        let answer = self.hello(Role::Payer, Some(id), 0);
        self.say(&id, Message::LinkHello(answer), out);
        Ok(())
    }

    /// The payee agreed.
    fn on_accept(&mut self, now_ms: u64, id: &Id, accept: LinkAccept, out: &mut Out) -> Result<(), RefusalCode> {
        let taken = self.link_by_tag(&accept.link_tag, Role::Payer).is_some_and(|l| l.row.id != *id);
        let own = self.me.account(self.links.get(id).map_or(0, |link| link.row.own));
        let Some(link) = self.links.get_mut(id) else { return Err(RefusalCode::LINK_UNKNOWN) };
        if link.row.role != Role::Payer || accept.link != *id {
            return Err(RefusalCode::UNEXPECTED);
        }
        let row = LinkRow {
            account: accept.account,
            signer: accept.signer,
            key: accept.link_key,
            tag: accept.link_tag,
            ..link.row.clone()
        };
        if link.tentative {
            // A service named its account in its hello; nobody else may take its place.
            let other = link.row.account != [0; 32] && link.row.account != accept.account;
            if taken || other || accept.account == own {
                return Err(RefusalCode::DUPLICATE_CONFLICT);
            }
            self.index.forget_link(&link.row);
            link.row = row;
            self.index.link(&link.row);
            link.tentative = false;
            out.rows.push(Row::Link(Box::new(link.row.clone())));
        } else if link.row != row {
            return Err(RefusalCode::DUPLICATE_CONFLICT);
        }
        if let Some(link) = self.links.get_mut(id) {
            link.agreed = true;
        }
        for dial in self.dials.values_mut().filter(|d| d.link == Some(*id)) {
            dial.tries = 0;
        }
        self.plan_if_needed(now_ms, id, out);
        self.resume(now_ms, id, out);
        Ok(())
    }

    /// The partner said no. Our own steps are retried by their timers; what it does not want waits longer.
    fn on_refusal(&mut self, now_ms: u64, circ: CircuitId, code: RefusalCode, out: &mut Out) {
        if self.end_call(circ) {
            // The relay knows nothing of the link: somebody spoke in its place.
            self.circuits.remove(&circ);
            return out.effects.push(Effect::Close { circ });
        }
        let Some(id) = self.circuits.get(&circ).and_then(|c| c.link) else { return };
        let lost = [RefusalCode::UNEXPECTED, RefusalCode::LINK_UNKNOWN].contains(&code);
        let nothing_open = self.open_lane(&id).is_none();
        let Some(link) = self.links.get_mut(&id) else { return };
        if lost && nothing_open && link.row.role == Role::Payer && !link.tentative {
            link.agreed = false; // it forgot us before there was money: hello again
        }
        let about_us = [
            RefusalCode::DEPOSIT_REFUSED,
            RefusalCode::NO_CAPACITY,
            RefusalCode::LINK_UNKNOWN,
            RefusalCode::WRONG_ASSET,
            RefusalCode::WRONG_NETWORK,
            RefusalCode::BAD_VERSION,
            RefusalCode::ESCROW_INVALID,
        ];
        if about_us.contains(&code) {
            link.refused_ms = now_ms.saturating_add(self.limits.retry_max_ms);
        }
    }
}
