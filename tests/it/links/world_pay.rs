//! Payments as clients make them, and what must hold at any moment.
use super::world::*;
use magicwave::gateway::core::message::{AccountKey, Carried, Id, RefusalCode};
use magicwave::gateway::link::{EscrowRow, LinkRefInfo, Partner, PayeeRef, PayerRef, Role};
use rand::Rng;

impl World {
    /// A fresh payment id.
    pub fn hop(&mut self) -> Id {
        let mut id = Id::default();
        self.rng.fill_bytes(&mut id);
        id
    }

    /// Opens a link from `payer` to the relay `payee` and waits until it can pay.
    pub fn open(&mut self, payer: usize, payee: usize) {
        let relay = self.relay(payee);
        for _ in 0..200 {
            self.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
            self.run(1);
            if self.nodes[payer].links.can_pay(&relay) == magicwave::gateway::link::Readiness::Ready {
                return;
            }
        }
        panic!("no link: {:?}", self.nodes[payer].links.summary());
    }

    pub fn payer_ref(&self, payer: usize, payee: usize) -> PayerRef {
        match self.nodes[payer].relay {
            Some(relay) => PayerRef::Relay(relay),
            None => PayerRef::Tag(self.nodes[payer].links.tag_of(&self.relay(payee)).unwrap_or_default()),
        }
    }

    /// The payer's half of a payment.
    pub fn signed(&mut self, payer: usize, payee: usize, hop: Id, stroops: u64) -> Result<Carried, RefusalCode> {
        let (from, relay) = (self.payer_ref(payer, payee), self.relay(payee));
        let dead = Err(RefusalCode::INTERNAL);
        let template = self
            .step(payee, |links, _, rng, _| links.template(rng, from, hop, amount(stroops)))
            .unwrap_or(dead.clone())?;
        let signed = self.step(payer, |links, now, rng, out| {
            links.sign(now, rng, hop, PayeeRef::Relay(relay), amount(stroops), &template, out)
        });
        signed.unwrap_or(dead)
    }

    /// The payee's half.
    pub fn accepted(
        &mut self,
        payee: usize,
        hop: Id,
        stroops: u64,
        claim: &Carried,
    ) -> Result<LinkRefInfo, RefusalCode> {
        self.step(payee, |links, now, _, out| links.accept(now, hop, amount(stroops), claim, out))
            .unwrap_or(Err(RefusalCode::INTERNAL))
    }

    /// A payment as a client would make it, tried once.
    pub fn pay(&mut self, payer: usize, payee: usize, stroops: u64) -> Result<LinkRefInfo, RefusalCode> {
        let hop = self.hop();
        let claim = self.signed(payer, payee, hop, stroops)?;
        self.accepted(payee, hop, stroops, &claim)
    }

    /// A payment that is tried again under the same name until it is through, as a patient client would.
    pub fn pay_for_sure(&mut self, payer: usize, payee: usize, stroops: u64) {
        let (hop, relay) = (self.hop(), self.relay(payee));
        let mut last = RefusalCode::INTERNAL;
        for _ in 0..400 {
            self.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
            let paid =
                self.signed(payer, payee, hop, stroops).and_then(|claim| self.accepted(payee, hop, stroops, &claim));
            match paid {
                Ok(_) => return,
                Err(code) => last = code,
            }
            self.drain();
            self.run(1);
        }
        panic!("no payment: {} {:#?} {:#?}", last.name(), self.lanes(payer), self.lanes(payee));
    }

    /// Good weather, until everything that was signed has landed.
    pub fn settle(&mut self) {
        self.chaos = Chaos::default();
        self.down.clear();
        for node in &mut self.nodes {
            node.crash = None;
        }
        let open = |world: &World| {
            (0..world.nodes.len())
                .flat_map(|n| world.lanes(n))
                .any(|l| l.state.is_usable() && (l.frozen.is_some() || l.total > l.settled() || l.carry.is_some()))
        };
        for _ in 0..300 {
            for payer in 0..self.nodes.len() {
                for row in self.link_rows(payer).iter().filter(|row| row.dials && row.role == Role::Payer) {
                    let Partner::Relay(relay) = row.partner else { continue };
                    self.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
                }
            }
            self.run(3);
            for node in 0..self.nodes.len() {
                self.step(node, |links, now, rng, out| links.flush_all(now, rng, out));
            }
            self.drain();
            if !open(self) {
                return self.check();
            }
        }
        let lanes: Vec<_> = (0..self.nodes.len()).flat_map(|n| self.lanes(n)).collect();
        panic!("it never settles: {lanes:#?}");
    }

    /// Holds at any moment, whatever happened: nothing is lost, nothing is paid twice.
    pub fn check(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            for lane in self.lanes(number).into_iter().filter(|l| l.state.is_usable() || l.state.name() == "spent") {
                let frozen = lane.frozen.as_ref().map_or(0, |f| f.held.cumulative.get());
                let held = lane.landed.get() + lane.netted.get() + frozen + lane.held.cumulative.get();
                let there = lane.returned.map_or_else(|| self.balance(&lane.escrow), |back| back.get());
                let gone = lane.deposit.get() - there.min(lane.deposit.get());
                match lane.role {
                    Role::Payer => {
                        assert!(
                            lane.total.get() - lane.netted.get() <= lane.deposit.get(),
                            "signed more than is there: {lane:?}"
                        );
                        assert!(gone <= lane.total.get(), "more left the escrow than was signed: {lane:?}");
                        assert_eq!(held, lane.total.get(), "the books of the payer: {lane:?}");
                    }
                    Role::Payee => {
                        assert!(lane.landed.get() <= gone, "landed what did not leave: {lane:?}");
                        let payer = self.lanes_by(&lane.escrow, Role::Payer).expect("the payer's lane");
                        let lands = lane.frozen.as_ref().map_or(0, |f| match f.lands() {
                            Some(lands) if f.carried => lands.min(f.held.cumulative).get(),
                            _ => f.held.cumulative.get(),
                        });
                        let counts = lane.landed.get() + lane.netted.get() + lands + lane.held.cumulative.get();
                        assert!(counts <= payer.total.get(), "holds more than was signed: {lane:?} {payer:?}");
                        let sure = lane.landed.get() + lane.netted.get() + frozen + lane.held.cumulative.get();
                        let over = lane.state.name() == "spent";
                        let lost =
                            node.events.iter().filter(|e| over && e.what == "claim_lost" && e.link == Some(lane.link));
                        let promised =
                            lane.carry.map_or(0, |c| c.amount.get()) + lost.map(|e| e.amount.get()).sum::<u64>();
                        assert!(lane.total.get() <= sure + promised, "credited more than is covered: {lane:?}");
                        assert!(lane.total <= payer.total, "credited more than was signed: {lane:?} {payer:?}");
                    }
                }
            }
            let sum =
                |what: &str| -> u64 { node.events.iter().filter(|e| e.what == what).map(|e| e.amount.get()).sum() };
            let total =
                |role| -> u64 { self.lanes(number).iter().filter(|l| l.role == role).map(|l| l.total.get()).sum() };
            assert_eq!(sum("claim_signed") + sum("claim_adopted"), total(Role::Payer), "journal and lanes differ");
            assert_eq!(sum("claim_accepted"), total(Role::Payee), "journal and lanes differ");
        }
    }

    pub fn lanes_by(&self, escrow: &AccountKey, role: Role) -> Option<EscrowRow> {
        (0..self.nodes.len()).flat_map(|n| self.lanes(n)).find(|l| l.escrow == *escrow && l.role == role)
    }
}
